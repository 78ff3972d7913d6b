//! Byte sizes and durations as people write them and as Go prints them.

use std::time::Duration;

/// `1.5g`, `64m`, `10kb`, `7` … in powers of 1024; None when it is no size.
pub(crate) fn parse_bytes(text: &str) -> Option<i64> {
    let text = text.trim();
    if text == "-1" {
        return Some(-1);
    }
    // The unit is what follows the last digit: `1e3` is a number.
    let last = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')?;
    let (number, unit) = text.split_at(last + 1);
    let number: f64 = number.trim_end().parse().ok()?;
    if number.is_sign_negative() {
        return None;
    }
    let unit = unit.to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let unit = unit.strip_suffix('i').unwrap_or(unit);
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let bytes = number * 1024_f64.powi(power);
    #[expect(clippy::cast_precision_loss, reason = "only a bound")]
    let most = i64::MAX as f64;
    if !bytes.is_finite() || bytes >= most {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bounded above, and cut as Go cuts it"
    )]
    Some(bytes as i64)
}

/// Why a text is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DurationFault<'a> {
    /// It doesn't look like one, or is too long.
    Invalid,
    /// A number stands without its unit.
    MissingUnit,
    /// What stands where a unit should.
    UnknownUnit(&'a str),
}

impl DurationFault<'_> {
    /// The reference's words about a text.
    pub(crate) fn in_words(self, text: &str) -> String {
        match self {
            Self::Invalid => format!("time: invalid duration {text:?}"),
            Self::MissingUnit => format!("time: missing unit in duration {text:?}"),
            Self::UnknownUnit(unit) => format!("time: unknown unit {unit:?} in duration {text:?}"),
        }
    }
}

/// `1m30s`, `1.5h`, `2d`, `1w` … in nanoseconds.
///
/// # Errors
/// Why it is no duration.
pub(crate) fn parse_duration(text: &str) -> Result<i64, DurationFault<'_>> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(DurationFault::Invalid);
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        if !number.contains(|c: char| c.is_ascii_digit()) || number.matches('.').count() > 1 {
            return Err(DurationFault::Invalid);
        }
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let scale = match unit {
            "" => return Err(DurationFault::MissingUnit),
            unit => scale(unit).ok_or(DurationFault::UnknownUnit(unit))?,
        };
        total = nanoseconds(number, scale)
            .and_then(|part| total.checked_add(part))
            .ok_or(DurationFault::Invalid)?;
        rest = after;
    }
    let total = if negative { -total } else { total };
    i64::try_from(total).map_err(|_| DurationFault::Invalid)
}

/// Nanoseconds of a unit.
fn scale(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        "d" => 86_400 * 1_000_000_000,
        "w" => 604_800 * 1_000_000_000,
        _ => return None,
    })
}

fn nanoseconds(number: &str, scale: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() > 18 {
        return None;
    }
    let whole: i128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut part = 0;
    let mut unit = scale;
    for digit in fraction.chars().take(18) {
        unit /= 10;
        part += i128::from(digit.to_digit(10)?) * unit;
    }
    whole.checked_mul(scale)?.checked_add(part)
}

/// A duration as Go prints it: `1h0m5s`, `1.5s`, `250ms`, `0s`.
pub(crate) fn print_duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let total = nanoseconds.unsigned_abs();
    if total == 0 {
        return "0s".to_owned();
    }
    if total < 1_000_000_000 {
        let (unit, scale) = match total {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", decimal(total, scale));
    }
    let seconds = total / 1_000_000_000;
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let rest = total - (hours * 3_600 + minutes * 60) * 1_000_000_000;
    let rest = decimal(rest, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{rest}s"),
        (0, _) => format!("{sign}{minutes}m{rest}s"),
        _ => format!("{sign}{hours}h{minutes}m{rest}s"),
    }
}

fn decimal(value: u64, scale: u64) -> String {
    let (whole, part) = (value / scale, value % scale);
    if part == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    let digits = format!("{part:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

/// A printed duration as a value; None when it is negative or no duration.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let nanoseconds = u64::try_from(parse_duration(text).ok()?).ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        let cases = [
            ("7", 7),
            ("1k", 1024),
            ("1kb", 1024),
            ("1KiB", 1024),
            ("1.5g", 1_610_612_736),
            ("64M", 67_108_864),
            ("300 m", 314_572_800),
            ("-1", -1),
            ("0", 0),
            ("2gb", 2_147_483_648),
            ("1e3", 1_000),
            ("1.5e1k", 15_360),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "x", "1x", "-5", "1..2", "9e99p", "99999999999999p"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn durations_print_as_go_prints_them() {
        let cases = [
            ("10s", "10s"),
            ("1m30s", "1m30s"),
            ("90s", "1m30s"),
            ("1h", "1h0m0s"),
            ("1.5s", "1.5s"),
            ("0", "0s"),
            ("0s", "0s"),
            ("250ms", "250ms"),
            ("1d", "24h0m0s"),
            ("1w", "168h0m0s"),
            ("1us", "1µs"),
            ("1500us", "1.5ms"),
            ("1h5m30s20ms", "1h5m30.02s"),
            ("-5s", "-5s"),
            ("3ns", "3ns"),
        ];
        for (text, printed) in cases {
            assert_eq!(
                parse_duration(text).map(print_duration).as_deref(),
                Ok(printed),
                "{text}"
            );
        }
        let faults = [
            ("", "time: invalid duration \"\""),
            ("s", "time: invalid duration \"s\""),
            ("-", "time: invalid duration \"-\""),
            (".", "time: invalid duration \".\""),
            ("10", "time: missing unit in duration \"10\""),
            ("1x", "time: unknown unit \"x\" in duration \"1x\""),
            ("10 s", "time: unknown unit \" s\" in duration \"10 s\""),
        ];
        for (text, words) in faults {
            let fault = parse_duration(text).expect_err(text);
            assert_eq!(fault.in_words(text), words);
        }
    }

    proptest! {
        #[test]
        fn a_printed_duration_reads_back(nanoseconds in any::<i64>()) {
            prop_assume!(nanoseconds != i64::MIN);
            let text = print_duration(nanoseconds);
            prop_assert_eq!(parse_duration(&text), Ok(nanoseconds));
        }

        #[test]
        fn no_text_panics(text in "[0-9.a-zµ -]{0,24}") {
            let _ = parse_duration(&text);
            let _ = parse_bytes(&text);
        }
    }
}
