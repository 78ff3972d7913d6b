//! Which operations may run, as others end: the plan's order at work.
//!
//! Whoever carries a plan out takes the ready operations, reports each end
//! and takes what that makes ready. Nothing waits for a level to be complete.
//! It runs nothing itself and knows no time.

use crate::plan::dag::{After, OpId, Plan};
use crate::plan::operation::{ContainerRef, Operation};

use std::collections::BTreeSet;

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

    /// What to undo once everything has ended; empty when nothing failed and
    /// nothing was skipped. Volumes are never undone.
    #[must_use]
    pub fn undo(&self, plan: &Plan) -> Vec<Undo> {
        let done: Vec<&Operation> = self.with(plan, State::Done).collect();
        let lost: Vec<&Operation> = self
            .with(plan, State::Failed)
            .chain(self.with(plan, State::Skipped))
            .collect();
        let mut undo = Vec::new();
        let removed: BTreeSet<&ContainerRef> = done
            .iter()
            .filter_map(|operation| match operation {
                Operation::RemoveContainer(op) => Some(&op.container.reference),
                _ => None,
            })
            .collect();
        for operation in &done {
            match operation {
                Operation::CreateContainer(op) => {
                    let original = op.replaces.clone().map(ContainerRef::Existing);
                    if original.is_some_and(|original| !removed.contains(&original)) {
                        undo.push(Undo::RemoveReplacement {
                            container: op.container.reference.clone(),
                        });
                    }
                }
                Operation::StopContainer(op) => {
                    let reference = &op.container.reference;
                    let was_to_start = lost.iter().any(|operation| {
                        matches!(operation, Operation::StartContainer(start) if start.container.reference == *reference)
                    });
                    let was_to_go = lost.iter().any(|operation| {
                        matches!(operation, Operation::RemoveContainer(remove) if remove.container.reference == *reference)
                    });
                    let is_replaced = plan.operations().iter().any(|node| {
                        matches!(&node.operation, Operation::CreateContainer(create)
                            if create.replaces.clone().map(ContainerRef::Existing).as_ref() == Some(reference))
                    });
                    if was_to_start || (was_to_go && is_replaced) {
                        undo.push(Undo::StartAgain {
                            container: reference.clone(),
                        });
                    }
                }
                _ => {}
            }
        }
        undo
    }

    fn with<'p>(&'p self, plan: &'p Plan, state: State) -> impl Iterator<Item = &'p Operation> {
        plan.operations()
            .iter()
            .filter(move |node| self.state(node.id) == state)
            .map(|node| &node.operation)
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
