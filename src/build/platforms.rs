//! Builds for several platforms: one build each, and one name for all.
//!
//! A request for several platforms is split into parts that run side by side
//! like any other builds and share every step that is the same on all of them.
//! None begins with its first step before all know that they can run here, and
//! none makes its image before all have made their last step. What they came
//! to gets its names, and is exported, only when all are done.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::build::request::{BuildRequest, Cancel, NamedSource, Surroundings};
use crate::build::result::Built;
use crate::build::{Error, FailedStep, Failure, export, step};
use crate::dockerfile::{BuildGraph, Op, Step};
use crate::image::{self, Image};
use crate::oci::Platform;

/// A build for one platform.
#[derive(Debug)]
pub(crate) struct Part {
    /// The position of the request that it is a part of.
    pub(crate) of: usize,
    /// What is built, for one platform.
    pub(crate) request: BuildRequest,
    /// How many parts the request has.
    pub(crate) count: usize,
}

/// Splits requests; one for a single platform is its own part.
pub(crate) fn parts(requests: &[BuildRequest]) -> Vec<Part> {
    let mut parts = Vec::new();
    for (of, request) in requests.iter().enumerate() {
        let count = request.platforms.len();
        for platform in &request.platforms {
            let mut part = request.clone();
            part.options.platform = platform.clone();
            if count > 1 {
                part.names.clear();
                part.exports.clear();
            }
            parts.push(Part {
                of,
                request: part,
                count,
            });
        }
        if count == 0 {
            let request = request.clone();
            parts.push(Part {
                of,
                request,
                count: 1,
            });
        }
    }
    parts
}

impl Part {
    /// What stands before the names of its steps.
    pub(crate) fn prefix(&self) -> String {
        match self.count {
            0 | 1 => String::new(),
            _ => format!("{} ", self.request.options.platform),
        }
    }

    /// Fails when a program of the graph can't run on this machine. Only for
    /// one of several parts and without caches from elsewhere: a single build
    /// may find all that it can't run.
    pub(crate) fn can_run(&self, graph: &BuildGraph) -> Result<(), (Error, Option<FailedStep>)> {
        if self.count < 2 || !self.request.cache_from.is_empty() {
            return Ok(());
        }
        for step in &graph.steps {
            let info = graph.stages.get(step.stage);
            let (Op::Run(_), Some(info)) = (&step.op, info) else {
                continue;
            };
            step::can_run(&info.platform).map_err(|error| {
                let failed = FailedStep {
                    name: step_name(&self.prefix(), graph, step),
                    span: step.span.clone(),
                    output: Vec::new(),
                };
                (error, Some(failed))
            })?;
        }
        Ok(())
    }
}

/// What the parts of a run came to, for those that need it. The value waits
/// under a lock of its owner's.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// By name, then by platform.
    images: HashMap<String, Vec<(Platform, Option<Image>)>>,
    /// Which parts of a name have come to a turn.
    met: HashMap<(String, Turn), HashSet<Platform>>,
}

/// A place of a build where all parts of a request wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Turn {
    /// It is known that its programs can run here.
    Planned,
    /// All steps are made, and the image isn't.
    Made,
}

impl Done {
    /// Notes what a part came to; none when it failed.
    pub(crate) fn put(&mut self, part: &BuildRequest, image: Option<Image>) {
        let all = self.images.entry(part.name.clone()).or_default();
        all.push((part.options.platform.clone(), image));
    }

    /// What a build of another one's name came to on a platform, once that is
    /// known. A build for one platform serves all.
    pub(crate) fn find(
        &self,
        name: &str,
        platform: &Platform,
        cancel: &Cancel,
    ) -> Option<Result<Image, Error>> {
        let all = self.images.get(name).map_or(&[][..], Vec::as_slice);
        let own = all.iter().find(|(other, _)| other == platform);
        match own {
            Some((_, Some(image))) => Some(Ok(image.clone())),
            Some((_, None)) => Some(Err(Error::Dependency(name.to_owned()))),
            None if cancel.is_set() => Some(Err(Error::Cancelled)),
            None => None,
        }
    }

    /// Notes that a part has come to a turn.
    pub(crate) fn arrive(&mut self, part: &Part, turn: Turn) {
        let met = self.met.entry((part.request.name.clone(), turn));
        let platform = part.request.options.platform.clone();
        met.or_default().insert(platform);
    }

    /// Whether all parts of a request have come to a turn.
    pub(crate) fn have_met(&self, part: &Part, turn: Turn) -> bool {
        let met = self.met.get(&(part.request.name.clone(), turn));
        met.map_or(0, HashSet::len) >= part.count
    }
}

/// A step's name as docker's progress shows it.
pub(crate) fn step_name(prefix: &str, graph: &BuildGraph, step: &Step) -> String {
    let info = graph.stages.get(step.stage);
    let total = info.map_or(0, |info| info.steps) + 1;
    let name = info.map_or("", |info| info.name.as_str());
    let number = step.number + 1;
    let is_only = graph.stages.len() == 1 && name.starts_with("stage-");
    if is_only {
        format!("[{prefix}{number}/{total}] {}", step.text)
    } else {
        format!("[{prefix}{name} {number}/{total}] {}", step.text)
    }
}

/// The platform for which a part needs the result of another request: its
/// own, if that is built, or else the only or first one of the other.
pub(crate) fn wanted<'a>(parts: &'a [Part], name: &str, platform: &'a Platform) -> &'a Platform {
    let of_name = || {
        let named = parts.iter().filter(|part| part.request.name == name);
        named.map(|part| &part.request.options.platform)
    };
    let own = of_name().find(|other| *other == platform);
    own.or_else(|| of_name().next()).unwrap_or(platform)
}

/// The names of other requests whose results a request needs.
pub(crate) fn needs(request: &BuildRequest) -> impl Iterator<Item = &str> {
    request.contexts.values().filter_map(|source| match source {
        NamedSource::Build(name) => Some(name.as_str()),
        NamedSource::Tree(_) | NamedSource::Image | NamedSource::OciLayout { .. } => None,
    })
}

/// Puts together what the parts of each request came to.
pub(crate) fn join(
    requests: &[BuildRequest],
    parts: &[Part],
    ended: Vec<Result<Built, Failure>>,
    around: &Surroundings<'_>,
) -> Vec<Result<Built, Failure>> {
    let mut of: Vec<Vec<Result<Built, Failure>>> = requests.iter().map(|_| Vec::new()).collect();
    for (part, result) in parts.iter().zip(ended) {
        if let Some(results) = of.get_mut(part.of) {
            results.push(result);
        }
    }
    let joined = requests
        .iter()
        .zip(of)
        .map(|(request, mut results)| match results.len() {
            1 => results.remove(0),
            _ => together(request, results, around),
        });
    joined.collect()
}

fn together(
    request: &BuildRequest,
    results: Vec<Result<Built, Failure>>,
    around: &Surroundings<'_>,
) -> Result<Built, Failure> {
    let (mut all, mut failures) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(built) => all.push(built),
            Err(failure) => failures.push(failure),
        }
    }
    // The one that isn't the consequence of another's.
    let own = failures.iter().position(|f| !f.error.is_cancelled());
    if !failures.is_empty() {
        return Err(failures.swap_remove(own.unwrap_or_default()));
    }
    let images: Vec<Image> = all.iter().map(|built| built.image.clone()).collect();
    let root = around.root;
    let finish = || -> Result<Built, Error> {
        let renamed = image::name_several(root, &request.names, &images)?;
        for wanted in &request.exports {
            export::write_several(root, &images, &request.names, wanted)?;
        }
        let image =
            image::used_here(&images).ok_or_else(|| Error::NoImage(request.name.clone()))?;
        Ok(Built {
            build: request.name.clone(),
            image: image.clone(),
            names: request.names.clone(),
            renamed,
            is_cached: all.iter().all(|built| built.is_cached),
            steps: all.iter().fold((0, 0), |sum, built| {
                (sum.0 + built.steps.0, sum.1 + built.steps.1)
            }),
        })
    };
    finish().map_err(|error| Failure::of_build(request, error))
}

/// The folder of a platform in an export of several: `linux_arm64`.
pub(crate) fn folder(platform: &Platform) -> String {
    platform.to_string().replace('/', "_")
}

/// Where a platform's files go in an export of several.
pub(crate) fn place(path: &Path, image: &Image) -> std::path::PathBuf {
    path.join(folder(&image.config.platform()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{Context, DockerfileSource, Export, Goal, Pull};
    use crate::dockerfile::Options;

    fn request(name: &str, platforms: &[&str]) -> BuildRequest {
        BuildRequest {
            name: name.to_owned(),
            context: Context::Empty,
            dockerfile: DockerfileSource::InContext("Dockerfile".to_owned()),
            options: Options::new(Platform::host()),
            platforms: platforms.iter().map(|text| text.parse().unwrap()).collect(),
            contexts: indexmap::IndexMap::new(),
            secrets: indexmap::IndexMap::new(),
            ssh: indexmap::IndexMap::new(),
            pull: Pull::Missing,
            names: vec![format!("{name}:1").parse().unwrap()],
            exports: vec![Export::Tar(None)],
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            goal: Goal::Image,
        }
    }

    #[test]
    fn a_request_is_split_into_its_platforms() {
        let requests = [
            request("a", &["linux/s390x", "linux/riscv64"]),
            request("b", &["linux/s390x"]),
            request("c", &[]),
        ];
        let parts = parts(&requests);
        let shown: Vec<_> = parts
            .iter()
            .map(|part| {
                let platform = part.request.options.platform.clone();
                (part.of, platform, part.request.names.len(), part.prefix())
            })
            .collect();
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        assert_eq!(
            shown,
            [
                (0, platform("linux/s390x"), 0, "linux/s390x ".to_owned()),
                (0, platform("linux/riscv64"), 0, "linux/riscv64 ".to_owned()),
                (1, platform("linux/s390x"), 1, String::new()),
                (2, Platform::host(), 1, String::new()),
            ]
        );
    }

    #[test]
    fn a_part_needs_its_own_platform_of_another_request() {
        let requests = [
            request("a", &["linux/s390x", "linux/riscv64"]),
            request("b", &["linux/arm64"]),
        ];
        let parts = parts(&requests);
        let riscv: Platform = "linux/riscv64".parse().unwrap();
        assert_eq!(wanted(&parts, "a", &riscv), &riscv);
        assert_eq!(wanted(&parts, "b", &riscv).to_string(), "linux/arm64");
    }

    #[test]
    fn all_parts_wait_until_each_has_come() {
        let parts = parts(&[request("a", &["linux/s390x", "linux/riscv64"])]);
        let mut done = Done::default();
        let turn = Turn::Planned;
        done.arrive(&parts[0], turn);
        // One that tries again has come only once.
        done.arrive(&parts[0], turn);
        assert!(!done.have_met(&parts[0], turn));
        done.arrive(&parts[1], turn);
        assert!(done.have_met(&parts[0], turn) && done.have_met(&parts[1], turn));
        assert!(!done.have_met(&parts[0], Turn::Made));
    }

    #[test]
    fn a_result_that_will_never_come_is_not_waited_for() {
        let parts = parts(&[request("a", &["linux/s390x", "linux/riscv64"])]);
        let platform = &parts[0].request.options.platform;
        let (mut done, cancel) = (Done::default(), Cancel::default());
        assert!(done.find("a", platform, &cancel).is_none());
        done.put(&parts[0].request, None);
        let found = done.find("a", platform, &cancel);
        assert!(matches!(found, Some(Err(Error::Dependency(_)))));
        cancel.set();
        let other = &parts[1].request.options.platform;
        assert!(matches!(
            done.find("a", other, &cancel),
            Some(Err(Error::Cancelled))
        ));
    }
}
