//! From the last step to an image: layers, history, times, names.

use crate::build::Error;
use crate::build::request::BuildRequest;
use crate::build::step::State;
use crate::dockerfile::{BuildGraph, HISTORY_COMMENT};
use crate::image::{self, Image, StepRecord};
use crate::oci::{Digest, History, ImageConfig, Reference};
use crate::store::Root;

/// What a request came to.
#[derive(Debug, Clone)]
pub struct Built {
    /// The build, as its request calls it.
    pub build: String,
    /// The image.
    pub image: Image,
    /// Its names.
    pub names: Vec<Reference>,
    /// Names that belonged to other images, with their ids.
    pub renamed: Vec<(Reference, Digest)>,
    /// Whether every step was found.
    pub is_cached: bool,
    /// How many steps it has, and how many of them were made.
    pub steps: (usize, usize),
}

/// Makes the image of a graph whose steps are done.
pub(crate) fn image(
    root: &Root,
    request: &BuildRequest,
    graph: &BuildGraph,
    state: &State,
    records: &[Option<StepRecord>],
    cache: Option<String>,
) -> Result<image::Created, Error> {
    let mut config = config(graph, state, records);
    config.build_cache = cache;
    Ok(image::create(root, &config, &request.names)?)
}

fn config(graph: &BuildGraph, state: &State, records: &[Option<StepRecord>]) -> ImageConfig {
    let mut config = graph.config.clone();
    let epoch = graph.epoch.and_then(time);
    config.rootfs.diff_ids = state.diff_ids.iter().rev().cloned().collect();
    // What changed the config alone is as old as the step before it, so that
    // a build of known steps makes the very same image again.
    let mut created = config.created.clone();
    for entry in &graph.history {
        let record = entry.step.and_then(|step| records.get(step.index()));
        let record = record.and_then(Option::as_ref);
        if let Some(record) = record {
            created = Some(record.created.to_string());
        }
        config.history.push(History {
            created: epoch.clone().or_else(|| created.clone()),
            created_by: Some(entry.created_by.clone()),
            author: None,
            comment: Some(HISTORY_COMMENT.to_owned()),
            empty_layer: record.is_none_or(|record| record.diff_id.is_none()),
        });
    }
    let now = || crate::sys::time::now().to_string();
    config.created = Some(epoch.or(created).unwrap_or_else(now));
    config
}

fn time(epoch: i64) -> Option<String> {
    jiff::Timestamp::from_second(epoch)
        .ok()
        .map(|time| time.to_string())
}
