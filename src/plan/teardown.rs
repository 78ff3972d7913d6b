//! What takes containers down or makes them stand still: `down`, `stop`,
//! `kill`, `pause` and `rm`.
//!
//! These work without a Compose file: services are then taken from the
//! containers' own records. A failure stops nothing that isn't about the same
//! container; dependents end before what they need.

use std::collections::HashMap;
use std::time::Duration;

use indexmap::IndexSet;

use crate::event::{ResourceKind, Status};
use crate::model::{ContainerId, ObservedContainer, ProjectName, Resource, ServiceName};
use crate::plan::cause::Cause;
use crate::plan::dag::{After, Confirmation, OpId, Plan};
use crate::plan::emit::existing;
use crate::plan::error::Error;
use crate::plan::fate::is_alive;
use crate::plan::naming::is_hook_slug;
use crate::plan::operation::{
    Container, KillContainer, Operation, PauseContainer, RemoveContainer, RemoveNetwork,
    RemoveVolume, StopContainer, UnpauseContainer, WhenUsed,
};
use crate::plan::options::{DownOptions, KillOptions, PauseOptions, RmOptions, StopOptions};
use crate::plan::progress;
use crate::plan::subject::{Model, Subject};

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
        let is_hook = container.record.slug.as_deref().is_some_and(is_hook_slug);
        if container.record.is_one_off() && !is_hook {
            return options.remove_orphans && (whole || options.services.contains(name));
        }
        if whole {
            subject.is_meant(name) || (options.remove_orphans && !subject.is_member(name))
        } else {
            options.services.contains(name) || (options.remove_orphans && !subject.is_member(name))
        }
    };
    let (going, staying): (Vec<_>, Vec<_>) = subject.observed.containers.iter().partition(goes);
    note_ended(&mut plan, &going);
    let stops = stop_all(&mut plan, subject, &going, options.timeout);
    let removals = remove_all(&mut plan, &going, &stops, options.volumes);
    let ends: Vec<After> = removals.into_iter().map(After::End).collect();
    networks(&mut plan, subject, &staying, whole, &ends);
    if options.volumes {
        volumes(&mut plan, subject, &staying, &ends);
    }
    let is_by_name = !matches!(subject.model, Model::Files(_));
    if plan.is_empty() && plan.notes().is_empty() && is_by_name {
        plan.warn(format!(
            "No resource found to remove for project {:?}.",
            subject.name.as_str()
        ));
    }
    Ok(plan)
}

/// Plans the stop of a project's containers, or of some services'.
///
/// # Errors
/// When a named service doesn't exist.
pub fn stop(subject: &Subject<'_>, options: &StopOptions) -> Result<Plan, Error> {
    subject.check(&options.services)?;
    let mut plan = Plan::new(subject.name.clone());
    let containers = subject.replicas(&options.services);
    note_ended(&mut plan, &containers);
    stop_all(&mut plan, subject, &containers, options.timeout);
    Ok(plan)
}

/// Plans signals to running containers.
///
/// # Errors
/// When a named service doesn't exist.
pub fn kill(subject: &Subject<'_>, options: &KillOptions) -> Result<Plan, Error> {
    subject.check(&options.services)?;
    let mut plan = Plan::new(subject.name.clone());
    let mut containers = subject.replicas(&options.services);
    if options.orphans {
        let is_orphan =
            |container: &&ObservedContainer| !subject.is_member(container.record.service_name());
        containers.extend(subject.observed.containers.iter().filter(is_orphan));
    }
    for container in containers
        .into_iter()
        .filter(|container| container.state.is_running())
    {
        let operation = Operation::KillContainer(KillContainer {
            container: existing(container, &container.record.name),
            signal: options.signal,
        });
        plan.push(operation, cause(subject, container), &[]);
    }
    if plan.is_empty() {
        plan.warn("No container to kill");
    }
    Ok(plan)
}

/// Plans the freezing of running containers. One that is frozen already is
/// among them: whoever carries it out says so.
///
/// # Errors
/// When a named service doesn't exist.
pub fn pause(subject: &Subject<'_>, options: &PauseOptions) -> Result<Plan, Error> {
    freeze(subject, options, |container| {
        Operation::PauseContainer(PauseContainer { container })
    })
}

/// Plans that frozen containers go on. One that isn't frozen is among them:
/// whoever carries it out says so.
///
/// # Errors
/// When a named service doesn't exist.
pub fn unpause(subject: &Subject<'_>, options: &PauseOptions) -> Result<Plan, Error> {
    freeze(subject, options, |container| {
        Operation::UnpauseContainer(UnpauseContainer { container })
    })
}

fn freeze(
    subject: &Subject<'_>,
    options: &PauseOptions,
    operation: impl Fn(Container) -> Operation,
) -> Result<Plan, Error> {
    subject.check(&options.services)?;
    let mut plan = Plan::new(subject.name.clone());
    for container in subject.replicas(&options.services) {
        if container.state.is_running() {
            let operation = operation(existing(container, &container.record.name));
            plan.push(operation, cause(subject, container), &[]);
        }
    }
    Ok(plan)
}

/// Plans the removal of stopped containers. Unless `force` is set, the plan
/// only holds the question; whoever gets a yes plans again with it set.
///
/// # Errors
/// When a named service doesn't exist.
pub fn rm(subject: &Subject<'_>, options: &RmOptions) -> Result<Plan, Error> {
    subject.check(&options.services)?;
    let mut plan = Plan::new(subject.name.clone());
    let mut going = subject.replicas(&options.services);
    going.retain(|container| options.stop || !is_alive(&container.state));
    if going.is_empty() {
        plan.warn("No stopped containers");
    } else if options.force {
        if options.stop {
            note_ended(&mut plan, &going);
        }
        let stops = stop_all(&mut plan, subject, &going, options.timeout);
        remove_all(&mut plan, &going, &stops, options.volumes);
    } else {
        let names = going
            .iter()
            .map(|container| container.record.name.to_string())
            .collect();
        plan.ask(Confirmation::RemoveContainers { names });
    }
    Ok(plan)
}

/// Tells of containers that have ended what is told of those that are stopped,
/// as docker compose does.
fn note_ended(plan: &mut Plan, containers: &[&ObservedContainer]) {
    let ended = containers
        .iter()
        .filter(|container| !is_alive(&container.state));
    for container in ended {
        for status in [Status::Stopping, Status::Stopped] {
            let name = container.record.name.as_str();
            plan.note(progress::note(ResourceKind::Container, name, status, None));
        }
    }
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
        subject.model.project().is_none_or(|project| {
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
