//! Sizes and spans of time in docker's words.

use std::time::Duration;

/// A size in decimal units with up to four digits, as in `1.234GB`.
#[must_use]
pub fn human_size(bytes: u64) -> String {
    scaled(bytes, 1000, &DECIMAL, 4)
}

/// A size in decimal units with up to three digits, as in `72.8MB`.
#[must_use]
pub fn short_size(bytes: u64) -> String {
    scaled(bytes, 1000, &DECIMAL, 3)
}

/// A size in binary units, as in `7.656GiB`.
#[must_use]
pub fn binary_size(bytes: u64) -> String {
    scaled(bytes, 1024, &BINARY, 4)
}

const DECIMAL: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
const BINARY: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// `%.Ng` of Go for the numbers that come here: N significant digits, no
/// trailing zeros.
#[expect(
    clippy::cast_precision_loss,
    reason = "four digits are shown, a double has fifteen"
)]
fn scaled(bytes: u64, base: u64, names: &[&str; 7], digits: usize) -> String {
    let mut value = bytes as f64;
    let mut names = names.iter();
    let mut name = names.next().copied().unwrap_or_default();
    while value >= base as f64 {
        let Some(next) = names.next() else { break };
        value /= base as f64;
        name = next;
    }
    let whole = format!("{value:.0}").len();
    let decimals = digits.saturating_sub(whole);
    let mut text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    format!("{text}{name}")
}

/// A span of time in docker's rough words, as in `About an hour`.
#[must_use]
pub fn human_duration(span: Duration) -> String {
    let seconds = span.as_secs();
    let minutes = seconds / 60;
    // docker rounds hours to the nearest and cuts everything else.
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_few_digits() {
        assert_eq!(human_size(0), "0B");
        assert_eq!(human_size(999), "999B");
        assert_eq!(human_size(1000), "1kB");
        assert_eq!(human_size(1_234_567), "1.235MB");
        assert_eq!(short_size(72_812_345), "72.8MB");
        assert_eq!(short_size(4_210_000), "4.21MB");
        assert_eq!(human_size(u64::MAX), "18.45EB");
        assert_eq!(binary_size(8_220_500_000), "7.656GiB");
    }

    #[test]
    fn spans_are_rough() {
        let cases = [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (46 * 60, "46 minutes"),
            (3600, "About an hour"),
            (2 * 3600, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (15 * 86400, "2 weeks"),
            (70 * 86400, "2 months"),
            (800 * 86400, "2 years"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human_duration(Duration::from_secs(seconds)), text);
        }
    }
}
