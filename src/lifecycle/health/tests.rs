//! Probes against a simulated clock, and Docker's monitor as the measure.

use proptest::prelude::*;

use crate::model::ProbeCommand;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn probe(interval: u64, retries: u32) -> HealthProbe {
    HealthProbe {
        command: ProbeCommand::Shell("true".to_owned()),
        interval: SECOND * u32::try_from(interval).unwrap(),
        timeout: SECOND * 30,
        start_period: Duration::ZERO,
        start_interval: None,
        retries,
    }
}

fn at(monotonic: Duration) -> Now {
    let wall = Timestamp::UNIX_EPOCH.checked_add(monotonic).unwrap();
    Now { monotonic, wall }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Drives a monitor with a clock of its own; probes take `takes` and pass
/// as `passes` says of the moment they began.
struct Run {
    monitor: Monitor,
    clock: Duration,
    wake_at: Option<Duration>,
    began: Vec<Duration>,
    changes: Vec<(Duration, Health)>,
}

impl Run {
    fn new(probe: HealthProbe) -> Self {
        let (clock, wake_at) = (SECOND * 1000, None);
        Self {
            monitor: Monitor::new(probe),
            clock,
            wake_at,
            began: vec![],
            changes: vec![],
        }
    }

    fn since_start(&self) -> Duration {
        self.clock - SECOND * 1000
    }

    fn go(
        probe: HealthProbe,
        until: Duration,
        takes: Duration,
        passes: impl Fn(Duration) -> bool,
    ) -> Self {
        let mut run = Self::new(probe);
        let mut actions = run.monitor.on(Event::Started, at(run.clock));
        loop {
            let mut running = None;
            for action in actions {
                match action {
                    Action::Probe { id } => {
                        running = Some((id, run.since_start()));
                        run.began.push(run.since_start());
                    }
                    Action::WakeAt(time) => run.wake_at = Some(time),
                    Action::Changed(health) => run.changes.push((run.since_start(), health)),
                    Action::Abort { .. } => running = None,
                }
            }
            let event = if let Some((id, began)) = running {
                run.clock += takes;
                let exit_code = i32::from(!passes(began));
                Event::Ended {
                    id,
                    exit_code,
                    output: String::new(),
                }
            } else {
                run.clock = run.clock.max(run.wake_at.expect("it waits for something"));
                Event::Woke
            };
            if run.since_start() > until {
                return run;
            }
            actions = run.monitor.on(event, at(run.clock));
        }
    }

    fn unhealthy_at(&self) -> Option<Duration> {
        self.changes
            .iter()
            .find(|(_, health)| *health == Health::Unhealthy)
            .map(|(time, _)| *time)
    }
}

#[test]
fn the_first_probe_begins_at_once_and_a_pass_is_healthy() {
    let run = Run::go(probe(30, 3), SECOND * 100, millis(3), |_| true);
    assert_eq!(run.changes, [(millis(3), Health::Healthy)]);
    // From the first success on the interval holds, from end to start.
    let expected = [millis(0), millis(30_003), millis(60_006), millis(90_009)];
    assert_eq!(run.began, expected);
}

#[test]
fn readiness_is_seen_within_an_eighth_of_the_time_it_took() {
    for ready in [1, 50, 890, 3_000, 12_000, 40_000] {
        let ready = millis(ready);
        let run = Run::go(probe(60, 3), SECOND * 59, millis(5), |began| began >= ready);
        let (seen, health) = run.changes[0];
        assert_eq!(health, Health::Healthy);
        let late = seen - ready;
        assert!(
            late <= (ready / 8).clamp(PAUSE_MIN, PAUSE_MAX) + millis(10),
            "{ready:?}: {late:?}"
        );
    }
}

#[test]
fn pauses_before_the_first_success_grow_and_stay_bounded() {
    let run = Run::go(probe(300, 3), SECOND * 200, millis(1), |_| false);
    let pauses: Vec<Duration> = run.began.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.is_sorted());
    assert_eq!(pauses[0], PAUSE_MIN + millis(1));
    assert_eq!(pauses.last(), Some(&(PAUSE_MAX + millis(1))));
}

#[test]
fn a_costly_probe_is_given_as_much_pause_as_it_took() {
    let run = Run::go(probe(30, 3), SECOND * 29, SECOND * 2, |_| false);
    assert_eq!(&run.began[..3], [Duration::ZERO, SECOND * 4, SECOND * 8]);
}

#[test]
fn failures_count_once_an_interval() {
    let run = Run::go(probe(10, 3), SECOND * 60, Duration::ZERO, |_| false);
    assert_eq!(run.unhealthy_at(), Some(SECOND * 30));
    assert_eq!(run.changes.len(), 1);
    // Unhealthy ones are probed as the file says.
    let last: Vec<_> = run.began.iter().rev().take(3).collect();
    assert_eq!(last, [&(SECOND * 60), &(SECOND * 50), &(SECOND * 40)]);
}

#[test]
fn failures_in_the_start_period_do_not_count() {
    let patient = HealthProbe {
        start_period: SECOND * 32,
        ..probe(10, 2)
    };
    let run = Run::go(patient.clone(), SECOND * 100, Duration::ZERO, |_| false);
    // Docker looks each 5 s inside the period: at 35 s, and then at 45 s.
    assert_eq!(run.unhealthy_at(), Some(SECOND * 45));
    let own = HealthProbe {
        start_interval: Some(SECOND * 3),
        ..patient
    };
    let run = Run::go(own, SECOND * 100, Duration::ZERO, |_| false);
    assert_eq!(run.unhealthy_at(), Some(SECOND * 43));
}

#[test]
fn a_healthy_container_turns_unhealthy_after_retries_and_back_at_once() {
    let run = Run::go(probe(10, 3), SECOND * 100, Duration::ZERO, |began| {
        began < SECOND * 5 || began > SECOND * 55
    });
    let healths: Vec<_> = run
        .changes
        .iter()
        .map(|(time, health)| (time.as_secs(), *health))
        .collect();
    assert_eq!(
        healths,
        [
            (0, Health::Healthy),
            (30, Health::Unhealthy),
            (60, Health::Healthy)
        ]
    );
    assert_eq!(run.monitor.probing().failing_streak, 0);
}

#[test]
fn five_results_are_kept_and_4096_bytes_of_each() {
    let mut run = Run::go(probe(1, 3), SECOND * 20, Duration::ZERO, |_| true);
    assert_eq!(run.monitor.probing().log.len(), RESULTS_MAX);
    run.clock += SECOND * 5;
    let Some(&Action::Probe { id }) = run.monitor.on(Event::Woke, at(run.clock)).first() else {
        panic!("no probe")
    };
    let output = format!("{}é and more", "x".repeat(OUTPUT_BYTES_MAX - 1));
    run.monitor.on(
        Event::Ended {
            id,
            exit_code: 0,
            output,
        },
        at(run.clock),
    );
    let log = run.monitor.probing().log;
    assert_eq!(log.len(), RESULTS_MAX);
    // The é has no room and isn't cut in two.
    assert_eq!(log[4].output.len(), OUTPUT_BYTES_MAX - 1);
}

#[test]
fn a_probe_that_takes_too_long_is_a_failure() {
    let hasty = HealthProbe {
        timeout: millis(1500),
        ..probe(1, 1)
    };
    let mut monitor = Monitor::new(hasty);
    let mut now = SECOND * 7;
    let started = monitor.on(Event::Started, at(now));
    assert_eq!(
        started,
        [Action::Probe { id: 1 }, Action::WakeAt(now + millis(1500))]
    );
    assert_eq!(
        monitor.on(Event::Woke, at(now + SECOND)),
        [Action::WakeAt(now + millis(1500))]
    );
    now += millis(1500);
    let actions = monitor.on(Event::Woke, at(now));
    assert_eq!(actions[0], Action::Abort { id: 1 });
    let result = monitor.probing().log[0].clone();
    assert_eq!(
        (result.exit_code, result.output.as_str()),
        (-1, "Health check exceeded timeout (1.5s)")
    );
    // It began before Docker would have begun one, so it doesn't count.
    assert_eq!(monitor.probing().failing_streak, 0);
    // Its late end is nobody's business.
    let late = Event::Ended {
        id: 1,
        exit_code: 0,
        output: String::new(),
    };
    assert_eq!(monitor.on(late, at(now)), []);
    assert_eq!(monitor.probing().health, Health::Starting);
}

#[test]
fn a_start_ends_the_probe_and_begins_anew() {
    let mut monitor = Monitor::new(probe(1, 1));
    monitor.on(Event::Started, at(SECOND));
    let actions = monitor.on(Event::Started, at(SECOND * 9));
    assert_eq!(
        actions[..2],
        [Action::Abort { id: 1 }, Action::Probe { id: 2 }]
    );
    monitor.on(
        Event::Ended {
            id: 2,
            exit_code: 0,
            output: String::new(),
        },
        at(SECOND * 9),
    );
    assert_eq!(monitor.probing().health, Health::Healthy);
    assert!(
        monitor
            .on(Event::Started, at(SECOND * 9))
            .contains(&Action::Changed(Health::Starting))
    );
}

#[test]
fn a_new_driver_goes_on_where_the_old_one_was() {
    let run = Run::go(probe(10, 3), SECOND * 25, Duration::ZERO, |_| false);
    let recorded = run.monitor.probing();
    assert_eq!(recorded.failing_streak, 2);
    let now = at(SECOND * 5);
    let (monitor, actions) = Monitor::resume(probe(10, 3), recorded.clone(), SECOND * 3, now);
    assert_eq!(monitor.probing(), recorded);
    assert_eq!(actions[0], Action::Probe { id: 1 });
    let healthy = Probing {
        health: Health::Healthy,
        failing_streak: 0,
        log: vec![],
    };
    let (_, actions) = Monitor::resume(probe(10, 3), healthy, SECOND, now);
    assert_eq!(actions, [Action::WakeAt(SECOND * 15)]);
}

#[test]
fn durations_read_as_in_docker() {
    let cases = [
        (30_000, "30s"),
        (90_000, "1m30s"),
        (500, "500ms"),
        (1_500, "1.5s"),
        (3_600_000, "1h0m0s"),
    ];
    for (input, text) in cases {
        assert_eq!(go_duration(millis(input)), text);
    }
}

/// When Docker's monitor calls a container unhealthy whose probes never
/// pass and take no time.
fn docker_unhealthy_at(probe: &HealthProbe) -> Duration {
    let mut time = Duration::ZERO;
    let mut streak = 0;
    loop {
        let is_early = time < probe.start_period;
        time += if is_early {
            probe.start_interval.unwrap_or(START_INTERVAL_DEFAULT)
        } else {
            probe.interval
        };
        if time >= probe.start_period {
            streak += 1;
        }
        if streak >= probe.retries {
            return time;
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_unhealthy_sooner_than_in_docker(
        interval in 1_u64..120, retries in 1_u32..5, period in 0_u32..200, takes in 0_u64..900,
    ) {
        let probe = HealthProbe { start_period: SECOND * period, ..probe(interval, retries) };
        let expected = docker_unhealthy_at(&probe);
        let run = Run::go(probe.clone(), SECOND * 2000, Duration::ZERO, |_| false);
        prop_assert_eq!(run.unhealthy_at(), Some(expected));
        let slow = Run::go(probe, SECOND * 4000, millis(takes), |_| false);
        let soonest = SECOND * period + SECOND * (u32::try_from(interval).unwrap() * (retries - 1));
        prop_assert!(slow.unhealthy_at().unwrap() >= soonest);
    }

    #[test]
    fn any_event_at_any_time_leaves_one_probe_at_most(
        events in proptest::collection::vec((0_u8..5, 0_u64..5_000, 0_u64..4), 0..200),
    ) {
        let mut monitor = Monitor::new(probe(1, 2));
        let mut clock = SECOND;
        let mut running: Option<u64> = None;
        for (kind, pause, offset) in events {
            clock += millis(pause);
            let id = monitor.last_id.saturating_sub(offset);
            let event = match kind {
                0 => Event::Started,
                1 => Event::Failed { id, message: "no".to_owned() },
                2 => Event::Ended { id, exit_code: 1, output: String::new() },
                3 => Event::Ended { id, exit_code: 0, output: String::new() },
                _ => Event::Woke,
            };
            if matches!(event, Event::Failed { .. } | Event::Ended { .. }) && running == Some(id) {
                running = None;
            }
            for action in monitor.on(event, at(clock)) {
                match action {
                    Action::Probe { id } => prop_assert_eq!(running.replace(id), None),
                    Action::Abort { id } => prop_assert_eq!(running.take(), Some(id)),
                    Action::WakeAt(time) => prop_assert!(time >= clock),
                    Action::Changed(_) => {}
                }
            }
            prop_assert!(monitor.probing().log.len() <= RESULTS_MAX);
        }
    }
}
