//! What the reference writes out that the file leaves unsaid: default
//! networks, names, dependencies that other attributes imply.

use crate::compose::canonical::Templates;
use crate::compose::environment::Environment;
use crate::compose::hooks;
use crate::compose::node::{Map, Node, Value};
use crate::compose::place::Place;
use crate::compose::problem::Problems;

/// Normalizes a canonical tree.
pub(crate) fn normalize(
    root: &mut Node,
    project: &str,
    environment: &Environment,
    templates: Templates,
    problems: &mut Problems,
) {
    let mut uses_default = false;
    if let Some(services) = root.get_mut("services").and_then(Node::as_map_mut) {
        for service in services.values_mut() {
            uses_default |= join_default(service);
            normalize_service(service, environment);
            hooks::inherit(service, templates, problems);
        }
    }
    if uses_default {
        if root.get("networks").is_none_or(Node::is_null) {
            root.set("networks", Node::map(Place::NOWHERE));
        }
        if let Some(networks) = root.get_mut("networks").and_then(Node::as_map_mut)
            && !networks.contains("default")
        {
            networks.insert("default", Node::null(Place::NOWHERE));
        }
    }
    for section in ["networks", "volumes", "configs", "secrets"] {
        name_from_key(root, section, project);
    }
}

/// Joins a service without networks to the default one; whether it uses it.
fn join_default(service: &mut Node) -> bool {
    if service.get("provider").is_some() || service.get("network_mode").is_some() {
        return false;
    }
    let place = service.place;
    let is_empty = service
        .get("networks")
        .and_then(Node::as_map)
        .is_none_or(Map::is_empty);
    if is_empty {
        service.set("networks", default_network(place));
    }
    service
        .get("networks")
        .is_some_and(|networks| networks.get("default").is_some())
}

fn default_network(place: Place) -> Node {
    let mut networks = Node::map(place);
    networks.set("default", Node::null(place));
    networks
}

fn normalize_service(service: &mut Node, environment: &Environment) {
    if service.text_at("pull_policy") == Some("if_not_present") {
        let place = service
            .get("pull_policy")
            .map_or(service.place, |node| node.place);
        service.set("pull_policy", Node::text("missing", place));
    }
    if let Some(build) = service.get_mut("build") {
        normalize_build(build, environment);
    }
    for (name, restart, place) in implied_dependencies(service) {
        depend(service, &name, restart, place);
    }
}

fn normalize_build(build: &mut Node, environment: &Environment) {
    let place = build.place;
    if build.get("context").is_none_or(Node::is_null) {
        build.set("context", Node::text(".", place));
    }
    if build.get("dockerfile").is_none() && build.get("dockerfile_inline").is_none() {
        build.set("dockerfile", Node::text("Dockerfile", place));
    }
    if let Some(args) = build.get_mut("args").and_then(Node::as_map_mut) {
        fill_from(args, environment);
        args.retain(|_, value| !value.is_null());
    }
}

/// Gives keys without a value the environment's.
pub(crate) fn fill_from(map: &mut Map, environment: &Environment) {
    for (key, child) in map.iter_mut() {
        if child.is_null()
            && let Some(value) = environment.get(key)
        {
            child.value = Value::Text(value.to_owned());
        }
    }
}

/// Services that links, shared namespaces and shared mounts depend on, and
/// whether their restart restarts this one.
fn implied_dependencies(service: &Node) -> Vec<(String, bool, Place)> {
    let mut found = Vec::new();
    for link in service.items_at("links") {
        if let Some(text) = link.as_text() {
            let name = match text.split_once(':') {
                Some((name, alias)) if !alias.contains(':') => name,
                _ => text,
            };
            found.push((name.to_owned(), true, link.place));
        }
    }
    for key in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        if let Some(mode) = service.get(key)
            && let Some(name) = mode
                .as_text()
                .and_then(|text| text.strip_prefix("service:"))
        {
            found.push((name.to_owned(), true, mode.place));
        }
    }
    for from in service.items_at("volumes_from") {
        let Some(text) = from
            .as_text()
            .filter(|text| !text.starts_with("container:"))
        else {
            continue;
        };
        let name = text.split(':').next().unwrap_or(text);
        found.push((name.to_owned(), false, from.place));
    }
    found
}

fn depend(service: &mut Node, name: &str, restart: bool, place: Place) {
    if service.get("depends_on").and_then(Node::as_map).is_none() {
        service.set("depends_on", Node::map(place));
    }
    let Some(dependencies) = service.get_mut("depends_on").and_then(Node::as_map_mut) else {
        return;
    };
    if dependencies.contains(name) {
        return;
    }
    let mut dependency = Node::map(place);
    dependency.set("condition", Node::text("service_started", place));
    dependency.set("restart", Node::bool(restart, place));
    dependency.set("required", Node::bool(true, place));
    dependencies.insert(name, dependency);
}

fn name_from_key(root: &mut Node, section: &str, project: &str) {
    let Some(resources) = root.get_mut(section).and_then(Node::as_map_mut) else {
        return;
    };
    for (key, resource) in resources.iter_mut() {
        let place = resource.place;
        if resource.is_null() {
            resource.value = Value::Map(Map::default());
        }
        if resource.get("name").is_some_and(|name| !name.is_null()) {
            continue;
        }
        let is_external = resource.get("external").and_then(Node::as_bool) == Some(true);
        let name = if is_external {
            key.to_owned()
        } else {
            format!("{project}_{key}")
        };
        resource.set("name", Node::text(name, place));
    }
}
