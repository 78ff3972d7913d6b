//! Health probes as declared, resolved and observed.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `healthcheck` as the Compose file has it; absent parts come from the image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HealthSetting {
    /// True for `disable: true` and `test: NONE`: the image's probe is dropped too.
    pub disabled: bool,
    /// The command; the image's when absent.
    pub test: Option<ProbeCommand>,
    /// Pause between probes.
    pub interval: Option<Duration>,
    /// Time a probe may take.
    pub timeout: Option<Duration>,
    /// Time in which failures don't count.
    pub start_period: Option<Duration>,
    /// Pause between probes while starting, inside the start period.
    pub start_interval: Option<Duration>,
    /// Failures in a row that make it unhealthy.
    pub retries: Option<u32>,
}

/// A probe with every value settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthProbe {
    /// What to run in the container.
    pub command: ProbeCommand,
    /// Pause between probes; Docker's default is 30 s.
    pub interval: Duration,
    /// Time a probe may take; default 30 s.
    pub timeout: Duration,
    /// Time in which failures don't count; default 0.
    pub start_period: Duration,
    /// Pause between probes inside the start period, when the user set one.
    pub start_interval: Option<Duration>,
    /// Failures in a row that make it unhealthy; default 3.
    pub retries: u32,
}

/// The command of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeCommand {
    /// `CMD-SHELL`: run by the image's shell.
    Shell(String),
    /// `CMD`: run as it is.
    Exec(Vec<String>),
}

/// The verdict over a container's probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// No verdict yet.
    Starting,
    /// The last probe passed.
    Healthy,
    /// `retries` probes in a row failed.
    Unhealthy,
}

impl Health {
    /// Docker's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// The verdict with what led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probing {
    /// The verdict.
    pub health: Health,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last results, oldest first; at most five.
    pub log: Vec<ProbeResult>,
}

/// One probe's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Its exit code; -1 when it took too long or could not be run.
    pub exit_code: i32,
    /// What it printed, at most 4096 bytes.
    pub output: String,
}
