//! Values to their final types: sizes to bytes, durations to Go's form,
//! command lines to words.
//!
//! The last stage that can find fault with a single value. What it leaves can
//! be lowered and printed without a further check.

use crate::compose::attribute::{Attribute, Cast, Kind, Schema, Short};
use crate::compose::canonical::words;
use crate::compose::interpolate;
use crate::compose::merge;
use crate::compose::node::{Node, Value};
use crate::compose::problem::{Problem, Problems};
use crate::compose::trail::Trail;
use crate::compose::yaml::scalar;
use crate::model::units;

/// Settles a whole canonical tree.
pub(crate) fn settle(root: &mut Node, schema: &'static Schema, problems: &mut Problems) {
    Settle { problems }.node(root, schema, &Trail::ROOT);
}

struct Settle<'a> {
    problems: &'a mut Problems,
}

impl Settle<'_> {
    fn node(&mut self, node: &mut Node, schema: &'static Schema, trail: &Trail<'_>) {
        if let Some(row) = schema.attribute() {
            self.special(node, row.short, trail);
            self.scalar(node, row, trail);
        }
        match &mut node.value {
            Value::Map(map) => {
                let are_services = schema.attribute().is_some_and(|row| row.path == "services");
                for (key, child) in map.iter_mut() {
                    // A service with an error has been told about.
                    if are_services && self.problems.is_tainted(key) {
                        continue;
                    }
                    if let Some(below) = schema.key(key) {
                        self.node(child, below, &trail.key(key));
                    }
                }
            }
            Value::List(items) => {
                if let Some(below) = schema.item() {
                    for (index, item) in items.iter_mut().enumerate() {
                        self.node(item, below, &trail.item(index));
                    }
                }
            }
            _ => {}
        }
    }

    fn special(&mut self, node: &mut Node, short: Short, trail: &Trail<'_>) {
        match short {
            Short::Command => self.command(node, trail),
            Short::HealthTest if node.as_text().is_some() => {
                let place = node.place;
                let test = std::mem::replace(node, Node::null(place));
                let shell = Node::text("CMD-SHELL", place);
                *node = Node::list(vec![shell, test], place);
            }
            Short::Hosts => self.hosts(node, trail),
            Short::Pairs => self.pairs(node, trail),
            Short::Strings => self.strings(node, trail),
            _ => {}
        }
    }

    fn command(&mut self, node: &mut Node, trail: &Trail<'_>) {
        let Some(text) = node.as_text() else {
            return;
        };
        let place = node.place;
        let Some(found) = words::split(text) else {
            let path = bracket_path(&trail.indexed());
            let message = format!("'{path}' invalid command line string");
            let problem = Problem::error("bad-command", message, place)
                .label("a quote or bracket is left open, or brackets stand outside quotes")
                .hint("no shell reads this line: write a list, or `sh -c '…'`");
            self.problems.add_at(&trail.numbered(), problem);
            return;
        };
        if let Some(operator) = found.cut_at {
            let message = format!(
                "{}: everything from {operator:?} on is dropped, since no shell reads this line",
                trail.numbered()
            );
            self.problems.add(
                Problem::warning("command-cut", message, place).hint("write `sh -c '…'` round it"),
            );
        }
        let words = found.words.into_iter().map(|word| Node::text(word, place));
        *node = Node::list(words.collect(), place);
    }

    fn hosts(&mut self, node: &mut Node, trail: &Trail<'_>) {
        let place = node.place;
        let path = bracket_path(&trail.indexed());
        let items = merge::host_list(std::mem::replace(node, Node::null(place)));
        let mut hosts: Vec<Node> = Vec::with_capacity(items.len());
        for item in items {
            let text = scalar::print(&item.value).unwrap_or_default();
            let Some((host, addresses)) = text.split_once('=').or_else(|| text.split_once(':'))
            else {
                let message = format!("'{path}' invalid additional host, missing IP: {text}");
                self.problems.add_at(
                    &trail.numbered(),
                    Problem::error("bad-host", message, item.place),
                );
                continue;
            };
            if host.is_empty() || host.contains([':', '=']) {
                let message = format!("'{path}' bad host name '{host}'");
                self.problems.add_at(
                    &trail.numbered(),
                    Problem::error("bad-host", message, item.place),
                );
                continue;
            }
            for address in addresses.split(',') {
                let bare = address
                    .strip_prefix('[')
                    .and_then(|rest| rest.strip_suffix(']'))
                    .filter(|bare| !bare.is_empty())
                    .unwrap_or(address);
                hosts.push(Node::text(format!("{host}={bare}"), item.place));
            }
        }
        hosts.sort_by(|a, b| a.as_text().cmp(&b.as_text()));
        *node = Node::list(hosts, place);
    }

    /// Text, nothing, or whole numbers that become text.
    fn strings(&mut self, node: &mut Node, trail: &Trail<'_>) {
        let children: Vec<(String, &mut Node)> = match &mut node.value {
            Value::List(items) => (0..)
                .map(|index: usize| format!("[{index}]"))
                .zip(items)
                .collect(),
            Value::Map(map) => map
                .iter_mut()
                .map(|(key, child)| (format!("[{key}]"), child))
                .collect(),
            _ => return,
        };
        for (step, child) in children {
            child.value = match &child.value {
                Value::Text(_) => continue,
                Value::Null => Value::Text(String::new()),
                Value::Int(number) => Value::Text(number.to_string()),
                value => {
                    let path = bracket_path(&trail.indexed());
                    let fault = unconvertible("string", scalar::go_type(value));
                    let problem =
                        Problem::error("bad-value", format!("'{path}{step}' {fault}"), child.place)
                            .hint("put it in quotes");
                    self.problems.add_at(&trail.numbered(), problem);
                    Value::Null
                }
            };
        }
    }

    fn pairs(&mut self, node: &mut Node, trail: &Trail<'_>) {
        let Some(map) = node.as_map() else {
            return;
        };
        for (key, entry) in map.entries() {
            if key.ends_with(char::is_whitespace) {
                let path = bracket_path(&trail.numbered());
                let message = format!(
                    "'{path}' environment variable {key} is declared with a trailing space"
                );
                let problem = Problem::error("trailing-space", message, entry.key_place);
                self.problems.add_at(&trail.numbered(), problem);
            }
        }
    }

    fn scalar(&mut self, node: &mut Node, row: &Attribute, trail: &Trail<'_>) {
        let kind = row.kind;
        if matches!(node.value, Value::List(_) | Value::Map(_) | Value::Null) {
            return;
        }
        let result = match kind {
            Kind::Text => text(node),
            Kind::Int if row.cast == Cast::None && node.as_text().is_some() => {
                Err(unconvertible("uint16", "string"))
            }
            Kind::Bool | Kind::Int => {
                if let (Kind::Bool, Some(text)) = (kind, node.as_text())
                    && let Some(problem) = interpolate::old_boolean(text, node.place)
                {
                    self.problems.add(problem);
                }
                cast(node, kind)
            }
            Kind::Unsigned => unsigned(node),
            Kind::Float => cast(node, kind).map(|value| {
                value.map(|value| match value {
                    Value::Float(number) => Value::Float(single(number)),
                    other => other,
                })
            }),
            Kind::Bytes => bytes(node),
            Kind::Duration => duration(node),
            Kind::Mode => mode(node),
            Kind::ModeNumber => mode_number(node),
            Kind::Count => count(node, trail),
            Kind::Section | Kind::Table | Kind::List | Kind::SshKeys => Ok(None),
        };
        match result {
            Ok(Some(value)) => node.value = value,
            Ok(None) => {}
            Err(reason) => {
                let message = if reason.starts_with('\'') {
                    reason
                } else {
                    format!("'{}' {reason}", decoder_path(row, trail))
                };
                let problem = Problem::error("bad-value", message, node.place);
                self.problems.add_at(&trail.numbered(), problem);
                node.value = Value::Null;
            }
        }
    }
}

type Settled = Result<Option<Value>, String>;

/// Go's decoder, where a value can't become what it must be.
fn unconvertible(expected: &str, got: &str) -> String {
    format!("expected type '{expected}', got unconvertible type '{got}'")
}

fn text(node: &Node) -> Settled {
    match &node.value {
        Value::Time(_) => Err(unconvertible("string", "time.Time")),
        value => Ok(scalar::print(value).map(Value::Text)),
    }
}

fn unsigned(node: &Node) -> Settled {
    let settled = cast(node, Kind::Int)?;
    match settled.as_ref().unwrap_or(&node.value) {
        Value::Int(number) if *number < 0 => Err(format!(
            "cannot parse value as 'uint64': {number} overflows uint"
        )),
        _ => Ok(settled),
    }
}

/// A float cut to an integer; out of range is the least one, as on the
/// reference's machines.
fn cut(number: f64) -> i64 {
    #[expect(clippy::cast_precision_loss, reason = "only a bound")]
    let bound = i64::MAX as f64;
    if !(-bound..bound).contains(&number) {
        return i64::MIN;
    }
    #[expect(clippy::cast_possible_truncation, reason = "in range")]
    let cut = number as i64;
    cut
}

fn cast(node: &Node, kind: Kind) -> Settled {
    let function = match kind {
        Kind::Bool => Cast::Bool,
        Kind::Float => Cast::Float,
        _ => Cast::Int,
    };
    match (&node.value, kind) {
        (Value::Text(text), _) => interpolate::cast(function, text),
        (Value::Float(number), Kind::Int) => Ok(Some(Value::Int(cut(*number)))),
        #[expect(clippy::cast_precision_loss, reason = "Go's float64()")]
        (Value::Int(number), Kind::Float) => Ok(Some(Value::Float(*number as f64))),
        (Value::Unsigned(number), Kind::Int) => Err(format!("{number} is out of range")),
        _ => Ok(None),
    }
}

/// A number as a 32-bit float prints it.
fn single(number: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, reason = "the point of it")]
    let short = number as f32;
    short.to_string().parse().unwrap_or(number)
}

fn bytes(node: &Node) -> Settled {
    match &node.value {
        Value::Text(text) => match units::parse_bytes(text) {
            Some(bytes) => Ok(Some(Value::Int(bytes))),
            None => Err(format!("invalid size: '{text}'")),
        },
        // The reference takes whole numbers and text, and no float.
        Value::Float(_) => Ok(Some(Value::Int(0))),
        _ => Ok(None),
    }
}

fn duration(node: &Node) -> Settled {
    let text = scalar::print(&node.value).unwrap_or_default();
    let nanoseconds = units::parse_duration(&text).map_err(|fault| fault.in_words(&text))?;
    Ok(Some(Value::Text(units::print_duration(nanoseconds))))
}

fn mode(node: &Node) -> Settled {
    let bits = match &node.value {
        Value::Int(bits) => *bits,
        Value::Text(text) => i64::from_str_radix(text, 8)
            .map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))?,
        _ => return Err("unexpected value type for mode".to_owned()),
    };
    Ok(Some(Value::Text(format!("0{bits:o}"))))
}

fn mode_number(node: &Node) -> Settled {
    match &node.value {
        Value::Text(_) => Err(unconvertible("uint32", "string")),
        _ => Ok(None),
    }
}

fn count(node: &Node, trail: &Trail<'_>) -> Settled {
    match &node.value {
        Value::Text(text) if text.eq_ignore_ascii_case("all") => Ok(Some(Value::Int(-1))),
        Value::Text(text) => text
            .parse()
            .map(|number| Some(Value::Int(number)))
            .map_err(|_| {
                let path = bracket_path(&trail.indexed());
                format!(
                    "'{path}' invalid value {text:?}, the only value allowed is 'all' or a number"
                )
            }),
        _ => Ok(None),
    }
}

/// The decoder's path of a value: fields without names of their own show
/// Go's.
fn decoder_path(row: &Attribute, trail: &Trail<'_>) -> String {
    let path = bracket_path(&trail.indexed());
    match path.rsplit_once('.') {
        Some((above, last)) if row.is_device_limit() => {
            let mut letters = last.chars();
            let first = letters.next().map(|c| c.to_ascii_uppercase());
            let last: String = first.into_iter().chain(letters).collect();
            format!("{above}.{last}")
        }
        _ => path,
    }
}

/// `services.web.x` as `services[web].x`, the decoder's way of paths.
fn bracket_path(path: &str) -> String {
    let mut parts = path.splitn(3, '.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(section), Some(name), Some(rest)) => format!("{section}[{name}].{rest}"),
        _ => path.to_owned(),
    }
}
