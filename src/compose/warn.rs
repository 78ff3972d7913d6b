//! Words about attributes that are accepted and have no effect.
//!
//! The table's `warning` column says which they are; where the reference warns
//! the words are its own. A value that is ignored only beside certain others
//! has its rule here.

use crate::compose::attribute::{self, Schema};
use crate::compose::node::Node;
use crate::compose::place::Place;
use crate::compose::problem::{Problem, Problems};
use crate::compose::trail::Trail;
use crate::compose::yaml::scalar;

/// One attribute in use.
struct Finding {
    /// The service's name; empty for what stands outside services.
    service: String,
    path: String,
    reason: String,
    place: Place,
}

/// Warns about what the enabled services and the resources use in vain.
pub(crate) fn warn(root: &Node, problems: &mut Problems) {
    let mut findings = Vec::new();
    for section in ["services", "configs", "secrets"] {
        let Some(schema) = attribute::root().key(section) else {
            continue;
        };
        for (name, node) in root.entries_at(section) {
            let Some(below) = schema.key(name) else {
                continue;
            };
            let trail = Trail::ROOT;
            if section == "services" {
                walk(node, below, &trail, name, &mut findings);
                ports(node, name, &mut findings);
                references(root, node, name, &mut findings);
            } else {
                let above = trail.key(section);
                walk(node, below, &above.key(name), "", &mut findings);
            }
        }
    }
    findings.sort_by(|a, b| (&a.service, &a.path).cmp(&(&b.service, &b.path)));
    for found in findings {
        let owner = match found.service.as_str() {
            "" => String::new(),
            name => format!("service {name:?}: "),
        };
        let message = format!("{owner}{}: {}", found.path, found.reason);
        problems.add(Problem::warning("no-effect", message, found.place));
    }
}

fn walk(
    node: &Node,
    schema: &'static Schema,
    trail: &Trail<'_>,
    service: &str,
    findings: &mut Vec<Finding>,
) {
    let Some(map) = node.as_map() else {
        return;
    };
    for (key, child) in map.iter() {
        let Some(below) = schema.key(key) else {
            continue;
        };
        let trail = trail.key(key);
        match below.attribute() {
            Some(row) if !row.warning.is_empty() && !child.is_null() => findings.push(Finding {
                service: service.to_owned(),
                path: trail.numbered(),
                reason: row.warning.to_owned(),
                place: map.key_place(key).unwrap_or(child.place),
            }),
            _ => walk(child, below, &trail, service, findings),
        }
    }
}

/// Every published port is a port of the host: there is no mesh to bypass.
fn ports(node: &Node, service: &str, findings: &mut Vec<Finding>) {
    for port in node.items_at("ports") {
        if port.text_at("mode") != Some("host") {
            continue;
        }
        let text = |key| {
            let value = port.get(key).map(|node| &node.value);
            value.and_then(scalar::print).unwrap_or_default()
        };
        findings.push(Finding {
            service: service.to_owned(),
            path: format!("ports[{}/{}].mode", text("target"), text("protocol")),
            reason: "ports[].mode: host is only honored by the Swarm routing mesh".to_owned(),
            place: port.place,
        });
    }
}

/// A file is mounted as it is: its owner and mode are the host's.
fn references(root: &Node, node: &Node, service: &str, findings: &mut Vec<Finding>) {
    for section in ["configs", "secrets"] {
        for item in node.items_at(section) {
            let source = item.text_at("source").unwrap_or_default();
            let declared = root.get(section).and_then(|all| all.get(source));
            if declared.is_none_or(|declared| declared.get("file").is_none()) {
                continue;
            }
            for field in ["uid", "gid", "mode"] {
                if let Some(value) = item.get(field).filter(|value| !value.is_null()) {
                    findings.push(Finding {
                        service: service.to_owned(),
                        path: format!("{section}.{source}.{field}"),
                        reason: format!(
                            "{field} is not supported outside Swarm mode and will be ignored"
                        ),
                        place: value.place,
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::place::Files;
    use crate::compose::yaml;

    fn told(text: &str) -> Vec<String> {
        let root = yaml::parse(1, "test", text).expect(text).remove(0);
        let mut problems = Problems::default();
        warn(&root, &mut problems);
        let told = problems.into_diagnostics(&Files::default());
        told.into_iter().map(|told| told.message).collect()
    }

    #[test]
    fn what_is_ignored_is_told_once_and_in_order() {
        let text = "
services:
  b: {gpus: [{count: 1}], deploy: {mode: global, placement: {constraints: [a]}}}
  a: {ports: [{target: 80, protocol: tcp, mode: host}, {target: 81, mode: ingress}]}
secrets: {s: {file: f, labels: {x: y}}}
";
        assert_eq!(
            told(text),
            [
                "secrets.s.labels: secrets[].labels are only applied to Swarm secret objects",
                "service \"a\": ports[80/tcp].mode: ports[].mode: host is only honored by the Swarm routing mesh",
                "service \"b\": deploy.mode: deploy.mode is only honored in Swarm mode",
                "service \"b\": deploy.placement: deploy.placement is only honored by the Swarm scheduler",
                "service \"b\": gpus: has no effect, since there are no device drivers",
            ]
        );
    }

    #[test]
    fn owners_of_mounted_files_are_told_and_those_of_copied_ones_are_not() {
        let text = "
services:
  a: {configs: [{source: f, mode: '0400'}, {source: c, mode: '0400'}], secrets: [{source: s, uid: '1', gid: '2'}]}
configs: {f: {file: f}, c: {content: c}}
secrets: {s: {file: s}}
";
        assert_eq!(
            told(text),
            [
                "service \"a\": configs.f.mode: mode is not supported outside Swarm mode and will be ignored",
                "service \"a\": secrets.s.gid: gid is not supported outside Swarm mode and will be ignored",
                "service \"a\": secrets.s.uid: uid is not supported outside Swarm mode and will be ignored",
            ]
        );
    }
}
