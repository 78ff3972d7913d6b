//! The images that a command needs: which are there, which are pulled, which
//! are built. It happens in the command, before a supervisor is asked.
//!
//! ```text
//! project ▶ locked (with --frozen) ▶ decided, reference by reference
//!         ▶ pulled, all at once ▶ the services that are left to be built
//! ```

pub(crate) mod decide;
pub(crate) mod digests;
pub(crate) mod lock;
pub(crate) mod removal;
pub(crate) mod transfer;
pub(crate) mod written;

use std::collections::BTreeSet;

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::cli::build;
use crate::cli::context::Context;
use crate::cli::exit::{Failure, Kind};
use crate::cli::images::decide::{BuildWish, Presence, Step};
use crate::cli::images::transfer::{Loudness, Transfer};
use crate::cli::output;
use crate::cli::settings::ProgressMode;
use crate::image::{self, Wanted};
use crate::model::{ImageSource, Mount, Project, PullPolicy, Service, ServiceName};
use crate::oci::{Platform, Reference};
use crate::store::Root;

/// Digits of an image's id that people write.
const SHORT_ID: usize = 12;

/// What a command line says about the images of its project.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    /// `--pull`: instead of every service's own policy.
    pub(crate) pull: Option<PullPolicy>,
    /// `--quiet-pull`.
    pub(crate) quiet_pull: bool,
    /// `--frozen`: only what `rcompose.lock` says.
    pub(crate) frozen: bool,
    /// `--build` and `--no-build`.
    pub(crate) build: BuildWish,
    /// `--quiet-build`.
    pub(crate) quiet_build: bool,
}

impl Choice {
    /// Reads `--pull`.
    pub(crate) fn new(pull: Option<&str>, quiet_pull: bool) -> Result<Self, Failure> {
        let pull = match pull.filter(|text| !text.is_empty()) {
            None => None,
            Some("always") => Some(PullPolicy::Always),
            Some("missing" | "if_not_present") => Some(PullPolicy::Missing),
            Some("never") => Some(PullPolicy::Never),
            Some("build") => Some(PullPolicy::Build),
            Some(other) => {
                return Err(Failure::usage(format!("invalid --pull option {other:?}"))
                    .with_hint("write always, missing, never or build"));
            }
        };
        Ok(Self {
            pull,
            quiet_pull,
            ..Self::default()
        })
    }

    /// Adds what `--build`, `--no-build` and `--quiet-build` say.
    pub(crate) fn with_build(mut self, wish: BuildWish, quiet: bool) -> Self {
        self.build = wish;
        self.quiet_build = quiet;
        self
    }
}

/// An image that is to be had, and for whom.
#[derive(Debug)]
struct Need {
    reference: Reference,
    platform: Option<Platform>,
    step: Step,
    services: Vec<ServiceName>,
}

/// Sees to it that the images are there which these services need: pulled, or
/// built.
pub(crate) fn supply(
    context: &Context,
    project: &Project,
    services: &[&ServiceName],
    choice: &Choice,
) -> anyhow::Result<()> {
    let root = context.store()?;
    let needs = needs(root, project, services, choice)?;
    let mut to_build = BTreeSet::new();
    let (mut to_pull, mut lacking): (Vec<&Need>, Vec<&Need>) = (Vec::new(), Vec::new());
    for need in needs.values() {
        match need.step {
            Step::Use => tell_if_old(context, root, project, need),
            Step::Build => to_build.extend(need.services.iter().cloned()),
            Step::Missing => lacking.push(need),
            Step::Pull | Step::PullOrBuild => to_pull.push(need),
        }
    }
    if !lacking.is_empty() {
        return Err(missing(&lacking));
    }
    for need in pull(context, root, &to_pull, choice)? {
        to_build.extend(need.services.iter().cloned());
    }
    let to_build: Vec<ServiceName> = to_build.into_iter().collect();
    if to_build.is_empty() || context.settings.dry_run {
        return Ok(());
    }
    let requests = build::of_services(context, project, &to_build, &build::Wishes::default())?;
    let mode = match choice.quiet_build {
        true => ProgressMode::Quiet,
        false => context.settings.progress,
    };
    let outcome = build::run(context, &requests, mode)?;
    if !choice.quiet_build {
        build::tell_built(context, &outcome, mode);
    }
    Ok(())
}

/// Says that an image is older than what it is built from.
fn tell_if_old(context: &Context, root: &Root, project: &Project, need: &Need) {
    let services = need
        .services
        .iter()
        .filter_map(|name| project.services.get(name));
    for service in services {
        let ImageSource::Build { spec, .. } = &service.image else {
            continue;
        };
        let newer = image::named_at(root, &need.reference)
            .and_then(|built| build::newer(project, spec, built));
        if let Some(path) = newer {
            let path = path.strip_prefix(&context.working_dir).unwrap_or(&path);
            output::warn(&format!(
                "service {}: {} has changed since its image was built: build it again with --build",
                service.name,
                path.display()
            ));
        }
    }
}

/// Images that aren't there and that no policy lets us have.
fn missing(needs: &[&Need]) -> anyhow::Error {
    let words = |need: &&Need| {
        let name = match &need.platform {
            Some(platform) => format!("{} for {platform}", need.reference.familiar()),
            None => need.reference.familiar(),
        };
        match need.services.first() {
            Some(service) => format!("{name} (service {service})"),
            None => name,
        }
    };
    let all: Vec<String> = needs.iter().map(words).collect();
    Failure::new(Kind::Image, format!("No such image: {}", all.join(", ")))
        .with_hint("their policy forbids pulling: `rcompose image pull` them, or load an archive")
        .into()
}

/// Every image once, whoever needs it.
fn needs(
    root: &Root,
    project: &Project,
    services: &[&ServiceName],
    choice: &Choice,
) -> anyhow::Result<IndexMap<(String, Option<String>), Need>> {
    let mut needs: IndexMap<(String, Option<String>), Need> = IndexMap::new();
    for name in services {
        let Some(service) = project.services.get(*name) else {
            continue;
        };
        if matches!(service.image, ImageSource::Provider { .. }) || service.scale == 0 {
            continue;
        }
        for (text, source) in references(service) {
            if is_there_by_id(root, &text)? {
                continue;
            }
            let reference = parse(&text)?;
            let (name, source) = match built(project, &reference) {
                // What is mounted may be what another service builds.
                Some((builder, source)) => (builder, source),
                None => (*name, source),
            };
            let platform = platform(service)?;
            let presence = presence(root, &reference, platform.as_ref())?;
            let step = decide::step(source, choice.pull.as_ref(), choice.build, &presence);
            let key = (reference.to_string(), service.platform.clone());
            let need = needs.entry(key).or_insert_with(|| Need {
                reference,
                platform,
                step,
                services: Vec::new(),
            });
            need.step = need.step.max(step);
            if !need.services.contains(name) {
                need.services.push(name.clone());
            }
        }
    }
    Ok(needs)
}

/// Whether a text is an image's id, or the beginning of one: nothing could be
/// pulled or built by it.
fn is_there_by_id(root: &Root, text: &str) -> anyhow::Result<bool> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    if hex.len() < SHORT_ID || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(false);
    }
    let found = image::resolve(root, text).map_err(transfer::failure)?;
    Ok(found.is_some_and(|found| found.name.is_none()))
}

/// The service that builds an image, and how.
fn built<'p>(
    project: &'p Project,
    reference: &Reference,
) -> Option<(&'p ServiceName, &'p ImageSource)> {
    project.services.iter().find_map(|(name, service)| {
        let ImageSource::Build { tag, .. } = &service.image else {
            return None;
        };
        let is_same = tag.parse::<Reference>().is_ok_and(|tag| tag == *reference);
        is_same.then_some((name, &service.image))
    })
}

/// The images of a service: its own, and those that it mounts.
fn references(service: &Service) -> Vec<(String, &ImageSource)> {
    let mounted = service.mounts.iter().filter_map(|mount| match mount {
        Mount::Image { reference, .. } => Some(reference.clone()),
        Mount::Bind(_) | Mount::Volume(_) | Mount::Tmpfs { .. } => None,
    });
    std::iter::once((service.image.reference().to_owned(), &service.image))
        .chain(mounted.map(|reference| (reference, decide::MOUNTED)))
        .collect()
}

/// Reads a reference as the files have it.
pub(crate) fn parse(text: &str) -> anyhow::Result<Reference> {
    text.parse().map_err(|error: crate::oci::Error| {
        Failure::project(format!("invalid reference format: {error}")).into()
    })
}

fn platform(service: &Service) -> anyhow::Result<Option<Platform>> {
    let parse = |text: &String| {
        text.parse()
            .map_err(|error: crate::oci::Error| Failure::project(error.to_string()))
    };
    Ok(service.platform.as_ref().map(parse).transpose()?)
}

/// Whether the store has what a reference means.
pub(crate) fn presence(
    root: &Root,
    reference: &Reference,
    platform: Option<&Platform>,
) -> anyhow::Result<Presence> {
    let wanted = platform.map(ToString::to_string);
    let found = match image::resolve_on(root, &reference.to_string(), wanted.as_deref()) {
        Ok(found) => found,
        // Pulling it again mends it.
        Err(image::Error::Damaged { .. }) => None,
        Err(error) => return Err(transfer::failure(error)),
    };
    let Some(found) = found else {
        return Ok(Presence::Absent);
    };
    if platform.is_some_and(|platform| !image::is_for(&found.image, platform)) {
        return Ok(Presence::Absent);
    }
    let checked = image::checked_at(root, reference).map_err(transfer::failure)?;
    let since = checked.unwrap_or(found.image.stored_at);
    let age = Timestamp::now().duration_since(since);
    Ok(Presence::There {
        age: age.try_into().unwrap_or_default(),
    })
}

/// Pulls images; gives those that could not be had and can be built.
fn pull<'n>(
    context: &Context,
    root: &Root,
    needs: &[&'n Need],
    choice: &Choice,
) -> anyhow::Result<Vec<&'n Need>> {
    if needs.is_empty() {
        return Ok(Vec::new());
    }
    if context.flags.offline {
        return offline(root, needs);
    }
    let wanted: Vec<Wanted> = needs
        .iter()
        .map(|need| Wanted {
            reference: need.reference.clone(),
            platform: need.platform.clone(),
        })
        .collect();
    let loudness = if choice.quiet_pull {
        Loudness::Images
    } else {
        Loudness::Layers
    };
    let transfer = Transfer::start(context, "pull", loudness);
    if context.settings.dry_run {
        transfer.pretend(&wanted);
        return Ok(Vec::new());
    }
    let forgiven: Vec<bool> = needs
        .iter()
        .map(|need| need.step == Step::PullOrBuild)
        .collect();
    let results = transfer.pull(context, root, &wanted, &forgiven)?;
    let mut to_build = Vec::new();
    let mut errors = Vec::new();
    for (need, result) in needs.iter().zip(results) {
        match result {
            Ok(_) => {}
            Err(_) if need.step == Step::PullOrBuild => to_build.push(*need),
            Err(error) => errors.push(error),
        }
    }
    finish(errors)?;
    Ok(to_build)
}

/// Tells all errors; the last of them ends the command.
pub(crate) fn finish(mut errors: Vec<image::Error>) -> anyhow::Result<()> {
    let Some(last) = errors.pop() else {
        return Ok(());
    };
    for error in errors {
        output::error(&transfer::failure(error), None);
    }
    Err(transfer::failure(last))
}

/// Without a network, what is there must do.
fn offline<'n>(root: &Root, needs: &[&'n Need]) -> anyhow::Result<Vec<&'n Need>> {
    let (mut to_build, mut lacking) = (Vec::new(), Vec::new());
    for need in needs {
        match presence(root, &need.reference, need.platform.as_ref())? {
            Presence::There { .. } => {}
            Presence::Absent if need.step == Step::PullOrBuild => to_build.push(*need),
            Presence::Absent => lacking.push(need.reference.familiar()),
        }
    }
    if lacking.is_empty() {
        return Ok(to_build);
    }
    Err(Failure::new(
        Kind::Image,
        format!("No such image: {}", lacking.join(", ")),
    )
    .with_hint("--offline forbids pulling: leave it out, or load the images from an archive")
    .into())
}

/// Fails with every image at once that a project's services need and the
/// store lacks.
pub(crate) fn require(
    root: &Root,
    project: &Project,
    services: &[&ServiceName],
) -> anyhow::Result<()> {
    let images = image::of_services(root, project)?;
    let mut missing: Vec<String> = Vec::new();
    let mut builds = false;
    for name in services {
        let Some(service) = project.services.get(*name) else {
            continue;
        };
        let is_provided = matches!(service.image, ImageSource::Provider { .. });
        if is_provided || images.contains_key(*name) || service.scale == 0 {
            continue;
        }
        builds |= matches!(service.image, ImageSource::Build { .. });
        missing.push(format!("{} (service {name})", service.image.reference()));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let hint = if builds {
        "build it with `rcompose build`, or leave --no-build out"
    } else {
        "pull it with `rcompose pull`, load an archive with `rcompose image load -i ARCHIVE`, or import a root file system with `rcompose image import`"
    };
    Err(Failure::new(
        Kind::Image,
        format!("No such image: {}", missing.join(", ")),
    )
    .with_hint(hint)
    .into())
}
