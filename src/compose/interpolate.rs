//! Variables in a document, and the casts that follow.
//!
//! Values only, never keys. Text at the path of a number or boolean is cast
//! here, as the reference does, so that later files may override it in
//! another form.

use std::collections::BTreeSet;

use crate::compose::attribute::{Cast, Schema, Short};
use crate::compose::environment::Environment;
use crate::compose::node::{Mark, Node, Value};
use crate::compose::place::Place;
use crate::compose::problem::{Problem, Problems};
use crate::compose::template::{self, TemplateError};
use crate::compose::trail::Trail;

/// Puts the environment's values into a document.
pub(crate) fn interpolate(
    document: &mut Node,
    schema: &'static Schema,
    environment: &Environment,
    told: &mut BTreeSet<String>,
    problems: &mut Problems,
) {
    Walk {
        environment,
        told,
        problems,
        growth: 0,
        is_overgrown: false,
    }
    .node(document, Some(schema), &Trail::ROOT);
}

/// Whether a cast failed, and in which words the reference says so.
pub(crate) fn cast(cast: Cast, text: &str) -> Result<Option<Value>, String> {
    let integer = |verb: &str| {
        let parsed = text.parse().map(|number| Some(Value::Int(number)));
        parsed.map_err(|_| format!("strconv.{verb}: parsing {text:?}: {}", number_fault(text)))
    };
    match cast {
        Cast::None => Ok(None),
        Cast::Int => integer("Atoi"),
        Cast::Int64 => integer("ParseInt"),
        Cast::Float => text
            .parse()
            .map(|number| Some(Value::Float(number)))
            .map_err(|_| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax")),
        Cast::Bool => match boolean(text) {
            Some((value, _)) => Ok(Some(Value::Bool(value))),
            None => Err(format!("invalid boolean: {text}")),
        },
    }
}

/// The warning about a variable without a value.
pub(crate) fn unset(name: &str, place: Place) -> Problem {
    let message = format!("The {name:?} variable is not set. Defaulting to a blank string.");
    Problem::warning("unset-variable", message, place).hint(format!(
        "set {name} in the environment or in `.env`, or give a default: ${{{name}:-…}}"
    ))
}

fn number_fault(text: &str) -> &'static str {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        "value out of range"
    } else {
        "invalid syntax"
    }
}

/// A boolean, and whether its word is one of YAML 1.1's.
fn boolean(text: &str) -> Option<(bool, bool)> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some((true, false)),
        "false" => Some((false, false)),
        "y" | "yes" | "on" => Some((true, true)),
        "n" | "no" | "off" => Some((false, true)),
        _ => None,
    }
}

/// The warning about a boolean of YAML 1.1.
pub(crate) fn old_boolean(text: &str, place: Place) -> Option<Problem> {
    let (value, _) = boolean(text).filter(|(_, is_old)| *is_old)?;
    let message =
        format!("{text:?} for boolean is not supported by YAML 1.2, please use `{value}`");
    Some(Problem::warning("old-boolean", message, place))
}

struct Walk<'a> {
    environment: &'a Environment,
    told: &'a mut BTreeSet<String>,
    problems: &'a mut Problems,
    /// How much longer the texts have become, in bytes.
    growth: usize,
    /// Whether that was too much, and told.
    is_overgrown: bool,
}

impl Walk<'_> {
    fn node(&mut self, node: &mut Node, schema: Option<&'static Schema>, trail: &Trail<'_>) {
        if node.mark == Mark::Reset {
            return;
        }
        let place = node.place;
        match &mut node.value {
            Value::Text(text) => {
                if let Some(value) = self.text(text, schema, place, trail) {
                    node.value = value;
                }
            }
            Value::List(items) => {
                // A list where a mapping belongs: its items are cast as the
                // mapping's values, which fails before its form is looked at.
                let below = schema.and_then(|schema| schema.item().or_else(|| schema.key("[]")));
                for (index, item) in items.iter_mut().enumerate() {
                    self.node(item, below, &trail.item(index));
                }
            }
            Value::Map(map) => {
                for (key, child) in map.iter_mut() {
                    let below = schema.and_then(|schema| schema.key(key));
                    self.node(child, below, &trail.key(key));
                }
            }
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::Time(_) => {}
        }
    }

    fn text(
        &mut self,
        text: &str,
        schema: Option<&'static Schema>,
        place: Place,
        trail: &Trail<'_>,
    ) -> Option<Value> {
        let row = schema.and_then(Schema::attribute);
        let wanted = row.map_or(Cast::None, |row| match row.short {
            // The short form of a limit is a number of its own.
            Short::Ulimit => Cast::Int,
            _ => row.cast,
        });
        if wanted == Cast::None && !text.contains('$') {
            return None;
        }
        let mut unset = Vec::new();
        let lookup = |name: &str| self.environment.get(name).map(str::to_owned);
        let value =
            match template::substitute(text, &lookup, &mut |name| unset.push(name.to_owned())) {
                Ok(value) => value.into_owned(),
                Err(error) => {
                    self.fault(text, &error, place, trail);
                    return None;
                }
            };
        self.growth += value.len().saturating_sub(text.len());
        if self.growth > template::GROWTH_MAX {
            // Told once: everything after it is too long as well.
            if !std::mem::replace(&mut self.is_overgrown, true) {
                self.fault(text, &TemplateError::TooLong, place, trail);
            }
            return None;
        }
        for name in unset {
            self.tell_unset(&name, place);
        }
        match cast(wanted, &value) {
            Ok(Some(cast)) => {
                self.tell_old_boolean(wanted, &value, place);
                Some(cast)
            }
            Ok(None) => Some(Value::Text(value)),
            Err(reason) => {
                let path = trail.starred();
                let message = format!(
                    "error while interpolating {path}: failed to cast to expected type: {reason}"
                );
                let problem = Problem::error("bad-cast", message, place).label(expected(wanted));
                self.problems.add_at(&path, problem);
                None
            }
        }
    }

    fn tell_unset(&mut self, name: &str, place: Place) {
        if self.told.insert(name.to_owned()) {
            self.problems.add(unset(name, place));
        }
    }

    fn tell_old_boolean(&mut self, cast: Cast, text: &str, place: Place) {
        if cast == Cast::Bool
            && let Some(problem) = old_boolean(text, place)
        {
            self.problems.add(problem);
        }
    }

    fn fault(&mut self, text: &str, error: &TemplateError, place: Place, trail: &Trail<'_>) {
        let path = trail.starred();
        let problem = match error {
            TemplateError::Invalid => {
                let message = format!(
                    "invalid interpolation format for {path}.\nYou may need to escape any $ with another $.\n{text}"
                );
                Problem::error("bad-interpolation", message, place)
                    .hint("variables look like $NAME, ${NAME}, ${NAME:-default}; a literal $ is $$")
            }
            TemplateError::TooLong => {
                let message = format!(
                    "error while interpolating {path}: the value is longer than {} MiB, or all values together than {} MiB",
                    template::TEXT_MAX >> 20,
                    template::GROWTH_MAX >> 20,
                );
                Problem::error("too-long", message, place)
                    .hint("variables whose values contain each other double with each step")
            }
            TemplateError::Missing { name, reason } => {
                let colon = if reason.is_empty() { "" } else { ": " };
                let message = format!(
                    "error while interpolating {path}: required variable {name} is missing a value{colon}{reason}"
                );
                Problem::error("missing-variable", message, place)
                    .hint(format!("set {name} in the environment or in `.env`"))
            }
        };
        self.problems.add_at(&path, problem);
    }
}

fn expected(cast: Cast) -> &'static str {
    match cast {
        Cast::Bool => "expected true or false",
        Cast::Int | Cast::Int64 => "expected a whole number",
        Cast::Float | Cast::None => "expected a number",
    }
}
