//! Go's `printf`, with the verbs and flags that formats use.

use serde_json::Value;

use crate::cli::output::template::Error;
use crate::cli::output::template::functions::text;

/// How wide a verb may make its value.
const WIDTH_MAX: usize = 4096;

/// Formats values. As in Go, a verb without a value and a value without a
/// verb are told in the text.
pub(super) fn format(format: &str, values: &[Value]) -> Result<String, Error> {
    let mut out = String::new();
    let mut values = values.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(flag) = chars.next_if(|c| "-+# 0".contains(*c)) {
            spec.left |= flag == '-';
            spec.zero |= flag == '0';
        }
        spec.width = digits(&mut chars);
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = Some(digits(&mut chars));
        }
        match chars.next() {
            Some('%') => out.push('%'),
            Some(verb) => match values.next() {
                Some(value) => out.push_str(&spec.apply(verb, value)),
                None => out.push_str(&format!("%!{verb}(MISSING)")),
            },
            None => out.push_str("%!(NOVERB)"),
        }
    }
    if let Some(extra) = values.next() {
        out.push_str(&format!("%!(EXTRA {})", text(extra)));
    }
    Ok(out)
}

fn digits(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> usize {
    let mut number = 0_usize;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        let digit = usize::try_from(digit).unwrap_or(0);
        number = number.saturating_mul(10).saturating_add(digit);
        chars.next();
    }
    number.min(WIDTH_MAX)
}

#[derive(Debug, Default)]
struct Spec {
    left: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
}

impl Spec {
    fn apply(&self, verb: char, value: &Value) -> String {
        let body = match (verb, value) {
            ('s' | 'v', _) => {
                let whole = text(value);
                match self.precision {
                    Some(limit) => whole.chars().take(limit).collect(),
                    None => whole,
                }
            }
            ('q', _) => Value::String(text(value)).to_string(),
            ('d', Value::Number(number)) if !number.is_f64() => number.to_string(),
            ('x', Value::Number(number)) if number.is_u64() => {
                format!("{:x}", number.as_u64().unwrap_or_default())
            }
            ('f', Value::Number(number)) => format!(
                "{:.*}",
                self.precision.unwrap_or(6),
                number.as_f64().unwrap_or_default()
            ),
            ('t', Value::Bool(flag)) => flag.to_string(),
            _ => format!("%!{verb}({})", text(value)),
        };
        self.pad(body, value.is_number())
    }

    fn pad(&self, body: String, is_number: bool) -> String {
        let missing = self.width.saturating_sub(body.chars().count());
        if missing == 0 {
            return body;
        }
        if self.left {
            return body + &" ".repeat(missing);
        }
        if self.zero && is_number {
            let (sign, rest) = match body.strip_prefix('-') {
                Some(rest) => ("-", rest),
                None => ("", body.as_str()),
            };
            return format!("{sign}{}{rest}", "0".repeat(missing));
        }
        " ".repeat(missing) + &body
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(words: &str, values: &[Value], expected: &str) {
        assert_eq!(format(words, values).unwrap(), expected);
    }

    #[test]
    fn widths_and_flags() {
        check("%-5s|%5s|", &[json!("ab"), json!("cd")], "ab   |   cd|");
        check("%05d %x", &[json!(-42), json!(255)], "-0042 ff");
        check("%.2f %.1s", &[json!(1.005), json!("xyz")], "1.00 x");
    }

    #[test]
    fn what_is_missing_or_too_much_is_told_in_the_text() {
        check("%s %s", &[json!("a")], "a %!s(MISSING)");
        check("%d%%", &[json!("a"), json!(1)], "%!d(a)%%!(EXTRA 1)");
        check("50%", &[], "50%!(NOVERB)");
    }
}
