//! Containers that are made, and those that they replace: created beside each
//! other, then one stops, goes, and leaves its name.

use std::collections::HashMap;

use crate::graph;
use crate::model::{ContainerName, ObservedContainer, ServiceName};
use crate::plan::cause::Cause;
use crate::plan::dag::{After, OpId};
use crate::plan::emit::{Emitter, Slot, existing, restarts_with};
use crate::plan::error::Error;
use crate::plan::fate::{ContainerFate, Fate, ServiceFate, is_alive, volume_key};
use crate::plan::naming;
use crate::plan::operation::{
    CreateContainer, Operation, RemoveContainer, RenameContainer, StopContainer,
};

impl<'e> Emitter<'e, '_> {
    pub(super) fn creations(&mut self) -> Result<(), Error> {
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

    pub(super) fn created_of(&self, service: &ServiceName) -> Vec<OpId> {
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
    pub(super) fn stops(&mut self) {
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

    pub(super) fn stop(
        &mut self,
        fate: &ServiceFate<'_>,
        container: &ContainerFate<'_>,
        after: Vec<OpId>,
    ) {
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

    /// Old containers go, and what was created under a temporary name gets
    /// its own.
    pub(super) fn replacements(&mut self) {
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
        let Some(held) = self.held_name(container, &slot) else {
            return;
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

    /// The name that a container has until it may be renamed.
    fn held_name(&self, container: &ContainerFate<'_>, slot: &Slot) -> Option<ContainerName> {
        match container.fate {
            Fate::Remove => None,
            Fate::Keep | Fate::Start | Fate::Restart => {
                container.existing.map(|old| old.record.name.clone())
            }
            Fate::Create | Fate::Recreate | Fate::Rebuild => {
                let created = self.created.get(slot).and_then(|&id| self.plan.get(id))?;
                if let Operation::CreateContainer(create) = &created.operation {
                    Some(create.created_as.clone())
                } else {
                    None
                }
            }
        }
    }
}
