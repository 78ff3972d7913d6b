//! Runs requests, a thread a build: [`solving`] finds what each works on,
//! [`work`] makes its steps, [`finish`] its image, and [`meeting`] has what
//! builds need of each other.

mod finish;
mod meeting;
mod solving;
mod work;

use std::sync::Arc;

use crate::build::cache::Trust;
use crate::build::graph::meeting::Results;
use crate::build::graph::work::{Attempt, Building};
use crate::build::platforms::{self, Part, Turn};
use crate::build::request::{BuildRequest, Goal, Surroundings};
use crate::build::result::Built;
use crate::build::shared::Shared;
use crate::build::{Error, Failure, context};

/// Runs all requests to their ends, in the order of their dependencies and
/// otherwise at once; gives what each came to, in their order. When one fails,
/// the others are cut off.
///
/// # Errors
/// When builds wait for each other, or there can be none at all.
pub fn run(requests: &[BuildRequest], around: &Surroundings<'_>) -> Vec<Result<Built, Failure>> {
    if let Some(cycle) = meeting::cycle(requests) {
        let fail =
            |request: &BuildRequest| Err(Failure::of_build(request, Error::Cycle(cycle.clone())));
        return requests.iter().map(fail).collect();
    }
    let shared = match Shared::open(around) {
        Ok(shared) => shared,
        Err(error) => {
            let text = error.to_string();
            let mut first = Some(error);
            let fail = |request: &BuildRequest| {
                let error = first
                    .take()
                    .unwrap_or_else(|| Error::Dependency(text.clone()));
                Err(Failure::of_build(request, error))
            };
            return requests.iter().map(fail).collect();
        }
    };
    let parts = platforms::parts(requests);
    let results = Results::new(&parts);
    let ended = std::thread::scope(|scope| {
        let threads: Vec<_> = parts
            .iter()
            .map(|part| {
                let (shared, results) = (&shared, &results);
                scope.spawn(move || {
                    let built = build(part, shared, results);
                    if built.is_err() {
                        shared.cancel.set();
                    }
                    let image = built.as_ref().ok().map(|built| built.image.clone());
                    results.put(part, image);
                    built
                })
            })
            .collect();
        let ended = threads.into_iter().zip(&parts);
        ended
            .map(|(thread, part)| match thread.join() {
                Ok(built) => built,
                Err(_) => Err(Failure::of_build(
                    &part.request,
                    Error::Dependency("its own thread".to_owned()),
                )),
            })
            .collect()
    });
    let all = platforms::join(requests, &parts, ended, around);
    if let Err(error) = shared.files.save() {
        tracing::warn!(%error, "digests of files were not kept");
    }
    all
}

/// One build from its context to its image.
fn build(part: &Part, shared: &Shared<'_>, results: &Results<'_>) -> Result<Built, Failure> {
    let request = &part.request;
    let mut dockerfile = None;
    let mut failed_step = None;
    let mut go = || -> Result<Built, Error> {
        let mut context = context::open(&request.context, request, shared)?;
        let text = context.dockerfile(&request.dockerfile)?;
        dockerfile = Some(Arc::clone(&text.text));
        let (graph, images) = solving::graph(request, &text, shared, results)?;
        if request.goal == Goal::Check {
            return Err(Error::Cancelled);
        }
        part.can_run(&graph).map_err(|(error, step)| {
            failed_step = step;
            error
        })?;
        results.meet(part, Turn::Planned, &shared.cancel)?;
        let named = solving::named_contexts(request, &graph, shared)?;
        let mut building = Building {
            shared,
            request,
            part,
            results,
            graph: &graph,
            bases: solving::bases(&graph, &images)?,
            context,
            named,
            trust: Trust::All,
            attempt: Attempt::new(&graph, shared),
        };
        loop {
            let finished = building.run().and_then(|state| {
                let finished = building.finish(&state);
                finished.map_err(|error| (error, None))
            });
            match finished {
                Err((Error::Promise { cache, source }, _)) if building.trust != Trust::Nothing => {
                    building.distrust(&cache, &source);
                    // What the attempt made is in the store.
                    building.attempt = Attempt::new(&graph, shared);
                }
                Err((error, step)) => {
                    failed_step = step;
                    return Err(error);
                }
                Ok(built) => return Ok(built),
            }
        }
    };
    go().map_err(|error| Failure {
        build: request.name.clone(),
        error,
        step: failed_step,
        dockerfile,
    })
}
