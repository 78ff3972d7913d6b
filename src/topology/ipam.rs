//! Subnets for networks and addresses for endpoints.
//!
//! It decides from values: what the host routes already, what other networks
//! use, what the project declares. Who holds an address for how long is kept
//! elsewhere (claims on disk); a caller that loses a claim to another project
//! adds the address to `taken` and asks again.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{EngineId, IpamPool, Network};
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
mod tests;
