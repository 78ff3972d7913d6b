//! A tree and data to text.

use serde_json::Value;

use crate::cli::output::template::Error;
use crate::cli::output::template::functions::{self, is_true, text};
use crate::cli::output::template::parse::{Base, Command, Node, Operand, Pipeline};

/// What a template's names mean besides the dot.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    /// The whole data.
    root: &'a Value,
    /// Variables, the innermost last.
    variables: Vec<(String, Value)>,
}

impl<'a> Scope<'a> {
    /// No variables; `$` is the whole data.
    pub(super) fn new(root: &'a Value) -> Self {
        Self {
            root,
            variables: Vec::new(),
        }
    }

    fn declare(&mut self, name: Option<&String>, value: &Value) {
        if let Some(name) = name {
            self.variables.push((name.clone(), value.clone()));
        }
    }

    fn variable(&mut self, name: &str) -> Result<&mut Value, Error> {
        let mut found = self.variables.iter_mut().rev();
        found
            .find_map(|(known, value)| (known == name).then_some(value))
            .ok_or_else(|| Error(format!("undefined variable \"${name}\"")))
    }
}

/// Runs nodes with a dot. Variables that they declare are gone at the end.
pub(super) fn run(
    nodes: &[Node],
    dot: &Value,
    scope: &mut Scope<'_>,
    out: &mut String,
) -> Result<(), Error> {
    let outer = scope.variables.len();
    for node in nodes {
        one(node, dot, scope, out)?;
    }
    scope.variables.truncate(outer);
    Ok(())
}

fn one(node: &Node, dot: &Value, scope: &mut Scope<'_>, out: &mut String) -> Result<(), Error> {
    let outer = scope.variables.len();
    match node {
        Node::Text(words) => out.push_str(words),
        Node::Print(value) => out.push_str(&text(&pipe(value, dot, scope)?)),
        Node::Set {
            name,
            declares,
            value,
        } => {
            let value = pipe(value, dot, scope)?;
            if *declares {
                scope.declare(Some(name), &value);
            } else {
                *scope.variable(name)? = value;
            }
            return Ok(());
        }
        Node::If {
            name,
            condition,
            then,
            otherwise,
        } => {
            let value = pipe(condition, dot, scope)?;
            scope.declare(name.as_ref(), &value);
            let branch = if is_true(&value) { then } else { otherwise };
            run(branch, dot, scope, out)?;
        }
        Node::With {
            name,
            value,
            then,
            otherwise,
        } => {
            let value = pipe(value, dot, scope)?;
            scope.declare(name.as_ref(), &value);
            if is_true(&value) {
                run(then, &value, scope, out)?;
            } else {
                run(otherwise, dot, scope, out)?;
            }
        }
        Node::Range {
            key,
            element,
            over,
            body,
            otherwise,
        } => {
            let elements = elements(pipe(over, dot, scope)?)?;
            for (name, value) in &elements {
                scope.declare(key.as_ref(), name);
                scope.declare(element.as_ref(), value);
                run(body, value, scope, out)?;
                scope.variables.truncate(outer);
            }
            if elements.is_empty() {
                run(otherwise, dot, scope, out)?;
            }
        }
    }
    scope.variables.truncate(outer);
    Ok(())
}

/// What a range goes over: numbers or keys with their values.
fn elements(value: Value) -> Result<Vec<(Value, Value)>, Error> {
    match value {
        Value::Array(elements) => Ok((0_u64..).map(Value::from).zip(elements).collect()),
        Value::Object(map) => {
            let mut pairs: Vec<(String, Value)> = map.into_iter().collect();
            pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
            let named = |(key, value)| (Value::String(key), value);
            Ok(pairs.into_iter().map(named).collect())
        }
        Value::Null => Ok(Vec::new()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err(Error(format!("range can't iterate over {}", text(&value))))
        }
    }
}

fn pipe(pipeline: &Pipeline, dot: &Value, scope: &mut Scope<'_>) -> Result<Value, Error> {
    let mut result: Option<Value> = None;
    for command in &pipeline.0 {
        result = Some(match command {
            Command::Value(_) | Command::Label(_) if result.is_some() => {
                return Err(Error("non executable command in pipeline".to_owned()));
            }
            Command::Value(value) => operand(value, dot, scope)?,
            Command::Label(key) => label(dot, &text(&operand(key, dot, scope)?)),
            Command::Call(function, arguments) => {
                let mut values = Vec::with_capacity(arguments.len() + 1);
                for argument in arguments {
                    values.push(operand(argument, dot, scope)?);
                }
                values.extend(result.take());
                functions::call(*function, &values)?
            }
        });
    }
    Ok(result.unwrap_or_default())
}

fn operand(operand: &Operand, dot: &Value, scope: &mut Scope<'_>) -> Result<Value, Error> {
    match operand {
        Operand::Constant(value) => Ok(value.clone()),
        Operand::Path { from, fields } => {
            let start: &Value = match from {
                Base::Dot => dot,
                Base::Root => scope.root,
                Base::Variable(name) => scope.variable(name)?,
            };
            walk(start, fields).cloned()
        }
        Operand::Bracket(inside, fields) => walk(&pipe(inside, dot, scope)?, fields).cloned(),
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
    let mut parts = labels.split(',');
    let first = parts.find_map(|part| part.strip_prefix(key)?.strip_prefix('='));
    let Some(first) = first else {
        return Value::String(String::new());
    };
    // A comma in a value: what follows it is no pair.
    let rest = parts.take_while(|part| !part.contains('='));
    let parts: Vec<&str> = std::iter::once(first).chain(rest).collect();
    Value::String(parts.join(","))
}
