//! Use of the machine as rows of `stats`.

use std::time::Duration;

use serde::Serialize;

use crate::view::units::{binary_size, short_size};

/// What a container used, as counted at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sample {
    /// CPU time since its start.
    pub cpu: Duration,
    /// Memory.
    pub memory_bytes: u64,
    /// What it may use at most.
    pub memory_limit_bytes: u64,
    /// Bytes received and sent.
    pub network_bytes: (u64, u64),
    /// Bytes read and written.
    pub block_bytes: (u64, u64),
    /// Processes.
    pub processes: u64,
}

/// A container in docker's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Row {
    /// Bytes read and written.
    #[serde(rename = "BlockIO")]
    pub block_io: String,
    /// Share of one CPU.
    #[serde(rename = "CPUPerc")]
    pub cpu_percent: String,
    /// Its id, as it was asked for.
    pub container: String,
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Share of the memory.
    #[serde(rename = "MemPerc")]
    pub memory_percent: String,
    /// Memory and its limit.
    #[serde(rename = "MemUsage")]
    pub memory_usage: String,
    /// Its name.
    pub name: String,
    /// Bytes received and sent.
    #[serde(rename = "NetIO")]
    pub network_io: String,
    /// Processes.
    #[serde(rename = "PIDs")]
    pub processes: String,
}

/// A container's row, from two samples this far apart; `--` for one that
/// doesn't run.
#[must_use]
pub fn row(id: &str, name: &str, samples: Option<(&Sample, &Sample)>, apart: Duration) -> Row {
    let pair = |(one, other): (u64, u64)| format!("{} / {}", short_size(one), short_size(other));
    let none = || "--".to_owned();
    let last = samples.map(|(_, last)| last);
    Row {
        block_io: last.map_or_else(none, |last| pair(last.block_bytes)),
        cpu_percent: samples.map_or_else(none, |(first, last)| {
            percent(
                last.cpu.saturating_sub(first.cpu).as_secs_f64(),
                apart.as_secs_f64(),
            )
        }),
        container: id.to_owned(),
        id: id.to_owned(),
        memory_percent: last.map_or_else(none, |last| {
            percent(
                as_float(last.memory_bytes),
                as_float(last.memory_limit_bytes),
            )
        }),
        memory_usage: last.map_or_else(
            || "-- / --".to_owned(),
            |last| {
                format!(
                    "{} / {}",
                    binary_size(last.memory_bytes),
                    binary_size(last.memory_limit_bytes)
                )
            },
        ),
        name: name.to_owned(),
        network_io: last.map_or_else(none, |last| pair(last.network_bytes)),
        processes: last.map_or_else(none, |last| last.processes.to_string()),
    }
}

fn percent(part: f64, whole: f64) -> String {
    let share = if whole > 0.0 {
        part / whole * 100.0
    } else {
        0.0
    };
    format!("{share:.2}%")
}

#[expect(
    clippy::cast_precision_loss,
    reason = "two decimals of a percentage are shown"
)]
fn as_float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_in_docker_s_shape() {
        let first = Sample::default();
        let last = Sample {
            cpu: Duration::from_millis(250),
            memory_bytes: 3 << 20,
            memory_limit_bytes: 1 << 30,
            network_bytes: (1500, 0),
            block_bytes: (0, 4096),
            processes: 3,
        };
        let row = row(
            "abc",
            "shop-web-1",
            Some((&first, &last)),
            Duration::from_millis(500),
        );
        assert_eq!(
            serde_json::to_string(&row).unwrap(),
            concat!(
                r#"{"BlockIO":"0B / 4.1kB","CPUPerc":"50.00%","Container":"abc","ID":"abc","MemPerc":"0.29%","#,
                r#""MemUsage":"3MiB / 1GiB","Name":"shop-web-1","NetIO":"1.5kB / 0B","PIDs":"3"}"#
            )
        );
    }

    #[test]
    fn one_that_does_not_run_has_dashes() {
        let row = row("abc", "shop-web-1", None, Duration::from_secs(1));
        assert_eq!(
            (row.cpu_percent.as_str(), row.memory_usage.as_str()),
            ("--", "-- / --")
        );
    }

    #[test]
    fn no_time_is_no_division() {
        let sample = Sample::default();
        let row = row("a", "b", Some((&sample, &sample)), Duration::ZERO);
        assert_eq!(
            (row.cpu_percent.as_str(), row.memory_percent.as_str()),
            ("0.00%", "0.00%")
        );
    }
}
