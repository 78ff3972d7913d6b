//! Rules of single elements that forms can't express: exclusive attributes,
//! external resources, addresses of ports.

use std::net::IpAddr;

use crate::compose::node::Node;
use crate::compose::problem::{Problem, Problems};
use crate::compose::trail::Trail;

/// Checks a canonical tree.
pub(crate) fn check(root: &Node, problems: &mut Problems) {
    let root_trail = Trail::ROOT;
    for section in ["networks", "volumes", "configs", "secrets"] {
        let above = root_trail.key(section);
        for (key, resource) in root.entries_at(section) {
            let trail = above.key(key);
            if matches!(section, "configs" | "secrets") {
                sources(resource, section, &trail, problems);
            } else if section == "volumes" {
                external(resource, &trail, problems);
            }
        }
    }
    let above = root_trail.key("services");
    for (name, service) in root.entries_at("services") {
        let trail = above.key(name);
        ports(service, &trail.key("ports"), problems);
        watches(service, &trail, problems);
        requests(service.items_at("gpus"), &trail.key("gpus"), problems);
        if let Some(reservations) = service
            .get("deploy")
            .and_then(|deploy| deploy.get("resources"))
            .and_then(|resources| resources.get("reservations"))
        {
            let deploy = trail.key("deploy");
            let resources = deploy.key("resources");
            let above = resources.key("reservations");
            requests(
                reservations.items_at("devices"),
                &above.key("devices"),
                problems,
            );
        }
    }
}

/// An external resource has a name and nothing else.
fn external(resource: &Node, trail: &Trail<'_>, problems: &mut Problems) {
    if resource.get("external").and_then(Node::as_bool) != Some(true) {
        return;
    }
    let Some(map) = resource.as_map() else {
        return;
    };
    let mut keys: Vec<_> = map
        .entries()
        .filter(|(key, _)| !matches!(*key, "name" | "external") && !key.starts_with("x-"))
        .collect();
    keys.sort_unstable_by_key(|(key, _)| *key);
    for (key, entry) in keys {
        let path = trail.numbered();
        let message = format!("{path}: conflicting parameters \"external\" and {key:?} specified");
        let problem = Problem::error("external-conflict", message, entry.key_place)
            .hint("an external resource is made elsewhere: only its `name` can be given here");
        problems.add_at(&path, problem);
    }
}

/// A config or secret has one source.
fn sources(resource: &Node, section: &str, trail: &Trail<'_>, problems: &mut Problems) {
    let kinds: &[&str] = if section == "configs" {
        &["file", "environment", "content"]
    } else {
        &["file", "environment"]
    };
    let given: Vec<&str> = kinds
        .iter()
        .copied()
        .filter(|kind| resource.get(kind).is_some())
        .collect();
    let path = trail.numbered();
    let message = match given.as_slice() {
        [] if resource.get("driver").is_some() => return,
        [] if resource.get("external").and_then(Node::as_bool) == Some(true) => return,
        [] => format!("{path}: one of {} must be set", kinds.join("|")),
        [_] => return,
        _ => format!(
            "{path}: {} attributes are mutually exclusive",
            kinds.join("|")
        ),
    };
    let problem = Problem::error("bad-source", message, resource.place).hint(format!(
        "give exactly one of {}, or `external: true`",
        kinds.join(", ")
    ));
    problems.add_at(&path, problem);
}

fn ports(service: &Node, trail: &Trail<'_>, problems: &mut Problems) {
    for (index, port) in service.items_at("ports").iter().enumerate() {
        let Some(host) = port.get("host_ip") else {
            continue;
        };
        let text = host.as_text().unwrap_or_default();
        if !text.is_empty() && text.parse::<IpAddr>().is_err() {
            let path = trail.item(index).starred();
            let message = format!("{path}: invalid ip address: {text}");
            let problem = Problem::error("bad-address", message, host.place)
                .hint("only an IP address can be listened on, as in 127.0.0.1 or ::1");
            problems.add_at(&path, problem);
        }
    }
}

fn watches(service: &Node, trail: &Trail<'_>, problems: &mut Problems) {
    let Some(develop) = service.get("develop") else {
        return;
    };
    let above = trail.key("develop");
    let above = above.key("watch");
    for (index, watch) in develop.items_at("watch").iter().enumerate() {
        if let Some(path) = watch.get("path")
            && path.as_text() == Some("")
        {
            let item = above.item(index);
            let trail = item.key("path");
            let message = format!("{}: value can't be blank", trail.starred());
            problems.add_at(
                &trail.starred(),
                Problem::error("blank-path", message, path.place),
            );
        }
    }
}

fn requests(requests: &[Node], trail: &Trail<'_>, problems: &mut Problems) {
    for (index, request) in requests.iter().enumerate() {
        if let (Some(count), Some(ids)) = (request.get("count"), request.get("device_ids")) {
            let path = trail.item(index).starred();
            let message = format!("{path}: \"count\" and \"device_ids\" attributes are exclusive");
            let problem = Problem::error("bad-device-request", message, count.place)
                .related(ids.place, "the other one");
            problems.add_at(&path, problem);
        }
    }
}
