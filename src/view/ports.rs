//! Ports as `ps` and `port` show them.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::model::{ObservedContainer, PortBinding, Protocol};

/// A port of a container as clients read it from `ps --format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Publisher {
    /// Address of the host; empty for a port that is only exposed.
    #[serde(rename = "URL")]
    pub url: String,
    /// Port in the container.
    pub target_port: u16,
    /// Port of the host; 0 for a port that is only exposed.
    pub published_port: u16,
    /// Transport.
    pub protocol: &'static str,
}

/// Published and exposed ports of a running container, in docker's order;
/// none when it doesn't run.
#[must_use]
pub fn publishers(container: &ObservedContainer) -> Vec<Publisher> {
    ports(container)
        .into_iter()
        .map(|port| Publisher {
            url: port.host.map_or_else(String::new, |(ip, _)| ip.to_string()),
            target_port: port.container,
            published_port: port.host.map_or(0, |(_, number)| number),
            protocol: port.protocol.as_str(),
        })
        .collect()
}

/// The PORTS column, as in `0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 9000/udp`.
#[must_use]
pub fn text(container: &ObservedContainer) -> String {
    displayed(&ports(container))
}

/// A host's side of a port as `port` prints it, as in `0.0.0.0:8080`.
#[must_use]
pub fn host_text(binding: &PortBinding) -> String {
    SocketAddr::new(binding.host_ip, binding.host_port).to_string()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Port {
    container: u16,
    host: Option<(IpAddr, u16)>,
    protocol: Protocol,
}

fn ports(container: &ObservedContainer) -> Vec<Port> {
    if !container.state.is_running() {
        return Vec::new();
    }
    let mut ports: Vec<Port> = container
        .runtime
        .iter()
        .flat_map(|runtime| &runtime.ports)
        .map(|binding| Port {
            container: binding.container_port,
            host: Some((binding.host_ip, binding.host_port)),
            protocol: binding.protocol,
        })
        .collect();
    let published: Vec<(u16, Protocol)> = ports
        .iter()
        .map(|port| (port.container, port.protocol))
        .collect();
    ports.extend(
        container
            .record
            .exposed
            .iter()
            .flat_map(|text| exposed(text))
            .filter(|port| !published.contains(port))
            .map(|(container, protocol)| Port {
                container,
                host: None,
                protocol,
            }),
    );
    ports.sort_by_key(|port| (port.container, port.host, port.protocol));
    ports.dedup();
    ports
}

/// Reads `80`, `80/udp` and `80-82/tcp`.
fn exposed(text: &str) -> Vec<(u16, Protocol)> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => Protocol::Tcp,
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => (first..=last).map(|port| (port, protocol)).collect(),
        _ => Vec::new(),
    }
}

/// A run of ports that are told as one.
#[derive(Debug)]
struct Run {
    host: Option<IpAddr>,
    protocol: Protocol,
    first: u16,
    last: u16,
}

/// docker's grouping: neighbours that are published under their own number
/// are one range, mappings to another number stand at the end.
fn displayed(ports: &[Port]) -> String {
    let mut texts = Vec::new();
    let mut mappings = Vec::new();
    let mut open: Vec<Run> = Vec::new();
    for port in ports {
        let host = match port.host {
            Some((ip, number)) if number != port.container => {
                mappings.push(format!(
                    "{}->{}/{}",
                    SocketAddr::new(ip, number),
                    port.container,
                    port.protocol.as_str()
                ));
                continue;
            }
            Some((ip, _)) => Some(ip),
            None => None,
        };
        let run = open
            .iter_mut()
            .find(|run| run.host == host && run.protocol == port.protocol);
        match run {
            Some(run) if run.last.checked_add(1) == Some(port.container) => {
                run.last = port.container;
            }
            Some(run) => {
                texts.push(run.text());
                run.first = port.container;
                run.last = port.container;
            }
            None => open.push(Run {
                host,
                protocol: port.protocol,
                first: port.container,
                last: port.container,
            }),
        }
    }
    texts.extend(open.iter().map(Run::text));
    texts.extend(mappings);
    texts.join(", ")
}

impl Run {
    fn text(&self) -> String {
        let range = if self.first == self.last {
            self.first.to_string()
        } else {
            format!("{}-{}", self.first, self.last)
        };
        let protocol = self.protocol.as_str();
        match self.host {
            Some(IpAddr::V6(ip)) => format!("[{ip}]:{range}->{range}/{protocol}"),
            Some(IpAddr::V4(ip)) => format!("{ip}:{range}->{range}/{protocol}"),
            None => format!("{range}/{protocol}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::ContainerState;
    use crate::view::testing;

    use super::*;

    fn running(bindings: &[(&str, u16, u16)], exposed: &[&str]) -> ObservedContainer {
        let mut container = testing::container(ContainerState::Running {
            process: testing::process(),
            since: testing::time("09:59:57"),
        });
        container.record.exposed = exposed.iter().map(|&text| text.to_owned()).collect();
        if let Some(runtime) = &mut container.runtime {
            runtime.ports = bindings
                .iter()
                .map(|&(ip, host, port)| testing::port(ip, host, port))
                .collect();
        }
        container
    }

    #[test]
    fn mappings_and_exposed_ports() {
        let container = running(
            &[("0.0.0.0", 8080, 80), ("::", 8080, 80)],
            &["80/tcp", "9000/udp"],
        );
        assert_eq!(
            text(&container),
            "9000/udp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
        );
    }

    #[test]
    fn neighbours_are_a_range() {
        let container = running(
            &[
                ("127.0.0.1", 8001, 8001),
                ("127.0.0.1", 8000, 8000),
                ("127.0.0.1", 9000, 9000),
            ],
            &["3000-3002"],
        );
        assert_eq!(
            text(&container),
            "127.0.0.1:8000-8001->8000-8001/tcp, 3000-3002/tcp, 127.0.0.1:9000->9000/tcp"
        );
    }

    #[test]
    fn publishers_are_what_clients_parse() {
        let container = running(&[("0.0.0.0", 8080, 80)], &["80/tcp", "9000/udp"]);
        assert_eq!(
            serde_json::to_string(&publishers(&container)).unwrap(),
            concat!(
                r#"[{"URL":"0.0.0.0","TargetPort":80,"PublishedPort":8080,"Protocol":"tcp"},"#,
                r#"{"URL":"","TargetPort":9000,"PublishedPort":0,"Protocol":"udp"}]"#
            )
        );
    }

    #[test]
    fn a_stopped_container_has_no_ports() {
        let container = testing::container(ContainerState::Created);
        assert_eq!(text(&container), "");
        assert!(publishers(&container).is_empty());
    }

    #[test]
    fn the_last_port_of_all_is_no_trap() {
        let container = running(&[], &["65534-65535", "bad", "70000"]);
        assert_eq!(text(&container), "65534-65535/tcp");
    }
}
