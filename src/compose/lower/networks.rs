//! Attachments and published ports of a service.

use std::net::IpAddr;
use std::str::FromStr;

use indexmap::IndexMap;

use crate::compose::canonical::port;
use crate::compose::lower::{Lower, predefined, read};
use crate::compose::node::Node;
use crate::model::{Attachment, EndpointSpec, HostPorts, Protocol, PublishedPort, ResourceKey};

impl Lower<'_> {
    pub(super) fn attachment(&mut self, node: &Node) -> Attachment {
        let Some(mode) = node
            .get("network_mode")
            .filter(|mode| mode.as_text() != Some(""))
        else {
            return Attachment::Endpoints(self.endpoints(node));
        };
        let text = mode.as_text().unwrap_or_default();
        match text {
            "none" => Attachment::None,
            "host" => Attachment::Host,
            "bridge" | "default" => predefined::bridge(),
            _ => {
                if let Some(service) = text.strip_prefix("service:") {
                    return self
                        .name(service, mode)
                        .map_or(Attachment::None, Attachment::Service);
                }
                if let Some(container) = text.strip_prefix("container:") {
                    return Attachment::Container(container.to_owned());
                }
                let message = format!("network_mode {text:?} is unknown");
                let hint = "use bridge, host, none, service:NAME or container:NAME; join a network with `networks`";
                self.fault_with("bad-network-mode", message, mode, hint);
                Attachment::None
            }
        }
    }

    /// Endpoints in the order of connection: priority first, then name.
    fn endpoints(&mut self, node: &Node) -> IndexMap<ResourceKey, EndpointSpec> {
        let mut endpoints = Vec::new();
        for (key, network) in node.entries_at("networks") {
            if let Some(name) = self.name::<ResourceKey>(key, network) {
                endpoints.push((name, self.endpoint(network)));
            }
        }
        endpoints.sort_by(|(a_name, a), (b_name, b)| {
            b.priority.cmp(&a.priority).then_with(|| a_name.cmp(b_name))
        });
        if let Some(mac) = read::text(node, "mac_address")
            && let Some((_, main)) = endpoints.first_mut()
        {
            match &main.mac_address {
                Some(own) if *own != mac => {
                    let message = "the service-level mac_address should have the same value as network mac_address".to_owned();
                    let place = node.get("mac_address").unwrap_or(node);
                    self.fault("distinct-values", message, place);
                }
                _ => main.mac_address = Some(mac),
            }
        }
        endpoints.into_iter().collect()
    }

    fn endpoint(&mut self, node: &Node) -> EndpointSpec {
        EndpointSpec {
            aliases: read::texts(node, "aliases"),
            ipv4_address: self.address(node, "ipv4_address"),
            ipv6_address: self.address(node, "ipv6_address"),
            link_local_ips: node
                .items_at("link_local_ips")
                .iter()
                .filter_map(|item| self.parse_address(item))
                .collect(),
            mac_address: read::text(node, "mac_address"),
            interface_name: read::text(node, "interface_name"),
            priority: read::int(node, "priority").unwrap_or(0),
            gateway_priority: read::int(node, "gw_priority").unwrap_or(0),
            driver_opts: read::pairs(node, "driver_opts"),
        }
    }

    fn address<T: FromStr>(&mut self, node: &Node, key: &str) -> Option<T> {
        let address = node.get(key).filter(|node| node.as_text() != Some(""))?;
        self.parse_address(address)
    }

    fn parse_address<T: FromStr>(&mut self, node: &Node) -> Option<T> {
        let text = node.as_text().unwrap_or_default();
        let parsed = text.parse().ok();
        if parsed.is_none() {
            let message = format!("invalid ip address: {text}");
            self.fault("bad-address", message, node);
        }
        parsed
    }

    pub(super) fn ports(&mut self, node: &Node) -> Vec<PublishedPort> {
        let mut ports = Vec::new();
        for item in node.items_at("ports") {
            // A file may publish a port twice: as text and as a number.
            ports.extend(self.port(item).filter(|port| !ports.contains(port)));
        }
        ports
    }

    fn port(&mut self, node: &Node) -> Option<PublishedPort> {
        let target = node.get("target").unwrap_or(node);
        let Some(container_port) = target
            .as_int()
            .and_then(|number| u16::try_from(number).ok())
            .filter(|number| *number > 0)
        else {
            self.fault(
                "bad-port",
                "a port's target is a number from 1 to 65535".to_owned(),
                target,
            );
            return None;
        };
        let published = node.text_at("published").unwrap_or_default();
        let host_ports = match (published, port::range(published)) {
            ("" | "0", _) => HostPorts::Ephemeral,
            (_, Some((first, last))) if first == last => HostPorts::Fixed(first),
            (_, Some((first, last))) => HostPorts::AnyOf(first, last),
            (_, None) => {
                let message = format!("invalid hostPort: {published}");
                self.fault("bad-port", message, node.get("published").unwrap_or(node));
                return None;
            }
        };
        let protocol = match node.text_at("protocol").unwrap_or("tcp") {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            other => {
                let message = format!("invalid proto: {other}");
                let place = node.get("protocol").unwrap_or(node);
                self.fault_with("bad-port", message, place, "use tcp, udp or sctp");
                return None;
            }
        };
        let host_ip = match node.text_at("host_ip").unwrap_or_default() {
            "" => None,
            text => text.parse::<IpAddr>().ok(),
        };
        Some(PublishedPort {
            host_ip,
            host_ports,
            container_port,
            protocol,
            name: read::text(node, "name"),
            app_protocol: read::text(node, "app_protocol"),
        })
    }
}
