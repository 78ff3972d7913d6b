//! A container's endpoints: order, interface names, addresses, default routes.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use indexmap::IndexMap;

use crate::model::{ContainerId, EndpointRecord, EndpointSpec, EngineId, ResourceKey};
use crate::topology::ipam::Pool;
use crate::topology::link::{self, InvalidMac, MacAddress};

/// What is known of a network that a container is to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached<'a> {
    /// The network's name on the host.
    pub network: &'a str,
    /// Its bridge.
    pub bridge: &'a str,
    /// Whether it leads nowhere.
    pub is_internal: bool,
    /// Its subnets.
    pub pools: &'a [Pool],
    /// What the service says about it.
    pub spec: &'a EndpointSpec,
    /// The IPv4 address allocated.
    pub ipv4: Option<Ipv4Addr>,
    /// The IPv6 address allocated.
    pub ipv6: Option<Ipv6Addr>,
}

/// One interface of a container with its other end on a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The network's name on the host.
    pub network: String,
    /// The bridge.
    pub bridge: String,
    /// The host's end of the veth pair.
    pub host_link: String,
    /// The interface in the container.
    pub interface: String,
    /// Its hardware address.
    pub mac: MacAddress,
    /// Its addresses with the lengths of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// Everything that is settled about a container's interfaces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endpoints {
    /// In the order of connection.
    pub endpoints: Vec<Endpoint>,
    /// The IPv4 default route's gateway.
    pub gateway_ipv4: Option<Ipv4Addr>,
    /// The IPv6 default route's gateway.
    pub gateway_ipv6: Option<Ipv6Addr>,
}

/// Why endpoints can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The hardware address can't be used.
    #[error("network {network}: {source}")]
    Mac {
        /// The network.
        network: String,
        /// What is wrong.
        source: InvalidMac,
    },
    /// The interface name can't be used.
    #[error(
        "network {network}: invalid interface name {name:?}: 1 to 15 bytes without `/`, `:` or spaces are expected, and `lo` is taken"
    )]
    Interface {
        /// The network.
        network: String,
        /// As written.
        name: String,
    },
    /// Two networks ask for one interface name.
    #[error("network {network}: interface {name} is there already")]
    InterfaceTwice {
        /// The later network.
        network: String,
        /// The name.
        name: String,
    },
}

/// A service's networks in the order in which they are connected: the highest
/// priority first, then by name.
#[must_use]
pub fn connection_order(
    endpoints: &IndexMap<ResourceKey, EndpointSpec>,
) -> Vec<(&ResourceKey, &EndpointSpec)> {
    let mut order: Vec<_> = endpoints.iter().collect();
    order.sort_by(|(a_key, a), (b_key, b)| {
        b.priority.cmp(&a.priority).then_with(|| a_key.cmp(b_key))
    });
    order
}

/// Settles a container's interfaces on its networks, which come in the order
/// of connection. `generation` grows with each sandbox of the container.
///
/// # Errors
/// When a hardware address or interface name can't be used.
pub fn plan(
    engine: &EngineId,
    container: &ContainerId,
    generation: u32,
    attached: &[Attached<'_>],
) -> Result<Endpoints, Error> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for one in attached {
        if let Some(name) = &one.spec.interface_name {
            check_interface(one.network, name)?;
            if !names.insert(name.clone()) {
                return Err(Error::InterfaceTwice {
                    network: one.network.to_owned(),
                    name: name.clone(),
                });
            }
        }
    }
    let mut endpoints = Vec::with_capacity(attached.len());
    for one in attached {
        let interface = one.spec.interface_name.clone().unwrap_or_else(|| {
            let free = (0..)
                .map(|n| format!("eth{n}"))
                .find(|name| !names.contains(name));
            free.expect("one of endlessly many names is free")
        });
        names.insert(interface.clone());
        endpoints.push(Endpoint {
            network: one.network.to_owned(),
            bridge: one.bridge.to_owned(),
            host_link: link::veth_name(engine, container, one.network, generation),
            interface,
            mac: mac(one)?,
            addresses: addresses(one),
        });
    }
    Ok(Endpoints {
        endpoints,
        gateway_ipv4: gateway(attached, true).and_then(|address| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }),
        gateway_ipv6: gateway(attached, false).and_then(|address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(address),
        }),
    })
}

/// What is kept of an endpoint: its addresses, and the names that resolve to it.
#[must_use]
pub fn record(endpoint: &Endpoint, pools: &[Pool], names: Vec<String>) -> EndpointRecord {
    let mut record = EndpointRecord {
        ipv4: None,
        ipv4_prefix: 0,
        gateway: None,
        ipv6: None,
        ipv6_prefix: 0,
        mac: endpoint.mac.to_string(),
        interface: endpoint.interface.clone(),
        names,
    };
    // The allocated address of a family precedes the link-local ones.
    for (address, prefix) in endpoint.addresses.iter().rev() {
        match address {
            IpAddr::V4(address) => (record.ipv4, record.ipv4_prefix) = (Some(*address), *prefix),
            IpAddr::V6(address) => (record.ipv6, record.ipv6_prefix) = (Some(*address), *prefix),
        }
    }
    record.gateway = pools.iter().find_map(|pool| match pool.gateway {
        IpAddr::V4(gateway) => Some(gateway),
        IpAddr::V6(_) => None,
    });
    record
}

fn check_interface(network: &str, name: &str) -> Result<(), Error> {
    let is_good = (1..=15).contains(&name.len())
        && name != "."
        && name != ".."
        && name != "lo"
        && !name
            .bytes()
            .any(|byte| byte == b'/' || byte == b':' || byte == b'%' || !byte.is_ascii_graphic());
    if is_good {
        Ok(())
    } else {
        Err(Error::Interface {
            network: network.to_owned(),
            name: name.to_owned(),
        })
    }
}

fn mac(one: &Attached<'_>) -> Result<MacAddress, Error> {
    if let Some(text) = &one.spec.mac_address {
        return text.parse().map_err(|source| Error::Mac {
            network: one.network.to_owned(),
            source,
        });
    }
    let ipv4 = one.ipv4.map(IpAddr::V4);
    let address = ipv4.or(one.ipv6.map(IpAddr::V6));
    Ok(MacAddress::of(
        address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
    ))
}

fn addresses(one: &Attached<'_>) -> Vec<(IpAddr, u8)> {
    let prefix_of = |address: IpAddr| {
        let pool = one.pools.iter().find(|pool| pool.subnet.contains(address));
        pool.map_or(if address.is_ipv4() { 32 } else { 128 }, |pool| {
            pool.subnet.prefix()
        })
    };
    let ipv4 = one.ipv4.map(IpAddr::V4);
    let allocated = ipv4.into_iter().chain(one.ipv6.map(IpAddr::V6));
    let allocated = allocated.map(|address| (address, prefix_of(address)));
    let link_local = one.spec.link_local_ips.iter().map(|address| {
        let prefix = if address.is_ipv4() { 16 } else { 64 };
        (*address, prefix)
    });
    allocated.chain(link_local).collect()
}

/// The gateway of the network that decides the default route of a family: the
/// highest gateway priority, then by name; internal networks have none.
fn gateway(attached: &[Attached<'_>], is_ipv4: bool) -> Option<IpAddr> {
    let mut candidates: Vec<_> = attached
        .iter()
        .filter(|one| !one.is_internal)
        .filter(|one| {
            if is_ipv4 {
                one.ipv4.is_some()
            } else {
                one.ipv6.is_some()
            }
        })
        .filter_map(|one| {
            let mut pools = one.pools.iter();
            let pool = pools.find(|pool| pool.subnet.is_ipv4() == is_ipv4)?;
            Some((
                -i128::from(one.spec.gateway_priority),
                one.network,
                pool.gateway,
            ))
        })
        .collect();
    candidates.sort_unstable();
    candidates.first().map(|(_, _, gateway)| *gateway)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn engine() -> EngineId {
        "abcdef".parse().expect("engine")
    }

    fn pool(subnet: &str) -> Pool {
        let subnet: crate::topology::Subnet = subnet.parse().expect("cidr");
        Pool {
            subnet,
            range: subnet,
            gateway: subnet.address(1).expect("two"),
            reserved: BTreeMap::new(),
            is_declared: true,
        }
    }

    fn attached<'a>(
        network: &'a str,
        pools: &'a [Pool],
        spec: &'a EndpointSpec,
        ipv4: &str,
    ) -> Attached<'a> {
        Attached {
            network,
            bridge: "rcabcdefaaaaaa",
            is_internal: false,
            pools,
            spec,
            ipv4: Some(ipv4.parse().expect("ipv4")),
            ipv6: None,
        }
    }

    fn planned(attached: &[Attached<'_>]) -> Result<Endpoints, Error> {
        plan(&engine(), &ContainerId::from_random([1; 32]), 0, attached)
    }

    #[test]
    fn the_highest_priority_connects_first() {
        let spec = |priority| EndpointSpec {
            priority,
            ..EndpointSpec::default()
        };
        let endpoints: IndexMap<ResourceKey, EndpointSpec> = [
            ("b", spec(0)),
            ("c", spec(10)),
            ("a", spec(0)),
            ("d", spec(-1)),
        ]
        .map(|(key, spec)| (key.parse().expect("key"), spec))
        .into();
        let order: Vec<_> = connection_order(&endpoints)
            .into_iter()
            .map(|(key, _)| key.as_str())
            .collect();
        assert_eq!(order, ["c", "a", "b", "d"]);
    }

    #[test]
    fn interfaces_are_numbered_around_given_names() {
        let pools = [pool("10.1.0.0/24")];
        let plain = EndpointSpec::default();
        let named = EndpointSpec {
            interface_name: Some("eth0".to_owned()),
            ..EndpointSpec::default()
        };
        let plan = planned(&[
            attached("x", &pools, &plain, "10.1.0.2"),
            attached("y", &pools, &named, "10.1.0.3"),
            attached("z", &pools, &plain, "10.1.0.4"),
        ])
        .expect("planned");
        let names: Vec<_> = plan
            .endpoints
            .iter()
            .map(|e| e.interface.as_str())
            .collect();
        assert_eq!(names, ["eth1", "eth0", "eth2"]);
        let links: BTreeSet<_> = plan.endpoints.iter().map(|e| &e.host_link).collect();
        assert_eq!(links.len(), 3);
    }

    #[test]
    fn addresses_carry_their_subnets_prefix() {
        let pools = [pool("10.1.0.0/20"), pool("fd00:1::/64")];
        let spec = EndpointSpec {
            link_local_ips: vec!["169.254.8.8".parse().expect("ip")],
            ..EndpointSpec::default()
        };
        let mut one = attached("x", &pools, &spec, "10.1.2.3");
        one.ipv6 = Some("fd00:1::9".parse().expect("ip"));
        let plan = planned(&[one]).expect("planned");
        let endpoint = plan.endpoints.first().expect("one");
        let texts: Vec<_> = endpoint
            .addresses
            .iter()
            .map(|(a, p)| format!("{a}/{p}"))
            .collect();
        assert_eq!(texts, ["10.1.2.3/20", "fd00:1::9/64", "169.254.8.8/16"]);
        assert_eq!(endpoint.mac.to_string(), "02:42:0a:01:02:03");
        assert_eq!(plan.gateway_ipv4, Some(Ipv4Addr::new(10, 1, 0, 1)));
        assert_eq!(plan.gateway_ipv6, "fd00:1::1".parse().ok());
        let record = record(endpoint, &pools, vec!["db".to_owned()]);
        assert_eq!(
            (record.ipv4, record.ipv4_prefix),
            ("10.1.2.3".parse().ok(), 20)
        );
        assert_eq!(
            (record.ipv6, record.ipv6_prefix),
            ("fd00:1::9".parse().ok(), 64)
        );
        assert_eq!(record.gateway, plan.gateway_ipv4);
    }

    #[test]
    fn the_default_route_follows_gateway_priority_then_name() {
        let (a, b) = ([pool("10.1.0.0/24")], [pool("10.2.0.0/24")]);
        let plain = EndpointSpec::default();
        let first = EndpointSpec {
            gateway_priority: 1,
            ..EndpointSpec::default()
        };
        let gateway = |list: &[Attached<'_>]| planned(list).expect("planned").gateway_ipv4;
        let on_b = |spec| attached("b", &b, spec, "10.2.0.2");
        let on_a = attached("a", &a, &plain, "10.1.0.2");
        assert_eq!(
            gateway(&[on_b(&plain), on_a.clone()]),
            Some([10, 1, 0, 1].into())
        );
        assert_eq!(
            gateway(&[on_b(&first), on_a.clone()]),
            Some([10, 2, 0, 1].into())
        );
        let mut inside = on_b(&first);
        inside.is_internal = true;
        assert_eq!(gateway(&[inside.clone(), on_a]), Some([10, 1, 0, 1].into()));
        assert_eq!(gateway(&[inside]), None);
    }

    #[test]
    fn bad_macs_and_interface_names_name_the_network() {
        let pools = [pool("10.1.0.0/24")];
        let message = |spec: EndpointSpec| {
            let list = [attached("front", &pools, &spec, "10.1.0.2")];
            planned(&list).expect_err("refused").to_string()
        };
        let mac = message(EndpointSpec {
            mac_address: Some("01:00:00:00:00:01".to_owned()),
            ..EndpointSpec::default()
        });
        assert!(
            mac.starts_with("network front: invalid MAC address"),
            "{mac}"
        );
        for name in ["", "lo", "a/b", "a b", "sixteen-bytes-xx", ".."] {
            let text = message(EndpointSpec {
                interface_name: Some(name.to_owned()),
                ..EndpointSpec::default()
            });
            assert!(text.contains("invalid interface name"), "{text}");
        }
    }
}
