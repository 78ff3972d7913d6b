//! When a request is tried again, and after what time.
//!
//! Pure: what happened and how often comes in, the wait goes out. Randomness
//! isn't needed: one command talks to a registry at a time.

use std::time::Duration;

/// Most tries of one request.
const TRIES_MAX: u32 = 5;
/// Most tries of a host that can't be reached at all.
const KNOCKS_MAX: u32 = 2;
/// The wait before the second try; it doubles from then on.
const WAIT_MIN: Duration = Duration::from_millis(250);
/// The longest wait that we choose ourselves.
const WAIT_MAX: Duration = Duration::from_secs(8);
/// The longest wait that a registry may ask for; more is an error that says so.
const ASKED_WAIT_MAX: Duration = Duration::from_secs(60);

/// What went wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The connection broke, or nothing came for too long.
    Broken,
    /// There was no connection: no such host, or nobody there.
    Unreachable,
    /// The registry answered with this status, and asked for this wait.
    Status(u16, Option<Duration>),
}

/// How long to wait before the try after number `tries` (from 1); None when
/// it is of no use to try again. `unit` is the shortest wait.
pub(super) fn wait(trouble: Trouble, tries: u32, unit: Duration) -> Option<Duration> {
    let tries_max = match trouble {
        Trouble::Unreachable => KNOCKS_MAX,
        Trouble::Broken | Trouble::Status(..) => TRIES_MAX,
    };
    if tries >= tries_max {
        return None;
    }
    let doubled = unit.saturating_mul(1 << tries.saturating_sub(1).min(16));
    let ours = doubled.min(WAIT_MAX.max(unit));
    match trouble {
        Trouble::Broken
        | Trouble::Unreachable
        | Trouble::Status(408 | 425 | 429 | 500 | 502..=504, None) => Some(ours),
        Trouble::Status(408 | 425 | 429 | 500 | 502..=504, Some(asked)) => {
            (asked <= ASKED_WAIT_MAX).then_some(asked.max(ours))
        }
        Trouble::Status(..) => None,
    }
}

/// The default of `wait`'s unit.
pub(super) const UNIT: Duration = WAIT_MIN;

/// Reads `Retry-After`, in its form of seconds or as a date; `now` is for
/// the second.
pub(super) fn retry_after(value: &str, now: jiff::Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(Duration::from_secs(u64::from(seconds)));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn waits_double_up_to_a_limit_and_end() {
        let waits: Vec<_> = (1..=6)
            .map(|tries| wait(Trouble::Broken, tries, UNIT))
            .collect();
        let ms = |n| Some(MS * n);
        assert_eq!(waits, [ms(250), ms(500), ms(1000), ms(2000), None, None]);
        assert_eq!(
            wait(Trouble::Broken, 4, Duration::from_secs(3)),
            Some(WAIT_MAX)
        );
    }

    #[test]
    fn nobody_is_knocked_up_for_long() {
        assert_eq!(wait(Trouble::Unreachable, 1, UNIT), Some(UNIT));
        assert_eq!(wait(Trouble::Unreachable, 2, UNIT), None);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(
                wait(Trouble::Status(status, None), 1, UNIT).is_some(),
                "{status}"
            );
        }
        for status in [400, 401, 403, 404, 405, 416, 501, 505] {
            assert!(
                wait(Trouble::Status(status, None), 1, UNIT).is_none(),
                "{status}"
            );
        }
    }

    #[test]
    fn a_registry_says_how_long_but_not_for_ever() {
        let asked = |seconds| Trouble::Status(429, Some(Duration::from_secs(seconds)));
        assert_eq!(wait(asked(7), 1, UNIT), Some(Duration::from_secs(7)));
        assert_eq!(wait(asked(0), 1, UNIT), Some(UNIT));
        assert_eq!(wait(asked(3600), 1, UNIT), None);
    }

    #[test]
    fn both_forms_of_retry_after_are_read() {
        let now: jiff::Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        assert_eq!(retry_after("5", now), Some(Duration::from_secs(5)));
        let date = "Fri, 02 Jan 2026 03:04:25 GMT";
        assert_eq!(retry_after(date, now), Some(Duration::from_secs(20)));
        let past = "Fri, 02 Jan 2026 03:00:00 GMT";
        assert_eq!(retry_after(past, now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-1", now), None);
    }
}
