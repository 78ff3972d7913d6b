//! Subnets for networks and addresses for endpoints.
//!
//! It decides from values: what the host routes already, what other networks
//! use, what the project declares. Who holds an address for how long is kept
//! elsewhere (claims on disk); a caller that loses a claim to another project
//! adds the address to `taken` and asks again.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::model::{EndpointSpec, EngineId, IpamPool, Network};
use crate::topology::subnet::{InvalidSubnet, Subnet};

/// Where subnets are chosen from, in this order, 24 bits long unless more
/// endpoints are expected: 4096 of them in the upper part of 10/8 that neither
/// Docker nor common VPNs use, then Docker's own ranges.
const DEFAULT_POOLS: [&str; 3] = ["10.208.0.0/12", "172.16.0.0/12", "192.168.0.0/16"];

/// Routes with shorter prefixes stand for "everything" (a default route, or the
/// two halves of it that VPNs install) and take no subnet.
const ROUTE_PREFIX_MIN: u8 = 8;

/// Why no subnet or address was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A declared subnet, range, gateway or address can't be read.
    #[error("network {network}: {source}")]
    Subnet {
        /// The network.
        network: String,
        /// What can't be read.
        source: InvalidSubnet,
    },
    /// A declared address can't be read.
    #[error("network {network}: invalid {what} {text:?}")]
    Address {
        /// The network.
        network: String,
        /// What it was meant for.
        what: &'static str,
        /// As written.
        text: String,
    },
    /// A range, gateway or reserved address without a subnet to lie in.
    #[error("network {network}: {what} {text} lies in none of the network's subnets")]
    Outside {
        /// The network.
        network: String,
        /// What it was meant for.
        what: &'static str,
        /// As written.
        text: String,
    },
    /// A declared subnet is used by something else.
    #[error("network {network}: subnet {subnet} overlaps {other} of {owner}")]
    Overlap {
        /// The network.
        network: String,
        /// Its subnet.
        subnet: Subnet,
        /// The subnet that is there.
        other: Subnet,
        /// Whose it is.
        owner: String,
    },
    /// Nothing is free in the pools that subnets are chosen from.
    #[error(
        "network {network}: no free subnet in {pools}; the host's routes or other networks cover them"
    )]
    NoSubnet {
        /// The network.
        network: String,
        /// The pools.
        pools: String,
    },
    /// Every address is given away.
    #[error("network {network}: no free address in {range}")]
    Full {
        /// The network.
        network: String,
        /// The range.
        range: Subnet,
    },
    /// A static address is somebody else's.
    #[error("network {network}: address {address} is taken by {owner}")]
    Taken {
        /// The network.
        network: String,
        /// The address.
        address: IpAddr,
        /// Whose it is.
        owner: String,
    },
    /// A static address that the subnets don't hold.
    #[error("network {network}: address {address} isn't a usable address of {subnets}")]
    NotUsable {
        /// The network.
        network: String,
        /// The address.
        address: IpAddr,
        /// The network's subnets.
        subnets: String,
    },
    /// A static address where the subnet is chosen anew each time.
    #[error(
        "network {network}: the static address {address} needs a subnet in the network's `ipam.config`"
    )]
    NotConfigured {
        /// The network.
        network: String,
        /// The address.
        address: IpAddr,
    },
}

/// A subnet that the host knows already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The subnet.
    pub subnet: Subnet,
    /// By what.
    pub by: TakenBy,
}

/// What takes a subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakenBy {
    /// A network of some engine, by name or bridge.
    Network(String),
    /// An address of a link of the host, by the link's name.
    Link(String),
    /// A route beyond a gateway or tunnel, by the link's name. Subnets that
    /// are chosen avoid it; declared ones may shadow a part of it.
    Route(String),
}

impl TakenBy {
    fn describe(&self) -> String {
        match self {
            Self::Network(name) => format!("network {name}"),
            Self::Link(name) => format!("the host's link {name}"),
            Self::Route(name) => format!("the host's routes by {name}"),
        }
    }
}

/// One subnet of a network, with every rule about its addresses checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// The subnet.
    pub subnet: Subnet,
    /// Where addresses come from when none is asked for.
    pub range: Subnet,
    /// The bridge's address.
    pub gateway: IpAddr,
    /// Addresses that nobody gets, by whom they are for.
    pub reserved: BTreeMap<IpAddr, String>,
    /// Whether the file declares the subnet; static addresses need that.
    pub is_declared: bool,
}

/// What a subnet is wanted for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The engine, from which IPv6 subnets follow.
    pub engine: &'a EngineId,
    /// The network.
    pub network: &'a Network,
    /// How many endpoints are expected.
    pub endpoints: usize,
    /// Subnets that the network had before; taken again where nothing
    /// speaks against it.
    pub former: &'a [Subnet],
    /// What the host has.
    pub taken: &'a [Taken],
}

/// Settles the subnets of a network: the declared ones, and a free one for
/// each family that is on and has none.
///
/// # Errors
/// When a declared one is unusable or no free one is left.
pub fn plan(request: &Request<'_>) -> Result<Vec<Pool>, Error> {
    let network = request.network;
    let mut pools: Vec<Pool> = Vec::new();
    for declared in &network.pools {
        if let Some(pool) = declared_pool(&network.name, declared)? {
            check_overlap(&network.name, pool.subnet, request.taken)?;
            if let Some(other) = pools
                .iter()
                .find(|other| other.subnet.overlaps(pool.subnet))
            {
                return Err(Error::Overlap {
                    network: network.name.clone(),
                    subnet: pool.subnet,
                    other: other.subnet,
                    owner: "the same network".to_owned(),
                });
            }
            pools.push(pool);
        }
    }
    for (is_on, is_ipv4) in [(network.ipv4, true), (network.ipv6, false)] {
        if is_on && !pools.iter().any(|pool| pool.subnet.is_ipv4() == is_ipv4) {
            let candidates: Box<dyn Iterator<Item = Subnet>> = if is_ipv4 {
                Box::new(ipv4_candidates(request.endpoints))
            } else {
                Box::new(ula(request.engine).split(64))
            };
            pools.push(choose(request, is_ipv4, candidates)?);
        }
    }
    Ok(pools)
}

/// The free subnet that comes first, or the former one.
fn choose(
    request: &Request<'_>,
    is_ipv4: bool,
    candidates: impl Iterator<Item = Subnet>,
) -> Result<Pool, Error> {
    let taken = request.taken.iter().map(|taken| taken.subnet);
    let spans = Spans::of(
        taken.filter(|subnet| subnet.prefix() >= ROUTE_PREFIX_MIN && subnet.is_ipv4() == is_ipv4),
    );
    let former = request.former.iter().copied();
    let subnet = former
        .filter(|subnet| subnet.is_ipv4() == is_ipv4)
        .chain(candidates)
        .find(|subnet| spans.spare(*subnet))
        .ok_or_else(|| Error::NoSubnet {
            network: request.network.name.clone(),
            pools: if is_ipv4 {
                DEFAULT_POOLS.join(", ")
            } else {
                ula(request.engine).to_string()
            },
        })?;
    Ok(Pool {
        subnet,
        range: subnet,
        gateway: first_usable(subnet),
        reserved: BTreeMap::new(),
        is_declared: false,
    })
}

/// Addresses that are taken, as spans without overlaps in order, so that a
/// host with a thousand networks is searched quickly.
#[derive(Debug)]
struct Spans(Vec<(IpAddr, IpAddr)>);

impl Spans {
    fn of(subnets: impl Iterator<Item = Subnet>) -> Self {
        let mut sorted: Vec<_> = subnets
            .map(|subnet| (subnet.first(), subnet.last()))
            .collect();
        sorted.sort_unstable();
        let mut spans: Vec<(IpAddr, IpAddr)> = Vec::with_capacity(sorted.len());
        for (first, last) in sorted {
            match spans.last_mut() {
                Some(before) if first <= before.1 => before.1 = before.1.max(last),
                Some(_) | None => spans.push((first, last)),
            }
        }
        Self(spans)
    }

    /// Whether no address of `subnet` is taken.
    fn spare(&self, subnet: Subnet) -> bool {
        let begun = self.0.partition_point(|span| span.0 <= subnet.last());
        let before = begun.checked_sub(1).and_then(|index| self.0.get(index));
        before.is_none_or(|span| span.1 < subnet.first())
    }
}

fn ipv4_candidates(endpoints: usize) -> impl Iterator<Item = Subnet> {
    // Room to double before a network must be made anew.
    let prefix = (8..=24)
        .rev()
        .find(|prefix| (1usize << (32 - prefix)) / 2 > endpoints + 3)
        .unwrap_or(ROUTE_PREFIX_MIN);
    DEFAULT_POOLS.into_iter().flat_map(move |pool| {
        let pool: Subnet = pool.parse().expect("the constant is in CIDR form");
        pool.split(prefix.max(pool.prefix()))
    })
}

/// The engine's unique local prefix (RFC 4193), 48 bits.
fn ula(engine: &EngineId) -> Subnet {
    let mut bits: u128 = 0xfd;
    // Six base32 digits are 30 of the 40 bits; the rest tells others what it is.
    for byte in engine.as_str().bytes() {
        let digit = if byte.is_ascii_lowercase() {
            byte - b'a'
        } else {
            byte.wrapping_sub(b'2').wrapping_add(26)
        };
        bits = (bits << 5) | u128::from(digit & 31);
    }
    bits = (bits << 10) | 0x0c0;
    Subnet::around(IpAddr::V6((bits << 80).into()), 48).expect("48 is below 128")
}

fn first_usable(subnet: Subnet) -> IpAddr {
    let second = subnet
        .address(1)
        .filter(|address| subnet.is_usable(*address));
    second.unwrap_or(subnet.first())
}

fn check_overlap(network: &str, subnet: Subnet, taken: &[Taken]) -> Result<(), Error> {
    let clash = taken.iter().find(|taken| match taken.by {
        TakenBy::Network(_) | TakenBy::Link(_) => {
            taken.subnet.prefix() > 0 && taken.subnet.overlaps(subnet)
        }
        TakenBy::Route(_) => false,
    });
    match clash {
        None => Ok(()),
        Some(other) => Err(Error::Overlap {
            network: network.to_owned(),
            subnet,
            other: other.subnet,
            owner: other.by.describe(),
        }),
    }
}

fn declared_pool(network: &str, declared: &IpamPool) -> Result<Option<Pool>, Error> {
    let outside = |what, text: &str| Error::Outside {
        network: network.to_owned(),
        what,
        text: text.to_owned(),
    };
    let parse_subnet = |text: &str| {
        text.parse::<Subnet>().map_err(|source| Error::Subnet {
            network: network.to_owned(),
            source,
        })
    };
    let Some(subnet) = &declared.subnet else {
        return match (&declared.ip_range, &declared.gateway) {
            (Some(range), _) => Err(outside("ip_range", range)),
            (None, Some(gateway)) => Err(outside("gateway", gateway)),
            (None, None) => Ok(None),
        };
    };
    let subnet = parse_subnet(subnet)?;
    let range = match &declared.ip_range {
        None => subnet,
        Some(text) => Some(parse_subnet(text)?)
            .filter(|range| subnet.covers(*range))
            .ok_or_else(|| outside("ip_range", text))?,
    };
    let parse_inside = |what, text: &str| {
        // Docker takes a gateway with a prefix length too.
        let bare = text.split_once('/').map_or(text, |(address, _)| address);
        let address: IpAddr = bare.parse().map_err(|_| Error::Address {
            network: network.to_owned(),
            what,
            text: text.to_owned(),
        })?;
        if subnet.contains(address) {
            Ok(address)
        } else {
            Err(outside(what, text))
        }
    };
    let gateway = match &declared.gateway {
        None => first_usable(subnet),
        Some(text) => parse_inside("gateway", text)?,
    };
    let mut reserved = BTreeMap::new();
    for (name, text) in &declared.aux_addresses {
        reserved.insert(parse_inside("auxiliary address", text)?, name.clone());
    }
    Ok(Some(Pool {
        subnet,
        range,
        gateway,
        reserved,
        is_declared: true,
    }))
}

/// The addresses of an endpoint: the static ones where the service gives them,
/// else a free one of each family that the network has.
///
/// `taken` are the addresses that endpoints have, and those that other services
/// are given by the file; by whom, for errors.
///
/// # Errors
/// When a static address can't be had or nothing is free.
pub fn endpoint_addresses(
    network: &str,
    pools: &[Pool],
    spec: &EndpointSpec,
    taken: &BTreeMap<IpAddr, String>,
) -> Result<(Option<Ipv4Addr>, Option<Ipv6Addr>), Error> {
    let choose = |wanted: Option<IpAddr>, is_ipv4: bool| match wanted {
        Some(address) => {
            check_static(network, pools, address, taken)?;
            Ok(Some(address))
        }
        None => {
            let pool = pools.iter().find(|pool| pool.subnet.is_ipv4() == is_ipv4);
            pool.map(|pool| allocate(network, pool, taken)).transpose()
        }
    };
    let ipv4 = match choose(spec.ipv4_address.map(IpAddr::V4), true)? {
        Some(IpAddr::V4(address)) => Some(address),
        Some(IpAddr::V6(_)) | None => None,
    };
    let ipv6 = match choose(spec.ipv6_address.map(IpAddr::V6), false)? {
        Some(IpAddr::V6(address)) => Some(address),
        Some(IpAddr::V4(_)) | None => None,
    };
    Ok((ipv4, ipv6))
}

/// The lowest address that is free in the pool's range.
///
/// # Errors
/// When there is none.
pub fn allocate(
    network: &str,
    pool: &Pool,
    taken: &BTreeMap<IpAddr, String>,
) -> Result<IpAddr, Error> {
    let is_free = |address: &IpAddr| {
        pool.subnet.is_usable(*address)
            && *address != pool.gateway
            && !pool.reserved.contains_key(address)
            && !taken.contains_key(address)
    };
    // Among one more candidate than there are obstacles one is free, if any is;
    // four are the gateway, the two ends, and the one beyond.
    let obstacles = taken.len() + pool.reserved.len() + 4;
    (0..)
        .map_while(|index| pool.range.address(index))
        .take(obstacles)
        .find(is_free)
        .ok_or_else(|| Error::Full {
            network: network.to_owned(),
            range: pool.range,
        })
}

/// Checks that a static address may be used: that it lies in a declared subnet,
/// isn't the gateway's and isn't somebody else's.
///
/// # Errors
/// When it may not.
pub fn check_static(
    network: &str,
    pools: &[Pool],
    address: IpAddr,
    taken: &BTreeMap<IpAddr, String>,
) -> Result<(), Error> {
    let family = |pool: &&Pool| pool.subnet.is_ipv4() == address.is_ipv4();
    let Some(pool) = pools.iter().find(|pool| pool.subnet.contains(address)) else {
        let subnets: Vec<_> = pools
            .iter()
            .filter(family)
            .map(|pool| pool.subnet.to_string())
            .collect();
        return Err(Error::NotUsable {
            network: network.to_owned(),
            address,
            subnets: if subnets.is_empty() {
                "a network without that family".to_owned()
            } else {
                subnets.join(", ")
            },
        });
    };
    if !pool.is_declared {
        return Err(Error::NotConfigured {
            network: network.to_owned(),
            address,
        });
    }
    if !pool.subnet.is_usable(address) {
        return Err(Error::NotUsable {
            network: network.to_owned(),
            address,
            subnets: pool.subnet.to_string(),
        });
    }
    let owner = if address == pool.gateway {
        Some("the gateway".to_owned())
    } else {
        let reserved = pool.reserved.get(&address);
        reserved.or_else(|| taken.get(&address)).cloned()
    };
    match owner {
        None => Ok(()),
        Some(owner) => Err(Error::Taken {
            network: network.to_owned(),
            address,
            owner,
        }),
    }
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use proptest::prelude::*;

    use super::*;

    fn engine() -> EngineId {
        "abcdef".parse().expect("engine")
    }

    fn network(pools: Vec<IpamPool>) -> Network {
        Network {
            name: "shop_default".to_owned(),
            driver: None,
            driver_opts: IndexMap::new(),
            pools,
            internal: false,
            attachable: false,
            ipv4: true,
            ipv6: false,
            labels: IndexMap::new(),
        }
    }

    fn declared(subnet: &str) -> IpamPool {
        IpamPool {
            subnet: Some(subnet.to_owned()),
            ..IpamPool::default()
        }
    }

    fn route(subnet: &str) -> Taken {
        Taken {
            subnet: subnet.parse().expect(subnet),
            by: TakenBy::Route("tun0".to_owned()),
        }
    }

    fn planned(network: &Network, taken: &[Taken]) -> Result<Vec<Pool>, Error> {
        plan(&Request {
            engine: &engine(),
            network,
            endpoints: 3,
            former: &[],
            taken,
        })
    }

    fn chosen(network: &Network, taken: &[Taken]) -> String {
        let pools = planned(network, taken).expect("planned");
        let texts: Vec<_> = pools.iter().map(|pool| pool.subnet.to_string()).collect();
        texts.join(" ")
    }

    fn message(pools: Vec<IpamPool>, taken: &[Taken]) -> String {
        planned(&network(pools), taken)
            .expect_err("refused")
            .to_string()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn the_first_free_subnet_is_chosen() {
        let net = network(vec![]);
        assert_eq!(chosen(&net, &[]), "10.208.0.0/24");
        assert_eq!(chosen(&net, &[route("10.208.0.128/25")]), "10.208.1.0/24");
        assert_eq!(chosen(&net, &[route("10.208.0.0/13")]), "10.216.0.0/24");
        let pools = planned(&net, &[]).expect("planned");
        assert_eq!(
            pools.first().map(|pool| pool.gateway),
            Some(ip("10.208.0.1"))
        );
    }

    #[test]
    fn a_vpn_over_all_of_10_moves_networks_elsewhere() {
        assert_eq!(
            chosen(&network(vec![]), &[route("10.0.0.0/8")]),
            "172.16.0.0/24"
        );
        let error = message(
            vec![],
            &[
                route("10.0.0.0/8"),
                route("172.16.0.0/12"),
                route("192.168.0.0/16"),
            ],
        );
        assert!(error.contains("no free subnet in 10.208.0.0/12"), "{error}");
    }

    #[test]
    fn default_routes_take_nothing() {
        let halves = [route("0.0.0.0/1"), route("128.0.0.0/1"), route("0.0.0.0/0")];
        assert_eq!(chosen(&network(vec![]), &halves), "10.208.0.0/24");
    }

    #[test]
    fn a_former_subnet_is_kept_while_it_fits() {
        let net = network(vec![]);
        let former: Subnet = "10.210.3.0/24".parse().expect("cidr");
        let engine = engine();
        let request = |taken| Request {
            engine: &engine,
            network: &net,
            endpoints: 1,
            former: std::slice::from_ref(&former),
            taken,
        };
        let subnet = |taken| {
            plan(&request(taken))
                .expect("planned")
                .first()
                .map(|p| p.subnet)
        };
        assert_eq!(subnet(&[]), Some(former));
        assert_ne!(subnet(&[route("10.210.0.0/16")]), Some(former));
    }

    #[test]
    fn big_projects_get_big_subnets() {
        let prefix = |endpoints| ipv4_candidates(endpoints).next().map(Subnet::prefix);
        assert_eq!(prefix(0), Some(24));
        assert_eq!(prefix(100), Some(24));
        assert_eq!(prefix(500), Some(22));
        assert_eq!(prefix(usize::MAX / 4), Some(12));
    }

    #[test]
    fn a_thousand_networks_fit() {
        let net = network(vec![]);
        let mut taken = Vec::new();
        for number in 0..1500 {
            let pools = planned(&net, &taken).expect("planned");
            let subnet = pools.first().expect("one").subnet;
            taken.push(Taken {
                subnet,
                by: TakenBy::Network(format!("n{number}")),
            });
        }
    }

    #[test]
    fn ipv6_subnets_come_from_the_engine() {
        let mut net = network(vec![]);
        net.ipv6 = true;
        let text = chosen(&net, &[]);
        let (v4, v6) = text.split_once(' ').expect("two");
        assert_eq!(v4, "10.208.0.0/24");
        assert!(v6.starts_with("fd") && v6.ends_with("/64"), "{v6}");
        net.ipv4 = false;
        assert_eq!(chosen(&net, &[route(v6)]).matches("fd").count(), 1);
        assert_ne!(chosen(&net, &[route(v6)]), v6);
        let other: EngineId = "abcdeg".parse().expect("engine");
        assert!(!ula(&engine()).overlaps(ula(&other)));
    }

    #[test]
    fn declared_pools_are_checked() {
        let with = |range: &str, gateway: &str, aux: &str| {
            vec![IpamPool {
                subnet: Some("172.28.0.0/16".to_owned()),
                ip_range: Some(range.to_owned()).filter(|text| !text.is_empty()),
                gateway: Some(gateway.to_owned()).filter(|text| !text.is_empty()),
                aux_addresses: Some(("host1".to_owned(), aux.to_owned()))
                    .filter(|(_, text)| !text.is_empty())
                    .into_iter()
                    .collect(),
            }]
        };
        let good = planned(
            &network(with("172.28.5.0/24", "172.28.5.254", "172.28.1.5")),
            &[],
        );
        let pools = good.expect("planned");
        let pool = pools.first().expect("one");
        assert_eq!(pool.gateway, ip("172.28.5.254"));
        assert_eq!(pool.range.to_string(), "172.28.5.0/24");
        assert_eq!(
            pool.reserved.get(&ip("172.28.1.5")).map(String::as_str),
            Some("host1")
        );

        assert_eq!(
            message(with("172.29.0.0/24", "", ""), &[]),
            "network shop_default: ip_range 172.29.0.0/24 lies in none of the network's subnets"
        );
        assert!(message(with("", "10.0.0.1", ""), &[]).contains("gateway 10.0.0.1 lies in none"));
        assert!(message(with("", "x", ""), &[]).contains("invalid gateway \"x\""));
        assert!(message(with("", "", "1.2.3.4"), &[]).contains("auxiliary address 1.2.3.4"));
        assert!(message(vec![declared("10.0.0.0/99")], &[]).contains("invalid subnet"));
        let gateway_alone = IpamPool {
            gateway: Some("10.0.0.1".to_owned()),
            ..IpamPool::default()
        };
        assert!(message(vec![gateway_alone], &[]).contains("gateway 10.0.0.1"));
    }

    #[test]
    fn an_overlap_names_both_sides() {
        let taken = |by| {
            vec![Taken {
                subnet: "10.1.2.0/24".parse().expect("cidr"),
                by,
            }]
        };
        assert_eq!(
            message(
                vec![declared("10.1.0.0/16")],
                &taken(TakenBy::Network("blog_default".to_owned()))
            ),
            "network shop_default: subnet 10.1.0.0/16 overlaps 10.1.2.0/24 of network blog_default"
        );
        let link = taken(TakenBy::Link("eth0".to_owned()));
        assert!(message(vec![declared("10.1.2.0/25")], &link).contains("the host's link eth0"));
        let vpn = taken(TakenBy::Route("tun0".to_owned()));
        assert_eq!(
            chosen(&network(vec![declared("10.1.2.0/25")]), &vpn),
            "10.1.2.0/25"
        );
        let twice = vec![declared("10.1.2.0/25"), declared("10.1.2.0/24")];
        assert!(message(twice, &[]).contains("the same network"));
    }

    #[test]
    fn addresses_run_out_with_the_range_in_the_text() {
        let pools = planned(&network(vec![declared("10.9.0.0/29")]), &[]).expect("planned");
        let pool = pools.first().expect("one");
        let mut taken = BTreeMap::new();
        for last in 2..=6 {
            let address = allocate("n", pool, &taken).expect("free");
            assert_eq!(address, ip(&format!("10.9.0.{last}")));
            taken.insert(address, String::new());
        }
        let error = allocate("n", pool, &taken).expect_err("full").to_string();
        assert_eq!(error, "network n: no free address in 10.9.0.0/29");
    }

    #[test]
    fn static_addresses_are_checked() {
        let pools = planned(&network(vec![declared("10.9.0.0/24")]), &[]).expect("planned");
        let taken = BTreeMap::from([(ip("10.9.0.7"), "shop-db-1".to_owned())]);
        let check = |address: &str| {
            check_static("n", &pools, ip(address), &taken).map_err(|error| error.to_string())
        };
        assert_eq!(check("10.9.0.8"), Ok(()));
        let refused = |address: &str| check(address).expect_err(address);
        assert_eq!(
            refused("10.9.0.7"),
            "network n: address 10.9.0.7 is taken by shop-db-1"
        );
        assert!(refused("10.9.0.1").contains("taken by the gateway"));
        assert!(refused("10.9.0.255").contains("isn't a usable address of 10.9.0.0/24"));
        assert!(refused("10.8.0.1").contains("isn't a usable address of 10.9.0.0/24"));
        assert!(refused("fd00::1").contains("a network without that family"));
        let chosen = planned(&network(vec![]), &[]).expect("planned");
        let error = check_static("n", &chosen, ip("10.208.0.9"), &taken).expect_err("chosen");
        assert!(error.to_string().contains("ipam.config"), "{error}");
    }

    #[test]
    fn endpoints_get_an_address_of_each_family() {
        let mut net = network(vec![declared("10.9.0.0/24")]);
        net.ipv6 = true;
        let pools = planned(&net, &[]).expect("planned");
        let taken = BTreeMap::from([(ip("10.9.0.2"), "shop-db-1".to_owned())]);
        let get = |spec: &EndpointSpec| endpoint_addresses("n", &pools, spec, &taken);
        let mut spec = EndpointSpec::default();
        let (ipv4, ipv6) = get(&spec).expect("free");
        assert_eq!(ipv4, Some(Ipv4Addr::new(10, 9, 0, 3)));
        assert!(ipv6.is_some_and(|address| address.to_string().starts_with("fd")));
        spec.ipv4_address = Some(Ipv4Addr::new(10, 9, 0, 99));
        assert_eq!(get(&spec).expect("free").0, spec.ipv4_address);
        spec.ipv4_address = Some(Ipv4Addr::new(10, 9, 0, 2));
        let error = get(&spec).expect_err("taken").to_string();
        assert_eq!(error, "network n: address 10.9.0.2 is taken by shop-db-1");
    }

    proptest! {
        #[test]
        fn spans_spare_what_overlaps_nothing(
            taken in proptest::collection::vec((any::<u16>(), 16u8..=32), 0..12),
            wanted in (any::<u16>(), 16u8..=32),
        ) {
            let subnet = |(low, prefix): (u16, u8)| {
                let [high, low] = low.to_be_bytes();
                Subnet::around(IpAddr::from([10, 0, high, low]), prefix).expect("v4")
            };
            let taken: Vec<_> = taken.into_iter().map(subnet).collect();
            let wanted = subnet(wanted);
            prop_assert_eq!(
                Spans::of(taken.iter().copied()).spare(wanted),
                !taken.iter().any(|other| other.overlaps(wanted))
            );
        }

        #[test]
        fn never_an_address_twice(
            prefix in 25u8..=30,
            range_bits in 0u8..=3,
            aux in proptest::collection::vec(0u8..64, 0..4),
            frees in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let subnet = Subnet::around(ip("10.77.0.0"), prefix).expect("v4");
            let range = Subnet::around(subnet.last(), (prefix + range_bits).min(32)).expect("v4");
            let mut entry = declared(&subnet.to_string());
            entry.ip_range = Some(range.to_string());
            entry.aux_addresses = aux
                .iter()
                .filter_map(|n| subnet.address(u128::from(*n)).map(|a| (n.to_string(), a.to_string())))
                .collect();
            let pools = planned(&network(vec![entry]), &[]).expect("planned");
            let pool = pools.first().expect("one");
            let mut taken = BTreeMap::new();
            let mut frees = frees.into_iter();
            while let Ok(address) = allocate("n", pool, &taken) {
                prop_assert!(pool.range.contains(address) && pool.subnet.is_usable(address));
                prop_assert!(address != pool.gateway && !pool.reserved.contains_key(&address));
                prop_assert!(taken.insert(address, String::new()).is_none(), "{address} twice");
                if let Some(index) = frees.next() {
                    let freed = *index.get(&taken.keys().copied().collect::<Vec<_>>());
                    taken.remove(&freed);
                }
            }
            // Full means full: every usable address of the range is accounted for.
            for index in 0.. {
                let Some(address) = pool.range.address(index) else { break };
                let is_used = taken.contains_key(&address)
                    || address == pool.gateway
                    || pool.reserved.contains_key(&address)
                    || !pool.subnet.is_usable(address);
                prop_assert!(is_used, "{address} was left");
            }
        }
    }
}
