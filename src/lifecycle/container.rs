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
    /// The user wants it ended now.
    Force,
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
            (Event::Force, Phase::Stopping(stop)) => {
                self.step(stop, stop::Event::Force, now, &mut actions);
            }
            (Event::Woke, Phase::Stopping(stop)) => {
                self.step(stop, stop::Event::Woke, now, &mut actions);
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
            (
                Event::Spawned
                | Event::SpawnFailed
                | Event::Force
                | Event::Woke
                | Event::Kill { .. },
                _,
            ) => {}
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
            Phase::Stopping(_) => self.pending_start = false,
            Phase::Idle | Phase::Removed => {}
        }
    }

    fn step(&mut self, mut stop: Stop, event: stop::Event, now: Now, actions: &mut Vec<Action>) {
        let asked = stop.on(event, now);
        self.phase = Phase::Stopping(stop);
        actions.extend(asked.into_iter().map(Action::from));
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
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Now {
        Now {
            monotonic: Duration::from_millis(millis),
            wall: Timestamp::UNIX_EPOCH,
        }
    }

    fn request() -> stop::Request {
        stop::Request {
            signal: 15,
            grace_period: SECOND * 10,
            is_dropped: false,
            is_paused: false,
        }
    }

    fn running(policy: RestartPolicy) -> Container {
        let mut container = Container::new(policy, false);
        container.on(Event::Start, at(0));
        container.on(Event::Spawned, at(0));
        container
    }

    #[test]
    fn a_crash_is_restarted_with_growing_pauses() {
        let mut container = running(RestartPolicy::Always);
        let crash = Event::Exited(Outcome::Code(1));
        let actions = container.on(crash, at(50));
        assert_eq!(
            actions.last(),
            Some(&Action::WakeAt(Duration::from_millis(150)))
        );
        assert_eq!(
            container.on(Event::Woke, at(149)),
            [Action::WakeAt(Duration::from_millis(150))]
        );
        assert_eq!(container.on(Event::Woke, at(150)), [Action::Spawn]);
        container.on(Event::Spawned, at(151));
        assert_eq!(
            container.on(crash, at(160)).last(),
            Some(&Action::WakeAt(Duration::from_millis(360)))
        );
        assert_eq!(container.backoff().restarts, 2);
    }

    #[test]
    fn a_start_by_the_user_begins_the_pauses_anew() {
        let mut container = running(RestartPolicy::Always);
        container.on(Event::Exited(Outcome::Code(1)), at(50));
        let actions = container.on(Event::Start, at(60));
        assert!(actions.contains(&Action::Spawn));
        assert_eq!(container.backoff(), Backoff::default());
        assert_eq!(container.on(Event::Start, at(61)), []);
    }

    #[test]
    fn a_stop_by_the_user_is_not_undone_by_the_policy() {
        for policy in [RestartPolicy::Always, RestartPolicy::UnlessStopped] {
            let mut container = running(policy);
            let actions = container.on(Event::Stop(request()), at(10));
            assert_eq!(
                actions[..2],
                [Action::RecordIntent(Intent::Stopped), Action::Signal(15)]
            );
            assert_eq!(
                container.on(Event::Exited(Outcome::Code(0)), at(20)),
                [Action::Settled]
            );
            assert_eq!(container.phase(), Phase::Idle);
        }
    }

    #[test]
    fn a_stop_while_it_waits_for_its_restart_ends_the_wait() {
        let mut container = running(RestartPolicy::Always);
        container.on(Event::Exited(Outcome::Code(1)), at(50));
        let actions = container.on(Event::Stop(request()), at(60));
        assert_eq!(
            actions,
            [Action::RecordIntent(Intent::Stopped), Action::Settled]
        );
        assert_eq!(container.on(Event::Woke, at(200)), []);
    }

    #[test]
    fn a_stop_while_it_starts_follows_the_start() {
        let mut container = Container::new(RestartPolicy::No, false);
        container.on(Event::Start, at(0));
        assert_eq!(
            container.on(Event::Stop(request()), at(1)),
            [Action::RecordIntent(Intent::Stopped)]
        );
        assert!(
            container
                .on(Event::Spawned, at(2))
                .contains(&Action::Signal(15))
        );
    }

    #[test]
    fn a_start_while_it_is_stopped_follows_the_stop() {
        let mut container = running(RestartPolicy::No);
        container.on(Event::Stop(request()), at(1));
        assert_eq!(container.on(Event::Start, at(2)), []);
        let actions = container.on(Event::Exited(Outcome::Code(0)), at(3));
        assert_eq!(
            (actions.first(), actions.last()),
            (Some(&Action::Settled), Some(&Action::Spawn))
        );
        // A stop that comes after the start has the last word.
        let mut container = running(RestartPolicy::No);
        container.on(Event::Stop(request()), at(1));
        container.on(Event::Start, at(2));
        container.on(Event::Stop(request()), at(2));
        assert_eq!(
            container.on(Event::Exited(Outcome::Code(0)), at(3)),
            [Action::Settled]
        );
    }

    #[test]
    fn the_grace_period_ends_with_kill() {
        let mut container = running(RestartPolicy::No);
        container.on(Event::Stop(request()), at(0));
        let actions = container.on(Event::Woke, at(10_000));
        assert_eq!(
            actions[..2],
            [Action::Signal(9), Action::Escalated(Escalation::GraceOver)]
        );
    }

    #[test]
    fn a_kill_ends_it_for_good_only_with_a_signal_that_ends() {
        let kill = |signal, is_stop_signal| Event::Kill {
            signal,
            is_stop_signal,
        };
        for (event, settles) in [
            (kill(9, false), true),
            (kill(3, true), true),
            (kill(1, false), false),
        ] {
            let mut container = running(RestartPolicy::Always);
            assert!(matches!(
                container.on(event, at(1)).last(),
                Some(Action::Signal(_))
            ));
            let actions = container.on(Event::Exited(Outcome::Signal(9)), at(2));
            assert_eq!(actions == [Action::Settled], settles, "{event:?}");
        }
    }

    #[test]
    fn a_container_of_one_run_goes_away_and_stays_away() {
        let mut container = Container::new(RestartPolicy::Always, true);
        container.on(Event::Start, at(0));
        container.on(Event::Spawned, at(1));
        assert_eq!(
            container.on(Event::Exited(Outcome::Code(1)), at(2)),
            [Action::Settled, Action::Remove]
        );
        assert_eq!(container.on(Event::Start, at(3)), []);
        assert_eq!(container.phase(), Phase::Removed);
    }

    #[test]
    fn a_failed_first_start_settles_and_a_failed_restart_is_tried_again() {
        let mut container = Container::new(RestartPolicy::Always, false);
        container.on(Event::Start, at(0));
        assert_eq!(container.on(Event::SpawnFailed, at(1)), [Action::Settled]);
        let mut container = running(RestartPolicy::Always);
        container.on(Event::Exited(Outcome::Code(1)), at(2));
        container.on(Event::Woke, at(102));
        let actions = container.on(Event::SpawnFailed, at(103));
        assert_eq!(
            actions.last(),
            Some(&Action::WakeAt(Duration::from_millis(303)))
        );
    }

    #[test]
    fn an_exit_before_the_news_of_the_start_counts() {
        let mut container = Container::new(RestartPolicy::No, false);
        container.on(Event::Start, at(0));
        assert_eq!(
            container.on(Event::Exited(Outcome::Code(0)), at(1)),
            [Action::Settled]
        );
        assert_eq!(container.on(Event::Spawned, at(2)), []);
    }

    #[test]
    fn a_new_driver_goes_on_where_the_old_one_was() {
        let backoff = Backoff {
            restarts: 4,
            pause: Some(Duration::from_millis(800)),
        };
        let until = SECOND * 3;
        let phase = Phase::Restarting { until };
        let mut container = Container::adopt(RestartPolicy::Always, false, backoff, phase);
        assert_eq!(container.on(Event::Woke, at(3000)), [Action::Spawn]);
        container.on(Event::Spawned, at(3001));
        let actions = container.on(Event::Exited(Outcome::Code(1)), at(3002));
        assert_eq!(
            actions.last(),
            Some(&Action::WakeAt(Duration::from_millis(4602)))
        );
    }

    fn event(kind: u8) -> Event {
        match kind {
            0 => Event::Start,
            1 => Event::Spawned,
            2 => Event::SpawnFailed,
            3 => Event::Exited(Outcome::Code(0)),
            4 => Event::Exited(Outcome::Unknown),
            5 => Event::Stop(request()),
            6 => Event::Stop(stop::Request {
                is_dropped: true,
                is_paused: true,
                ..request()
            }),
            7 => Event::Force,
            8 => Event::Kill {
                signal: 9,
                is_stop_signal: false,
            },
            9 => Event::Kill {
                signal: 1,
                is_stop_signal: false,
            },
            _ => Event::Woke,
        }
    }

    proptest! {
        #[test]
        fn any_events_keep_the_laws(
            events in proptest::collection::vec((0_u8..12, 0_u64..20_000), 0..200),
            always in proptest::bool::ANY, auto_remove in proptest::bool::ANY,
        ) {
            let policy = if always { RestartPolicy::Always } else { RestartPolicy::No };
            let mut container = Container::new(policy, auto_remove);
            let mut clock = 0;
            let (mut is_removed, mut is_stopped) = (false, false);
            for (kind, pause) in events {
                clock += pause;
                let event = event(kind);
                let before = container.phase();
                let actions = container.on(event, at(clock));
                for action in &actions {
                    match action {
                        // Only what doesn't run is started, and nothing that has gone.
                        Action::Spawn => {
                            let may = match before {
                                Phase::Idle | Phase::Restarting { .. } => true,
                                Phase::Stopping(_) => matches!(event, Event::Exited(_)),
                                Phase::Starting | Phase::Running { .. } | Phase::Removed => false,
                            };
                            prop_assert!(may && !is_removed);
                            // After a stop by the user only the user starts it.
                            prop_assert!(!is_stopped);
                        }
                        Action::RecordIntent(intent) => is_stopped = *intent == Intent::Stopped,
                        Action::Remove => { prop_assert!(!is_removed); is_removed = true; }
                        Action::Signal(_) => {
                            let idle = matches!(before, Phase::Idle | Phase::Restarting { .. });
                            prop_assert!(!idle && !is_removed);
                        }
                        Action::WakeAt(time) => prop_assert!(*time >= Duration::from_millis(clock)),
                        Action::Thaw | Action::RecordBackoff(_) | Action::Escalated(_)
                        | Action::GaveUp | Action::Settled => {}
                    }
                }
                if is_removed {
                    prop_assert_eq!(container.phase(), Phase::Removed);
                }
            }
        }
    }
}
