//! The functions that a template may call.

use std::cmp::Ordering;

use serde_json::Value;

use crate::cli::output::template::Error;
use crate::cli::output::template::printf;

macro_rules! functions {
    ($($variant:ident = $name:literal;)*) => {
        /// A function.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Function {
            $(#[doc = $name] $variant,)*
        }

        /// A function by its name.
        pub(super) fn by_name(name: &str) -> Option<Function> {
            match name {
                $($name => Some(Function::$variant),)*
                _ => None,
            }
        }

        impl Function {
            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

functions! {
    Json = "json";
    Split = "split";
    Join = "join";
    Title = "title";
    Lower = "lower";
    Upper = "upper";
    Pad = "pad";
    Truncate = "truncate";
    Print = "print";
    Println = "println";
    Printf = "printf";
    Len = "len";
    Index = "index";
    Slice = "slice";
    Eq = "eq";
    Ne = "ne";
    Lt = "lt";
    Le = "le";
    Gt = "gt";
    Ge = "ge";
    And = "and";
    Or = "or";
    Not = "not";
}

/// How wide `pad` may make a text.
const PAD_MAX: usize = 4096;

/// Calls a function.
pub(super) fn call(function: Function, values: &[Value]) -> Result<Value, Error> {
    let wrong = || Error(format!("wrong arguments for {}", function.name()));
    let text_of = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(wrong);
    Ok(match (function, values) {
        (Function::Json, [value]) => Value::String(json(value)),
        (Function::Split, [whole, separator]) => split(&text_of(whole)?, &text_of(separator)?),
        (Function::Join, [Value::Array(parts), separator]) => {
            let parts: Vec<String> = parts.iter().map(text).collect();
            Value::String(parts.join(&text_of(separator)?))
        }
        (Function::Title, [value]) => Value::String(title(&text_of(value)?)),
        (Function::Lower, [value]) => Value::String(text_of(value)?.to_lowercase()),
        (Function::Upper, [value]) => Value::String(text_of(value)?.to_uppercase()),
        (Function::Pad, [value, before, after]) => {
            let spaces = |count: &Value| {
                size(count)
                    .map(|count| " ".repeat(count.min(PAD_MAX)))
                    .ok_or_else(wrong)
            };
            let value = text_of(value)?;
            Value::String(format!("{}{value}{}", spaces(before)?, spaces(after)?))
        }
        (Function::Truncate, [value, length]) => {
            let length = size(length).ok_or_else(wrong)?;
            Value::String(text_of(value)?.chars().take(length).collect())
        }
        (Function::Print, values) => Value::String(print(values)),
        (Function::Println, values) => {
            let words: Vec<String> = values.iter().map(text).collect();
            Value::String(format!("{}\n", words.join(" ")))
        }
        (Function::Printf, [format, values @ ..]) => {
            Value::String(printf::format(&text_of(format)?, values)?)
        }
        (Function::Len, [value]) => Value::from(length(value).ok_or_else(wrong)?),
        (Function::Index, [value, keys @ ..]) => index(value, keys)?,
        (Function::Slice, [value, bounds @ ..]) if bounds.len() < 3 => slice(value, bounds)?,
        (Function::Eq, [value, others @ ..]) if !others.is_empty() => {
            Value::Bool(others.iter().any(|other| same(value, other)))
        }
        (Function::Ne, [one, other]) => Value::Bool(!same(one, other)),
        (Function::Lt, [one, other]) => Value::Bool(order(one, other)?.is_lt()),
        (Function::Le, [one, other]) => Value::Bool(order(one, other)?.is_le()),
        (Function::Gt, [one, other]) => Value::Bool(order(one, other)?.is_gt()),
        (Function::Ge, [one, other]) => Value::Bool(order(one, other)?.is_ge()),
        (Function::And, [.., last]) => values
            .iter()
            .find(|value| !is_true(value))
            .unwrap_or(last)
            .clone(),
        (Function::Or, [.., last]) => values
            .iter()
            .find(|value| is_true(value))
            .unwrap_or(last)
            .clone(),
        (Function::Not, [value]) => Value::Bool(!is_true(value)),
        _ => return Err(wrong()),
    })
}

/// Go's idea of a value that isn't empty.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// A value as Go prints it with `%v`.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(elements) => {
            let words: Vec<String> = elements.iter().map(text).collect();
            format!("[{}]", words.join(" "))
        }
        Value::Object(map) => {
            if let Some(port) = publisher(map) {
                return port;
            }
            let words: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{key}:{}", text(value)))
                .collect();
            format!("map[{}]", words.join(" "))
        }
    }
}

/// A published port of `ps`, which has a text of its own in docker compose.
fn publisher(map: &serde_json::Map<String, Value>) -> Option<String> {
    let (url, protocol) = (map.get("URL")?.as_str()?, map.get("Protocol")?.as_str()?);
    let (target, published) = (map.get("TargetPort")?, map.get("PublishedPort")?);
    let host = if url.contains(':') {
        format!("[{url}]")
    } else {
        url.to_owned()
    };
    Some(format!("{target}/{protocol} -> {host}:{published}"))
}

/// Go's encoder escapes what HTML would read; docker switches that off.
fn json(value: &Value) -> String {
    value.to_string()
}

fn split(whole: &str, separator: &str) -> Value {
    if separator.is_empty() {
        return whole.chars().map(String::from).collect();
    }
    whole.split(separator).collect()
}

fn title(words: &str) -> String {
    let mut start = true;
    words
        .chars()
        .flat_map(|c| {
            let letters: Vec<char> = if start {
                c.to_uppercase().collect()
            } else {
                vec![c]
            };
            start = c.is_whitespace();
            letters
        })
        .collect()
}

/// Go's `Sprint`: a space between operands when neither is a string.
fn print(values: &[Value]) -> String {
    let mut out = String::new();
    let mut was_text = true;
    for value in values {
        if !was_text && !value.is_string() {
            out.push(' ');
        }
        out.push_str(&text(value));
        was_text = value.is_string();
    }
    out
}

fn size(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => Some(text.len()),
        Value::Array(elements) => Some(elements.len()),
        Value::Object(map) => Some(map.len()),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Part of a text or list, from the first bound to before the second.
fn slice(value: &Value, bounds: &[Value]) -> Result<Value, Error> {
    let wrong = || Error("wrong arguments for slice".to_owned());
    let out_of_range = || Error("slice: index out of range".to_owned());
    let bound = |at: usize| {
        bounds
            .get(at)
            .map(|bound| size(bound).ok_or_else(wrong))
            .transpose()
    };
    let from = bound(0)?.unwrap_or(0);
    let to = bound(1)?;
    match value {
        Value::String(text) => {
            let part = text
                .get(from..to.unwrap_or(text.len()))
                .ok_or_else(out_of_range)?;
            Ok(Value::String(part.to_owned()))
        }
        Value::Array(items) => {
            let part = items
                .get(from..to.unwrap_or(items.len()))
                .ok_or_else(out_of_range)?;
            Ok(Value::Array(part.to_vec()))
        }
        _ => Err(wrong()),
    }
}

fn index(value: &Value, keys: &[Value]) -> Result<Value, Error> {
    let mut value = value;
    for key in keys {
        let found = match key {
            Value::Number(_) => size(key).and_then(|at| value.get(at)),
            Value::String(name) => match value.get(name) {
                // A map without the key gives the empty value.
                None if value.is_object() => return Ok(Value::String(String::new())),
                found => found,
            },
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        value = found.ok_or_else(|| Error(format!("error calling index: no element {key}")))?;
    }
    Ok(value.clone())
}

fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.total_cmp(&other).is_eq(),
        _ => one == other,
    }
}

fn order(one: &Value, other: &Value) -> Result<Ordering, Error> {
    match (one, other) {
        (Value::String(one), Value::String(other)) => Ok(one.cmp(other)),
        (Value::Number(_), Value::Number(_)) => Ok(one
            .as_f64()
            .unwrap_or_default()
            .total_cmp(&other.as_f64().unwrap_or_default())),
        _ => Err(Error("incompatible types for comparison".to_owned())),
    }
}
