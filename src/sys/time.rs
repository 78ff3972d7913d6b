//! The clocks: of the wall, and since boot.

use std::time::Duration;

use jiff::Timestamp;

/// What the clock on the wall says.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Nanoseconds since 1970 by the wall's clock; cheap enough for each log line.
#[must_use]
pub fn unix_nanoseconds() -> u64 {
    nanoseconds(libc::CLOCK_REALTIME)
}

/// Time since boot, sleep included: for deadlines that mean real time, and
/// comparable between processes.
#[must_use]
pub fn since_boot() -> Duration {
    Duration::from_nanos(nanoseconds(libc::CLOCK_BOOTTIME))
}

fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec that lives across the call. It
    // can't fail: both clocks exist on every kernel we run on.
    let _ = unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_agree_with_the_standard_library() {
        let wall = i128::from(unix_nanoseconds());
        assert!((now().as_nanosecond() - wall).abs() < 1_000_000_000);
        let before = since_boot();
        assert!(before > Duration::ZERO && since_boot() >= before);
    }
}
