//! Networks, attachments and published ports as the project declares them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::model::names::{ResourceKey, ServiceName};

/// A managed network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its name on the host, `PROJECT_KEY` unless the file names it.
    pub name: String,
    /// Driver as written; `bridge` when absent.
    pub driver: Option<String>,
    /// Driver options.
    pub driver_opts: IndexMap<String, String>,
    /// Pools as declared; empty means "choose one".
    pub pools: Vec<IpamPool>,
    /// True when nothing outside may be reached.
    pub internal: bool,
    /// Whether containers outside the project may join.
    pub attachable: bool,
    /// `enable_ipv4`, true unless switched off.
    pub ipv4: bool,
    /// `enable_ipv6`.
    pub ipv6: bool,
    /// User labels.
    pub labels: IndexMap<String, String>,
}

impl Network {
    /// A network of which nothing but its name was said.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            driver: None,
            driver_opts: IndexMap::new(),
            pools: Vec::new(),
            internal: false,
            attachable: false,
            ipv4: true,
            ipv6: false,
            labels: IndexMap::new(),
        }
    }
}

/// One entry of `ipam.config`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IpamPool {
    /// Subnet in CIDR form.
    pub subnet: Option<String>,
    /// Where containers get addresses from, in CIDR form.
    pub ip_range: Option<String>,
    /// The bridge's own address.
    pub gateway: Option<String>,
    /// Addresses that are taken, by name.
    pub aux_addresses: IndexMap<String, String>,
}

/// How a service is attached to networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attachment {
    /// Endpoints on networks of the project, in order of connection.
    Endpoints(IndexMap<ResourceKey, EndpointSpec>),
    /// `network_mode: none`.
    None,
    /// `network_mode: host`.
    Host,
    /// `network_mode: service:X`.
    Service(ServiceName),
    /// `network_mode: container:X`.
    Container(String),
}

/// A service's settings on one network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EndpointSpec {
    /// Extra names on this network.
    pub aliases: Vec<String>,
    /// Static IPv4 address.
    pub ipv4_address: Option<Ipv4Addr>,
    /// Static IPv6 address.
    pub ipv6_address: Option<Ipv6Addr>,
    /// Further link-local addresses.
    pub link_local_ips: Vec<IpAddr>,
    /// MAC address as text.
    pub mac_address: Option<String>,
    /// Name of the interface in the container.
    pub interface_name: Option<String>,
    /// Order of connection, highest first.
    pub priority: i64,
    /// Which network's gateway is the default route, highest first.
    pub gateway_priority: i64,
    /// Driver options.
    pub driver_opts: IndexMap<String, String>,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Lower-case name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// One container port that the host answers for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Address of the host to listen on; every address when absent.
    pub host_ip: Option<IpAddr>,
    /// Which port of the host.
    pub host_ports: HostPorts,
    /// Port in the container.
    pub container_port: u16,
    /// Transport.
    pub protocol: Protocol,
    /// `name` of the long form.
    pub name: Option<String>,
    /// `app_protocol` of the long form.
    pub app_protocol: Option<String>,
}

/// The host's side of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostPorts {
    /// Any free port.
    Ephemeral,
    /// One port.
    Fixed(u16),
    /// The first free one of a range, both ends included.
    AnyOf(u16, u16),
}
