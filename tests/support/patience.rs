//! How long a test waits for what has to come.

use std::time::Duration;

/// A limit on this machine. `RCOMPOSE_TEST_PATIENCE` says how many times more
/// an emulated or crowded one takes.
pub(crate) fn patient(limit: Duration) -> Duration {
    let factor = std::env::var("RCOMPOSE_TEST_PATIENCE")
        .ok()
        .and_then(|text| text.parse().ok());
    limit * factor.unwrap_or(1)
}
