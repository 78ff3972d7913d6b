//! Where things come from: variables of a template, places of a path's parts.

use std::collections::{BTreeMap, HashSet};

use crate::compose::load::Layer;
use crate::compose::node::{Mark, Node, Value};
use crate::compose::place::Files;
use crate::compose::template::{self, NESTING_MAX, Operator, Piece};
use crate::compose::yaml::scalar;
use crate::diagnostic::Span;

/// What the files say about a variable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VariableUse {
    /// Its default.
    pub default: String,
    /// What replaces it when it is set.
    pub alternate: String,
    /// Whether it must be set.
    pub is_required: bool,
}

/// One value below a path, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its path.
    pub path: String,
    /// Its value as text.
    pub value: String,
    /// Where it is written; None for what the loader fills in.
    pub span: Option<Span>,
    /// Whether another file's value took its place.
    pub is_replaced: bool,
}

/// Every variable of a tree of templates.
pub(crate) fn variables(root: &Node) -> BTreeMap<String, VariableUse> {
    let mut found = BTreeMap::new();
    walk(root, &mut |text| of_template(text, &mut found, 0));
    found
}

fn walk(node: &Node, visit: &mut impl FnMut(&str)) {
    match &node.value {
        Value::Text(text) => visit(text),
        Value::List(items) => items.iter().for_each(|item| walk(item, visit)),
        Value::Map(map) => map.iter().for_each(|(_, child)| walk(child, visit)),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Unsigned(_)
        | Value::Float(_)
        | Value::Time(_) => {}
    }
}

fn of_template(text: &str, found: &mut BTreeMap<String, VariableUse>, depth: usize) {
    if depth > NESTING_MAX || !text.contains('$') {
        return;
    }
    let Ok(pieces) = template::pieces(text) else {
        return;
    };
    for piece in pieces {
        let Piece::Variable(variable) = piece else {
            continue;
        };
        let entry = found.entry(variable.name.to_owned()).or_default();
        let Some((operator, argument)) = variable.operation else {
            continue;
        };
        match operator {
            Operator::DefaultIfEmpty | Operator::DefaultIfUnset => {
                argument.clone_into(&mut entry.default)
            }
            Operator::AlternateIfFilled | Operator::AlternateIfSet => {
                argument.clone_into(&mut entry.alternate);
            }
            Operator::RequiredFilled | Operator::RequiredSet => entry.is_required = true,
        }
        of_template(argument, found, depth + 1);
    }
}

/// The parts of what a dotted path leads to, then those that merging
/// replaced, the last one first; None when it leads nowhere.
pub(crate) fn parts(root: &Node, layers: &[Layer], path: &str, files: &Files) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    if let Some(node) = find(root, path) {
        collect(node, path, files, &mut parts);
    }
    let place = |part: &Part| {
        let span = part.span.as_ref()?;
        Some((span.file.clone(), span.offset))
    };
    let mut told: HashSet<_> = parts.iter().filter_map(place).collect();
    for layer in layers.iter().rev() {
        let Some(node) = below(path, &layer.path).and_then(|rest| find(&layer.node, rest)) else {
            continue;
        };
        let mut said = Vec::new();
        collect(node, path, files, &mut said);
        for mut part in said {
            if place(&part).is_some_and(|place| told.insert(place)) {
                part.is_replaced = true;
                parts.push(part);
            }
        }
    }
    (!parts.is_empty()).then_some(parts)
}

/// What is left of a path below another one.
fn below<'a>(path: &'a str, above: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(above)?;
    if above.is_empty() {
        return Some(rest);
    }
    if rest.is_empty() {
        return Some(rest);
    }
    rest.strip_prefix('.')
}

fn find<'a>(root: &'a Node, path: &str) -> Option<&'a Node> {
    let steps = path.split('.').filter(|step| !step.is_empty());
    let found = steps
        .into_iter()
        .try_fold(root, |node, step| match &node.value {
            Value::Map(map) => map.get(step),
            Value::List(items) => match step.parse::<usize>() {
                Ok(index) => items.get(index),
                // `KEY=VALUE` in the short form of a mapping.
                Err(_) => items.iter().find(|item| {
                    let text = item.as_text().unwrap_or_default();
                    text.split('=').next() == Some(step)
                }),
            },
            _ => None,
        });
    found.filter(|node| node.mark != Mark::Reset)
}

fn collect(node: &Node, path: &str, files: &Files, parts: &mut Vec<Part>) {
    if node.mark == Mark::Reset {
        return;
    }
    match &node.value {
        Value::Map(map) if !map.is_empty() => {
            for (key, child) in map.iter() {
                collect(child, &format!("{path}.{key}"), files, parts);
            }
        }
        Value::List(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                collect(item, &format!("{path}.{index}"), files, parts);
            }
        }
        value => parts.push(Part {
            path: path.to_owned(),
            value: match value {
                Value::Map(_) => "{}".to_owned(),
                Value::List(_) => "[]".to_owned(),
                Value::Null => "null".to_owned(),
                value => scalar::print(value).unwrap_or_default(),
            },
            span: files.span(node.place),
            is_replaced: false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::place::Place;

    #[test]
    fn each_variable_is_found_with_its_operators() {
        let text = "${A:-x} ${B:?req} ${C:+${D}} $$E $F";
        let found = variables(&Node::text(text, Place::NOWHERE));
        let names: Vec<_> = found.keys().map(String::as_str).collect();
        assert_eq!(names, ["A", "B", "C", "D", "F"]);
        assert_eq!(found["A"].default, "x");
        assert!(found["B"].is_required);
        assert_eq!(found["C"].alternate, "${D}");
    }
}
