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
mod tests;
