//! Fates into operations with their order.
//!
//! The order in which operations are pushed is the proof that there is no
//! cycle: creations, then stops, then removals and renames, then starts. No
//! edge leads from an earlier kind to a later one.

mod departing;
mod replacing;
mod resources;
mod starting;

use std::collections::HashMap;

use indexmap::IndexMap;

use crate::graph;
use crate::model::{
    ContainerId, ContainerName, ObservedContainer, Project, ResourceKey, ServiceName,
};
use crate::plan::contention::Leaving;
use crate::plan::dag::{OpId, Plan};
use crate::plan::error::Error;
use crate::plan::fate::{ContainerFate, Fate, Fates, ServiceFate};
use crate::plan::operation::{Container, ContainerRef};
use crate::plan::options::{ImageIds, UpOptions};
use crate::plan::resources::Resources;

/// Turns decisions into the plan's operations.
pub(crate) fn emit(
    plan: &mut Plan,
    project: &Project,
    fates: &Fates<'_>,
    resources: &Resources<'_>,
    departing: &[&ObservedContainer],
    images: &ImageIds,
    options: &UpOptions,
) -> Result<(), Error> {
    let mut emitter = Emitter {
        plan,
        project,
        fates,
        resources,
        departing,
        images,
        options,
        networks: IndexMap::new(),
        volumes: IndexMap::new(),
        created: HashMap::new(),
        stopped: HashMap::new(),
        freed: HashMap::new(),
        placed: HashMap::new(),
        started: HashMap::new(),
        leaving: Leaving::default(),
        restarting: restarting(fates),
    };
    emitter.fresh_resources();
    emitter.departures();
    emitter.rebuilds();
    emitter.recreated_volumes();
    emitter.creations()?;
    emitter.stops();
    emitter.recreated_networks();
    emitter.replacements();
    emitter.starts();
    Ok(())
}

/// Which container of which service: its service's name and its position.
type Slot = (ServiceName, usize);

struct Emitter<'e, 'a> {
    plan: &'e mut Plan,
    project: &'e Project,
    fates: &'e Fates<'a>,
    resources: &'e Resources<'e>,
    /// Orphans that go.
    departing: &'e [&'e ObservedContainer],
    images: &'e ImageIds,
    options: &'e UpOptions,
    /// What makes a network or volume, by its key.
    networks: IndexMap<&'e ResourceKey, OpId>,
    volumes: IndexMap<&'e ResourceKey, OpId>,
    /// What creates a container.
    created: HashMap<Slot, OpId>,
    /// What stops the container that exists.
    stopped: HashMap<ContainerId, OpId>,
    /// What frees a container name.
    freed: HashMap<ContainerName, OpId>,
    /// After what a container has its place and name.
    placed: HashMap<Slot, OpId>,
    /// What starts a container.
    started: HashMap<Slot, OpId>,
    leaving: Leaving,
    /// Containers that restart with a service.
    restarting: HashMap<ServiceName, Vec<ContainerId>>,
}

/// The services that a container restarts with.
fn restarts_with(fate: &ServiceFate<'_>, container: &ContainerFate<'_>) -> Vec<ServiceName> {
    let asked = fate
        .service
        .depends_on
        .iter()
        .filter(|(_, how)| how.restart);
    let mut names: Vec<ServiceName> = asked.map(|(name, _)| name.clone()).collect();
    names.extend(graph::sources(container.definition(fate.service)).into_keys());
    names
}

/// Which containers restart with a service, by its name.
fn restarting(fates: &Fates<'_>) -> HashMap<ServiceName, Vec<ContainerId>> {
    let mut found: HashMap<ServiceName, Vec<ContainerId>> = HashMap::new();
    for fate in fates.values() {
        for container in fate
            .containers
            .iter()
            .filter(|container| container.fate == Fate::Restart)
        {
            let Some(old) = container.existing else {
                continue;
            };
            for name in restarts_with(fate, container) {
                found.entry(name).or_default().push(old.record.id.clone());
            }
        }
    }
    found
}

/// Every container that the fates are about and that exists.
fn existing_of<'a>(fates: &'a Fates<'a>) -> impl Iterator<Item = &'a ObservedContainer> {
    fates
        .values()
        .flat_map(|fate| &fate.containers)
        .filter_map(|container| container.existing)
}

/// A container that exists, under the name that users are shown.
pub(crate) fn existing(container: &ObservedContainer, name: &ContainerName) -> Container {
    Container {
        reference: ContainerRef::Existing(container.record.id.clone()),
        name: name.clone(),
        service: container.record.service_name().clone(),
    }
}
