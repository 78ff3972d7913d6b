//! What takes containers down: `down`, `stop`, `kill` and `rm`.
//!
//! These work without a Compose file: services are then taken from the
//! containers' own records. A failure stops nothing that isn't about the same
//! container; dependents end before what they need.

use std::collections::HashMap;
use std::time::Duration;

use indexmap::IndexSet;

use crate::event::{ResourceKind, Status};
use crate::graph::Graph;
use crate::model::{
    ContainerId, Observed, ObservedContainer, Project, ProjectName, Resource, ServiceName,
};
use crate::plan::cause::Cause;
use crate::plan::dag::{After, OpId, Plan};
use crate::plan::emit::existing;
use crate::plan::error::Error;
use crate::plan::fate::is_alive;
use crate::plan::operation::{
    Operation, RemoveContainer, RemoveNetwork, RemoveVolume, StopContainer, WhenUsed,
};
use crate::plan::options::DownOptions;
use crate::plan::progress;
use crate::plan::reconcile::known_services;

/// What a verb is about: a project by name, with its model when there is a
/// Compose file.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The project's name.
    pub name: &'a ProjectName,
    /// Its model.
    pub project: Option<&'a Project>,
    /// What exists of it.
    pub observed: &'a Observed,
}

impl<'a> Subject<'a> {
    /// Fails on a named service that neither the model nor a container knows.
    pub(crate) fn check(&self, services: &[ServiceName]) -> Result<(), Error> {
        let known = known_services(self.project, self.observed);
        let is_disabled = |name: &ServiceName| {
            self.project
                .is_some_and(|project| project.disabled_services.contains(name))
        };
        match services
            .iter()
            .find(|name| !known.contains_key(name) && !is_disabled(name))
        {
            Some(service) => Err(Error::NoSuchService {
                service: service.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Whether the project's file, when there is one, accounts for a service.
    pub(crate) fn is_member(&self, name: &ServiceName) -> bool {
        self.project.is_none_or(|project| {
            project.services.contains_key(name) || project.disabled_services.contains(name)
        })
    }

    /// The order of services, whatever generation their containers are of.
    pub(crate) fn graph(&self) -> Graph {
        Graph::lenient(known_services(self.project, self.observed).into_values())
    }
}

/// Plans the end of a project, or of some of its services.
///
/// # Errors
/// When a named service doesn't exist.
pub fn down(subject: &Subject<'_>, options: &DownOptions) -> Result<Plan, Error> {
    subject.check(&options.services)?;
    let mut plan = Plan::new(subject.name.clone());
    let whole = options.services.is_empty();
    let goes = |container: &&ObservedContainer| {
        let name = container.record.service_name();
        if container.record.is_one_off() {
            return options.remove_orphans && (whole || options.services.contains(name));
        }
        if whole {
            subject.is_member(name) || options.remove_orphans
        } else {
            options.services.contains(name) || (options.remove_orphans && !subject.is_member(name))
        }
    };
    let (going, staying): (Vec<_>, Vec<_>) = subject.observed.containers.iter().partition(goes);
    let stops = stop_all(&mut plan, subject, &going, options.timeout);
    let removals = remove_all(&mut plan, &going, &stops, options.volumes);
    let ends: Vec<After> = removals.into_iter().map(After::End).collect();
    networks(&mut plan, subject, &staying, whole, &ends);
    if options.volumes {
        volumes(&mut plan, subject, &staying, &ends);
    }
    if plan.is_empty() && plan.notes().is_empty() {
        plan.warn(format!(
            "No resource found to remove for project {:?}.",
            subject.name.as_str()
        ));
    }
    Ok(plan)
}

/// Stops containers, dependents before what they need.
pub(crate) fn stop_all(
    plan: &mut Plan,
    subject: &Subject<'_>,
    containers: &[&ObservedContainer],
    timeout: Option<Duration>,
) -> HashMap<ContainerId, OpId> {
    let graph = subject.graph();
    let mut stops: HashMap<ContainerId, OpId> = HashMap::new();
    let mut by_service: HashMap<&ServiceName, Vec<OpId>> = HashMap::new();
    for name in graph.order().rev() {
        let own = containers
            .iter()
            .filter(|container| container.record.service_name() == name);
        let alive: Vec<_> = own.filter(|container| is_alive(&container.state)).collect();
        // Through a service that has nothing to stop, its own dependents count.
        let dependents = graph.dependents(name);
        let before: IndexSet<OpId> = dependents
            .filter_map(|dependent| by_service.get(dependent))
            .flatten()
            .copied()
            .collect();
        let mut ids = Vec::new();
        for container in alive {
            let operation = Operation::StopContainer(StopContainer {
                container: existing(container, &container.record.name),
                timeout,
            });
            let after = before.iter().map(|&id| After::End(id));
            let id = plan.push_after(operation, cause(subject, container), after);
            stops.insert(container.record.id.clone(), id);
            ids.push(id);
        }
        by_service.insert(
            name,
            if ids.is_empty() {
                before.into_iter().collect()
            } else {
                ids
            },
        );
    }
    stops
}

/// Removes containers, each after its own stop.
pub(crate) fn remove_all(
    plan: &mut Plan,
    containers: &[&ObservedContainer],
    stops: &HashMap<ContainerId, OpId>,
    anonymous_volumes: bool,
) -> Vec<OpId> {
    let mut removals = Vec::new();
    for container in containers {
        let operation = Operation::RemoveContainer(RemoveContainer {
            container: existing(container, &container.record.name),
            anonymous_volumes,
            force: false,
        });
        let stop = stops.get(&container.record.id);
        let after: Vec<OpId> = stop.copied().into_iter().collect();
        let cause = stop
            .and_then(|&id| plan.get(id))
            .map_or(Cause::Requested, |node| node.cause.clone());
        removals.push(plan.push(operation, cause, &after));
    }
    removals
}

fn cause(subject: &Subject<'_>, container: &ObservedContainer) -> Cause {
    if container.record.is_one_off() || subject.is_member(container.record.service_name()) {
        Cause::Requested
    } else {
        Cause::Orphan
    }
}

/// The project's own networks go, except those that its containers still use.
fn networks(
    plan: &mut Plan,
    subject: &Subject<'_>,
    staying: &[&ObservedContainer],
    whole: bool,
    ends: &[After],
) {
    for network in &subject.observed.networks {
        if !is_owned(network.owner.as_ref(), subject.name) {
            continue;
        }
        if staying
            .iter()
            .any(|container| uses_network(subject, container, &network.name))
        {
            if whole {
                plan.note(in_use(ResourceKind::Network, &network.name));
            }
            continue;
        }
        let operation = Operation::RemoveNetwork(RemoveNetwork {
            name: network.name.clone(),
            when_used: WhenUsed::Keep,
        });
        plan.push_after(operation, Cause::Requested, ends.iter().copied());
    }
}

/// The project's volumes go: those that its file declares as its own, or all
/// that it owns when there is no file.
fn volumes(plan: &mut Plan, subject: &Subject<'_>, staying: &[&ObservedContainer], ends: &[After]) {
    let is_declared = |name: &str| {
        subject.project.is_none_or(|project| {
            project.volumes.values().any(|volume| match volume {
                Resource::Managed(volume) => volume.name == name,
                Resource::External { .. } => false,
            })
        })
    };
    for volume in &subject.observed.volumes {
        if !is_owned(volume.owner.as_ref(), subject.name) || !is_declared(&volume.name) {
            continue;
        }
        let mounts = |container: &&ObservedContainer| {
            container
                .record
                .mounts
                .iter()
                .any(|mount| mount.volume.as_ref() == Some(&volume.name))
        };
        if staying.iter().any(mounts) {
            plan.note(in_use(ResourceKind::Volume, &volume.name));
            continue;
        }
        let operation = Operation::RemoveVolume(RemoveVolume {
            name: volume.name.clone(),
            when_used: WhenUsed::Keep,
        });
        plan.push_after(operation, Cause::Requested, ends.iter().copied());
    }
}

fn is_owned(owner: Option<&(String, String)>, project: &ProjectName) -> bool {
    owner.is_some_and(|(name, _)| name == project.as_str())
}

/// Whether a container that stays needs a network: it is on it now, or its
/// service would put it there at its next start.
fn uses_network(subject: &Subject<'_>, container: &ObservedContainer, network: &str) -> bool {
    if let Some(runtime) = &container.runtime
        && is_alive(&container.state)
    {
        return runtime.endpoints.contains_key(network);
    }
    let owned = subject
        .observed
        .networks
        .iter()
        .find(|known| known.name == network);
    let key = owned
        .and_then(|known| known.owner.as_ref())
        .map(|(_, key)| key.as_str());
    let service = &container.record.service;
    is_alive(&container.state)
        && crate::plan::resources::network_keys(service).any(|used| Some(used.as_str()) == key)
}

fn in_use(resource: ResourceKind, name: &str) -> crate::event::Progress {
    progress::note(
        resource,
        name,
        Status::Warning,
        Some("Resource is still in use"),
    )
}
