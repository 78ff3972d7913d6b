//! Small reads from a settled node.

use std::time::Duration;

use indexmap::IndexMap;

use crate::compose::node::{Node, Value};
use crate::compose::yaml::scalar;
use crate::model::{Hook, units};

/// Text that isn't empty.
pub(super) fn text(node: &Node, key: &str) -> Option<String> {
    node.text_at(key)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// A boolean; false when absent.
pub(super) fn flag(node: &Node, key: &str) -> bool {
    node.get(key).and_then(Node::as_bool) == Some(true)
}

/// A whole number.
pub(super) fn int(node: &Node, key: &str) -> Option<i64> {
    node.get(key).and_then(Node::as_int)
}

/// A whole number that isn't 0, which means "not said" in most places.
pub(super) fn filled(node: &Node, key: &str) -> Option<i64> {
    int(node, key).filter(|number| *number != 0)
}

/// The same as an unsigned number; negative ones are none.
pub(super) fn unsigned(node: &Node, key: &str) -> Option<u64> {
    filled(node, key).and_then(|number| u64::try_from(number).ok())
}

/// A duration.
pub(super) fn duration(node: &Node, key: &str) -> Option<Duration> {
    units::duration(node.text_at(key)?)
}

/// A list of text.
pub(super) fn texts(node: &Node, key: &str) -> Vec<String> {
    all_texts(node.items_at(key))
}

/// A list of text, or the only one.
pub(super) fn text_or_texts(node: &Node, key: &str) -> Vec<String> {
    match text(node, key) {
        Some(only) => vec![only],
        None => texts(node, key),
    }
}

/// A command that runs in a container.
pub(super) fn hook(node: &Node) -> Hook {
    Hook {
        command: texts(node, "command"),
        user: text(node, "user"),
        privileged: flag(node, "privileged"),
        working_dir: text(node, "working_dir"),
        environment: optional_pairs(node, "environment"),
    }
}

/// A list of text, or None when it is absent.
pub(super) fn optional_texts(node: &Node, key: &str) -> Option<Vec<String>> {
    node.get(key)?.as_list().map(all_texts)
}

fn all_texts(items: &[Node]) -> Vec<String> {
    items
        .iter()
        .filter_map(|item| scalar::print(&item.value))
        .collect()
}

/// A mapping of text.
pub(super) fn pairs(node: &Node, key: &str) -> IndexMap<String, String> {
    node.entries_at(key)
        .map(|(key, child)| {
            (
                key.to_owned(),
                scalar::print(&child.value).unwrap_or_default(),
            )
        })
        .collect()
}

/// A mapping of text and nulls.
pub(super) fn optional_pairs(node: &Node, key: &str) -> IndexMap<String, Option<String>> {
    node.entries_at(key)
        .map(|(key, child)| {
            let value = match child.value {
                Value::Null => None,
                _ => scalar::print(&child.value),
            };
            (key.to_owned(), value)
        })
        .collect()
}

/// Permission bits as settled: text in octal, or a number.
pub(super) fn mode(node: &Node, key: &str) -> Option<u32> {
    let mode = node.get(key)?;
    match mode.as_text() {
        Some(text) => u32::from_str_radix(text, 8).ok(),
        None => u32::try_from(mode.as_int()?).ok(),
    }
}
