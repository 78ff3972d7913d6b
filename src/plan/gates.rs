//! Gates in a plan: one operation for all dependents that wait for the same.

use std::collections::BTreeMap;

use crate::model::{ContainerState, Health, ObservedContainer, Readiness, ServiceName};
use crate::plan::cause::Cause;
use crate::plan::dag::{After, OpId, Plan};
use crate::plan::fate::{Fate, ServiceFate};
use crate::plan::operation::{AwaitGate, Operation};

/// What is waited for.
#[derive(Debug)]
pub(crate) struct Wanted<'w, 'a> {
    pub(crate) dependency: &'w ServiceFate<'a>,
    pub(crate) readiness: Readiness,
    pub(crate) required: bool,
}

/// The gates that a plan has so far.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    made: BTreeMap<(ServiceName, Readiness, bool), OpId>,
}

impl Gates {
    /// What to wait for: nothing when the world is there already.
    pub(crate) fn open(
        &mut self,
        plan: &mut Plan,
        wanted: &Wanted<'_, '_>,
        starts: &[OpId],
        cause: &Cause,
    ) -> Vec<After> {
        if wanted
            .dependency
            .lasting()
            .all(|container| holds(container, wanted.readiness))
        {
            return Vec::new();
        }
        self.open_after(plan, wanted, starts, cause)
    }

    /// What to wait for, whatever the world is like: it is about to change.
    pub(crate) fn open_after(
        &mut self,
        plan: &mut Plan,
        wanted: &Wanted<'_, '_>,
        starts: &[OpId],
        cause: &Cause,
    ) -> Vec<After> {
        let service = &wanted.dependency.service.name;
        let lasting: Vec<_> = wanted.dependency.lasting().collect();
        let edge = |id| {
            if wanted.required {
                After::Success(id)
            } else {
                After::End(id)
            }
        };
        if wanted.readiness == Readiness::Started && starts.len() <= 1 {
            return starts.iter().map(|&id| edge(id)).collect();
        }
        let key = (service.clone(), wanted.readiness, wanted.required);
        let id = *self.made.entry(key).or_insert_with(|| {
            let containers = lasting
                .iter()
                .map(|container| container.target(service))
                .collect();
            let operation = Operation::AwaitGate(AwaitGate {
                dependency: service.clone(),
                containers,
                condition: wanted.readiness,
                required: wanted.required,
            });
            plan.push_after(operation, cause.clone(), starts.iter().map(|&id| edge(id)))
        });
        vec![edge(id)]
    }
}

/// Whether a container stays as it is and is what is waited for.
fn holds(container: &crate::plan::fate::ContainerFate<'_>, readiness: Readiness) -> bool {
    let Some(existing) = container.existing.filter(|_| container.fate == Fate::Keep) else {
        return false;
    };
    match readiness {
        Readiness::Started => true,
        Readiness::Healthy => {
            existing.state.is_running() && health(existing) == Some(Health::Healthy)
        }
        Readiness::CompletedSuccessfully => is_done(existing),
        Readiness::RunningOrHealthy => is_ready(existing),
        Readiness::ReadyOrDone => is_ready(existing) || is_done(existing),
    }
}

fn is_ready(container: &ObservedContainer) -> bool {
    container.state.is_running()
        && (container.record.probe.is_none() || health(container) == Some(Health::Healthy))
}

fn is_done(container: &ObservedContainer) -> bool {
    matches!(container.state, ContainerState::Exited { outcome, .. } if outcome.is_success())
}

fn health(container: &ObservedContainer) -> Option<Health> {
    Some(container.runtime.as_ref()?.probing.as_ref()?.health)
}
