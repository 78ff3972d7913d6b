//! Lists whose entries have keys: the later of two equal ones stays, at the
//! earlier one's position.

use std::collections::HashMap;

use crate::compose::attribute::{Schema, Unique};
use crate::compose::canonical::volume;
use crate::compose::node::{Node, Value};
use crate::compose::problem::{Problem, Problems};
use crate::compose::trail::Trail;
use crate::compose::yaml::scalar;

/// Collapses equal entries all over a tree.
pub(crate) fn enforce(node: &mut Node, schema: &'static Schema, problems: &mut Problems) {
    walk(node, schema, &Trail::ROOT, problems);
}

fn walk(node: &mut Node, schema: &'static Schema, trail: &Trail<'_>, problems: &mut Problems) {
    match &mut node.value {
        Value::Map(map) => {
            for (key, child) in map.iter_mut() {
                if let Some(below) = schema.key(key) {
                    walk(child, below, &trail.key(key), problems);
                }
            }
        }
        Value::List(items) => {
            if let Some(below) = schema.item() {
                for (index, item) in items.iter_mut().enumerate() {
                    walk(item, below, &trail.item(index), problems);
                }
            }
            let rule = schema.attribute().map_or(Unique::None, |row| row.unique);
            if !matches!(rule, Unique::None | Unique::Refused) {
                collapse(items, rule, trail, problems);
            }
        }
        _ => {}
    }
}

fn collapse(items: &mut Vec<Node>, rule: Unique, trail: &Trail<'_>, problems: &mut Problems) {
    let mut positions: HashMap<String, usize> = HashMap::with_capacity(items.len());
    let mut kept: Vec<Node> = Vec::with_capacity(items.len());
    for (index, item) in std::mem::take(items).into_iter().enumerate() {
        let trail = trail.item(index);
        match key(&item, rule, &trail) {
            Ok(Some(key)) => match positions.get(&key).and_then(|at| kept.get_mut(*at)) {
                Some(earlier) => *earlier = item,
                None => {
                    positions.insert(key, kept.len());
                    kept.push(item);
                }
            },
            Ok(None) => kept.push(item),
            Err(message) => {
                let problem = Problem::error("bad-entry", message, item.place);
                problems.add_at(&trail.starred(), problem);
            }
        }
    }
    *items = kept;
}

/// The key of an entry; None when it has none and equals no other.
fn key(item: &Node, rule: Unique, trail: &Trail<'_>) -> Result<Option<String>, String> {
    Ok(match rule {
        Unique::None | Unique::Refused => None,
        Unique::Key => match item.as_text() {
            Some(text) => Some(text.split('=').next().unwrap_or_default().to_owned()),
            None => {
                let path = trail.bracketed();
                return Err(format!(
                    "{path}: unexpected type {}",
                    scalar::go_type(&item.value)
                ));
            }
        },
        Unique::Expose => match &item.value {
            Value::Text(_) | Value::Int(_) => scalar::print(&item.value),
            value => return Err(unsupported(value, trail)),
        },
        Unique::Port => return port_key(item, trail),
        Unique::VolumeTarget => return volume_key(item, trail),
        Unique::DeviceTarget => match item.as_text() {
            Some(text) => {
                let mut parts = text.split(':');
                let source = parts.next().unwrap_or_default();
                Some(parts.next().unwrap_or(source).to_owned())
            }
            None if item.as_map().is_some_and(|map| !map.contains("target")) => {
                let path = trail.bracketed();
                return Err(format!("service device {path} is missing a mount target"));
            }
            None => item.text_at("target").map(str::to_owned),
        },
        Unique::SecretTarget => return mount_key(item, "/run/secrets", trail),
        Unique::ConfigTarget => return mount_key(item, "", trail),
        Unique::EnvFilePath => {
            if item.as_map().is_some_and(|map| !map.contains("path")) {
                let path = trail.bracketed();
                return Err(format!("environment path attribute {path} is missing"));
            }
            let path = item.as_text().or_else(|| item.text_at("path"));
            path.map(str::to_owned)
        }
    })
}

fn port_key(item: &Node, trail: &Trail<'_>) -> Result<Option<String>, String> {
    if matches!(item.value, Value::Float(_)) {
        let path = trail.above();
        return Err(format!(
            "{}: invalid type float64 for port",
            path.numbered()
        ));
    }
    if item.as_map().is_none() {
        return Ok(scalar::print(&item.value));
    }
    let text = |key: &str| item.get(key).and_then(|node| scalar::print(&node.value));
    // The same port as text and as a number is published twice.
    let published = match item.get("published").map(|node| &node.value) {
        Some(Value::Int(number)) => format!("#{number}"),
        _ => text("published").unwrap_or_default(),
    };
    let Some(target) = text("target") else {
        return Err(format!(
            "service ports {} is missing a target port",
            trail.bracketed()
        ));
    };
    Ok(Some(format!(
        "{}:{}:{}/{}",
        text("host_ip").unwrap_or_else(|| "0.0.0.0".to_owned()),
        published,
        target,
        text("protocol").unwrap_or_else(|| "tcp".to_owned()),
    )))
}

fn volume_key(item: &Node, trail: &Trail<'_>) -> Result<Option<String>, String> {
    if let Some(text) = item.as_text() {
        return volume::parse(text).map(|spec| Some(volume::clean(&spec.target)));
    }
    if item.as_map().is_none() {
        return Ok(None);
    }
    match item
        .get("target")
        .and_then(|node| scalar::print(&node.value))
    {
        Some(target) => Ok(Some(volume::clean(&target))),
        None => Err(format!(
            "service volume {} is missing a mount target",
            trail.bracketed()
        )),
    }
}

fn mount_key(item: &Node, folder: &str, trail: &Trail<'_>) -> Result<Option<String>, String> {
    if let Some(name) = item.as_text() {
        return Ok(Some(format!("{folder}/{name}")));
    }
    if item.as_map().is_none() {
        return Err(unsupported(&item.value, trail));
    }
    let own = item.text_at("target").map(str::to_owned);
    let default = || {
        item.text_at("source")
            .map(|source| format!("{folder}/{source}"))
    };
    Ok(own.or_else(default))
}

/// The reference's words, which are about another attribute.
fn unsupported(value: &Value, trail: &Trail<'_>) -> String {
    let kind = scalar::go_type(value);
    let shown = match value {
        Value::Null => "<nil>".to_owned(),
        value => format!("{kind}={}", scalar::print(value).unwrap_or_default()),
    };
    let path = trail.bracketed();
    format!("{path}: unsupported expose value %!s({shown})")
}
