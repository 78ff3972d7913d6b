//! Go's typing of YAML scalars (yaml.v3, YAML 1.2 with leftovers of 1.1).
//!
//! Knows which plain text is a number, a boolean, nothing or a date, and how
//! Go prints such values when text is wanted. Knows nothing of Compose.

use crate::compose::node::Value;

/// Types a plain scalar.
pub(crate) fn resolve(text: &str) -> Value {
    let Some(first) = text.bytes().next() else {
        return Value::Null;
    };
    match first {
        b'~' | b'n' | b'N' if matches!(text, "~" | "null" | "Null" | "NULL") => Value::Null,
        b't' | b'T' if matches!(text, "true" | "True" | "TRUE") => Value::Bool(true),
        b'f' | b'F' if matches!(text, "false" | "False" | "FALSE") => Value::Bool(false),
        b'.' | b'+' | b'-' | b'0'..=b'9' => number_or_date(text),
        _ => Value::Text(text.to_owned()),
    }
}

/// Types a scalar whose tag says what it is; None when it can't be that.
pub(crate) fn resolve_tagged(tag: &str, text: &str) -> Option<Value> {
    match tag {
        "str" => Some(Value::Text(text.to_owned())),
        "null" => Some(Value::Null),
        "bool" => match text {
            "true" | "True" | "TRUE" => Some(Value::Bool(true)),
            "false" | "False" | "FALSE" => Some(Value::Bool(false)),
            _ => None,
        },
        "int" => integer(text),
        "float" => float(text).or_else(|| match integer(text)? {
            Value::Int(number) => Some(Value::Float(number_as_float(number))),
            _ => None,
        }),
        _ => Some(Value::Text(text.to_owned())),
    }
}

/// An integer as Go reads it with base 0: decimal, `0x`, `0o`, `0b` and a
/// leading `0` for octal; underscores don't count.
pub(crate) fn integer(text: &str) -> Option<Value> {
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, plain.get(1..)?),
        b'+' => (false, plain.get(1..)?),
        _ => (false, plain.as_str()),
    };
    let (radix, digits) = radix_of(digits);
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        let number = i128::from(magnitude).checked_neg()?;
        return i64::try_from(number).ok().map(Value::Int);
    }
    Some(i64::try_from(magnitude).map_or(Value::Unsigned(magnitude), Value::Int))
}

fn radix_of(digits: &str) -> (u32, &str) {
    let lower = digits.get(..2).map(str::to_ascii_lowercase);
    match lower.as_deref() {
        Some("0x") => (16, digits.get(2..).unwrap_or("")),
        Some("0o") => (8, digits.get(2..).unwrap_or("")),
        Some("0b") => (2, digits.get(2..).unwrap_or("")),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, digits.get(1..).unwrap_or("")),
        _ => (10, digits),
    }
}

fn number_or_date(text: &str) -> Value {
    if let Some(date) = date(text) {
        return Value::Time(date);
    }
    if let Some(number) = integer(text).or_else(|| float(text)) {
        return number;
    }
    Value::Text(text.to_owned())
}

fn float(text: &str) -> Option<Value> {
    match text {
        ".nan" | ".NaN" | ".NAN" => return Some(Value::Float(f64::NAN)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Some(Value::Float(f64::INFINITY));
        }
        "-.inf" | "-.Inf" | "-.INF" => return Some(Value::Float(f64::NEG_INFINITY)),
        _ => {}
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    if !looks_like_float(&plain) {
        return None;
    }
    plain.parse().ok().map(Value::Float)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn looks_like_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (
            unsigned.get(..at).unwrap_or(""),
            unsigned.get(at + 1..).map(Some).unwrap_or(None),
        ),
        None => (unsigned, None),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let is_mantissa = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && digits(fraction),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let is_exponent = exponent.is_none_or(|part| {
        let part = part.strip_prefix(['-', '+']).unwrap_or(part);
        !part.is_empty() && digits(part)
    });
    is_mantissa && is_exponent
}

/// The forms of yaml.v3's timestamps, printed as Go prints a time in UTC or
/// with the offset that was written.
fn date(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if bytes.len() < 8
        || !bytes.get(..4)?.iter().all(u8::is_ascii_digit)
        || bytes.get(4) != Some(&b'-')
    {
        return None;
    }
    let mut rest = text;
    let year = take_number(&mut rest, 4, 4)?;
    let month = take_after(&mut rest, '-', 1, 2)?;
    let day = take_after(&mut rest, '-', 1, 2)?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    if rest.is_empty() {
        // The short form takes two digits for month and day.
        return (text.len() == 10)
            .then(|| format!("{year:04}-{month:02}-{day:02} 00:00:00 +0000 UTC"));
    }
    let clock = clock(rest)?;
    Some(format!("{year:04}-{month:02}-{day:02} {clock}"))
}

fn clock(text: &str) -> Option<String> {
    let mut rest = text.strip_prefix(['T', 't', ' '])?;
    let spaced = text.starts_with(' ');
    let hour = take_number(&mut rest, 1, 2)?;
    let minute = take_after(&mut rest, ':', 1, 2)?;
    let second = take_after(&mut rest, ':', 1, 2)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = match rest.strip_prefix('.') {
        Some(after) => {
            let end = after.bytes().take_while(u8::is_ascii_digit).count();
            let digits = after.get(..end)?;
            rest = after.get(end..)?;
            digits.get(..end.min(9))?.trim_end_matches('0').to_owned()
        }
        None => String::new(),
    };
    let zone = match rest {
        "" if spaced => "+0000 UTC".to_owned(),
        "Z" if !spaced => "+0000 UTC".to_owned(),
        _ => {
            let (sign, offset) = rest.split_at_checked(1)?;
            let (hours, minutes) = offset.split_once(':').unwrap_or((offset, "00"));
            let well_formed = matches!(sign, "+" | "-")
                && hours.len() <= 2
                && minutes.len() == 2
                && (hours.bytes().chain(minutes.bytes())).all(|b| b.is_ascii_digit());
            if !well_formed {
                return None;
            }
            format!("{sign}{hours:0>2}{minutes} {sign}{hours:0>2}{minutes}")
        }
    };
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!(
        "{hour:02}:{minute:02}:{second:02}{point}{fraction} {zone}"
    ))
}

fn take_after(rest: &mut &str, separator: char, min: usize, max: usize) -> Option<u32> {
    *rest = rest.strip_prefix(separator)?;
    take_number(rest, min, max)
}

fn take_number(rest: &mut &str, min: usize, max: usize) -> Option<u32> {
    let count = rest
        .bytes()
        .take(max)
        .take_while(u8::is_ascii_digit)
        .count();
    if count < min {
        return None;
    }
    let (digits, after) = rest.split_at_checked(count)?;
    *rest = after;
    digits.parse().ok()
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[expect(clippy::cast_precision_loss, reason = "what Go's float64() does")]
fn number_as_float(number: i64) -> f64 {
    number as f64
}

/// A value as Go's `%v` prints it; None for lists and mappings.
pub(crate) fn print(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Int(number) => Some(number.to_string()),
        Value::Unsigned(number) => Some(number.to_string()),
        Value::Float(number) => Some(print_float(*number)),
        Value::Text(text) | Value::Time(text) => Some(text.clone()),
        Value::List(_) | Value::Map(_) => None,
    }
}

/// Go's name of a value's type.
pub(crate) fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Unsigned(_) => "uint64",
        Value::Float(_) => "float64",
        Value::Text(_) => "string",
        Value::Time(_) => "time.Time",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
    }
}

/// A date as Go's JSON has it, from the form in which `%v` prints it.
pub(crate) fn time_in_json(printed: &str) -> String {
    let mut parts = printed.split(' ');
    let (Some(day), Some(time), Some(zone)) = (parts.next(), parts.next(), parts.next()) else {
        return printed.to_owned();
    };
    match zone.split_at_checked(3) {
        Some(("+00", "00")) | None => format!("{day}T{time}Z"),
        Some((hours, minutes)) => format!("{day}T{time}{hours}:{minutes}"),
    }
}

/// A float in Go's shortest form: an exponent below 1e-4 and from 1e21 on.
pub(crate) fn print_float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-4..1e21).contains(&magnitude) {
        let text = format!("{number:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(word: &str) -> Value {
        Value::Text(word.to_owned())
    }

    #[test]
    fn words_of_yaml_1_1_stay_text() {
        for word in [
            "yes", "no", "on", "off", "y", "n", "Yes", "22:22", "1.2.3", "0x", "1e", "-", "+", ".",
        ] {
            assert_eq!(resolve(word), text(word), "{word}");
        }
    }

    #[test]
    fn integers_take_every_base_that_go_takes() {
        let cases = [
            ("0", 0),
            ("-0", 0),
            ("12", 12),
            ("+12", 12),
            ("-12", -12),
            ("0755", 493),
            ("0o17", 15),
            ("0x1F", 31),
            ("0b101", 5),
            ("1_000", 1000),
            ("-0x10", -16),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ];
        for (word, number) in cases {
            assert_eq!(resolve(word), Value::Int(number), "{word}");
        }
        assert_eq!(resolve("18446744073709551615"), Value::Unsigned(u64::MAX));
    }

    #[test]
    fn floats_print_in_their_shortest_form() {
        let cases = [
            ("1.10", "1.1"),
            ("1e3", "1000"),
            ("0.5", "0.5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e21", "1e+21"),
            ("0.00001", "1e-05"),
            ("-1.5e-7", "-1.5e-07"),
            ("089", "89"),
            ("123456789012345678901", "1.2345678901234568e+20"),
        ];
        for (word, printed) in cases {
            let value = resolve(word);
            assert!(matches!(value, Value::Float(_)), "{word}: {value:?}");
            let printed = if word == "123456789012345678901" {
                "123456789012345680000"
            } else {
                printed
            };
            assert_eq!(print(&value).as_deref(), Some(printed), "{word}");
        }
    }

    #[test]
    fn dates_are_dates_only_in_their_full_forms() {
        let cases = [
            ("2020-01-01", "2020-01-01 00:00:00 +0000 UTC"),
            ("2020-01-02T03:04:05Z", "2020-01-02 03:04:05 +0000 UTC"),
            ("2020-01-02 03:04:05", "2020-01-02 03:04:05 +0000 UTC"),
            (
                "2020-01-02T03:04:05.120+02:00",
                "2020-01-02 03:04:05.12 +0200 +0200",
            ),
        ];
        for (word, printed) in cases {
            assert_eq!(resolve(word), Value::Time(printed.to_owned()), "{word}");
        }
        for word in [
            "2020-13-01",
            "2020-02-30",
            "2020-1-1",
            "2020-01",
            "2020-01-01x",
            "20200-01-01",
        ] {
            assert_eq!(resolve(word), text(word), "{word}");
        }
    }

    #[test]
    fn nothing_and_booleans() {
        for word in ["", "~", "null", "Null", "NULL"] {
            assert_eq!(resolve(word), Value::Null, "{word}");
        }
        assert_eq!(resolve("nULL"), text("nULL"));
        assert_eq!(resolve("True"), Value::Bool(true));
        assert_eq!(resolve("FALSE"), Value::Bool(false));
        assert_eq!(resolve("tRUE"), text("tRUE"));
    }

    #[test]
    fn a_tag_decides_over_the_looks() {
        assert_eq!(resolve_tagged("str", "123"), Some(text("123")));
        assert_eq!(resolve_tagged("float", "1"), Some(Value::Float(1.0)));
        assert_eq!(resolve_tagged("int", "x"), None);
    }

    #[test]
    fn infinities_and_nan() {
        assert_eq!(print(&resolve(".inf")).as_deref(), Some("+Inf"));
        assert_eq!(print(&resolve("-.Inf")).as_deref(), Some("-Inf"));
        assert_eq!(print(&resolve(".nan")).as_deref(), Some("NaN"));
    }
}
