//! What the host has: routes, addresses, uplinks, and links and tables of ours.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use crate::model::EngineId;
use crate::network::error::Error;
use crate::network::nftables::Nftables;
use crate::network::route::{LOOPBACK, Link, Route};
use crate::topology::Subnet;
use crate::topology::firewall::{GUARD_PREFIX, TABLE_PREFIX};
use crate::topology::ipam::{Taken, TakenBy};
use crate::topology::link::{BRIDGE_PREFIX, VETH_PREFIX};

/// MTU where no uplink tells one.
const DEFAULT_MTU: u32 = 1500;

/// Routes that stand for "everything else" are at most this long: 0, or 1 for
/// the halves that VPNs install.
const DEFAULT_ROUTE_PREFIX_MAX: u8 = 1;

/// What the alias of our bridges begins with; engine and network follow.
const ALIAS_MARK: &str = "rcompose";

/// A bridge of some engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedBridge {
    /// The link's name.
    pub name: String,
    /// The engine that made it.
    pub engine: String,
    /// Its network's name on the host; empty when its maker died over it.
    pub network: String,
    /// Whether it is in use; one that was retired is down and about to go.
    pub is_up: bool,
    /// Whether something that runs is attached.
    pub is_running: bool,
}

/// The host's links, addresses and routes at one time.
#[derive(Debug)]
pub(super) struct Host {
    links: HashMap<u32, Link>,
    taken: Vec<Taken>,
    uplinks: BTreeSet<String>,
    mtu: u32,
}

impl Host {
    pub(super) fn observe(route: &mut Route) -> Result<Self, Error> {
        let links: HashMap<u32, Link> = route
            .links()?
            .into_iter()
            .map(|link| (link.index, link))
            .collect();
        let addresses = route.addresses()?;
        let routes = route.routes()?;
        let mut taken = Vec::new();
        let mut uplinks = BTreeSet::new();
        for (index, address, prefix) in addresses {
            let Some(link) = links.get(&index) else {
                continue;
            };
            let Some(subnet) = Subnet::around(address, prefix) else {
                continue;
            };
            // Every link has one, even the host's ends of containers' pairs;
            // it leads nowhere else.
            if matches!(address, IpAddr::V6(address) if address.is_unicast_link_local()) {
                continue;
            }
            let by = match observed(link) {
                // A retired bridge gives its subnet back before it is gone.
                Some(bridge) if !bridge.is_up => continue,
                Some(bridge) => TakenBy::Network(bridge.network),
                None if index == LOOPBACK => TakenBy::Link(link.name.clone()),
                None => {
                    if link.is_up {
                        uplinks.insert(link.name.clone());
                    }
                    TakenBy::Link(link.name.clone())
                }
            };
            taken.push(Taken { subnet, by });
        }
        let mut mtu: Option<u32> = None;
        for route in routes {
            let Some(link) = links.get(&route.link) else {
                continue;
            };
            if route.destination.prefix() <= DEFAULT_ROUTE_PREFIX_MAX {
                mtu = Some(mtu.map_or(link.mtu, |least| least.min(link.mtu)));
            }
            if observed(link).is_none() {
                taken.push(Taken {
                    subnet: route.destination,
                    by: TakenBy::Route(link.name.clone()),
                });
            }
        }
        Ok(Self {
            links,
            taken,
            uplinks,
            mtu: mtu.unwrap_or(DEFAULT_MTU),
        })
    }

    /// Every subnet that is in use or routed.
    pub(super) fn taken(&self) -> &[Taken] {
        &self.taken
    }

    /// The links by which the host reaches others, and they it.
    pub(super) fn uplinks(&self) -> Vec<String> {
        self.uplinks.iter().cloned().collect()
    }

    /// Those of them that don't lead to Docker's containers.
    pub(super) fn ways_out(&self) -> Vec<String> {
        let uplinks = self.uplinks.iter();
        uplinks.filter(|name| !is_dockers(name)).cloned().collect()
    }

    /// The smallest MTU on the way out.
    pub(super) fn mtu(&self) -> u32 {
        self.mtu
    }

    /// The bridges of all engines.
    pub(super) fn bridges(&self) -> Vec<ObservedBridge> {
        let mut bridges: Vec<_> = self.links.values().filter_map(observed).collect();
        bridges.sort_by(|a, b| a.name.cmp(&b.name));
        bridges
    }
}

/// Whether a link has a name that Docker gives its bridges.
fn is_dockers(name: &str) -> bool {
    let is_digits = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_hexdigit());
    matches!(name, "docker0" | "docker_gwbridge") || name.strip_prefix("br-").is_some_and(is_digits)
}

/// The alias that marks a bridge of ours.
pub(super) fn alias(engine: &EngineId, network: &str) -> String {
    format!("{ALIAS_MARK} {engine} {network}")
}

fn observed(link: &Link) -> Option<ObservedBridge> {
    if link.kind.as_deref() != Some("bridge") {
        return None;
    }
    let mut words = link.alias.as_deref().unwrap_or_default().splitn(3, ' ');
    let (engine, network) = if words.next() == Some(ALIAS_MARK) {
        (words.next()?, words.next()?)
    } else {
        // Its maker died before it could give the alias.
        let digits = link.name.strip_prefix(BRIDGE_PREFIX)?;
        (digits.get(..6).filter(|_| digits.len() == 12)?, "")
    };
    Some(ObservedBridge {
        name: link.name.clone(),
        engine: engine.to_owned(),
        network: network.to_owned(),
        is_up: link.is_up,
        is_running: link.is_running,
    })
}

/// The bridges of all engines.
///
/// # Errors
/// When the kernel can't be asked.
pub fn bridges() -> Result<Vec<ObservedBridge>, Error> {
    Ok(Host::observe(&mut Route::open()?)?.bridges())
}

/// The names of an engine's links and firewall tables that the host has.
///
/// # Errors
/// When the kernel can't be asked.
pub fn remains(engine: &EngineId) -> Result<Vec<String>, Error> {
    let host = Host::observe(&mut Route::open()?)?;
    let mut found: Vec<String> = Vec::new();
    let veths = format!("{VETH_PREFIX}{engine}");
    for link in host.links.values() {
        let is_bridge = observed(link).is_some_and(|bridge| bridge.engine == engine.as_str());
        if is_bridge || link.name.starts_with(&veths) {
            found.push(format!("link {}", link.name));
        }
    }
    for (table, _) in tables_of(engine, &host)? {
        found.push(format!("firewall table {table}"));
    }
    let has_no_bridges = !host.bridges().iter().any(|bridge| bridge.is_up);
    if has_no_bridges {
        let tables = Nftables::open()?.tables()?;
        let guards = tables
            .into_iter()
            .filter(|(name, _)| name.starts_with(GUARD_PREFIX));
        found.extend(guards.map(|(name, _)| format!("firewall table {name}")));
    }
    found.sort();
    Ok(found)
}

/// The firewall tables of an engine's projects, each with its project's name.
///
/// # Errors
/// When the kernel can't be asked.
pub fn project_tables(engine: &EngineId) -> Result<Vec<(String, String)>, Error> {
    let prefix = format!("{TABLE_PREFIX}{engine}-");
    let tables = Nftables::open()?.tables()?.into_iter();
    Ok(tables
        .filter_map(|(name, _)| {
            let project = name.strip_prefix(&prefix)?.to_owned();
            Some((name, project))
        })
        .collect())
}

/// Removes every bridge and firewall table of an engine.
///
/// # Errors
/// When the kernel refuses; what could be removed is gone.
#[cfg(test)]
pub(super) fn remove_everything(engine: &EngineId) -> Result<(), Error> {
    use crate::network::{bridge, firewall};
    let host = Host::observe(&mut Route::open()?)?;
    let bridges: Vec<String> = host
        .bridges()
        .into_iter()
        .filter(|bridge| bridge.engine == engine.as_str())
        .map(|bridge| bridge.name)
        .collect();
    let retired = bridge::retire(&bridges);
    let tables: Vec<String> = tables_of(engine, &host)?
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let removed = firewall::remove_tables(&tables);
    bridge::remove(&bridges)?;
    retired.and(removed)
}

/// An engine's tables: its projects' and its bridges'.
fn tables_of(engine: &EngineId, host: &Host) -> Result<Vec<(String, String)>, Error> {
    let of_projects = format!("{TABLE_PREFIX}{engine}-");
    let of_bridges = format!("{TABLE_PREFIX}rc{engine}");
    let named: BTreeSet<String> = host
        .bridges()
        .into_iter()
        .filter(|bridge| bridge.engine == engine.as_str())
        .map(|bridge| format!("{TABLE_PREFIX}{}", bridge.name))
        .collect();
    let tables = Nftables::open()?.tables()?;
    Ok(tables
        .into_iter()
        .filter(|(name, _)| {
            name.starts_with(&of_projects) || name.starts_with(&of_bridges) || named.contains(name)
        })
        .collect())
}
