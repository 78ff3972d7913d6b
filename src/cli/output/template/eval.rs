//! A tree and data to text.

use serde_json::Value;

use crate::cli::output::template::Error;
use crate::cli::output::template::functions::{self, is_true, text};
use crate::cli::output::template::parse::{Command, Node, Operand, Pipeline};

/// Runs nodes with a dot, `$` being the whole data.
pub(super) fn run(
    nodes: &[Node],
    dot: &Value,
    root: &Value,
    out: &mut String,
) -> Result<(), Error> {
    for node in nodes {
        match node {
            Node::Text(words) => out.push_str(words),
            Node::Print(value) => out.push_str(&text(&pipe(value, dot, root)?)),
            Node::If {
                condition,
                then,
                otherwise,
            } => {
                let holds = is_true(&pipe(condition, dot, root)?);
                run(if holds { then } else { otherwise }, dot, root, out)?;
            }
            Node::With {
                value,
                then,
                otherwise,
            } => {
                let value = pipe(value, dot, root)?;
                if is_true(&value) {
                    run(then, &value, root, out)?;
                } else {
                    run(otherwise, dot, root, out)?;
                }
            }
            Node::Range {
                over,
                body,
                otherwise,
            } => {
                let elements = elements(pipe(over, dot, root)?)?;
                for element in &elements {
                    run(body, element, root, out)?;
                }
                if elements.is_empty() {
                    run(otherwise, dot, root, out)?;
                }
            }
        }
    }
    Ok(())
}

fn elements(value: Value) -> Result<Vec<Value>, Error> {
    match value {
        Value::Array(elements) => Ok(elements),
        Value::Object(map) => {
            let mut pairs: Vec<(String, Value)> = map.into_iter().collect();
            pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
            Ok(pairs.into_iter().map(|(_, value)| value).collect())
        }
        Value::Null => Ok(Vec::new()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err(Error(format!("range can't iterate over {}", text(&value))))
        }
    }
}

fn pipe(pipeline: &Pipeline, dot: &Value, root: &Value) -> Result<Value, Error> {
    let mut result: Option<Value> = None;
    for command in &pipeline.0 {
        result = Some(match command {
            Command::Value(_) | Command::Label(_) if result.is_some() => {
                return Err(Error("non executable command in pipeline".to_owned()));
            }
            Command::Value(value) => operand(value, dot, root)?,
            Command::Label(key) => label(dot, &text(&operand(key, dot, root)?)),
            Command::Call(function, arguments) => {
                let mut values = Vec::with_capacity(arguments.len() + 1);
                for argument in arguments {
                    values.push(operand(argument, dot, root)?);
                }
                values.extend(result.take());
                functions::call(*function, &values)?
            }
        });
    }
    Ok(result.unwrap_or_default())
}

fn operand(operand: &Operand, dot: &Value, root: &Value) -> Result<Value, Error> {
    match operand {
        Operand::Constant(value) => Ok(value.clone()),
        Operand::Path { from_root, fields } => {
            walk(if *from_root { root } else { dot }, fields).cloned()
        }
        Operand::Bracket(inside, fields) => walk(&pipe(inside, dot, root)?, fields).cloned(),
    }
}

fn walk<'a>(value: &'a Value, fields: &[String]) -> Result<&'a Value, Error> {
    fields.iter().try_fold(value, |value, field| {
        value
            .get(field)
            .ok_or_else(|| Error(format!("can't evaluate field {field} in this row")))
    })
}

/// A label out of a row's `Labels` text, as docker's `.Label` reads it.
fn label(dot: &Value, key: &str) -> Value {
    let labels = dot
        .get("Labels")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let found = labels
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| *name == key)
        .map_or("", |(_, value)| value);
    Value::String(found.to_owned())
}
