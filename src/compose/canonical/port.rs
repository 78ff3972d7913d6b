//! The short form of a port: `[[HOST_IP:][PUBLISHED]:]TARGET[/PROTOCOL]`.

use std::net::IpAddr;

use crate::compose::node::{Node, Value};
use crate::compose::place::Place;

/// One port of a short form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortSpec {
    pub(crate) host_ip: String,
    pub(crate) published: String,
    pub(crate) target: u16,
    pub(crate) protocol: String,
}

/// Parses the short form; ranges become several ports.
///
/// # Errors
/// The reference's words for what is wrong.
pub(crate) fn parse(spec: &str) -> Result<Vec<PortSpec>, String> {
    let (host_ip, published, target) = split(spec);
    let (target, protocol) = target.split_once('/').unwrap_or((target, "tcp"));
    let protocol = if protocol.is_empty() { "tcp" } else { protocol }.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}"));
    }
    let host_ip = host_address(&host_ip)?;
    if target.is_empty() {
        return Err(format!("no port specified: {spec}<empty>"));
    }
    let (first, last) = range(target).ok_or_else(|| format!("invalid containerPort: {target}"))?;
    if published.is_empty() {
        return Ok((first..=last)
            .map(|target| PortSpec {
                host_ip: host_ip.clone(),
                published: String::new(),
                target,
                protocol: protocol.clone(),
            })
            .collect());
    }
    let (host_first, host_last) =
        range(published).ok_or_else(|| format!("invalid hostPort: {published}"))?;
    if last - first != host_last - host_first && first != last {
        return Err(format!(
            "invalid ranges specified for container and host Ports: {target} and {published}"
        ));
    }
    let mut ports: Vec<PortSpec> = (first..=last)
        .zip(host_first..=host_last)
        .map(|(target, host)| PortSpec {
            host_ip: host_ip.clone(),
            published: if first == last && host_first != host_last {
                format!("{host_first}-{host_last}")
            } else {
                host.to_string()
            },
            target,
            protocol: protocol.clone(),
        })
        .collect();
    // The reference walks them in the order of their texts.
    ports.sort_by_key(|port| port.target.to_string());
    Ok(ports)
}

/// Host address, published and target part.
fn split(spec: &str) -> (String, &str, &str) {
    let mut parts = spec.rsplitn(3, ':');
    let target = parts.next().unwrap_or_default();
    let published = parts.next().unwrap_or_default();
    let host = parts.next().unwrap_or_default();
    (host.to_owned(), published, target)
}

fn host_address(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    if bare.parse::<IpAddr>().is_ok() {
        Ok(bare.to_owned())
    } else {
        Err(format!("invalid IP address: {bare}"))
    }
}

/// `A` or `A-B` with `A ≤ B`.
pub(crate) fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if digits {
            text.parse::<u16>().ok()
        } else {
            None
        }
    };
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some((first, last))
}

impl PortSpec {
    /// The long form.
    pub(crate) fn into_node(self, place: Place) -> Node {
        let mut node = Node::map(place);
        node.set("mode", Node::text("ingress", place));
        if !self.host_ip.is_empty() {
            node.set("host_ip", Node::text(self.host_ip, place));
        }
        node.set(
            "target",
            Node::new(Value::Int(i64::from(self.target)), place),
        );
        if !self.published.is_empty() {
            node.set("published", Node::text(self.published, place));
        }
        node.set("protocol", Node::text(self.protocol, place));
        node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(spec: &str) -> Vec<String> {
        let ports = parse(spec).expect(spec);
        ports
            .into_iter()
            .map(|p| format!("{}|{}|{}|{}", p.host_ip, p.published, p.target, p.protocol))
            .collect()
    }

    #[test]
    fn every_form_of_the_specification() {
        let cases: [(&str, &[&str]); 10] = [
            ("3000", &["||3000|tcp"]),
            ("3000-3001", &["||3000|tcp", "||3001|tcp"]),
            ("8000:8000", &["|8000|8000|tcp"]),
            ("9090-9091:8080-8081", &["|9090|8080|tcp", "|9091|8081|tcp"]),
            ("8000-8010:80", &["|8000-8010|80|tcp"]),
            ("127.0.0.1:8001:8001", &["127.0.0.1|8001|8001|tcp"]),
            ("127.0.0.1::80", &["127.0.0.1||80|tcp"]),
            ("[::1]:80:80/UDP", &["::1|80|80|udp"]),
            ("::1:80:80", &["::1|80|80|tcp"]),
            ("6060:6060/udp", &["|6060|6060|udp"]),
        ];
        for (spec, expected) in cases {
            assert_eq!(show(spec), expected, "{spec}");
        }
    }

    #[test]
    fn broken_specs_are_named() {
        let cases = [
            ("x", "invalid containerPort: x"),
            ("80:", "no port specified: 80:<empty>"),
            ("x:80", "invalid hostPort: x"),
            ("80:80/foo", "invalid proto: foo"),
            ("1.2.3:80:80", "invalid IP address: 1.2.3"),
            (
                "1-3:1-2",
                "invalid ranges specified for container and host Ports: 1-2 and 1-3",
            ),
            ("70000", "invalid containerPort: 70000"),
            ("90-80", "invalid containerPort: 90-80"),
        ];
        for (spec, message) in cases {
            assert_eq!(parse(spec), Err(message.to_owned()), "{spec}");
        }
    }
}
