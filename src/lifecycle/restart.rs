//! Restart policies: whether a container that ended starts again, and when.
//!
//! Docker's rules: the pause is 100 ms, doubles with each restart up to a
//! minute, and begins anew after a run of ten seconds. A stop by the user ends
//! it, a start by the user begins it anew; that is the container machine's to
//! say, not this one's.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Outcome, RestartPolicy};

/// The first pause.
pub const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A run of this length makes the next pause the first one again.
pub const STEADY_RUN: Duration = Duration::from_secs(10);

/// Restarts since the user's last start. Kept as a volatile record, so that a
/// crash loop stays one when a supervisor is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Backoff {
    /// How many restarts there were.
    pub restarts: u32,
    /// The pause before the last one.
    pub pause: Option<Duration>,
}

impl Backoff {
    /// The pause before the next start, or None when the policy wants none.
    pub fn after_exit(
        &mut self,
        policy: RestartPolicy,
        outcome: Outcome,
        ran_for: Duration,
    ) -> Option<Duration> {
        let wanted = match policy {
            RestartPolicy::No => false,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
            RestartPolicy::OnFailure { max } => {
                !outcome.is_success() && max.is_none_or(|max| self.restarts < max.get())
            }
        };
        if !wanted {
            return None;
        }
        let last = self.pause.filter(|_| ran_for < STEADY_RUN);
        let pause = last.map_or(PAUSE_MIN, |last| (last * 2).min(PAUSE_MAX));
        self.pause = Some(pause);
        self.restarts = self.restarts.saturating_add(1);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn pauses(policy: RestartPolicy, outcome: Outcome, runs: &[u64]) -> Vec<Option<u128>> {
        let mut backoff = Backoff::default();
        let run =
            |&seconds: &u64| backoff.after_exit(policy, outcome, Duration::from_secs(seconds));
        runs.iter()
            .map(run)
            .map(|pause| pause.map(|pause| pause.as_millis()))
            .collect()
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let seen = pauses(RestartPolicy::Always, Outcome::Code(0), &[0; 12]);
        let expected = [
            100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000,
        ];
        assert_eq!(seen, expected.map(Some));
    }

    #[test]
    fn a_steady_run_begins_the_pauses_anew() {
        let seen = pauses(
            RestartPolicy::UnlessStopped,
            Outcome::Code(1),
            &[0, 0, 9, 10, 0],
        );
        assert_eq!(seen, [100, 200, 400, 100, 200].map(Some));
    }

    #[test]
    fn on_failure_leaves_success_alone_and_counts() {
        let policy = |max| RestartPolicy::OnFailure {
            max: NonZeroU32::new(max),
        };
        assert_eq!(pauses(policy(0), Outcome::Code(0), &[0]), [None]);
        assert_eq!(
            pauses(policy(0), Outcome::Signal(9), &[0, 0]),
            [Some(100), Some(200)]
        );
        assert_eq!(
            pauses(policy(2), Outcome::Code(3), &[0, 0, 0]),
            [Some(100), Some(200), None]
        );
        // A steady run doesn't give new tries.
        assert_eq!(
            pauses(policy(2), Outcome::Code(3), &[60, 60, 60]),
            [Some(100), Some(100), None]
        );
        // What nobody saw is never taken for success.
        assert_eq!(pauses(policy(0), Outcome::Unknown, &[0]), [Some(100)]);
    }

    #[test]
    fn without_a_policy_nothing_restarts() {
        assert_eq!(pauses(RestartPolicy::No, Outcome::Code(1), &[0]), [None]);
    }
}
