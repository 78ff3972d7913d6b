//! Values that the reference fills in when the file leaves them out.

use crate::compose::node::{Node, Value};
use crate::compose::place::Place;

/// Fills defaults in all over a canonical tree.
pub(crate) fn set_defaults(root: &mut Node) {
    let Some(services) = root.get_mut("services").and_then(Node::as_map_mut) else {
        return;
    };
    for service in services.values_mut() {
        if let Some(Value::List(servers)) = service.get_mut("dns").map(|node| &mut node.value) {
            servers.retain(|server| server.as_text() != Some(""));
        }
        each(
            service
                .get_mut("develop")
                .and_then(|develop| develop.get_mut("watch")),
            adopt_initial_sync,
        );
        if let Some(build) = service.get_mut("build") {
            default_text(build, "context", ".");
        }
        each(service.get_mut("secrets"), |secret| {
            if let Some(source) = secret.text_at("source") {
                let target = format!("/run/secrets/{source}");
                default_text(secret, "target", &target);
            }
        });
        each(service.get_mut("ports"), |port| {
            default_text(port, "protocol", "tcp");
            default_text(port, "mode", "ingress");
        });
        each(service.get_mut("volumes"), |volume| {
            if let Some(bind) = volume.get_mut("bind") {
                default(bind, "create_host_path", |place| Node::bool(true, place));
            }
        });
        each(service.get_mut("gpus"), default_count);
        let devices = service
            .get_mut("deploy")
            .and_then(|deploy| deploy.get_mut("resources"))
            .and_then(|resources| resources.get_mut("reservations"))
            .and_then(|reservations| reservations.get_mut("devices"));
        each(devices, default_count);
    }
}

/// `x-initialSync` was the attribute's name while it was tried out.
fn adopt_initial_sync(watch: &mut Node) {
    if watch.get("initial_sync").is_none()
        && let Some(flag) = watch
            .get("x-initialSync")
            .filter(|node| node.as_bool().is_some())
            .cloned()
    {
        watch.set("initial_sync", flag);
    }
}

fn default_count(request: &mut Node) {
    if request.get("device_ids").is_none() {
        default_text(request, "count", "all");
    }
}

fn each(list: Option<&mut Node>, change: impl Fn(&mut Node)) {
    if let Some(Value::List(items)) = list.map(|list| &mut list.value) {
        items.iter_mut().for_each(change);
    }
}

fn default_text(node: &mut Node, key: &str, text: &str) {
    default(node, key, |place| Node::text(text, place));
}

fn default(node: &mut Node, key: &str, make: impl FnOnce(Place) -> Node) {
    if node.as_map().is_some() && node.get(key).is_none() {
        let made = make(node.place);
        node.set(key, made);
    }
}
