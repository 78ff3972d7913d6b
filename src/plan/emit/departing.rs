//! Containers that go and that nothing takes the place of before they are gone.

use crate::model::ObservedContainer;
use crate::plan::cause::Cause;
use crate::plan::dag::OpId;
use crate::plan::emit::{Emitter, existing};
use crate::plan::fate::{Fate, is_alive};
use crate::plan::operation::{Container, Operation, RemoveContainer, StopContainer};

impl Emitter<'_, '_> {
    /// Orphans and surplus replicas go at once: nothing waits for them but
    /// what wants their names, ports or addresses.
    pub(super) fn departures(&mut self) {
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
    pub(super) fn rebuilds(&mut self) {
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

    pub(super) fn depart(
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
}
