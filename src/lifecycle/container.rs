//! A container from its first start to its end: starts, stops, restarts.
//!
//! ```text
//!   idle --- start ---> starting --- spawned ---> running --- exit, policy says so ---> restarting
//!    ^  ^                  |                       |   ^                                   |
//!    |  +---- spawn failed +                       |   +--- spawned --- starting <- pause over, start
//!    |                                            stop
//!    +--- exit ------------------------------- stopping
//!    +--- exit, policy says no ---- (running)
//! ```
//!
//! `removed` is where a container ends that goes away by itself. The machine
//! knows the restart policy and the stop's escalation; processes, records and
//! events are the driver's.

use std::time::Duration;

use crate::lifecycle::Now;
use crate::lifecycle::restart::Backoff;
use crate::lifecycle::stop::{self, Escalation, Stop};
use crate::model::{Intent, Outcome, RestartPolicy};

/// What happens to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The user, or a plan, wants it running.
    Start,
    /// Its first process lives.
    Spawned,
    /// Its first process could not be started.
    SpawnFailed,
    /// It ended.
    Exited(Outcome),
    /// The user, or a plan, wants it stopped.
    Stop(stop::Request),
    /// The user sends it a signal.
    Kill {
        /// The signal.
        signal: i32,
        /// Whether it is the container's own stop signal.
        is_stop_signal: bool,
    },
    /// The time asked for has come.
    Woke,
}

/// What a container machine asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start its first process; answer with `Spawned` or `SpawnFailed`.
    Spawn,
    /// Send this signal to its first process.
    Signal(i32),
    /// Let it go on if it is frozen.
    Thaw,
    /// Wake the machine at this time.
    WakeAt(Duration),
    /// Write down that the user wants it running, or stopped.
    RecordIntent(Intent),
    /// Write down the restarts so far.
    RecordBackoff(Backoff),
    /// SIGKILL was sent, and why.
    Escalated(Escalation),
    /// SIGKILL had no effect.
    GaveUp,
    /// It has ended and stays so: release its sandbox.
    Settled,
    /// It has ended and goes away.
    Remove,
}

/// Where a container stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It doesn't run and nothing is under way.
    Idle,
    /// Its first process is being started.
    Starting,
    /// It runs.
    Running {
        /// Since when.
        since: Duration,
    },
    /// It runs and is being stopped.
    Stopping(Stop),
    /// It ended and starts again then.
    Restarting {
        /// When.
        until: Duration,
    },
    /// It has gone away.
    Removed,
}

/// One container's life.
#[derive(Debug, Clone)]
pub struct Container {
    policy: RestartPolicy,
    auto_remove: bool,
    backoff: Backoff,
    phase: Phase,
    /// A stop that was asked for while the first process was being started.
    pending_stop: Option<stop::Request>,
    /// Whether a start was asked for while it was being stopped.
    pending_start: bool,
    /// Whether the next exit is the user's doing.
    is_ending: bool,
}

impl Container {
    /// A container that doesn't run.
    #[must_use]
    pub fn new(policy: RestartPolicy, auto_remove: bool) -> Self {
        Self {
            policy,
            auto_remove,
            backoff: Backoff::default(),
            phase: Phase::Idle,
            pending_stop: None,
            pending_start: false,
            is_ending: false,
        }
    }

    /// A container that a new driver finds as it is: running since a moment,
    /// or waiting for its restart until one.
    #[must_use]
    pub fn adopt(policy: RestartPolicy, auto_remove: bool, backoff: Backoff, phase: Phase) -> Self {
        Self {
            backoff,
            phase,
            ..Self::new(policy, auto_remove)
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// From its next end on another policy holds.
    pub fn set_policy(&mut self, policy: RestartPolicy) {
        self.policy = policy;
    }

    /// Restarts since the user's last start.
    #[must_use]
    pub fn backoff(&self) -> Backoff {
        self.backoff
    }

    /// Takes an event; answers with what is to be done. An event that means
    /// nothing in the phase changes nothing.
    pub fn on(&mut self, event: Event, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        match (event, self.phase) {
            (_, Phase::Removed) => {}
            (Event::Start, _) => self.start(&mut actions),
            (Event::Spawned, Phase::Starting) => self.spawned(now, &mut actions),
            (Event::SpawnFailed, Phase::Starting) => self.spawn_failed(now, &mut actions),
            (Event::Exited(outcome), _) => self.exited(outcome, now, &mut actions),
            (Event::Stop(request), _) => self.stop(request, now, &mut actions),
            (Event::Woke, Phase::Stopping(mut stop)) => {
                let asked = stop.wake(now);
                self.phase = Phase::Stopping(stop);
                actions.extend(asked.into_iter().map(Action::from));
            }
            (Event::Woke, Phase::Restarting { until }) => {
                if now.monotonic >= until {
                    self.phase = Phase::Starting;
                    actions.push(Action::Spawn);
                } else {
                    actions.push(Action::WakeAt(until));
                }
            }
            (
                Event::Kill {
                    signal,
                    is_stop_signal,
                },
                Phase::Running { .. } | Phase::Stopping(_),
            ) => {
                if is_stop_signal || signal == stop::SIGKILL {
                    self.end_for_good(&mut actions);
                }
                actions.push(Action::Signal(signal));
            }
            (Event::Spawned | Event::SpawnFailed | Event::Woke | Event::Kill { .. }, _) => {}
        }
        actions
    }

    fn start(&mut self, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Idle | Phase::Restarting { .. } => {
                self.phase = Phase::Starting;
                self.is_ending = false;
                self.backoff = Backoff::default();
                actions.push(Action::RecordIntent(Intent::Running));
                actions.push(Action::RecordBackoff(self.backoff));
                actions.push(Action::Spawn);
            }
            Phase::Starting if self.pending_stop.take().is_some() => {
                self.is_ending = false;
                actions.push(Action::RecordIntent(Intent::Running));
            }
            Phase::Stopping(_) => self.pending_start = true,
            Phase::Starting | Phase::Running { .. } | Phase::Removed => {}
        }
    }

    fn spawned(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.phase = Phase::Running {
            since: now.monotonic,
        };
        if let Some(request) = self.pending_stop.take() {
            self.stop(request, now, actions);
        }
    }

    /// A first start that fails is the user's to see; one by the policy is
    /// tried again like any other end.
    fn spawn_failed(&mut self, now: Now, actions: &mut Vec<Action>) {
        let was_stopped = self.pending_stop.take().is_some();
        if self.backoff.restarts == 0 || was_stopped || self.is_ending {
            self.settle(actions);
        } else {
            self.restart_or_settle(Outcome::Unknown, Duration::ZERO, now, actions);
        }
    }

    fn exited(&mut self, outcome: Outcome, now: Now, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Stopping(_) => self.settle(actions),
            Phase::Running { .. } if self.is_ending => self.settle(actions),
            Phase::Running { since } => {
                let ran_for = now.monotonic.saturating_sub(since);
                self.restart_or_settle(outcome, ran_for, now, actions);
            }
            // It was over before anybody heard that it had begun.
            Phase::Starting if self.pending_stop.take().is_some() => self.settle(actions),
            Phase::Starting => self.restart_or_settle(outcome, Duration::ZERO, now, actions),
            Phase::Idle | Phase::Restarting { .. } | Phase::Removed => {}
        }
    }

    fn restart_or_settle(
        &mut self,
        outcome: Outcome,
        ran_for: Duration,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let policy = if self.auto_remove {
            RestartPolicy::No
        } else {
            self.policy
        };
        match self.backoff.after_exit(policy, outcome, ran_for) {
            Some(pause) => {
                let until = now.monotonic + pause;
                self.phase = Phase::Restarting { until };
                actions.push(Action::RecordBackoff(self.backoff));
                actions.push(Action::WakeAt(until));
            }
            None => self.settle(actions),
        }
    }

    fn stop(&mut self, request: stop::Request, now: Now, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Running { .. } => {
                self.end_for_good(actions);
                let (stop, asked) = Stop::begin(request, now);
                self.phase = Phase::Stopping(stop);
                actions.extend(asked.into_iter().map(Action::from));
            }
            Phase::Starting => {
                self.end_for_good(actions);
                self.pending_stop = Some(request);
            }
            Phase::Restarting { .. } => {
                self.end_for_good(actions);
                self.settle(actions);
            }
            Phase::Stopping(mut stop) => {
                self.pending_start = false;
                let asked = stop.again(request, now);
                self.phase = Phase::Stopping(stop);
                actions.extend(asked.into_iter().map(Action::from));
            }
            Phase::Idle | Phase::Removed => {}
        }
    }

    fn end_for_good(&mut self, actions: &mut Vec<Action>) {
        if !self.is_ending {
            self.is_ending = true;
            actions.push(Action::RecordIntent(Intent::Stopped));
        }
    }

    fn settle(&mut self, actions: &mut Vec<Action>) {
        self.is_ending = false;
        self.phase = if self.auto_remove {
            Phase::Removed
        } else {
            Phase::Idle
        };
        actions.push(Action::Settled);
        if self.auto_remove {
            actions.push(Action::Remove);
        }
        if std::mem::take(&mut self.pending_start) {
            self.start(actions);
        }
    }
}

impl From<stop::Action> for Action {
    fn from(action: stop::Action) -> Self {
        match action {
            stop::Action::Signal(signal) => Self::Signal(signal),
            stop::Action::Thaw => Self::Thaw,
            stop::Action::WakeAt(at) => Self::WakeAt(at),
            stop::Action::Escalated(why) => Self::Escalated(why),
            stop::Action::GaveUp => Self::GaveUp,
        }
    }
}

#[cfg(test)]
mod tests;
