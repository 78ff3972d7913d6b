//! The walk that converts each node by its row's `short` column.

use crate::compose::attribute::{Base, Schema, Short};
use crate::compose::canonical::{port, volume};
use crate::compose::merge;
use crate::compose::node::{Entry, Map, Node, Value};
use crate::compose::problem::{Problem, Problems};
use crate::compose::trail::Trail;
use crate::compose::yaml::scalar;

/// How strict the conversion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Templates {
    /// Every variable has its value: what can't be parsed is a problem.
    Filled,
    /// Variables stand in the text: what can't be parsed stays as it is.
    Kept,
    /// They have, and another file follows: what the reference settles last
    /// keeps its form, since the next file is compared with it.
    Between,
}

/// Brings a merged tree into its long form.
pub(crate) fn canonicalize(
    node: &mut Node,
    schema: &'static Schema,
    templates: Templates,
    problems: &mut Problems,
) {
    Walk {
        templates,
        problems,
    }
    .node(node, schema, &Trail::ROOT);
}

struct Walk<'a> {
    templates: Templates,
    problems: &'a mut Problems,
}

impl Walk<'_> {
    fn node(&mut self, node: &mut Node, schema: &'static Schema, trail: &Trail<'_>) {
        let short = schema.attribute().map_or(Short::None, |row| row.short);
        self.convert(node, short, schema, trail);
        match &mut node.value {
            Value::Map(map) => {
                for (key, child) in map.iter_mut() {
                    if let Some(below) = schema.key(key) {
                        self.node(child, below, &trail.key(key));
                    }
                }
                externals(node, schema, trail, self.problems);
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

    fn convert(
        &mut self,
        node: &mut Node,
        short: Short,
        schema: &'static Schema,
        trail: &Trail<'_>,
    ) {
        if node.is_null() && short != Short::Labels {
            return;
        }
        match short {
            Short::None
            | Short::External
            | Short::Command
            | Short::HealthTest
            | Short::Hosts
            | Short::Strings
            | Short::Ulimit => {}
            // The reference settles pairs only once their values are known.
            Short::Pairs
            | Short::Labels
            | Short::Options
            | Short::MultiOptions
            | Short::LateTexts
                if self.templates != Templates::Filled && !is_contexts(schema) => {}
            Short::Ssh if self.templates == Templates::Kept => pairs(node),
            Short::Pairs => pairs(node),
            Short::Labels | Short::Options => {
                pairs(node);
                fill_nulls(node);
            }
            Short::MultiOptions => multi_options(node),
            Short::Texts | Short::LateTexts | Short::EnvFiles | Short::Include => list_of_one(node),
            Short::Stringly => stringly(node),
            Short::Build => merge::context_form(node),
            Short::DependsOn => {
                merge::keyed(node, Some(schema));
                require(node);
            }
            Short::Networks | Short::Models => merge::keyed(node, Some(schema)),
            Short::Ports => self.ports(node, trail),
            Short::Volumes => self.volumes(node, trail),
            Short::Devices => self.devices(node, trail),
            Short::FileRefs => each_text(node, "source"),
            Short::Gpus => gpus(node),
            Short::Ssh => ssh(node),
            Short::Extends => {
                if let Value::Text(name) = &node.value {
                    let mut long = Node::map(node.place);
                    long.set("service", Node::text(name.clone(), node.place));
                    *node = long;
                }
            }
        }
        if short == Short::EnvFiles {
            each_text(node, "path");
            if let Value::List(items) = &mut node.value {
                for item in items {
                    default_true(item, "required");
                }
            }
        }
        if short == Short::Include {
            each_text(node, "path");
        }
    }

    fn ports(&mut self, node: &mut Node, trail: &Trail<'_>) {
        let Value::List(items) = &mut node.value else {
            return;
        };
        if self.templates == Templates::Kept && items.iter().any(is_unreadable_port) {
            return;
        }
        let mut ports = Vec::with_capacity(items.len());
        for (index, item) in std::mem::take(items).into_iter().enumerate() {
            if item.as_map().is_some() {
                ports.push(item);
                continue;
            }
            let place = item.place;
            let text = scalar::print(&item.value).unwrap_or_default();
            match port::parse(&text) {
                Ok(specs) => ports.extend(specs.into_iter().map(|spec| spec.into_node(place))),
                Err(message) => {
                    let problem = Problem::error("bad-port", message, place)
                        .label("not a port")
                        .hint("write \"[[HOST_IP:]PUBLISHED:]TARGET[/PROTOCOL]\" in quotes, as in \"8080:80\"");
                    self.problems.add_at(&trail.item(index).starred(), problem);
                }
            }
        }
        *items = ports;
    }

    fn volumes(&mut self, node: &mut Node, trail: &Trail<'_>) {
        let Value::List(items) = &mut node.value else {
            return;
        };
        for (index, item) in items.iter_mut().enumerate() {
            if let Some(target) = item.get_mut("target")
                && let Value::Text(text) = &mut target.value
            {
                *text = volume::clean(text);
            }
            let Some(text) = item.as_text() else {
                continue;
            };
            match volume::parse(text) {
                Ok(spec) => {
                    for option in &spec.unknown_options {
                        let message =
                            format!("mount option {option:?} is unknown and has no effect");
                        self.problems.add(
                            Problem::warning("unknown-mount-option", message, item.place)
                                .hint("known are ro, rw, nocopy, z, Z and the propagation modes"),
                        );
                    }
                    *item = spec.into_node(item.place);
                }
                Err(_) if self.templates == Templates::Kept => {}
                Err(message) => {
                    let problem = Problem::error("bad-volume", message, item.place).hint(
                        "write \"[SOURCE:]TARGET[:OPTIONS]\", as in \"data:/var/lib/data:ro\"",
                    );
                    self.problems.add_at(&trail.item(index).starred(), problem);
                }
            }
        }
        items.retain(|item| item.as_map().is_some() || self.templates == Templates::Kept);
    }

    fn devices(&mut self, node: &mut Node, trail: &Trail<'_>) {
        let Value::List(items) = &mut node.value else {
            return;
        };
        for (index, item) in items.iter_mut().enumerate() {
            let place = item.place;
            let Some(text) = item.as_text() else {
                if let Some(source) = item.text_at("source").map(str::to_owned)
                    && item.get("target").is_none()
                {
                    item.set("target", Node::text(source, place));
                }
                continue;
            };
            let parts: Vec<&str> = text.split(':').collect();
            let (source, target, permissions) = match parts.as_slice() {
                [source] => (*source, *source, "rwm"),
                [source, target] => (*source, *target, "rwm"),
                [source, target, permissions] => (*source, *target, *permissions),
                _ => {
                    let message =
                        format!("confusing device mapping, please use long syntax: {text}");
                    let problem = Problem::error("bad-device", message, place)
                        .hint("the long form has source, target and permissions");
                    self.problems.add_at(&trail.item(index).starred(), problem);
                    continue;
                }
            };
            let mut long = Node::map(place);
            long.set("source", Node::text(source, place));
            let target = if target.is_empty() { source } else { target };
            long.set("target", Node::text(target, place));
            long.set("permissions", Node::text(permissions, place));
            *item = long;
        }
        items.retain(|item| item.as_map().is_some());
    }
}

fn is_unreadable_port(item: &Node) -> bool {
    let text = scalar::print(&item.value);
    text.is_some_and(|text| port::parse(&text).is_err())
}

/// `k=v` lists and mappings of scalars to mappings of text and nulls.
fn pairs(node: &mut Node) {
    match &mut node.value {
        Value::List(items) => {
            let mut map = Map::with_capacity(items.len());
            for item in std::mem::take(items) {
                let place = item.place;
                let text = scalar::print(&item.value).unwrap_or_default();
                let (key, node) = match text.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Node::text(value, place)),
                    None => (text, Node::null(place)),
                };
                map.insert_entry(
                    key,
                    Entry {
                        key_place: place,
                        node,
                    },
                );
            }
            node.value = Value::Map(map);
        }
        Value::Map(map) => {
            for (_, child) in map.iter_mut() {
                text_of_scalar(child);
            }
        }
        _ => {}
    }
}

fn text_of_scalar(node: &mut Node) {
    if matches!(node.value, Value::Null | Value::Text(_)) {
        return;
    }
    if let Some(text) = scalar::print(&node.value) {
        node.value = Value::Text(text);
    }
}

fn fill_nulls(node: &mut Node) {
    if let Value::Map(map) = &mut node.value {
        for child in map.values_mut().filter(|child| child.is_null()) {
            child.value = Value::Text(String::new());
        }
    }
}

fn multi_options(node: &mut Node) {
    let Value::Map(map) = &mut node.value else {
        return;
    };
    for child in map.values_mut() {
        list_of_one(child);
        stringly(child);
    }
}

fn list_of_one(node: &mut Node) {
    if !matches!(node.value, Value::List(_) | Value::Null) {
        let place = node.place;
        let item = std::mem::replace(node, Node::null(place));
        *node = Node::list(vec![item], place);
    }
}

fn stringly(node: &mut Node) {
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(text_of_scalar),
        _ => text_of_scalar(node),
    }
}

/// Whether these are a build's contexts, whose paths are needed early.
fn is_contexts(schema: &Schema) -> bool {
    let row = schema.attribute();
    row.is_some_and(|row| row.base == Base::Context)
}

/// Items that are text become mappings with the text under a key.
fn each_text(node: &mut Node, key: &str) {
    let Value::List(items) = &mut node.value else {
        return;
    };
    for item in items {
        if item.as_text().is_some() {
            let place = item.place;
            let text = std::mem::replace(item, Node::map(place));
            item.set(key, text);
        }
    }
}

fn default_true(node: &mut Node, key: &str) {
    if node.as_map().is_some() && node.get(key).is_none() {
        let place = node.place;
        node.set(key, Node::bool(true, place));
    }
}

/// `required: true` unless the file says otherwise.
fn require(node: &mut Node) {
    if let Value::Map(map) = &mut node.value {
        map.values_mut()
            .for_each(|child| default_true(child, "required"));
    }
}

fn gpus(node: &mut Node) {
    if let Value::Text(count) = &node.value {
        let mut request = Node::map(node.place);
        request.set("count", Node::text(count.clone(), node.place));
        *node = Node::list(vec![request], node.place);
    }
}

/// `default`, `id=path` as a list, in the order of a list and by key of a map.
fn ssh(node: &mut Node) {
    let place = node.place;
    let keys = std::mem::replace(node, Node::null(place));
    let mut items = merge::sequence(keys);
    for item in &mut items {
        // The reference prints a key with a path as `id: path`.
        if let Value::Text(text) = &mut item.value
            && !text.contains('=')
            && let Some((id, path)) = text.split_once(": ")
        {
            *text = format!("{id}={path}");
        }
    }
    *node = Node::list(items, place);
}

/// `external: {name}` to `external: true` with the name, and the name that an
/// external resource has when none is written.
fn externals(node: &mut Node, schema: &'static Schema, trail: &Trail<'_>, problems: &mut Problems) {
    let has_external = schema
        .key("external")
        .and_then(Schema::attribute)
        .is_some_and(|row| row.short == Short::External);
    let Some(external) = node.get("external").filter(|_| has_external) else {
        return;
    };
    let place = external.place;
    let name = node.get("name").cloned();
    let path = trail.numbered();
    if let Some(map) = external.as_map() {
        let old = map.get("name").cloned();
        node.set("external", Node::bool(true, place));
        if let Some(old) = old {
            let message =
                format!("{path}: external.name is deprecated. Please set name and external: true");
            problems.add(Problem::warning("external-name", message, old.place));
            match &name {
                Some(name) if *name != old => {
                    let message = format!("{path}: name and external.name conflict; only use name");
                    let problem = Problem::error("external-conflict", message, old.place)
                        .related(name.place, "the other name");
                    problems.add_at(&path, problem);
                }
                Some(_) => {}
                None => node.set("name", old),
            }
            return;
        }
    }
    if name.is_none() && node.get("external").and_then(Node::as_bool) != Some(false) {
        let key = path.rsplit('.').next().unwrap_or_default().to_owned();
        node.set("name", Node::text(key, place));
    }
}
