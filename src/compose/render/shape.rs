//! Trees to values in the reference's shape: fields in its order, zero values
//! left out where it leaves them out.

use serde_json::{Map as Object, Number, Value as Json};

use crate::compose::attribute::{self, Attribute, Kind, Print, Schema};
use crate::compose::node::{Node, Value};
use crate::compose::yaml::scalar;

/// What the shape is for: the two differ in what they leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
}

/// A whole project.
pub(crate) fn project(root: &Node, format: Format) -> Json {
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
            out.insert(key.to_owned(), value);
        }
    }
    extensions(root, &mut out);
    Json::Object(out)
}

/// One service, as it is hashed.
pub(crate) fn service(node: &Node) -> Json {
    match attribute::root().at("services.*") {
        Some(schema) => section(Some(node), schema, Format::Json),
        None => Json::Null,
    }
}

/// A tree as it is, without any shape.
pub(crate) fn plain(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(flag) => Json::Bool(*flag),
        Value::Int(number) => Json::from(*number),
        Value::Unsigned(number) => Json::from(*number),
        Value::Float(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::Text(text) => Json::String(text.clone()),
        Value::Time(text) => Json::String(scalar::time_in_json(text)),
        Value::List(items) => Json::Array(items.iter().map(plain).collect()),
        Value::Map(map) => {
            let pairs = map.sorted().into_iter();
            Json::Object(
                pairs
                    .map(|(key, child)| (key.to_owned(), plain(child)))
                    .collect(),
            )
        }
    }
}

/// A field of a section; None when it isn't printed.
fn field(node: Option<&Node>, schema: &'static Schema, format: Format) -> Option<Json> {
    let row = schema.attribute()?;
    let present = node.filter(|node| !node.is_null());
    match row.print {
        Print::Never => None,
        Print::Present => present.map(|node| value(node, schema, row, format)),
        Print::NonZero => {
            let node = present?;
            let is_zero_size = row.kind == Kind::Bytes && node.as_int() == Some(0);
            let value = value(node, schema, row, format);
            (!is_zero_size && !is_zero(&value)).then_some(value)
        }
        Print::IfFalse => {
            let value = value(present?, schema, row, format);
            (value == Json::Bool(false)).then_some(value)
        }
        Print::JsonNull => match present {
            Some(node) => Some(value(node, schema, row, format)),
            None => (format == Format::Json).then_some(Json::Null),
        },
        Print::Always => Some(always(present, schema, row, format))
            .filter(|value| format == Format::Json || row.kind == Kind::Table || !is_zero(value)),
    }
}

/// A value that is printed even when it is absent.
fn always(
    present: Option<&Node>,
    schema: &'static Schema,
    row: &Attribute,
    format: Format,
) -> Json {
    match (present, row.kind) {
        (Some(node), _) => value(node, schema, row, format),
        (None, Kind::Section) => section(None, schema, format),
        (None, Kind::Table) => Json::Object(Object::new()),
        (None, Kind::Int) => Json::from(0),
        (None, Kind::Bytes) => Json::String("0".to_owned()),
        (None, _) => Json::String(String::new()),
    }
}

fn value(node: &Node, schema: &'static Schema, row: &Attribute, format: Format) -> Json {
    match (&node.value, row.kind) {
        (Value::Map(_), Kind::Section) => section(Some(node), schema, format),
        (Value::Map(map), Kind::Table) => {
            let pairs = map.sorted().into_iter().map(|(key, child)| {
                let below = schema.key(key).filter(|_| !child.is_null());
                (
                    key.to_owned(),
                    below.map_or_else(|| plain(child), |below| child_value(child, below, format)),
                )
            });
            Json::Object(pairs.collect())
        }
        (Value::List(items), Kind::List) => {
            let items = items.iter().map(|item| match schema.item() {
                Some(below) => child_value(item, below, format),
                None => plain(item),
            });
            Json::Array(items.collect())
        }
        (Value::List(items), Kind::SshKeys) if format == Format::Yaml => {
            let keys = items.iter().filter_map(Node::as_text);
            Json::Array(
                keys.map(|key| Json::String(key.replacen('=', ": ", 1)))
                    .collect(),
            )
        }
        (Value::Int(number), Kind::Bytes) => Json::String(number.to_string()),
        _ => plain(node),
    }
}

fn child_value(node: &Node, schema: &'static Schema, format: Format) -> Json {
    match schema.attribute() {
        Some(row) => value(node, schema, row, format),
        None => plain(node),
    }
}

fn section(node: Option<&Node>, schema: &'static Schema, format: Format) -> Json {
    let mut out = Object::new();
    for key in schema.keys() {
        let Some(below) = schema.key(key) else {
            continue;
        };
        let child = node.and_then(|node| node.get(key));
        if let Some(value) = field(child, below, format) {
            out.insert(printed_key(key, below, format), value);
        }
    }
    if let Some(node) = node
        && format == Format::Yaml
    {
        extensions(node, &mut out);
    }
    Json::Object(out)
}

/// The reference has no names for the fields of device limits in JSON, so
/// their Go names show.
fn printed_key(key: &str, schema: &Schema, format: Format) -> String {
    let is_device_limit = schema.attribute().is_some_and(Attribute::is_device_limit);
    if is_device_limit && format == Format::Json {
        let mut chars = key.chars();
        let first = chars.next().map(|c| c.to_ascii_uppercase());
        return first.into_iter().chain(chars).collect();
    }
    key.to_owned()
}

fn extensions(node: &Node, out: &mut Object<String, Json>) {
    let Some(map) = node.as_map() else {
        return;
    };
    for (key, child) in map.sorted() {
        if key.starts_with("x-") {
            out.insert(key.to_owned(), plain(child));
        }
    }
}

fn is_zero(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Bool(flag) => !flag,
        Json::Number(number) => number.as_f64() == Some(0.0),
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(map) => map.is_empty(),
    }
}
