//! Trees to values in the reference's shape: fields in its order, zero values
//! left out where it leaves them out.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::compose::attribute::{self, Attribute, Kind, Print, Schema, Short};
use crate::compose::node::{Map, Node, Value};
use crate::compose::render::order;
use crate::compose::render::printed::{Object, Printed};
use crate::compose::yaml::scalar;

/// What the shape is for: the two differ in what they leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
}

/// The path of a service's row.
const SERVICE: &str = "services.*";

/// What the reference prints of a service before what any container has.
const BEFORE_CONTAINER: &[&str] = &[
    "profiles",
    "deploy",
    "develop",
    "restart",
    "scale",
    "attach",
    "container_name",
    "external_links",
    "provider",
    "links",
    "pre_start",
    "post_start",
    "pre_stop",
];

/// What it prints after that.
const AFTER_CONTAINER: &[&str] = &[
    "build",
    "depends_on",
    "expose",
    "healthcheck",
    "ports",
    "stdin_open",
    "tty",
];

/// The numbers of a service's keys in the order of printing.
static SERVICE_RANKS: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let Some(schema) = attribute::root().at(SERVICE) else {
        return Vec::new();
    };
    let is_moved = |key: &&str| BEFORE_CONTAINER.contains(key) || AFTER_CONTAINER.contains(key);
    let container = schema.keys().iter().filter(|key| !is_moved(key));
    let keys = BEFORE_CONTAINER.iter().chain(container);
    let keys = keys.chain(AFTER_CONTAINER);
    keys.filter_map(|key| schema.rank(key)).collect()
});

/// A whole project.
pub(crate) fn project(root: &Node, format: Format) -> Printed<'_> {
    let schema = attribute::root();
    let mut out = Object::new();
    let mut keys = vec![
        "name", "services", "networks", "volumes", "secrets", "configs", "models",
    ];
    if format == Format::Json {
        // The reference's JSON leaves models out.
        keys.retain(|key| *key != "models");
        keys.sort_unstable();
    }
    for key in keys {
        let Some(below) = schema.key(key) else {
            continue;
        };
        if let Some(value) = field(root.get(key), below, format) {
            out.push((Cow::Borrowed(key), value));
        }
    }
    extensions(root, &mut out);
    Printed::Object(out)
}

/// One service, as it is hashed: its fields stand in the table's order.
pub(crate) fn service(node: &Node) -> Printed<'_> {
    let mut out = Object::new();
    if let Some(schema) = attribute::root().at(SERVICE) {
        let ranks = 0..schema.keys().len();
        fields(Some(node), schema, ranks, Format::Json, &mut out);
    }
    Printed::Object(out)
}

/// A tree as it is, without any shape, as JSON has it.
pub(crate) fn plain(node: &Node) -> Printed<'_> {
    plain_in(node, Format::Json)
}

/// The same with the format's order of keys.
pub(crate) fn plain_in(node: &Node, format: Format) -> Printed<'_> {
    match &node.value {
        Value::Null => Printed::Null,
        Value::Bool(flag) => Printed::Bool(*flag),
        Value::Int(number) => Printed::Int(*number),
        Value::Unsigned(number) => Printed::Unsigned(*number),
        Value::Float(number) if number.is_finite() => Printed::Float(*number),
        Value::Float(_) => Printed::Null,
        Value::Text(text) => Printed::Text(Cow::Borrowed(text)),
        Value::Time(text) => Printed::Text(Cow::Owned(scalar::time_in_json(text))),
        Value::List(items) => {
            let items = items.iter();
            Printed::List(items.map(|item| plain_in(item, format)).collect())
        }
        Value::Map(map) => {
            let pairs = sorted(map, format).into_iter();
            Printed::Object(
                pairs
                    .map(|(key, child)| (Cow::Borrowed(key), plain_in(child, format)))
                    .collect(),
            )
        }
    }
}

/// A mapping's keys in the order in which Go prints them: by their bytes in
/// JSON, as people count in YAML.
fn sorted(map: &Map, format: Format) -> Vec<(&str, &Node)> {
    let mut all = map.sorted();
    if format == Format::Yaml {
        all.sort_by(|(one, _), (other, _)| order::natural(one, other));
    }
    all
}

/// A field of a section; None when it isn't printed.
fn field<'a>(
    node: Option<&'a Node>,
    schema: &'static Schema,
    format: Format,
) -> Option<Printed<'a>> {
    let row = schema.attribute()?;
    let present = node.filter(|node| !node.is_null());
    match row.print {
        Print::Never => None,
        Print::Present => present.map(|node| value(node, schema, row, format)),
        Print::NonZero => {
            let node = present?;
            let is_zero_size = row.kind == Kind::Bytes && node.as_int() == Some(0);
            let value = value(node, schema, row, format);
            (!is_zero_size && !value.is_zero()).then_some(value)
        }
        Print::IfFalse => {
            let value = value(present?, schema, row, format);
            (value == Printed::Bool(false)).then_some(value)
        }
        Print::JsonNull => match present {
            Some(node) => Some(value(node, schema, row, format)),
            None => (format == Format::Json).then_some(Printed::Null),
        },
        Print::Always => Some(always(present, schema, row, format))
            .filter(|value| format == Format::Json || row.kind == Kind::Table || !value.is_zero()),
    }
}

/// A value that is printed even when it is absent.
fn always<'a>(
    present: Option<&'a Node>,
    schema: &'static Schema,
    row: &Attribute,
    format: Format,
) -> Printed<'a> {
    match (present, row.kind) {
        (Some(node), _) => value(node, schema, row, format),
        (None, Kind::Section) => section(None, schema, format),
        (None, Kind::Table) => Printed::Object(Object::new()),
        (None, Kind::Int) => Printed::Int(0),
        (None, Kind::Bytes) => Printed::Text(Cow::Borrowed("0")),
        (None, _) => Printed::Text(Cow::Borrowed("")),
    }
}

fn value<'a>(
    node: &'a Node,
    schema: &'static Schema,
    row: &Attribute,
    format: Format,
) -> Printed<'a> {
    match (&node.value, row.kind) {
        (Value::Map(_), Kind::Section) => section(Some(node), schema, format),
        (Value::Map(map), Kind::Table) => {
            let pairs = sorted(map, format).into_iter().map(|(key, child)| {
                let below = schema.key(key).filter(|_| !child.is_null());
                (
                    Cow::Borrowed(key),
                    below.map_or_else(
                        || plain_in(child, format),
                        |below| child_value(child, below, format),
                    ),
                )
            });
            Printed::Object(pairs.collect())
        }
        (Value::List(items), Kind::List) => {
            let items = items.iter().map(|item| match schema.item() {
                Some(below) => child_value(item, below, format),
                None => plain_in(item, format),
            });
            Printed::List(items.collect())
        }
        (Value::List(items), Kind::SshKeys) if format == Format::Yaml => {
            let keys = items.iter().filter_map(Node::as_text);
            Printed::List(
                keys.map(|key| Printed::Text(Cow::Owned(key.replacen('=', ": ", 1))))
                    .collect(),
            )
        }
        (Value::Int(number), Kind::Bytes) => Printed::Text(Cow::Owned(number.to_string())),
        _ => plain_in(node, format),
    }
}

/// A limit of processes: a number that isn't zero stands alone, and YAML has
/// both halves of the others.
fn ulimit(node: &Node, format: Format) -> Option<Printed<'_>> {
    let of = |key: &str| match node.get(key) {
        None => Some(0),
        Some(half) => half.as_int(),
    };
    let halves = match &node.value {
        Value::Int(0) => [("soft", 0), ("hard", 0)],
        Value::Map(_) => [("soft", of("soft")?), ("hard", of("hard")?)],
        _ => return None,
    };
    let printed = halves
        .into_iter()
        .filter(|(_, limit)| *limit != 0 || format == Format::Yaml)
        .map(|(key, limit)| (Cow::Borrowed(key), Printed::Int(limit)));
    Some(Printed::Object(printed.collect()))
}

fn child_value<'a>(node: &'a Node, schema: &'static Schema, format: Format) -> Printed<'a> {
    match schema.attribute() {
        Some(row) if row.short == Short::Ulimit => {
            ulimit(node, format).unwrap_or_else(|| value(node, schema, row, format))
        }
        Some(row) => value(node, schema, row, format),
        None => plain_in(node, format),
    }
}

fn section<'a>(node: Option<&'a Node>, schema: &'static Schema, format: Format) -> Printed<'a> {
    let mut out = Object::new();
    let is_service = schema.attribute().is_some_and(|row| row.path == SERVICE);
    if is_service {
        let ranks = SERVICE_RANKS.iter().copied();
        fields(node, schema, ranks, format, &mut out);
    } else {
        fields(node, schema, 0..schema.keys().len(), format, &mut out);
    }
    if let Some(node) = node
        && format == Format::Yaml
    {
        extensions(node, &mut out);
    }
    Printed::Object(out)
}

/// Adds the fields of the keys with these numbers, in this order.
fn fields<'a>(
    node: Option<&'a Node>,
    schema: &'static Schema,
    ranks: impl Iterator<Item = usize>,
    format: Format,
    out: &mut Object<'a>,
) {
    let keys = schema.keys();
    let mut present: Vec<Option<&Node>> = vec![None; keys.len()];
    for (key, child) in node.and_then(Node::as_map).into_iter().flat_map(Map::iter) {
        if let Some(slot) = schema.rank(key).and_then(|rank| present.get_mut(rank)) {
            *slot = Some(child);
        }
    }
    for rank in ranks {
        let (Some(key), Some(below)) = (keys.get(rank), schema.child(rank)) else {
            continue;
        };
        let child = present.get(rank).copied().flatten();
        if let Some(value) = field(child, below, format) {
            out.push((printed_key(key, below, format), value));
        }
    }
}

/// The reference has no names for the fields of device limits in JSON, so
/// their Go names show.
fn printed_key(key: &'static str, schema: &Schema, format: Format) -> Cow<'static, str> {
    let is_device_limit = schema.attribute().is_some_and(Attribute::is_device_limit);
    if is_device_limit && format == Format::Json {
        let mut chars = key.chars();
        let first = chars.next().map(|c| c.to_ascii_uppercase());
        return Cow::Owned(first.into_iter().chain(chars).collect());
    }
    Cow::Borrowed(key)
}

fn extensions<'a>(node: &'a Node, out: &mut Object<'a>) {
    let Some(map) = node.as_map() else {
        return;
    };
    for (key, child) in sorted(map, Format::Yaml) {
        if key.starts_with("x-") {
            out.push((Cow::Borrowed(key), plain_in(child, Format::Yaml)));
        }
    }
}
