//! Health: probes, their pace and the verdict.
//!
//! ```text
//!             first success                    retries failures in a row
//!  starting ---------------> healthy --------------------------+
//!     |                         ^                              v
//!     |                         +---------- success ------ unhealthy
//!     +----- retries failures that count ----------------------^
//! ```
//!
//! The verdict is Docker's. The pace differs until the first success: Docker
//! waits one interval before it looks at all, this machine probes at once and
//! then with short pauses, so that a dependent starts in the moment its
//! dependency is ready. A pause is an eighth of the time since the start (20 ms
//! to 500 ms), at least as long as the last probe took, and never longer than
//! Docker's. Failures count only where Docker would have probed (`tick`), so
//! that nothing becomes unhealthy sooner than there. After the first success,
//! or once unhealthy, `interval` holds as written.

use std::time::Duration;

use jiff::Timestamp;

use crate::lifecycle::Now;
use crate::model::{Health, HealthProbe, ProbeResult, Probing};

/// How many results are kept.
pub const RESULTS_MAX: usize = 5;
/// How much of a probe's output is kept.
pub const OUTPUT_BYTES_MAX: usize = 4096;
/// The shortest pause before the first success.
pub const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest pause before the first success.
pub const PAUSE_MAX: Duration = Duration::from_millis(500);
/// Docker's pause inside the start period when none is given.
pub const START_INTERVAL_DEFAULT: Duration = Duration::from_secs(5);
/// Code of a probe that took too long or could not be run.
const NOT_RUN: i32 = -1;

/// What happens to a monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The container was started.
    Started,
    /// The probe ended.
    Ended {
        /// Which.
        id: u64,
        /// Its exit code.
        exit_code: i32,
        /// What it printed.
        output: String,
    },
    /// The probe could not be run.
    Failed {
        /// Which.
        id: u64,
        /// Why.
        message: String,
    },
    /// The time asked for has come.
    Woke,
}

/// What a monitor asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Run the probe in the container and report its end under this id.
    Probe {
        /// Its id.
        id: u64,
    },
    /// End that probe; its end need not be reported.
    Abort {
        /// Its id.
        id: u64,
    },
    /// Wake it at this time.
    WakeAt(Duration),
    /// The verdict changed.
    Changed(Health),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// The container doesn't run.
    Off,
    /// The next probe begins then.
    Waiting { until: Duration },
    /// A probe runs.
    Probing { id: u64, began: Now },
}

/// Watches one container's health.
#[derive(Debug, Clone)]
pub struct Monitor {
    probe: HealthProbe,
    phase: Phase,
    health: Health,
    failing_streak: u32,
    log: Vec<ProbeResult>,
    has_passed: bool,
    started: Duration,
    /// When Docker would begin its next probe.
    tick: Duration,
    last_id: u64,
}

impl Monitor {
    /// A monitor of a container that doesn't run yet.
    #[must_use]
    pub fn new(probe: HealthProbe) -> Self {
        Self {
            probe,
            phase: Phase::Off,
            health: Health::Starting,
            failing_streak: 0,
            log: Vec::new(),
            has_passed: false,
            started: Duration::ZERO,
            tick: Duration::ZERO,
            last_id: 0,
        }
    }

    /// A monitor of a container that has been running for a while, from what
    /// was recorded of it; probes at once unless it was healthy.
    #[must_use]
    pub fn resume(
        probe: HealthProbe,
        recorded: Probing,
        running_for: Duration,
        now: Now,
    ) -> (Self, Vec<Action>) {
        let has_passed = recorded.health == Health::Healthy
            || recorded.log.iter().any(|result| result.exit_code == 0);
        let mut monitor = Self {
            phase: Phase::Waiting {
                until: now.monotonic,
            },
            health: recorded.health,
            failing_streak: recorded.failing_streak,
            log: recorded.log,
            has_passed,
            started: now.monotonic.saturating_sub(running_for),
            ..Self::new(probe)
        };
        monitor.tick = now.monotonic + monitor.pace(now.monotonic);
        let mut actions = Vec::new();
        if monitor.health == Health::Starting {
            monitor.begin(now, &mut actions);
        } else {
            monitor.wait_until(monitor.tick, &mut actions);
        }
        (monitor, actions)
    }

    /// The verdict with what led to it.
    #[must_use]
    pub fn probing(&self) -> Probing {
        Probing {
            health: self.health,
            failing_streak: self.failing_streak,
            log: self.log.clone(),
        }
    }

    /// Takes an event; answers with what is to be done.
    pub fn on(&mut self, event: Event, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Started => self.start(now, &mut actions),
            Event::Woke => self.wake(now, &mut actions),
            Event::Ended {
                id,
                exit_code,
                output,
            } => {
                self.end(id, exit_code, output, now, &mut actions);
            }
            Event::Failed { id, message } => self.end(id, NOT_RUN, message, now, &mut actions),
        }
        actions
    }

    fn start(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.leave(Phase::Off, actions);
        self.failing_streak = 0;
        self.log.clear();
        self.has_passed = false;
        self.started = now.monotonic;
        self.verdict(Health::Starting, actions);
        self.tick = now.monotonic + self.pace(now.monotonic);
        self.begin(now, actions);
    }

    fn begin(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.last_id += 1;
        let id = self.last_id;
        self.phase = Phase::Probing { id, began: now };
        actions.push(Action::Probe { id });
        actions.push(Action::WakeAt(now.monotonic + self.probe.timeout));
    }

    fn wake(&mut self, now: Now, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Off => {}
            Phase::Waiting { until } if now.monotonic >= until => self.begin(now, actions),
            Phase::Waiting { until } => actions.push(Action::WakeAt(until)),
            Phase::Probing { id, began } => {
                let deadline = began.monotonic + self.probe.timeout;
                if now.monotonic >= deadline {
                    actions.push(Action::Abort { id });
                    let text = format!(
                        "Health check exceeded timeout ({})",
                        go_duration(self.probe.timeout)
                    );
                    self.end(id, NOT_RUN, text, now, actions);
                } else {
                    actions.push(Action::WakeAt(deadline));
                }
            }
        }
    }

    /// A probe's end; one of a probe that was given up is not looked at.
    fn end(
        &mut self,
        id: u64,
        exit_code: i32,
        output: String,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let Phase::Probing { id: current, began } = self.phase else {
            return;
        };
        if id != current {
            return;
        }
        self.keep(began.wall, now.wall, exit_code, output);
        if exit_code == 0 {
            self.has_passed = true;
            self.failing_streak = 0;
            self.verdict(Health::Healthy, actions);
            self.tick = now.monotonic + self.pace(now.monotonic);
        } else if began.monotonic >= self.tick {
            self.fail(began.monotonic, actions);
            self.tick = now.monotonic + self.pace(now.monotonic);
        }
        let took = now.monotonic.saturating_sub(began.monotonic);
        self.wait(now.monotonic, took, actions);
    }

    /// A failure that Docker would have seen.
    fn fail(&mut self, began: Duration, actions: &mut Vec<Action>) {
        if self.health == Health::Starting && self.is_in_start_period(began) {
            return;
        }
        self.failing_streak = self.failing_streak.saturating_add(1);
        if self.failing_streak >= self.probe.retries.max(1) {
            self.verdict(Health::Unhealthy, actions);
        }
    }

    fn wait(&mut self, ended: Duration, took: Duration, actions: &mut Vec<Action>) {
        let is_waited_for = !self.has_passed && self.health == Health::Starting;
        let until = if is_waited_for {
            let pause = (ended.saturating_sub(self.started) / 8).clamp(PAUSE_MIN, PAUSE_MAX);
            let shortest = ended + PAUSE_MIN.min(self.pace(ended));
            (ended + pause.max(took)).min(self.tick).max(shortest)
        } else {
            self.tick
        };
        self.wait_until(until, actions);
    }

    fn wait_until(&mut self, until: Duration, actions: &mut Vec<Action>) {
        self.phase = Phase::Waiting { until };
        actions.push(Action::WakeAt(until));
    }

    /// Docker's pause after a probe that ended then.
    fn pace(&self, at: Duration) -> Duration {
        if self.health == Health::Starting && self.is_in_start_period(at) {
            self.probe.start_interval.unwrap_or(START_INTERVAL_DEFAULT)
        } else {
            self.probe.interval
        }
    }

    fn is_in_start_period(&self, at: Duration) -> bool {
        at.saturating_sub(self.started) < self.probe.start_period
    }

    fn leave(&mut self, phase: Phase, actions: &mut Vec<Action>) {
        if let Phase::Probing { id, .. } = self.phase {
            actions.push(Action::Abort { id });
        }
        self.phase = phase;
    }

    fn verdict(&mut self, health: Health, actions: &mut Vec<Action>) {
        if self.health != health {
            self.health = health;
            actions.push(Action::Changed(health));
        }
    }

    fn keep(
        &mut self,
        started_at: Timestamp,
        ended_at: Timestamp,
        exit_code: i32,
        mut output: String,
    ) {
        let mut end = output.len().min(OUTPUT_BYTES_MAX);
        while !output.is_char_boundary(end) {
            end -= 1;
        }
        output.truncate(end);
        if self.log.len() >= RESULTS_MAX {
            self.log.remove(0);
        }
        self.log.push(ProbeResult {
            started_at,
            ended_at,
            exit_code,
            output,
        });
    }
}

/// A duration as Docker's messages print it: `1m30s`, `500ms`, `1.5s`.
fn go_duration(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    if seconds == 0 {
        return format!("{millis}ms");
    }
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = if millis == 0 {
        String::new()
    } else {
        format!(".{millis:03}").trim_end_matches('0').to_owned()
    };
    match (hours, minutes) {
        (0, 0) => format!("{rest}{fraction}s"),
        (0, _) => format!("{minutes}m{rest}{fraction}s"),
        (_, _) => format!("{hours}h{minutes}m{rest}{fraction}s"),
    }
}

#[cfg(test)]
mod tests;
