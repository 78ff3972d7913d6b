//! When the next supervisor is started after one died. Pure: time comes in.
//!
//! ```text
//!   lives ──death──▶ wait 50 ms, doubling to 5 s ──▶ start
//!     │
//!     └──5th death in a minute──▶ wait for a client, answer it ──▶ start
//! ```

use std::collections::VecDeque;
use std::time::Duration;

/// The time over which deaths are counted.
const WINDOW: Duration = Duration::from_secs(60);
/// Deaths in it that make a storm.
const STORM: usize = 5;
const DELAY_FIRST: Duration = Duration::from_millis(50);
const DELAY_MAX: Duration = Duration::from_secs(5);

/// What happens after a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The next supervisor is started at this time.
    StartAt(Duration),
    /// The next client is told why there is none, and then one is started.
    AwaitClient,
}

/// The deaths that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Succession {
    /// Time and reason, the newest last, at most [`STORM`].
    deaths: VecDeque<(Duration, String)>,
}

impl Succession {
    /// A supervisor died at this time of this.
    pub(crate) fn died(&mut self, now: Duration, reason: String) -> Next {
        self.deaths.push_back((now, reason));
        while self.deaths.len() > STORM {
            self.deaths.pop_front();
        }
        let recent = self
            .deaths
            .iter()
            .filter(|(at, _)| now.saturating_sub(*at) < WINDOW)
            .count();
        if recent >= STORM {
            return Next::AwaitClient;
        }
        let doublings = u32::try_from(recent.saturating_sub(1)).unwrap_or(u32::MAX);
        let factor = 2u32.saturating_pow(doublings);
        Next::StartAt(now + DELAY_FIRST.saturating_mul(factor).min(DELAY_MAX))
    }

    /// Why they died, the newest last.
    pub(crate) fn reasons(&self) -> Vec<String> {
        self.deaths
            .iter()
            .map(|(_, reason)| reason.clone())
            .collect()
    }

    /// Why the last one died.
    pub(crate) fn last(&self) -> Option<&str> {
        self.deaths.back().map(|(_, reason)| reason.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_storm_ends_in_waiting_for_a_client() {
        let mut succession = Succession::default();
        let now = seconds(100);
        let delays = [50, 100, 200, 400].map(Duration::from_millis);
        for delay in delays {
            assert_eq!(succession.died(now, "x".into()), Next::StartAt(now + delay));
        }
        assert_eq!(succession.died(now, "last".into()), Next::AwaitClient);
        assert_eq!(
            succession.died(now + seconds(1), "y".into()),
            Next::AwaitClient
        );
        assert_eq!(succession.reasons().len(), STORM);
        assert_eq!(succession.last(), Some("y"));
    }

    #[test]
    fn old_deaths_are_forgiven() {
        let mut succession = Succession::default();
        for round in 0..20 {
            let now = seconds(round * 61);
            let next = succession.died(now, String::new());
            assert_eq!(next, Next::StartAt(now + DELAY_FIRST));
        }
    }
}
