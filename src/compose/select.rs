//! Which services take part: profiles, and services asked for by name.

use std::collections::BTreeSet;

use crate::compose::node::{Map, Node};
use crate::compose::problem::{Problem, Problems};
use crate::diagnostic;

/// Services that are left out of a tree, with what they were.
#[derive(Debug, Default)]
pub(crate) struct Disabled {
    pub(crate) services: Map,
}

/// Takes services of inactive profiles out. Services asked for by name bring
/// their own profiles with them.
pub(crate) fn apply_profiles(root: &mut Node, profiles: &[String], asked: &[String]) -> Disabled {
    let mut active: BTreeSet<String> = profiles.iter().cloned().collect();
    if active.is_empty() {
        // What an unset COMPOSE_PROFILES stands for.
        active.insert(String::new());
    }
    for name in asked {
        let own = root
            .get("services")
            .and_then(|services| services.get(name))
            .map(|service| service.items_at("profiles"))
            .unwrap_or_default();
        active.extend(own.iter().filter_map(Node::as_text).map(str::to_owned));
    }
    take_out(root, |_, service| {
        let profiles = service.items_at("profiles");
        let is_active = |profile: &Node| {
            profile
                .as_text()
                .is_some_and(|name| name == "*" || active.contains(name))
        };
        profiles.is_empty() || active.contains("*") || profiles.iter().any(is_active)
    })
}

/// Takes out what is neither asked for nor a dependency of that.
pub(crate) fn apply_selection(
    root: &mut Node,
    asked: &[String],
    disabled: &mut Disabled,
    problems: &mut Problems,
) {
    if asked.is_empty() {
        return;
    }
    let mut kept = BTreeSet::new();
    let mut queue: Vec<String> = Vec::new();
    for name in asked {
        let services = root.get("services").and_then(Node::as_map);
        if services.is_some_and(|services| services.contains(name)) {
            queue.push(name.clone());
        } else {
            let mut problem = Problem::error(
                "no-such-service",
                format!("no such service: {name}"),
                Default::default(),
            );
            let names = services.into_iter().flat_map(Map::keys);
            if let Some(near) = diagnostic::nearest(name, names) {
                problem = problem.hint(format!("did you mean `{near}`?"));
            }
            problems.add(problem);
        }
    }
    while let Some(name) = queue.pop() {
        // One that a profile leaves out isn't there to be kept.
        let Some(service) = root
            .get("services")
            .and_then(|services| services.get(&name))
        else {
            continue;
        };
        queue.extend(
            service
                .entries_at("depends_on")
                .map(|(dependency, _)| dependency.to_owned())
                .filter(|dependency| !kept.contains(dependency)),
        );
        kept.insert(name);
    }
    let out = take_out(root, |name, _| kept.contains(name));
    // A dependency that may be missing and is missing is none.
    let Some(services) = root.get_mut("services").and_then(Node::as_map_mut) else {
        return;
    };
    for service in services.values_mut() {
        if let Some(dependencies) = service.get_mut("depends_on").and_then(Node::as_map_mut) {
            dependencies.retain(|name, dependency| {
                let is_required = dependency.get("required").and_then(Node::as_bool) != Some(false);
                is_required || kept.contains(name)
            });
        }
    }
    for (name, entry) in out.services.into_entries() {
        disabled.services.insert_entry(name, entry);
    }
}

fn take_out(root: &mut Node, keep: impl Fn(&str, &Node) -> bool) -> Disabled {
    let mut disabled = Disabled::default();
    let Some(services) = root.get_mut("services").and_then(Node::as_map_mut) else {
        return disabled;
    };
    for (name, entry) in services
        .entries()
        .filter(|(name, entry)| !keep(name, &entry.node))
    {
        disabled.services.insert_entry(name, entry.clone());
    }
    services.retain(|name, _| !disabled.services.contains(name));
    disabled
}

/// Takes out top-level resources that no service uses.
pub(crate) fn prune(root: &mut Node) {
    let mut used: [BTreeSet<String>; 5] = Default::default();
    let [networks, volumes, secrets, configs, models] = &mut used;
    for (_, service) in root.entries_at("services") {
        let keys = |node: &Node, section: &str, into: &mut BTreeSet<String>| {
            into.extend(node.entries_at(section).map(|(key, _)| key.to_owned()));
        };
        keys(service, "networks", networks);
        keys(service, "models", models);
        for volume in service.items_at("volumes") {
            if volume.text_at("type") == Some("volume") {
                volumes.extend(volume.text_at("source").map(str::to_owned));
            }
        }
        let build = service.get("build").into_iter();
        for owner in std::iter::once(service).chain(build) {
            let refs = |section| {
                owner
                    .items_at(section)
                    .iter()
                    .filter_map(|item| item.text_at("source"))
            };
            secrets.extend(refs("secrets").map(str::to_owned));
            configs.extend(refs("configs").map(str::to_owned));
        }
    }
    for (section, used) in ["networks", "volumes", "secrets", "configs", "models"]
        .iter()
        .zip(&used)
    {
        if let Some(map) = root.get_mut(section).and_then(Node::as_map_mut) {
            map.retain(|key, _| used.contains(key));
        }
    }
}
