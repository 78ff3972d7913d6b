//! When the log writer lets output gather before it reads on. Pure: time comes
//! in.
//!
//! A program that writes line by line wakes its reader at every line, which
//! costs both more than the line does. So after a small batch that followed
//! another one closely the writer pauses: the pipe, which holds far more than
//! comes meanwhile, gathers what the next batch takes. A line that comes alone
//! is read at once.

use std::time::Duration;

/// How long output gathers.
pub(crate) const PAUSE: Duration = Duration::from_micros(250);
/// Time between two batches up to which they belong to one flow.
const FLOW: Duration = Duration::from_millis(1);
/// A batch that is worth its reading: at a rate that brings more than this in
/// a pause, a pause would fill the pipe (64 KiB) and hold the program up.
const LARGE_BYTES: usize = 32 << 10;

/// The flow of output so far.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When the last batch was written.
    last: Option<Duration>,
}

impl Pace {
    /// Whether to pause before the next batch, when `count` bytes were read
    /// and written by `now`.
    pub(crate) fn wants_pause(&mut self, count: usize, now: Duration) -> bool {
        if count == 0 {
            return false;
        }
        let last = self.last.replace(now);
        let is_flow = last.is_some_and(|last| now.saturating_sub(last) < FLOW);
        is_flow && count < LARGE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    #[test]
    fn a_line_alone_is_read_at_once() {
        let mut pace = Pace::default();
        for second in 0..5 {
            assert!(!pace.wants_pause(100, Duration::from_secs(second)));
        }
    }

    #[test]
    fn small_batches_of_a_flow_gather() {
        let mut pace = Pace::default();
        assert!(!pace.wants_pause(100, micros(1_000)));
        assert!(pace.wants_pause(100, micros(1_020)));
        // A pause and the batch after it are the same flow still.
        assert!(pace.wants_pause(20_000, micros(1_020) + PAUSE + micros(30)));
        assert!(!pace.wants_pause(100, micros(9_000)));
    }

    #[test]
    fn large_batches_follow_each_other_at_once() {
        let mut pace = Pace::default();
        for batch in 0..5 {
            assert!(!pace.wants_pause(LARGE_BYTES, micros(batch * 50)));
        }
    }

    #[test]
    fn other_events_are_no_flow() {
        let mut pace = Pace::default();
        assert!(!pace.wants_pause(100, micros(0)));
        assert!(!pace.wants_pause(0, micros(10)));
    }
}
