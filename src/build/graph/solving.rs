//! From a Dockerfile's text to what a build works on: its graph, the images
//! that it starts from and the trees that it reads by name.

use std::collections::HashMap;
use std::sync::Arc;

use crate::build::Error;
use crate::build::context::{self, Opened, Text};
use crate::build::graph::meeting::Results;
use crate::build::request::{BuildRequest, NamedSource};
use crate::build::shared::Shared;
use crate::build::step::State;
use crate::diagnostic::Diagnostic;
use crate::dockerfile::{Base, BaseKey, BaseSource, Bases, BuildGraph, Dockerfile};
use crate::event::{BuildEvent, Origin};
use crate::image::Image;

/// Most rounds of asking which base images are missing: an image may name
/// another one in its ONBUILD, and so on.
const BASE_ROUNDS_MAX: usize = 16;

/// The base images of a build.
pub(super) type Images = HashMap<BaseKey, Image>;

/// Parses, looks base images up, solves.
pub(super) fn graph(
    request: &BuildRequest,
    text: &Text,
    shared: &Shared<'_>,
    results: &Results<'_>,
) -> Result<(BuildGraph, Images), Error> {
    let file = Dockerfile::parse(&text.text, text.name.as_path()).map_err(Error::Diagnostics)?;
    let mut images = Images::new();
    let mut known = Bases::new();
    for _ in 0..BASE_ROUNDS_MAX {
        let missing = file.bases(&request.options, &known);
        let missing = missing.map_err(Error::Diagnostics)?;
        if missing.is_empty() {
            break;
        }
        for key in missing {
            let image = base(request, &key, shared, results)?;
            known.insert(key.clone(), Arc::new(image.config.clone()));
            images.insert(key, image);
        }
    }
    let graph = file.solve(&request.options, &known);
    let graph = graph.map_err(Error::Diagnostics)?;
    for warning in &graph.warnings {
        (shared.around.events)(BuildEvent::Warning {
            build: request.name.clone(),
            text: told(warning),
        });
    }
    (shared.around.events)(BuildEvent::Planned {
        build: request.name.clone(),
        steps: graph.steps.len(),
    });
    Ok((graph, images))
}

/// A warning in docker's order: the rule first, by which it can be skipped.
fn told(warning: &Diagnostic) -> String {
    let message = &warning.message;
    match &warning.span {
        Some(span) => format!("{}: {message} ({span})", warning.code),
        None => message.clone(),
    }
}

/// Finds a base image.
fn base(
    request: &BuildRequest,
    key: &BaseKey,
    shared: &Shared<'_>,
    results: &Results<'_>,
) -> Result<Image, Error> {
    match &key.source {
        BaseSource::Image(reference) => {
            let shown = shared.begin(
                &request.name,
                format!("[internal] load metadata for {reference}"),
            );
            let find = || {
                let fetched = (shared.around.fetch)(reference, &key.platform, request.pull);
                fetched.map_err(|source| Error::Fetch {
                    image: reference.familiar(),
                    source,
                })?;
                let found = shared.find_image(&reference.to_string(), &key.platform)?;
                found.ok_or_else(|| Error::NoImage(reference.familiar()))
            };
            match find() {
                Ok(found) => {
                    shown.done(Origin::Made);
                    let platform = found.config.platform();
                    if platform.architecture() == key.platform.architecture() {
                        Ok(found)
                    } else {
                        Err(Error::WrongPlatform {
                            image: reference.familiar(),
                            found: platform,
                            wanted: key.platform.clone(),
                        })
                    }
                }
                Err(error) => {
                    shown.failed(&error);
                    Err(error)
                }
            }
        }
        BaseSource::Context(name) => match request.contexts.get(name) {
            Some(NamedSource::Build(other)) => results.wait(other, &key.platform, &shared.cancel),
            Some(NamedSource::OciLayout { folder, tag }) => {
                let name = format!("[context {name}] OCI load from {}", folder.display());
                let shown = shared.begin(&request.name, name);
                let loaded = shared.load_layout(folder, tag.as_deref(), &key.platform);
                match &loaded {
                    Ok(_) => shown.done(Origin::Made),
                    Err(error) => shown.failed(error),
                }
                loaded
            }
            Some(NamedSource::Tree(_) | NamedSource::Image) | None => {
                Err(Error::NoImage(name.clone()))
            }
        },
    }
}

/// The root file systems of a graph's bases.
pub(super) fn bases(graph: &BuildGraph, images: &Images) -> Result<Vec<State>, Error> {
    let state = |base: &Base| {
        let image = images.get(&base.key);
        let image = image.ok_or_else(|| Error::NoImage(base.key.to_string()))?;
        let diff_ids = image.config.rootfs.diff_ids.iter().rev().cloned();
        Ok(State::of(
            image.layers.iter().cloned().zip(diff_ids).collect(),
        ))
    };
    graph.bases.iter().map(state).collect()
}

/// Opens the trees that the graph reads by name.
pub(super) fn named_contexts(
    request: &BuildRequest,
    graph: &BuildGraph,
    shared: &Shared<'_>,
) -> Result<HashMap<String, Opened>, Error> {
    let mut opened = HashMap::new();
    for name in &graph.contexts {
        let Some(NamedSource::Tree(context)) = request.contexts.get(name) else {
            return Err(Error::NoImage(name.clone()));
        };
        let mut tree = context::open(context, request, shared)?;
        // It has an ignore file of its own.
        tree.own_ignore()?;
        opened.insert(name.clone(), tree);
    }
    Ok(opened)
}
