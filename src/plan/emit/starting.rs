//! Starts, each with all that it waits for, and the gates of `--wait`.

use std::collections::HashSet;

use crate::graph;
use crate::model::{Condition, ContainerId, ContainerState, Readiness, ServiceName};
use crate::plan::cause::Cause;
use crate::plan::dag::{After, OpId};
use crate::plan::emit::{Emitter, Slot};
use crate::plan::fate::{ContainerFate, Fate, ServiceFate, volume_key};
use crate::plan::gates::{self, Gates};
use crate::plan::operation::{Operation, Replica, RunPreStart, StartContainer};
use crate::plan::progress;
use crate::plan::resources::network_keys;

impl Emitter<'_, '_> {
    pub(super) fn starts(&mut self) {
        let mut gates = Gates::default();
        for (name, fate) in self.fates {
            let mut hook: Option<OpId> = None;
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
                    let mut after =
                        self.prerequisites(fate, container, &(name.clone(), position), &mut gates);
                    if hook.is_none() && needs_pre_start(fate, container) {
                        let operation = Operation::RunPreStart(RunPreStart {
                            container: container.target(name),
                        });
                        let cause = container.cause.clone();
                        hook = Some(self.plan.push_after(operation, cause, after.clone()));
                    }
                    after.extend(hook.map(After::Success));
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
        gates: &mut Gates,
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
    fn waits(&mut self, gates: &mut Gates) {
        let finishing: HashSet<&ServiceName> = self
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
            let readiness = if finishing.contains(name) {
                Readiness::CompletedSuccessfully
            } else if self.options.strict_wait {
                Readiness::RunningOrHealthy
            } else {
                Readiness::ReadyOrDone
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

/// Whether a service's `pre_start` commands come before this start: they run
/// once for the service, so not when one of its replicas has been started before.
fn needs_pre_start(fate: &ServiceFate<'_>, container: &ContainerFate<'_>) -> bool {
    let is_fresh = |one: &ContainerFate<'_>| match one.fate {
        Fate::Create | Fate::Recreate | Fate::Rebuild => true,
        Fate::Start => one
            .existing
            .is_some_and(|existing| existing.state == ContainerState::Created),
        Fate::Keep | Fate::Restart | Fate::Remove => false,
    };
    !container.definition(fate.service).pre_start.is_empty()
        && matches!(container.replica, Replica::Number(_))
        && fate.lasting().all(is_fresh)
}

fn slot_id<'a>(container: &ContainerFate<'a>) -> Option<&'a ContainerId> {
    container.existing.map(|old| &old.record.id)
}
