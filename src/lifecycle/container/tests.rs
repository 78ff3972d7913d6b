//! Lives of containers, and any sequence of events.

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
        7 => Event::Kill {
            signal: 9,
            is_stop_signal: false,
        },
        8 => Event::Kill {
            signal: 1,
            is_stop_signal: false,
        },
        _ => Event::Woke,
    }
}

proptest! {
    #[test]
    fn any_events_keep_the_laws(
        events in proptest::collection::vec((0_u8..11, 0_u64..20_000), 0..200),
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
