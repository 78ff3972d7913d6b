//! Published ports: which sockets of the host a container asks for, and which
//! services of a project ask for the same one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::{HostPorts, Project, Protocol, PublishedPort, ServiceName};

/// One container port with every address of the host that answers for it; all
/// of them get the same host port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to listen. An address whose family the host lacks is left out
    /// when it stands beside another.
    pub host_ips: Vec<IpAddr>,
    /// On which port.
    pub host_ports: HostPorts,
    /// Port in the container.
    pub container_port: u16,
    /// Transport.
    pub protocol: Protocol,
}

/// Two services that ask for one port of the host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("port {address}:{port}/{} is published by {first} and by {second}", protocol.as_str())]
pub struct Conflict {
    /// The address that both ask for.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// Transport.
    pub protocol: Protocol,
    /// The one that comes first in the file.
    pub first: ServiceName,
    /// The other one, or the same again when it has several replicas.
    pub second: ServiceName,
}

/// What a container with these ports asks for, in order.
#[must_use]
pub fn requests(ports: &[PublishedPort]) -> Vec<Request> {
    ports
        .iter()
        .map(|port| Request {
            host_ips: match port.host_ip {
                Some(address) => vec![address],
                None => vec![
                    IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                ],
            },
            host_ports: port.host_ports,
            container_port: port.container_port,
            protocol: port.protocol,
        })
        .collect()
}

/// The fixed ports that can't be had because another service of the project,
/// or another replica of the same one, asks for them too.
#[must_use]
pub fn conflicts(project: &Project) -> Vec<Conflict> {
    let mut wanted: Vec<(IpAddr, u16, Protocol, &ServiceName)> = Vec::new();
    let mut conflicts = Vec::new();
    for (name, service) in &project.services {
        // The second replica finds the first one's ports taken.
        for _ in 0..service.scale.min(2) {
            for request in requests(&service.ports) {
                let HostPorts::Fixed(port) = request.host_ports else {
                    continue;
                };
                let clash = request.host_ips.iter().find_map(|address| {
                    let same = wanted.iter().find(|(other, other_port, protocol, _)| {
                        port == *other_port
                            && request.protocol == *protocol
                            && addresses_clash(*address, *other)
                    });
                    same.map(|(_, _, _, first)| (*address, (*first).clone()))
                });
                if let Some((address, first)) = clash {
                    let conflict = Conflict {
                        address,
                        port,
                        protocol: request.protocol,
                        first,
                        second: name.clone(),
                    };
                    if !conflicts.contains(&conflict) {
                        conflicts.push(conflict);
                    }
                } else {
                    let each = request.host_ips.iter();
                    wanted.extend(each.map(|address| (*address, port, request.protocol, name)));
                }
            }
        }
    }
    conflicts
}

/// Whether two sockets can't hold one port at these addresses; ours are never
/// dual-stack.
fn addresses_clash(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4() && (a == b || a.is_unspecified() || b.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::tests::{project, service};

    fn port(host_ip: Option<&str>, host_ports: HostPorts, protocol: Protocol) -> PublishedPort {
        PublishedPort {
            host_ip: host_ip.map(|text| text.parse().expect(text)),
            host_ports,
            container_port: 80,
            protocol,
            name: None,
            app_protocol: None,
        }
    }

    fn conflicts_of(a: PublishedPort, b: PublishedPort) -> Vec<String> {
        let (mut first, mut second) = (service("first"), service("second"));
        first.ports = vec![a];
        second.ports = vec![b];
        let conflicts = conflicts(&project(vec![first, second]));
        conflicts.iter().map(ToString::to_string).collect()
    }

    const TCP: Protocol = Protocol::Tcp;

    #[test]
    fn no_host_address_means_every_address_of_both_families() {
        let all = requests(&[port(None, HostPorts::Ephemeral, TCP)]);
        let request = all.first().expect("one");
        assert_eq!(request.host_ips.len(), 2);
        assert!(request.host_ips.iter().all(IpAddr::is_unspecified));
        let one = requests(&[port(Some("127.0.0.1"), HostPorts::Fixed(1), TCP)]);
        assert_eq!(one.first().map(|request| request.host_ips.len()), Some(1));
    }

    #[test]
    fn a_port_asked_for_twice_names_both_services() {
        let fixed = |ip| port(ip, HostPorts::Fixed(8080), TCP);
        assert_eq!(
            conflicts_of(fixed(None), fixed(None)),
            ["port 0.0.0.0:8080/tcp is published by first and by second"]
        );
        assert_eq!(conflicts_of(fixed(None), fixed(Some("127.0.0.1"))).len(), 1);
        assert_eq!(conflicts_of(fixed(Some("::1")), fixed(None)).len(), 1);
    }

    #[test]
    fn different_sockets_do_not_clash() {
        let fixed = |ip, number, protocol| port(ip, HostPorts::Fixed(number), protocol);
        let first = || fixed(Some("127.0.0.1"), 8080, TCP);
        for second in [
            fixed(Some("127.0.0.2"), 8080, TCP),
            fixed(Some("127.0.0.1"), 8081, TCP),
            fixed(Some("127.0.0.1"), 8080, Protocol::Udp),
            fixed(Some("::1"), 8080, TCP),
            port(None, HostPorts::Ephemeral, TCP),
            port(None, HostPorts::AnyOf(8000, 9000), TCP),
        ] {
            assert_eq!(conflicts_of(first(), second), [""; 0]);
        }
    }

    #[test]
    fn two_replicas_cannot_share_a_fixed_port() {
        let mut web = service("web");
        web.ports = vec![port(None, HostPorts::Fixed(80), TCP)];
        web.scale = 3;
        let found = conflicts(&project(vec![web.clone()]));
        assert_eq!(found.len(), 1);
        assert_eq!(found.first().map(|c| c.first == c.second), Some(true));
        web.ports = vec![port(None, HostPorts::AnyOf(8000, 8002), TCP)];
        assert!(conflicts(&project(vec![web])).is_empty());
    }
}
