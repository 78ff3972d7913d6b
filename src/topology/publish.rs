//! Published ports: which sockets of the host a container asks for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::{HostPorts, Protocol, PublishedPort};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
