//! Which operations may run, as others end: the plan's order at work.
//!
//! Whoever carries a plan out takes the ready operations, reports each end
//! and takes what that makes ready. Nothing waits for a level to be complete.
//! It runs nothing itself and knows no time.

use std::collections::BTreeSet;

use crate::plan::dag::{After, Node, OpId, Plan};
use crate::plan::operation::{ContainerRef, Operation};

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// As it should; a warning about a gate that isn't required included.
    Done,
    /// It didn't.
    Failed,
}

/// What an operation's end brings about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progressed {
    /// Operations that may run from then on.
    pub ready: Vec<OpId>,
    /// Operations that will never run.
    pub skipped: Vec<OpId>,
}

/// What would leave the world tidy after a plan that failed half-way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// A replacement whose original is still there: it goes.
    RemoveReplacement {
        /// Which; always [`ContainerRef::Planned`].
        container: ContainerRef,
    },
    /// A container that was stopped for something that didn't come about: it
    /// is started.
    StartAgain {
        /// Which; always [`ContainerRef::Existing`].
        container: ContainerRef,
    },
    /// A network that was made and that no container came to use: it goes.
    RemoveNetwork {
        /// Its name on the host.
        name: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It waits for this many operations.
    Waiting(usize),
    /// It was handed out.
    Ready,
    Done,
    Failed,
    Skipped,
}

/// A plan's operations with how far each is.
#[derive(Debug, Clone)]
pub struct Schedule {
    states: Vec<State>,
    /// Who waits for an operation, and whether for its success.
    waiters: Vec<Vec<(OpId, bool)>>,
    ids: Vec<OpId>,
    open: usize,
    failed: bool,
    cancelled: bool,
}

impl Schedule {
    /// A schedule and the operations that may run at once.
    #[must_use]
    pub fn new(plan: &Plan) -> (Self, Vec<OpId>) {
        let mut waiters = vec![Vec::new(); plan.operations().len()];
        for node in plan.operations() {
            for after in &node.after {
                if let Some(list) = waiters.get_mut(after.id().index()) {
                    list.push((node.id, matches!(after, After::Success(_))));
                }
            }
        }
        let mut schedule = Self {
            states: plan
                .operations()
                .iter()
                .map(|node| State::Waiting(node.after.len()))
                .collect(),
            waiters,
            ids: plan.operations().iter().map(|node| node.id).collect(),
            open: plan.operations().len(),
            failed: false,
            cancelled: false,
        };
        let free: Vec<OpId> = schedule
            .ids
            .iter()
            .copied()
            .filter(|id| schedule.state(*id) == State::Waiting(0))
            .collect();
        for id in &free {
            schedule.set(*id, State::Ready);
        }
        (schedule, free)
    }

    /// Takes note of an operation's end. An end that was reported before, or
    /// of an operation that was never handed out, changes nothing.
    pub fn complete(&mut self, id: OpId, how: Completion) -> Progressed {
        let mut progressed = Progressed::default();
        if self.state(id) != State::Ready {
            return progressed;
        }
        self.failed |= how == Completion::Failed;
        let state = match how {
            Completion::Done => State::Done,
            Completion::Failed => State::Failed,
        };
        let mut ended = vec![(id, state)];
        while let Some((id, state)) = ended.pop() {
            self.set(id, state);
            self.open -= 1;
            if state == State::Skipped {
                progressed.skipped.push(id);
            }
            for (waiter, needs_success) in self.waiters.get(id.index()).cloned().unwrap_or_default()
            {
                let State::Waiting(count) = self.state(waiter) else {
                    continue;
                };
                if needs_success && state != State::Done {
                    ended.push((waiter, State::Skipped));
                    // Marked at once, so that a second reason doesn't count it twice.
                    self.set(waiter, State::Skipped);
                } else if count > 1 {
                    self.set(waiter, State::Waiting(count - 1));
                } else if self.cancelled {
                    ended.push((waiter, State::Skipped));
                    self.set(waiter, State::Skipped);
                } else {
                    self.set(waiter, State::Ready);
                    progressed.ready.push(waiter);
                }
            }
        }
        progressed.ready.sort();
        progressed.skipped.sort();
        progressed
    }

    /// Lets nothing more become ready; returns what is skipped by that. What
    /// was handed out still has to be completed.
    pub fn cancel(&mut self) -> Vec<OpId> {
        self.cancelled = true;
        let waiting: Vec<OpId> = self
            .ids
            .iter()
            .copied()
            .filter(|id| matches!(self.state(*id), State::Waiting(_)))
            .collect();
        for id in &waiting {
            self.set(*id, State::Skipped);
        }
        self.open -= waiting.len();
        waiting
    }

    /// Whether every operation has ended or been skipped.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.open == 0
    }

    /// Whether an operation failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// What to undo once everything has ended, in this order; empty when
    /// nothing failed and nothing was skipped. Volumes are never undone.
    #[must_use]
    pub fn undo(&self, plan: &Plan) -> Vec<Undo> {
        let removed: BTreeSet<&ContainerRef> = self
            .with(plan, State::Done)
            .filter_map(|node| {
                if let Operation::RemoveContainer(op) = &node.operation {
                    Some(&op.container.reference)
                } else {
                    None
                }
            })
            .collect();
        let mut undo = Vec::new();
        let mut replaced: BTreeSet<ContainerRef> = BTreeSet::new();
        for node in plan.operations() {
            let Operation::CreateContainer(op) = &node.operation else {
                continue;
            };
            let Some(original) = op.replaces.clone().map(ContainerRef::Existing) else {
                continue;
            };
            if !removed.contains(&original) && self.state(node.id) == State::Done {
                undo.push(Undo::RemoveReplacement {
                    container: op.container.reference.clone(),
                });
            }
            replaced.insert(original);
        }
        // What was stopped last is what the others need.
        let mut again: Vec<Undo> = self.start_again(plan, &removed, &replaced).collect();
        again.reverse();
        undo.extend(again);
        undo.extend(self.idle_networks(plan));
        undo
    }

    /// Containers that this plan stopped and that are neither started nor
    /// replaced after all.
    fn start_again<'p>(
        &'p self,
        plan: &'p Plan,
        removed: &'p BTreeSet<&ContainerRef>,
        replaced: &'p BTreeSet<ContainerRef>,
    ) -> impl Iterator<Item = Undo> + 'p {
        let skipped_starts: BTreeSet<&ContainerRef> = self
            .with(plan, State::Skipped)
            .filter(|node| !self.is_behind_a_failed_gate(plan, node))
            .filter_map(|node| {
                if let Operation::StartContainer(op) = &node.operation {
                    Some(&op.container.reference)
                } else {
                    None
                }
            })
            .collect();
        self.with(plan, State::Done).filter_map(move |node| {
            let Operation::StopContainer(op) = &node.operation else {
                return None;
            };
            let reference = &op.container.reference;
            let stands = replaced.contains(reference) && !removed.contains(reference);
            (stands || skipped_starts.contains(reference)).then(|| Undo::StartAgain {
                container: reference.clone(),
            })
        })
    }

    /// Whether an operation was skipped because a dependency isn't ready: it
    /// then has no reason to run.
    fn is_behind_a_failed_gate(&self, plan: &Plan, node: &Node) -> bool {
        let mut queue = vec![node];
        let mut seen = BTreeSet::new();
        while let Some(node) = queue.pop() {
            for after in &node.after {
                let After::Success(id) = *after else { continue };
                let Some(below) = plan.get(id).filter(|_| seen.insert(id)) else {
                    continue;
                };
                match self.state(id) {
                    State::Failed if matches!(below.operation, Operation::AwaitGate(_)) => {
                        return true;
                    }
                    State::Skipped => queue.push(below),
                    State::Waiting(_) | State::Ready | State::Done | State::Failed => {}
                }
            }
        }
        false
    }

    /// Networks that are new and that no container is there for.
    fn idle_networks<'p>(&'p self, plan: &'p Plan) -> impl Iterator<Item = Undo> + 'p {
        let failed = self.failed || self.cancelled;
        let made: BTreeSet<&ContainerRef> = self
            .with(plan, State::Done)
            .filter_map(|node| {
                if let Operation::CreateContainer(op) = &node.operation {
                    Some(&op.container.reference)
                } else {
                    None
                }
            })
            .collect();
        let replaced: BTreeSet<&str> = plan
            .operations()
            .iter()
            .filter_map(|node| {
                if let Operation::RemoveNetwork(op) = &node.operation {
                    Some(op.name.as_str())
                } else {
                    None
                }
            })
            .collect();
        self.with(plan, State::Done)
            .filter(move |_| failed)
            .filter_map(move |node| {
                let Operation::CreateNetwork(op) = &node.operation else {
                    return None;
                };
                let is_wanted = self.starts_behind(plan, node.id).iter().any(|container| {
                    matches!(container, ContainerRef::Existing(_)) || made.contains(container)
                });
                (!is_wanted && !replaced.contains(op.name.as_str())).then(|| Undo::RemoveNetwork {
                    name: op.name.clone(),
                })
            })
    }

    /// The containers whose start waits for an operation, however indirectly.
    fn starts_behind<'p>(&self, plan: &'p Plan, id: OpId) -> Vec<&'p ContainerRef> {
        let mut queue = vec![id];
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        while let Some(id) = queue.pop() {
            for (waiter, _) in self.waiters.get(id.index()).into_iter().flatten() {
                if !seen.insert(*waiter) {
                    continue;
                }
                queue.push(*waiter);
                if let Some(Operation::StartContainer(op)) =
                    plan.get(*waiter).map(|node| &node.operation)
                {
                    found.push(&op.container.reference);
                }
            }
        }
        found
    }

    fn with<'p>(&'p self, plan: &'p Plan, state: State) -> impl Iterator<Item = &'p Node> {
        plan.operations()
            .iter()
            .filter(move |node| self.state(node.id) == state)
    }

    fn state(&self, id: OpId) -> State {
        self.states
            .get(id.index())
            .copied()
            .unwrap_or(State::Skipped)
    }

    fn set(&mut self, id: OpId, state: State) {
        if let Some(slot) = self.states.get_mut(id.index()) {
            *slot = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::model::{ContainerId, Readiness};
    use crate::plan::cause::Cause;
    use crate::plan::operation::{
        AwaitGate, Container, CreateContainer, CreateNetwork, RemoveContainer, Replica,
        StartContainer, StopContainer,
    };

    use super::*;

    fn network(name: &str) -> Operation {
        Operation::CreateNetwork(CreateNetwork {
            key: name.parse().unwrap(),
            name: name.to_owned(),
        })
    }

    fn container(reference: ContainerRef) -> Container {
        Container {
            reference,
            name: "shop-web-1".parse().unwrap(),
            service: "web".parse().unwrap(),
        }
    }

    fn old() -> ContainerRef {
        ContainerRef::Existing(ContainerId::from_random([7; 32]))
    }

    fn fresh() -> ContainerRef {
        ContainerRef::Planned {
            service: "web".parse().unwrap(),
            replica: Replica::Number(1),
        }
    }

    fn create(replaces: bool) -> Operation {
        Operation::CreateContainer(CreateContainer {
            container: container(fresh()),
            replica: Replica::Number(1),
            created_as: "shop-web-1".parse().unwrap(),
            image_id: "sha256:0".to_owned(),
            replaces: replaces.then(|| ContainerId::from_random([7; 32])),
            anonymous_volumes_from: None,
            auto_remove: false,
        })
    }

    fn start(reference: ContainerRef) -> Operation {
        Operation::StartContainer(StartContainer {
            container: container(reference),
        })
    }

    fn stop() -> Operation {
        Operation::StopContainer(StopContainer {
            container: container(old()),
            timeout: None,
        })
    }

    fn remove() -> Operation {
        Operation::RemoveContainer(RemoveContainer {
            container: container(old()),
            anonymous_volumes: false,
            force: false,
        })
    }

    fn gate() -> Operation {
        Operation::AwaitGate(AwaitGate {
            dependency: "db".parse().unwrap(),
            containers: vec![],
            condition: Readiness::Healthy,
            required: true,
        })
    }

    /// A plan of these operations, each with the positions it waits for;
    /// negative ones (from 1) only have to be over.
    fn plan(operations: Vec<(Operation, &[i32])>) -> Plan {
        let mut plan = Plan::new("shop".parse().unwrap());
        let mut ids: Vec<OpId> = Vec::new();
        for (operation, after) in operations {
            let after: Vec<After> = after
                .iter()
                .map(|&position| {
                    let id = ids[usize::try_from(position.unsigned_abs()).unwrap() - 1];
                    if position < 0 {
                        After::End(id)
                    } else {
                        After::Success(id)
                    }
                })
                .collect();
            ids.push(plan.push_after(operation, Cause::Requested, after));
        }
        plan
    }

    fn places(ids: &[OpId]) -> Vec<usize> {
        ids.iter().map(|id| id.index() + 1).collect()
    }

    /// Carries a plan out in order; `failing` (from 1) fails.
    fn run(plan: &Plan, failing: usize) -> Schedule {
        let (mut schedule, mut ready) = Schedule::new(plan);
        while !ready.is_empty() {
            let id = ready.remove(0);
            let how = if id.index() + 1 == failing {
                Completion::Failed
            } else {
                Completion::Done
            };
            ready.extend(schedule.complete(id, how).ready);
            ready.sort();
        }
        assert!(schedule.is_finished());
        schedule
    }

    #[test]
    fn operations_become_ready_one_by_one() {
        let plan = plan(vec![
            (network("a1"), &[]),
            (network("b1"), &[]),
            (network("c1"), &[1]),
            (network("d1"), &[2, 3]),
        ]);
        let (mut schedule, ready) = Schedule::new(&plan);
        assert_eq!(places(&ready), [1, 2]);
        let ids: Vec<OpId> = plan.operations().iter().map(|node| node.id).collect();
        assert_eq!(
            places(&schedule.complete(ids[0], Completion::Done).ready),
            [3]
        );
        // 3 runs although 2 is still under way.
        assert_eq!(
            places(&schedule.complete(ids[2], Completion::Done).ready),
            [0; 0]
        );
        assert_eq!(
            places(&schedule.complete(ids[1], Completion::Done).ready),
            [4]
        );
        // Told twice, or of what isn't under way, changes nothing.
        assert_eq!(
            schedule.complete(ids[1], Completion::Failed),
            Progressed::default()
        );
        assert!(!schedule.is_finished());
        schedule.complete(ids[3], Completion::Done);
        assert!(schedule.is_finished() && !schedule.has_failed());
    }

    #[test]
    fn a_failure_skips_what_needs_success_and_frees_what_needs_an_end() {
        let plan = plan(vec![
            (network("a1"), &[]),
            (network("b1"), &[1]),
            (network("c1"), &[2]),
            (network("d1"), &[-1]),
            (network("e1"), &[-3]),
        ]);
        let (mut schedule, ready) = Schedule::new(&plan);
        let progressed = schedule.complete(ready[0], Completion::Failed);
        assert_eq!(places(&progressed.skipped), [2, 3]);
        assert_eq!(places(&progressed.ready), [4, 5]);
        assert!(schedule.has_failed());
    }

    #[test]
    fn after_a_cancel_nothing_more_begins() {
        let plan = plan(vec![
            (network("a1"), &[]),
            (network("b1"), &[1]),
            (network("c1"), &[-2]),
        ]);
        let (mut schedule, ready) = Schedule::new(&plan);
        assert_eq!(places(&schedule.cancel()), [2, 3]);
        assert!(!schedule.is_finished());
        assert_eq!(
            schedule.complete(ready[0], Completion::Done),
            Progressed::default()
        );
        assert!(schedule.is_finished());
    }

    #[test]
    fn an_empty_plan_is_finished() {
        let (schedule, ready) = Schedule::new(&plan(vec![]));
        assert!(schedule.is_finished() && ready.is_empty());
    }

    /// create, stop, remove, start: a recreation.
    fn recreation() -> Plan {
        plan(vec![
            (create(true), &[]),
            (stop(), &[1]),
            (remove(), &[2]),
            (start(fresh()), &[3]),
        ])
    }

    #[test]
    fn a_recreation_is_undone_as_long_as_the_original_is_there() {
        let replacement = Undo::RemoveReplacement { container: fresh() };
        let again = Undo::StartAgain { container: old() };
        let hints = |failing| run(&recreation(), failing).undo(&recreation());
        assert_eq!(hints(1), []);
        assert_eq!(hints(2), [Undo::RemoveReplacement { container: fresh() }]);
        assert_eq!(hints(3), [replacement, again]);
        assert_eq!(hints(4), []);
        assert_eq!(hints(0), []);
    }

    #[test]
    fn a_restart_that_did_not_come_about_is_made_up_for() {
        let plan = plan(vec![
            (stop(), &[]),
            (network("a1"), &[1]),
            (start(old()), &[1, 2]),
        ]);
        assert_eq!(
            run(&plan, 2).undo(&plan),
            [Undo::StartAgain { container: old() }]
        );
        // It was tried and can't be.
        assert_eq!(run(&plan, 3).undo(&plan), []);
    }

    #[test]
    fn what_waits_for_a_dependency_that_is_not_ready_stays_down() {
        let plan = plan(vec![(stop(), &[]), (gate(), &[1]), (start(old()), &[2])]);
        assert_eq!(run(&plan, 2).undo(&plan), []);
    }

    #[test]
    fn a_fresh_network_without_containers_goes() {
        let plan = plan(vec![
            (network("a1"), &[]),
            (create(false), &[]),
            (start(fresh()), &[1, 2]),
        ]);
        assert_eq!(
            run(&plan, 2).undo(&plan),
            [Undo::RemoveNetwork {
                name: "a1".to_owned()
            }]
        );
        // The container that couldn't start still wants it.
        assert_eq!(run(&plan, 3).undo(&plan), []);
        assert_eq!(run(&plan, 0).undo(&plan), []);
    }

    proptest! {
        #[test]
        fn nothing_begins_before_its_time_and_everything_ends(
            edges in prop::collection::vec(prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..4), 1..40),
            choices in prop::collection::vec(any::<u8>(), 1..60), cancel_after in 0_usize..80,
        ) {
            let mut plan = Plan::new("shop".parse().unwrap());
            let mut ids: Vec<OpId> = Vec::new();
            for after in edges {
                let after: Vec<After> = after.iter().filter(|_| !ids.is_empty()).map(|(index, success)| {
                    let id = *index.get(&ids);
                    if *success { After::Success(id) } else { After::End(id) }
                }).collect();
                ids.push(plan.push_after(network("n1"), Cause::Requested, after));
            }
            let (mut schedule, mut ready) = Schedule::new(&plan);
            let mut over: std::collections::BTreeMap<OpId, bool> = std::collections::BTreeMap::new();
            let mut steps = 0;
            while !ready.is_empty() {
                let choice = usize::from(choices[steps % choices.len()]);
                let id = ready.remove(choice % ready.len());
                for after in &plan.get(id).unwrap().after {
                    let ended_well = over.get(&after.id());
                    prop_assert!(ended_well.is_some());
                    prop_assert!(ended_well == Some(&true) || matches!(after, After::End(_)));
                }
                let how = if choice % 5 == 0 { Completion::Failed } else { Completion::Done };
                let progressed = schedule.complete(id, how);
                prop_assert_eq!(over.insert(id, how == Completion::Done), None);
                for skipped in progressed.skipped {
                    prop_assert_eq!(over.insert(skipped, false), None);
                }
                ready.extend(progressed.ready);
                steps += 1;
                if steps == cancel_after {
                    for skipped in schedule.cancel() {
                        prop_assert_eq!(over.insert(skipped, false), None);
                    }
                }
            }
            prop_assert!(schedule.is_finished());
            prop_assert_eq!(over.len(), plan.operations().len());
        }
    }
}
