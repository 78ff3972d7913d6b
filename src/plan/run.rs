//! `run`: what a service depends on, and one container more.

use indexmap::IndexSet;

use crate::graph::Graph;
use crate::model::{Observed, Project, ServiceName};
use crate::plan::cause::Cause;
use crate::plan::dag::Plan;
use crate::plan::emit;
use crate::plan::error::Error;
use crate::plan::fate::{self, ContainerFate, Fate};
use crate::plan::naming;
use crate::plan::operation::Replica;
use crate::plan::options::{ImageIds, RunOptions, UpOptions};
use crate::plan::reconcile::{check_sources, orphans, replicas};
use crate::plan::resources;

/// Plans a one-off container of a service, after what the service depends on.
/// The project's own replicas of the service stay as they are.
///
/// # Errors
/// As [`reconcile`](crate::plan::reconcile()).
pub fn run(
    desired: &Project,
    observed: &Observed,
    images: &ImageIds,
    options: &RunOptions,
) -> Result<Plan, Error> {
    let name = &options.service;
    let service = desired
        .services
        .get(name)
        .ok_or_else(|| Error::NoSuchService {
            service: name.clone(),
        })?;
    let graph = Graph::of(desired)?;
    let needed: IndexSet<ServiceName> = if options.no_deps {
        IndexSet::from([name.clone()])
    } else {
        graph.with_dependencies([name])
    };
    let up = UpOptions {
        orphans: options.orphans,
        ..UpOptions::default()
    };
    let mut plan = Plan::new(desired.name.clone());
    let resources = resources::decide(desired, &needed, observed, &up, &mut plan)?;
    check_sources(desired, &|name| needed.contains(name), observed)?;
    let is_dependency = |other: &ServiceName| needed.contains(other) && other != name;
    let departing = orphans(Some(desired), observed, options.orphans, &mut plan);
    let replicas = replicas(observed, &departing);
    let mut fates = fate::decide(
        desired,
        &graph,
        &is_dependency,
        &replicas,
        &resources,
        images,
        &up,
    )?;
    let replica = Replica::OneOff(options.slug.clone());
    let container_name = match &options.name {
        Some(name) => name.clone(),
        None => naming::container(&desired.name, service, &replica)?,
    };
    if let Some(fate) = fates.get_mut(name) {
        fate.containers
            .retain(|container| container.fate != Fate::Keep);
        fate.chosen = true;
        fate.containers.push(ContainerFate {
            replica,
            name: container_name,
            existing: None,
            fate: Fate::Create,
            cause: Cause::Requested,
            auto_remove: options.auto_remove,
        });
    }
    emit::emit(
        &mut plan, desired, &fates, &resources, &departing, images, &up,
    )?;
    Ok(plan)
}
