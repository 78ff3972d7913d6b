//! The orderly end of a container: signal, grace period, SIGKILL.
//!
//! ```text
//!  begin --- signal ---> waiting --- grace is over, or SIGKILL ---> killing --- no exit ---> gave up
//!    |                                                                 |
//!    +-- PID 1 drops the signal: a wait can't help --------------------+
//! ```
//! An exit ends it in every phase: the container's machine drops it then.
//!
//! It knows signals by number and is told whether the first process would take
//! the stop signal at all: the kernel drops a signal that PID 1 of a namespace
//! has no handler for, so that waiting for its effect is waiting for nothing.

use std::time::Duration;

use crate::lifecycle::Now;

/// SIGKILL's number.
pub const SIGKILL: i32 = 9;
/// How long SIGKILL may take to show before it is called a failure.
pub const KILL_WAIT: Duration = Duration::from_secs(10);

/// How a container is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The stop signal.
    pub signal: i32,
    /// Time between it and SIGKILL; `Duration::MAX` waits for ever.
    pub grace_period: Duration,
    /// Whether the first process would drop the signal.
    pub is_dropped: bool,
    /// Whether the container is frozen and must be thawed to take it.
    pub is_paused: bool,
}

/// Why SIGKILL was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escalation {
    /// The first process drops the stop signal.
    Dropped,
    /// The grace period is over.
    GraceOver,
    /// The user wants it now.
    Forced,
}

/// What the stop asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send this signal to the first process.
    Signal(i32),
    /// Let a frozen container go on.
    Thaw,
    /// Wake it at this time.
    WakeAt(Duration),
    /// SIGKILL was sent, and why: worth telling.
    Escalated(Escalation),
    /// SIGKILL had no effect in [`KILL_WAIT`]; nothing more will be tried.
    GaveUp,
}

/// A stop under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// SIGKILL follows then, if ever.
    Waiting {
        until: Option<Duration>,
    },
    /// It should be dead by then.
    Killing {
        until: Duration,
    },
    GaveUp,
}

impl Stop {
    /// Begins a stop.
    #[must_use]
    pub fn begin(request: Request, now: Now) -> (Self, Vec<Action>) {
        let mut actions = Vec::new();
        let until = now.monotonic.checked_add(request.grace_period);
        let mut stop = Self {
            phase: Phase::Waiting { until },
        };
        if request.is_dropped && request.signal != SIGKILL {
            stop.kill(Escalation::Dropped, now, &mut actions);
        } else if request.signal == SIGKILL {
            stop.kill(Escalation::Forced, now, &mut actions);
        } else {
            actions.push(Action::Signal(request.signal));
            actions.extend(until.map(Action::WakeAt));
        }
        if request.is_paused {
            // After the signal, so that it is the first thing it meets.
            actions.push(Action::Thaw);
        }
        (stop, actions)
    }

    /// Takes a further request: the earlier end of the two grace periods holds.
    /// The stop signal isn't sent again: to many programs a second one means
    /// "leave everything and go".
    pub fn again(&mut self, request: Request, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        match self.phase {
            Phase::Waiting { .. } | Phase::GaveUp if request.signal == SIGKILL => {
                self.kill(Escalation::Forced, now, &mut actions);
            }
            Phase::Waiting { until } => {
                let asked = now.monotonic.checked_add(request.grace_period);
                if let Some(asked) = asked.filter(|asked| until.is_none_or(|until| *asked < until))
                {
                    self.phase = Phase::Waiting { until: Some(asked) };
                    actions.push(Action::WakeAt(asked));
                }
            }
            Phase::Killing { .. } | Phase::GaveUp => {}
        }
        actions
    }

    /// The time asked for has come; answers with what is to be done.
    pub fn wake(&mut self, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        match self.phase {
            Phase::Waiting { until: Some(until) } if now.monotonic >= until => {
                self.kill(Escalation::GraceOver, now, &mut actions);
            }
            Phase::Killing { until } if now.monotonic >= until => {
                self.phase = Phase::GaveUp;
                actions.push(Action::GaveUp);
            }
            Phase::Waiting { until: Some(until) } | Phase::Killing { until } => {
                actions.push(Action::WakeAt(until));
            }
            Phase::Waiting { until: None } | Phase::GaveUp => {}
        }
        actions
    }

    fn kill(&mut self, why: Escalation, now: Now, actions: &mut Vec<Action>) {
        let until = now.monotonic + KILL_WAIT;
        self.phase = Phase::Killing { until };
        actions.push(Action::Signal(SIGKILL));
        actions.push(Action::Escalated(why));
        actions.push(Action::WakeAt(until));
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TERM: i32 = 15;

    fn at(seconds: u32) -> Now {
        Now {
            monotonic: SECOND * seconds,
            wall: Timestamp::UNIX_EPOCH,
        }
    }

    fn request() -> Request {
        Request {
            signal: TERM,
            grace_period: SECOND * 10,
            is_dropped: false,
            is_paused: false,
        }
    }

    #[test]
    fn the_signal_comes_first_and_kill_after_the_grace_period() {
        let (mut stop, actions) = Stop::begin(request(), at(5));
        assert_eq!(actions, [Action::Signal(TERM), Action::WakeAt(SECOND * 15)]);
        assert_eq!(stop.wake(at(14)), [Action::WakeAt(SECOND * 15)]);
        let expected = [
            Action::Signal(SIGKILL),
            Action::Escalated(Escalation::GraceOver),
            Action::WakeAt(SECOND * 25),
        ];
        assert_eq!(stop.wake(at(15)), expected);
    }

    #[test]
    fn a_signal_that_would_be_dropped_is_not_waited_for() {
        let (_, actions) = Stop::begin(
            Request {
                is_dropped: true,
                ..request()
            },
            at(5),
        );
        assert_eq!(
            actions[..2],
            [
                Action::Signal(SIGKILL),
                Action::Escalated(Escalation::Dropped)
            ]
        );
    }

    #[test]
    fn a_further_request_may_only_shorten_the_wait() {
        let (mut stop, _) = Stop::begin(request(), at(5));
        let within = |grace_period| Request {
            grace_period,
            ..request()
        };
        assert_eq!(stop.again(within(SECOND * 60), at(6)), [], "it ends at 15");
        assert_eq!(stop.again(within(Duration::MAX), at(6)), []);
        assert_eq!(
            stop.again(within(SECOND * 2), at(6)),
            [Action::WakeAt(SECOND * 8)]
        );
        assert_eq!(stop.wake(at(8))[0], Action::Signal(SIGKILL));
        assert_eq!(stop.again(within(SECOND), at(9)), [], "it is being killed");
    }

    #[test]
    fn a_further_request_without_grace_kills() {
        let now = Request {
            signal: SIGKILL,
            grace_period: Duration::ZERO,
            ..request()
        };
        for first in [SECOND * 100, Duration::MAX] {
            let (mut stop, _) = Stop::begin(
                Request {
                    grace_period: first,
                    ..request()
                },
                at(5),
            );
            let expected = [
                Action::Signal(SIGKILL),
                Action::Escalated(Escalation::Forced),
                Action::WakeAt(SECOND * 17),
            ];
            assert_eq!(stop.again(now, at(7)), expected);
            assert_eq!(stop.wake(at(17)), [Action::GaveUp]);
            assert_eq!(stop.again(now, at(20))[0], Action::Signal(SIGKILL));
        }
    }

    #[test]
    fn what_survives_sigkill_is_told_once() {
        let kill = Request {
            signal: SIGKILL,
            ..request()
        };
        let (mut stop, _) = Stop::begin(kill, at(5));
        assert_eq!(stop.wake(at(15)), [Action::GaveUp]);
        assert_eq!(stop.wake(at(90)), []);
        // A second try is the user's.
        assert_eq!(stop.again(kill, at(91))[0], Action::Signal(SIGKILL));
    }

    #[test]
    fn a_frozen_container_is_thawed_after_the_signal() {
        let (_, actions) = Stop::begin(
            Request {
                is_paused: true,
                ..request()
            },
            at(5),
        );
        assert_eq!(
            actions,
            [
                Action::Signal(TERM),
                Action::WakeAt(SECOND * 15),
                Action::Thaw
            ]
        );
    }

    #[test]
    fn an_endless_grace_period_never_escalates() {
        let endless = Request {
            grace_period: Duration::MAX,
            ..request()
        };
        let (mut stop, actions) = Stop::begin(endless, at(5));
        assert_eq!(actions, [Action::Signal(TERM)]);
        assert_eq!(stop.wake(at(u32::MAX)), []);
    }

    #[test]
    fn no_grace_is_killed_at_the_first_wake() {
        let (mut stop, actions) = Stop::begin(
            Request {
                grace_period: Duration::ZERO,
                ..request()
            },
            at(5),
        );
        assert_eq!(actions, [Action::Signal(TERM), Action::WakeAt(SECOND * 5)]);
        assert_eq!(stop.wake(at(5))[0], Action::Signal(SIGKILL));
    }
}
