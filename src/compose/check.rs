//! Forms and limits of a merged tree, by the table.
//!
//! Every fault is told; what is at fault is taken out of the tree, so that
//! later stages see legal forms only. Messages are the reference's.

use std::collections::HashSet;

use crate::compose::attribute::{Attribute, Forms, Kind, Limit, Schema, Short, Unique};
use crate::compose::node::{Map, Node, Value};
use crate::compose::place::Place;
use crate::compose::problem::{Problem, Problems};
use crate::compose::trail::Trail;
use crate::compose::yaml::scalar;
use crate::diagnostic;

/// Checks a tree that was merged up to the file `name`.
pub(crate) fn check(root: &mut Node, schema: &'static Schema, name: &str, problems: &mut Problems) {
    if let Some((number, place)) = beyond_json(root) {
        let message = format!("validating {name}: json: unsupported value: {number}");
        let problem = Problem::error("bad-number", message, place)
            .label("no JSON can hold this number")
            .hint("put it in quotes if you mean the word");
        problems.add(problem);
    }
    Check { name, problems }.children(root, schema, &Trail::ROOT);
}

/// The first infinite number, or none at all.
fn beyond_json(node: &Node) -> Option<(String, Place)> {
    match &node.value {
        Value::Float(number) if !number.is_finite() => {
            Some((scalar::print_float(*number), node.place))
        }
        Value::List(items) => items.iter().find_map(beyond_json),
        Value::Map(map) => map.iter().find_map(|(_, child)| beyond_json(child)),
        _ => None,
    }
}

struct Check<'a> {
    name: &'a str,
    problems: &'a mut Problems,
}

impl Check<'_> {
    /// Whether a node is legal; its children are mended on the way.
    fn node(&mut self, node: &mut Node, schema: &'static Schema, trail: &Trail<'_>) -> bool {
        if let Some(row) = schema.attribute() {
            if !fits(&node.value, row.forms) {
                self.wrong_form(node, row.named, trail);
                return false;
            }
            if !self.limit(node, row, trail) {
                return false;
            }
        }
        self.children(node, schema, trail);
        true
    }

    fn children(&mut self, node: &mut Node, schema: &'static Schema, trail: &Trail<'_>) {
        let row = schema.attribute();
        let place = node.place;
        match &mut node.value {
            Value::Map(map) => {
                let is_section = row.is_none_or(|row| row.kind == Kind::Section);
                if is_section {
                    self.unknown_keys(map, schema, trail);
                } else if row.is_some_and(|row| has_free_keys(row.short)) {
                    self.empty_keys(map, trail);
                }
                map_retain(map, |key, child| {
                    let trail = trail.key(key);
                    match (schema.key(key), row) {
                        _ if is_section && is_extension(key, schema) => true,
                        (Some(below), _) => self.node(child, below, &trail),
                        (None, Some(row)) => self.loose(child, row.value, &trail),
                        (None, None) => true,
                    }
                });
                if let Some(Attribute {
                    limit: Limit::Required(keys),
                    ..
                }) = row
                {
                    self.required(
                        map,
                        keys,
                        row.map_or(Forms::MAP, |row| row.named),
                        trail,
                        place,
                    );
                }
                if let Some(Attribute {
                    limit: Limit::Names,
                    ..
                }) = row
                {
                    self.names(map, trail);
                }
            }
            Value::List(items) => {
                let mut index = 0;
                items.retain_mut(|item| {
                    let trail = trail.item(index);
                    index += 1;
                    match (schema.item(), row) {
                        (Some(below), _) => self.node(item, below, &trail),
                        (None, Some(row)) => self.loose(item, row.item, &trail),
                        (None, None) => true,
                    }
                });
                if let Some(row) = row.filter(|row| row.unique == Unique::Refused) {
                    self.refuse_equal(items, row, trail);
                }
            }
            _ => {}
        }
    }

    /// A value without a row of its own.
    fn loose(&mut self, node: &Node, forms: Forms, trail: &Trail<'_>) -> bool {
        let fits = fits(&node.value, forms);
        if !fits {
            // A list is the schema's last choice; the first one is named.
            let first = forms.without(Forms::LIST);
            self.wrong_form(node, first, trail);
        }
        fits
    }

    fn wrong_form(&mut self, node: &Node, forms: Forms, trail: &Trail<'_>) {
        let message = format!("{} must be a {}", trail.numbered(), words(forms));
        let problem = self
            .problem("wrong-type", &message, node.place)
            .label(format!("this is {}", what(&node.value)));
        let problem = match hint(&node.value, forms) {
            Some(hint) => problem.hint(hint),
            None => problem,
        };
        self.problems.add_at(&trail.numbered(), problem);
    }

    fn limit(&mut self, node: &Node, row: &Attribute, trail: &Trail<'_>) -> bool {
        let limit = row.limit;
        if matches!(limit, Limit::None | Limit::Required(_) | Limit::Names) {
            return true;
        }
        // Nearly every value is right: its path is written only for a fault.
        let path = trail;
        let number = match node.value {
            Value::Int(number) => Some(number),
            _ => None,
        };
        let amount = match node.value {
            #[expect(clippy::cast_possible_truncation, reason = "only compared with limits")]
            Value::Float(number) => Some(number as i64),
            _ => number,
        };
        let message = match (limit, &node.value) {
            (Limit::Words(words), Value::Text(text)) if !words.contains(&text.as_str()) => {
                let known: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
                let among = if known.len() == 1 { "" } else { "one of " };
                format!("{path} value must be {among}{}", known.join(", "))
            }
            (Limit::Pattern(pattern, matches), Value::Text(text)) if !matches(text) => {
                format!("{path} '{text}' does not match pattern '{pattern}'")
            }
            // The reference tells what the other form would be.
            (Limit::Minimum(least), _)
                if row.named == Forms::TEXT && number.is_some_and(|n| n < least) =>
            {
                format!("{path} must be a string")
            }
            (Limit::Range(least, most), Value::Int(_) | Value::Float(_))
                if row.named == Forms::TEXT
                    && amount.is_some_and(|n| !(least..=most).contains(&n)) =>
            {
                format!("{path} must be a string")
            }
            (Limit::Minimum(least) | Limit::Range(least, _), _)
                if number.is_some_and(|n| n < least) =>
            {
                format!("{path} must be greater than or equal to {least}")
            }
            (Limit::Range(_, most), _) if number.is_some_and(|n| n > most) => {
                format!("{path} must be less than or equal to {most}")
            }
            _ => return true,
        };
        let mut problem = self.problem("bad-value", &message, node.place);
        problem = match limit {
            Limit::Minimum(least) => problem.label(format!("must not be below {least}")),
            Limit::Range(least, most) => problem.label(format!("must be from {least} to {most}")),
            _ => problem,
        };
        if let (Limit::Words(words), Value::Text(text)) = (limit, &node.value)
            && let Some(near) = diagnostic::nearest(text, words.iter().copied())
        {
            problem = problem.hint(format!("did you mean `{near}`?"));
        }
        self.problems.add_at(&path.numbered(), problem);
        false
    }

    fn required(
        &mut self,
        map: &Map,
        keys: &[&str],
        named: Forms,
        trail: &Trail<'_>,
        place: Place,
    ) {
        let missing: Vec<_> = keys
            .iter()
            .filter(|key| !map.contains(key))
            .map(|key| format!("'{key}'"))
            .collect();
        if missing.is_empty() {
            return;
        }
        let path = trail.numbered();
        if named != Forms::MAP {
            // The reference tells what the short form would be.
            let message = format!("{path} must be a {}", words(named));
            let problem = self
                .problem("missing-attribute", &message, place)
                .label(format!("{} is missing", missing.join(" and ")));
            self.problems.add_at(&path, problem);
            return;
        }
        let message = match missing.as_slice() {
            [one] => format!("{path} missing property {one}"),
            several => format!("{path} missing properties {}", several.join(", ")),
        };
        let problem = self.problem("missing-attribute", &message, place);
        self.problems.add_at(&path, problem);
    }

    fn unknown_keys(&mut self, map: &mut Map, schema: &'static Schema, trail: &Trail<'_>) {
        if schema.takes_any_key() {
            return;
        }
        let mut unknown: Vec<String> = map
            .keys()
            .filter(|key| !schema.has_key(key) && !is_extension(key, schema))
            .map(str::to_owned)
            .collect();
        if unknown.is_empty() {
            return;
        }
        unknown.sort_unstable();
        let path = trail.numbered();
        let is_service = schema
            .attribute()
            .is_some_and(|row| matches!(row.path, "services.*" | "services.*.pre_start.[]"));
        for key in &unknown {
            let message = if is_service {
                format!("{path}.{key} false schema")
            } else {
                let keys: Vec<_> = unknown.iter().map(|key| format!("'{key}'")).collect();
                format!(
                    "{path} additional properties {} not allowed",
                    keys.join(", ")
                )
            };
            let place = map.key_place(key).unwrap_or_default();
            let problem = self.problem("unknown-attribute", &message, place).label(
                match trail_owner(&path) {
                    Some(owner) => format!("unknown attribute `{key}` of {owner}"),
                    None => format!("unknown top-level element `{key}`"),
                },
            );
            let problem = match diagnostic::nearest(key, schema.keys().iter().copied()) {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None => problem.hint(format!(
                    "remove it, or call it `x-{key}` to keep it as a note"
                )),
            };
            self.problems.add_at(&format!("{path}.{key}"), problem);
        }
        map.retain(|key, _| !unknown.iter().any(|known| known == key));
    }

    /// Names of services and resources are letters, digits and `._-`.
    fn names(&mut self, map: &mut Map, trail: &Trail<'_>) {
        let wrong: Vec<String> = map
            .keys()
            .filter(|key| !is_name(key))
            .map(str::to_owned)
            .collect();
        for key in &wrong {
            let message = format!(
                "{} additional properties '{key}' not allowed",
                trail.numbered()
            );
            let place = map.key_place(key).unwrap_or_default();
            let problem = self
                .problem("bad-name", &message, place)
                .label(format!("{key:?} is no legal name"))
                .hint("names are made of letters, digits, `.`, `_` and `-`");
            self.problems.add_at(&trail.numbered(), problem);
        }
        map.retain(|key, _| is_name(key));
    }

    /// A free key is at least one letter long.
    fn empty_keys(&mut self, map: &mut Map, trail: &Trail<'_>) {
        if let Some(place) = map.key_place("") {
            let path = trail.numbered();
            let message = format!("{path} additional properties '' not allowed");
            let problem = self
                .problem("bad-name", &message, place)
                .label("a name is missing");
            self.problems.add_at(&path, problem);
            map.remove("");
        }
    }

    fn refuse_equal(&mut self, items: &mut Vec<Node>, row: &Attribute, trail: &Trail<'_>) {
        let mut seen: Vec<(String, usize)> = Vec::new();
        let mut known = HashSet::new();
        let mut index = 0;
        items.retain(|item| {
            let at = index;
            index += 1;
            let text = scalar::print(&item.value).unwrap_or_default();
            // 1 and "1" are two.
            if known.insert((item.as_text().is_some(), text.clone())) {
                seen.push((text, at));
                return true;
            }
            let first = seen
                .iter()
                .find(|(other, _)| *other == text)
                .map_or(0, |(_, at)| *at);
            let path = trail.numbered();
            let message = if row.named.has(Forms::LIST) {
                format!("{path} items at {first} and {at} are equal")
            } else {
                format!("{path} must be a {}", words(row.named))
            };
            let problem = self
                .problem("repeated-item", &message, item.place)
                .label("this is in the list already");
            self.problems.add_at(&trail.numbered(), problem);
            false
        });
    }

    fn problem(&self, code: &'static str, message: &str, place: Place) -> Problem {
        Problem::error(code, format!("validating {}: {message}", self.name), place)
    }
}

/// Keeps the children for which `keep` says so, in one pass.
fn map_retain(map: &mut Map, mut keep: impl FnMut(&str, &mut Node) -> bool) {
    let mut dropped = Vec::new();
    for (key, child) in map.iter_mut() {
        if !keep(key, child) {
            dropped.push(key.to_owned());
        }
    }
    if !dropped.is_empty() {
        let dropped: HashSet<String> = dropped.into_iter().collect();
        map.retain(|key, _| !dropped.contains(key));
    }
}

fn has_free_keys(short: Short) -> bool {
    matches!(
        short,
        Short::Pairs | Short::Labels | Short::Options | Short::Hosts
    )
}

fn is_extension(key: &str, schema: &Schema) -> bool {
    key.starts_with("x-") && !schema.has_key(key)
}

fn is_name(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn trail_owner(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('.').collect();
    match parts.as_slice() {
        [] | [""] => None,
        ["services", name] => Some(format!("service `{name}`")),
        _ => Some(format!("`{path}`")),
    }
}

/// Whether a value has one of the forms.
pub(crate) fn fits(value: &Value, forms: Forms) -> bool {
    match value {
        Value::Null => forms.has(Forms::NULL),
        Value::Bool(_) => forms.has(Forms::BOOL),
        Value::Int(_) | Value::Unsigned(_) => forms.has(Forms::INT),
        Value::Float(number) => {
            forms.has(Forms::NUMBER) || (number.fract() == 0.0 && forms.has(Forms::INT))
        }
        Value::Text(_) | Value::Time(_) => forms.has(Forms::TEXT),
        Value::List(_) => forms.has(Forms::LIST),
        Value::Map(_) => forms.has(Forms::MAP),
    }
}

/// The forms in the reference's words: `boolean, null, number or string`.
fn words(forms: Forms) -> String {
    let mut words = Vec::new();
    let names = [
        (Forms::LIST, "array"),
        (Forms::BOOL, "boolean"),
        (Forms::MAP, "mapping"),
        (Forms::NULL, "null"),
        (Forms::NUMBER, "number"),
        (Forms::TEXT, "string"),
    ];
    for (form, name) in names {
        if forms.has(form) {
            words.push(name);
        }
    }
    if forms.has(Forms::INT) && !forms.has(Forms::NUMBER) {
        words.push("integer");
    }
    words.sort_unstable();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "value".to_owned(),
    }
}

fn what(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "a boolean",
        Value::Int(_) | Value::Unsigned(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Text(_) => "a string",
        Value::Time(_) => "a date",
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
    }
}

fn hint(value: &Value, forms: Forms) -> Option<String> {
    match value {
        Value::Null => Some("remove the key, or give it a value".to_owned()),
        Value::Bool(_) | Value::Int(_) | Value::Unsigned(_) | Value::Float(_)
            if forms.has(Forms::TEXT) =>
        {
            let text = scalar::print(value)?;
            Some(format!("put it in quotes: \"{text}\""))
        }
        Value::Text(_) if forms.has(Forms::LIST) => {
            Some("write a list: one `- item` a line".to_owned())
        }
        Value::Text(_) | Value::List(_) if forms.has(Forms::MAP) => {
            Some("write a mapping: one `key: value` a line".to_owned())
        }
        _ => None,
    }
}
