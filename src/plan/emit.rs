//! Fates into operations with their order.
//!
//! The order in which operations are pushed is the proof that there is no
//! cycle: creations, then stops, then removals and renames, then starts. No
//! edge leads from an earlier kind to a later one.

use std::collections::HashMap;

use indexmap::IndexMap;

use crate::graph;
use crate::model::{
    Condition, ContainerId, ContainerName, ObservedContainer, Project, Readiness, ResourceKey,
    ServiceName,
};
use crate::plan::cause::Cause;
use crate::plan::contention::Leaving;
use crate::plan::dag::{After, OpId, Plan};
use crate::plan::error::Error;
use crate::plan::fate::{ContainerFate, Fate, Fates, ServiceFate, is_alive, volume_key};
use crate::plan::gates;
use crate::plan::naming;
use crate::plan::operation::{
    Container, CreateContainer, CreateNetwork, CreateVolume, Operation, RemoveContainer,
    RemoveNetwork, RemoveVolume, RenameContainer, StartContainer, StopContainer, WhenUsed,
};
use crate::plan::options::{ImageIds, UpOptions};
use crate::plan::progress;
use crate::plan::resources::{Resources, is_attached, mounts, network_keys};

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

impl<'e, 'a> Emitter<'e, 'a> {
    fn fresh_resources(&mut self) {
        for (key, making) in &self.resources.networks {
            if !making.again {
                let operation = create_network(key, making.name);
                let id = self.plan.push(operation, making.cause.clone(), &[]);
                self.networks.insert(key, id);
            }
        }
        for (key, making) in &self.resources.volumes {
            if !making.again {
                let operation = create_volume(key, making.name);
                let id = self.plan.push(operation, making.cause.clone(), &[]);
                self.volumes.insert(key, id);
            }
        }
    }

    /// Orphans and surplus replicas go at once: nothing waits for them but
    /// what wants their names, ports or addresses.
    fn departures(&mut self) {
        for orphan in self.departing {
            let container = existing(orphan, &orphan.record.name);
            self.depart(orphan, container, &Cause::Orphan, &[]);
        }
        for (name, fate) in self.fates {
            for container in &fate.containers {
                if let (Fate::Remove, Some(old)) = (container.fate, container.existing) {
                    self.depart(old, container.target(name), &container.cause, &[]);
                }
            }
        }
    }

    /// Containers that go before the volumes that they mount.
    fn rebuilds(&mut self) {
        for fate in self.fates.values().rev() {
            for container in &fate.containers {
                if let (Fate::Rebuild, Some(old)) = (container.fate, container.existing) {
                    let target = existing(old, &old.record.name);
                    self.depart(old, target, &container.cause, &[]);
                }
            }
        }
        // What only shares a rebuilt volume is stopped here too.
        for fate in self.fates.values().rev() {
            for container in &fate.containers {
                if let (Fate::Restart, Cause::VolumeRecreated(_)) =
                    (container.fate, &container.cause)
                {
                    self.stop(fate, container, Vec::new());
                }
            }
        }
    }

    fn depart(
        &mut self,
        old: &ObservedContainer,
        target: Container,
        cause: &Cause,
        after: &[OpId],
    ) {
        let mut after = after.to_vec();
        if is_alive(&old.state) {
            let stop = Operation::StopContainer(StopContainer {
                container: target.clone(),
                timeout: self.options.timeout,
            });
            let id = self.plan.push(stop, cause.clone(), &after);
            self.stopped.insert(old.record.id.clone(), id);
            self.leaving.add(old, id);
            after.push(id);
        }
        let remove = Operation::RemoveContainer(RemoveContainer {
            container: target,
            anonymous_volumes: false,
            force: false,
        });
        let id = self.plan.push(remove, cause.clone(), &after);
        self.freed.insert(old.record.name.clone(), id);
    }

    fn recreated_volumes(&mut self) {
        for (key, making) in &self.resources.volumes {
            if !making.again {
                continue;
            }
            let mut after = Vec::new();
            for old in self
                .departing
                .iter()
                .copied()
                .chain(existing_of(self.fates))
            {
                if mounts(old, making.name) {
                    after.extend(self.freed.get(&old.record.name));
                    after.extend(self.stopped.get(&old.record.id));
                }
            }
            let remove = Operation::RemoveVolume(RemoveVolume {
                name: making.name.to_owned(),
                when_used: WhenUsed::Fail,
            });
            let removed = self.plan.push(remove, making.cause.clone(), &after);
            let create = create_volume(key, making.name);
            let id = self.plan.push(create, making.cause.clone(), &[removed]);
            self.volumes.insert(key, id);
        }
    }

    fn creations(&mut self) -> Result<(), Error> {
        let held = self.held_names();
        for (name, fate) in self.fates {
            for (position, container) in fate.containers.iter().enumerate() {
                if !matches!(
                    container.fate,
                    Fate::Create | Fate::Recreate | Fate::Rebuild
                ) {
                    continue;
                }
                let slot = (name.clone(), position);
                let id = self.create(fate, container, &held)?;
                self.created.insert(slot.clone(), id);
                self.placed.insert(slot, id);
            }
        }
        Ok(())
    }

    /// Who has which name while containers are created.
    fn held_names(&self) -> HashMap<ContainerName, &'e ObservedContainer> {
        let fates = self.fates;
        let all = fates
            .values()
            .flat_map(|fate| &fate.containers)
            .filter_map(|one| one.existing);
        let staying = all.filter(|container| !self.freed.contains_key(&container.record.name));
        staying
            .map(|container| (container.record.name.clone(), container))
            .collect()
    }

    fn create(
        &mut self,
        fate: &ServiceFate<'_>,
        container: &ContainerFate<'_>,
        held: &HashMap<ContainerName, &ObservedContainer>,
    ) -> Result<OpId, Error> {
        let service = fate.service;
        let image_id = self
            .images
            .get(&service.name)
            .ok_or_else(|| Error::ImageUnresolved {
                service: service.name.clone(),
                image: service.image.reference().to_owned(),
            })?;
        let created_as = match held.get(&container.name) {
            Some(holder) => naming::temporary(service, &holder.record, &container.name)?,
            None => container.name.clone(),
        };
        let mut after: Vec<After> = Vec::new();
        let volumes = service.mounts.iter().filter_map(volume_key);
        after.extend(
            volumes
                .filter_map(|key| self.volumes.get(key))
                .map(|&id| After::Success(id)),
        );
        after.extend(self.freed.get(&created_as).map(|&id| After::Success(id)));
        for source in graph::sources(service).keys() {
            after.extend(self.created_of(source).into_iter().map(After::Success));
        }
        let replaces = container.existing.map(|old| old.record.id.clone());
        // A rebuilt container's predecessor is gone by then, volumes and all.
        let inherits = container.fate == Fate::Recreate && !self.options.renew_anonymous_volumes;
        let operation = Operation::CreateContainer(CreateContainer {
            container: container.target(&service.name),
            replica: container.replica.clone(),
            created_as,
            image_id: image_id.clone(),
            anonymous_volumes_from: replaces.clone().filter(|_| inherits),
            replaces,
            auto_remove: container.auto_remove,
        });
        Ok(self
            .plan
            .push_after(operation, container.cause.clone(), after))
    }

    fn created_of(&self, service: &ServiceName) -> Vec<OpId> {
        let count = self
            .fates
            .get(service)
            .map_or(0, |fate| fate.containers.len());
        let slots = (0..count).map(|position| (service.clone(), position));
        slots
            .filter_map(|slot| self.created.get(&slot).copied())
            .collect()
    }

    /// Running containers are stopped, dependents before what they need, and
    /// only once everything that takes their place is there.
    fn stops(&mut self) {
        for fate in self.fates.values().rev() {
            for (position, container) in fate.containers.iter().enumerate() {
                let after = match container.fate {
                    Fate::Recreate => self
                        .created
                        .get(&(fate.service.name.clone(), position))
                        .copied()
                        .into_iter()
                        .collect(),
                    Fate::Restart => self.triggers(fate, container),
                    Fate::Keep | Fate::Start | Fate::Create | Fate::Rebuild | Fate::Remove => {
                        continue;
                    }
                };
                self.stop(fate, container, after);
            }
        }
    }

    /// The creations whose success a restart waits for: those of what it
    /// restarts with.
    fn triggers(&self, fate: &ServiceFate<'_>, container: &ContainerFate<'_>) -> Vec<OpId> {
        restarts_with(fate, container)
            .iter()
            .flat_map(|name| self.created_of(name))
            .collect()
    }

    fn stop(&mut self, fate: &ServiceFate<'_>, container: &ContainerFate<'_>, after: Vec<OpId>) {
        let Some(old) = container.existing else {
            return;
        };
        if !is_alive(&old.state) || self.stopped.contains_key(&old.record.id) {
            return;
        }
        let mut after: Vec<After> = after.into_iter().map(After::Success).collect();
        after.extend(self.dependents_stopped(&fate.service.name));
        let cause = match container.fate {
            Fate::Recreate => Cause::Replaced,
            Fate::Keep
            | Fate::Start
            | Fate::Restart
            | Fate::Create
            | Fate::Rebuild
            | Fate::Remove => container.cause.clone(),
        };
        let name = if cause == Cause::Replaced {
            &old.record.name
        } else {
            &container.name
        };
        let operation = Operation::StopContainer(StopContainer {
            container: existing(old, name),
            timeout: self.options.timeout,
        });
        let id = self.plan.push_after(operation, cause, after);
        self.stopped.insert(old.record.id.clone(), id);
        self.leaving.add(old, id);
    }

    /// The stops of those that restart with a service: they end before it.
    fn dependents_stopped(&self, name: &ServiceName) -> Vec<After> {
        let dependents = self.restarting.get(name).into_iter().flatten();
        dependents
            .filter_map(|id| self.stopped.get(id))
            .map(|&id| After::End(id))
            .collect()
    }

    fn recreated_networks(&mut self) {
        for (key, making) in &self.resources.networks {
            if !making.again {
                continue;
            }
            let all = self
                .departing
                .iter()
                .copied()
                .chain(existing_of(self.fates));
            let attached = all.filter(|old| is_attached(old, key, making.name));
            let after: Vec<OpId> = attached
                .filter_map(|old| self.stopped.get(&old.record.id).copied())
                .collect();
            let remove = Operation::RemoveNetwork(RemoveNetwork {
                name: making.name.to_owned(),
                when_used: WhenUsed::Fail,
            });
            let removed = self.plan.push(remove, making.cause.clone(), &after);
            let create = create_network(key, making.name);
            let id = self.plan.push(create, making.cause.clone(), &[removed]);
            self.networks.insert(key, id);
        }
    }

    /// Old containers go, and what was created under a temporary name gets
    /// its own.
    fn replacements(&mut self) {
        for (name, fate) in self.fates {
            for (position, container) in fate.containers.iter().enumerate() {
                let (Fate::Recreate, Some(old)) = (container.fate, container.existing) else {
                    continue;
                };
                // The stop waits for the creation, where there is one.
                let created = self.created.get(&(name.clone(), position));
                let after: Vec<OpId> = self
                    .stopped
                    .get(&old.record.id)
                    .or(created)
                    .copied()
                    .into_iter()
                    .collect();
                let remove = Operation::RemoveContainer(RemoveContainer {
                    container: existing(old, &old.record.name),
                    anonymous_volumes: false,
                    force: false,
                });
                let id = self.plan.push(remove, Cause::Replaced, &after);
                self.freed.insert(old.record.name.clone(), id);
                self.placed.insert((name.clone(), position), id);
            }
        }
        for (name, fate) in self.fates {
            for (position, container) in fate.containers.iter().enumerate() {
                self.rename(container, (name.clone(), position));
            }
        }
    }

    fn rename(&mut self, container: &ContainerFate<'_>, slot: Slot) {
        let held = match (container.fate, container.existing) {
            (Fate::Remove, _) => return,
            (Fate::Keep | Fate::Start | Fate::Restart, Some(old)) => old.record.name.clone(),
            (Fate::Keep | Fate::Start | Fate::Restart, None) => return,
            (Fate::Create | Fate::Recreate | Fate::Rebuild, _) => {
                let created = self.created.get(&slot).and_then(|&id| self.plan.get(id));
                match created.map(|node| &node.operation) {
                    Some(Operation::CreateContainer(create)) => create.created_as.clone(),
                    _ => return,
                }
            }
        };
        if held == container.name {
            return;
        }
        let mut after = vec![];
        after.extend(self.placed.get(&slot));
        after.extend(self.freed.get(&container.name));
        let cause = match (container.existing, container.fate) {
            (Some(_), Fate::Keep | Fate::Start | Fate::Restart) => Cause::Interrupted,
            (_, _) => Cause::Replacing {
                name: container.name.clone(),
            },
        };
        let operation = Operation::RenameContainer(RenameContainer {
            container: container.target(&slot.0),
            to: container.name.clone(),
        });
        let id = self.plan.push(operation, cause, &after);
        self.placed.insert(slot, id);
    }

    fn starts(&mut self) {
        let mut gates = gates::Gates::default();
        for (name, fate) in self.fates {
            for (position, container) in fate.containers.iter().enumerate() {
                let begins = match container.fate {
                    Fate::Create | Fate::Recreate | Fate::Rebuild => !self.options.no_start,
                    Fate::Start | Fate::Restart => true,
                    Fate::Keep => {
                        if container.is_running() && fate.chosen {
                            self.plan.note(progress::running(&container.name));
                        }
                        false
                    }
                    Fate::Remove => false,
                };
                if begins {
                    let after =
                        self.prerequisites(fate, container, &(name.clone(), position), &mut gates);
                    let operation = Operation::StartContainer(StartContainer {
                        container: container.target(name),
                    });
                    let cause = match container.fate {
                        Fate::Create | Fate::Recreate | Fate::Rebuild => Cause::Created,
                        Fate::Keep | Fate::Start | Fate::Restart | Fate::Remove => {
                            container.cause.clone()
                        }
                    };
                    let id = self.plan.push_after(operation, cause, after);
                    self.started.insert((name.clone(), position), id);
                }
            }
        }
        if self.options.wait && !self.options.no_start {
            self.waits(&mut gates);
        }
    }

    fn prerequisites(
        &mut self,
        fate: &ServiceFate<'_>,
        container: &ContainerFate<'_>,
        slot: &Slot,
        gates: &mut gates::Gates,
    ) -> Vec<After> {
        let service = container.definition(fate.service);
        let mut after: Vec<After> = Vec::new();
        after.extend(self.placed.get(slot).map(|&id| After::Success(id)));
        if let (Fate::Restart, Some(old)) = (container.fate, container.existing) {
            after.extend(
                self.stopped
                    .get(&old.record.id)
                    .map(|&id| After::Success(id)),
            );
        }
        after.extend(
            network_keys(service)
                .filter_map(|key| self.networks.get(key))
                .map(|&id| After::Success(id)),
        );
        after.extend(
            service
                .mounts
                .iter()
                .filter_map(volume_key)
                .filter_map(|key| self.volumes.get(key))
                .map(|&id| After::Success(id)),
        );
        for source in graph::sources(service).keys() {
            after.extend(self.starts_of(source).into_iter().map(After::Success));
        }
        for (dependency, how) in &fate.service.depends_on {
            let Some(other) = self.fates.get(dependency) else {
                continue;
            };
            let starts = self.starts_of(dependency);
            if !(fate.chosen && other.chosen) {
                after.extend(starts.into_iter().map(After::End));
                continue;
            }
            let readiness = Readiness::from(how.condition);
            let wanted = gates::Wanted {
                dependency: other,
                readiness,
                required: how.required,
            };
            after.extend(gates.open(
                self.plan,
                &wanted,
                &starts,
                &Cause::NeededBy(service.name.clone()),
            ));
        }
        after.extend(
            self.leaving
                .wanted_by(self.project, service, slot_id(container)),
        );
        after
    }

    fn starts_of(&self, service: &ServiceName) -> Vec<OpId> {
        let count = self
            .fates
            .get(service)
            .map_or(0, |fate| fate.containers.len());
        let slots = (0..count).map(|position| (service.clone(), position));
        slots
            .filter_map(|slot| self.started.get(&slot).copied())
            .collect()
    }

    /// `--wait`: a gate for each named service, at the end.
    fn waits(&mut self, gates: &mut gates::Gates) {
        let finishing: Vec<&ServiceName> = self
            .fates
            .values()
            .filter(|fate| fate.chosen)
            .flat_map(|fate| &fate.service.depends_on)
            .filter(|(_, how)| how.condition == Condition::ServiceCompletedSuccessfully)
            .map(|(name, _)| name)
            .collect();
        for (name, fate) in self.fates {
            let named = self.options.services.is_empty() || self.options.services.contains(name);
            if !fate.chosen || !named {
                continue;
            }
            let readiness = if finishing.contains(&name) {
                Readiness::CompletedSuccessfully
            } else {
                Readiness::RunningOrHealthy
            };
            let wanted = gates::Wanted {
                dependency: fate,
                readiness,
                required: true,
            };
            let starts = self.starts_of(name);
            gates.open(self.plan, &wanted, &starts, &Cause::Wait);
        }
    }
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
        reference: crate::plan::operation::ContainerRef::Existing(container.record.id.clone()),
        name: name.clone(),
        service: container.record.service_name().clone(),
    }
}

fn slot_id<'a>(container: &ContainerFate<'a>) -> Option<&'a ContainerId> {
    container.existing.map(|old| &old.record.id)
}

fn create_network(key: &ResourceKey, name: &str) -> Operation {
    Operation::CreateNetwork(CreateNetwork {
        key: key.clone(),
        name: name.to_owned(),
    })
}

fn create_volume(key: &ResourceKey, name: &str) -> Operation {
    Operation::CreateVolume(CreateVolume {
        key: key.clone(),
        name: name.to_owned(),
    })
}
