//! Observed state in docker's shapes: what `ps`, `ls`, `events` and later an
//! API show, as values.
//!
//! Pure: the moment and the time zone come in, strings and serialisable rows
//! go out. Columns, colours and templates are the surface's.

pub mod container;
pub mod event;
pub mod filter;
pub mod harness;
pub mod inspect;
pub mod ports;
pub mod project;
pub mod resource;
pub mod stats;
pub mod status;
#[cfg(test)]
pub(crate) mod testing;
pub mod units;

use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// When and where something is looked at.
#[derive(Debug, Clone)]
pub struct Moment {
    /// When.
    pub now: Timestamp,
    /// In which time zone times of day are told.
    pub zone: TimeZone,
}

impl Moment {
    /// How long ago a time was; nothing for the future.
    #[must_use]
    pub fn since(&self, then: Timestamp) -> Duration {
        Duration::try_from(self.now.duration_since(then)).unwrap_or_default()
    }

    /// A span up to this moment in docker's words, without "ago".
    #[must_use]
    pub fn age(&self, then: Timestamp) -> String {
        units::human_duration(self.since(then))
    }

    /// A time as Go prints it, as in `2026-11-22 10:00:00 +0000 UTC`.
    #[must_use]
    pub fn go_time(&self, time: Timestamp) -> String {
        time.to_zoned(self.zone.clone())
            .strftime("%Y-%m-%d %H:%M:%S %z %Z")
            .to_string()
    }
}

/// Labels as docker prints them: `k=v`, by key, joined by commas.
#[must_use]
pub fn labels_text(labels: &IndexMap<String, String>) -> String {
    let mut pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.sort();
    pairs.join(",")
}

/// Cuts a text to a number of characters, the last one being an ellipsis.
#[must_use]
pub fn ellipsis(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(length.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted() {
        let labels = [("b", "2"), ("a", "1=1")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into_iter()
            .collect();
        assert_eq!(labels_text(&labels), "a=1=1,b=2");
    }

    #[test]
    fn an_ellipsis_counts() {
        assert_eq!(ellipsis("docker-entrypoint.sh", 20), "docker-entrypoint.sh");
        assert_eq!(
            ellipsis("docker-entrypoint.sh x", 20),
            "docker-entrypoint.s…"
        );
        assert_eq!(ellipsis("ünïcödé", 4), "ünï…");
    }

    #[test]
    fn times_are_go_s() {
        let moment = Moment {
            now: "2026-11-22T10:00:00Z".parse().unwrap(),
            zone: TimeZone::UTC,
        };
        let then = "2026-11-22T09:59:57.5Z".parse().unwrap();
        assert_eq!(moment.go_time(then), "2026-11-22 09:59:57 +0000 UTC");
        assert_eq!(moment.age(then), "2 seconds");
        let later = "2026-11-22T11:00:00Z".parse().unwrap();
        assert_eq!(moment.since(later), Duration::ZERO);
    }
}
