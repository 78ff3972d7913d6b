//! Bridges: one a network, with its addresses, rules and forwarding.

use std::collections::BTreeSet;

use crate::model::{EngineId, Network};
use crate::network::error::Error;
use crate::network::lock::HostLock;
use crate::network::netlink::Batch;
use crate::network::nftables::Nftables;
use crate::network::observe::{self, Host};
use crate::network::route::{self, NewBridge, Route};
use crate::network::{firewall, forwarding};
use crate::sys::birth;
use crate::topology::firewall::{BridgeRules, bridge_table};
use crate::topology::ipam::{self, Pool};
use crate::topology::{MacAddress, Subnet, link};

/// Driver options that are honored, in Docker's words.
const OPTION_MTU: &str = "com.docker.network.driver.mtu";
const OPTION_NAME: &str = "com.docker.network.bridge.name";
const OPTION_MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";

/// How many names are tried when links of the same digits are there.
const NAME_TRIES: u32 = 16;

/// The group of links that are to be removed is this plus an index, which only
/// one of them has.
const GROUP_BASE: u32 = 0x7263_0000;

/// A bridge to be made.
#[derive(Debug, Clone, Copy)]
pub struct BridgeSpec<'a> {
    /// Whose it is.
    pub engine: &'a EngineId,
    /// The network: name, declared pools, families, `internal`, driver options.
    pub network: &'a Network,
    /// How many endpoints are expected; it decides the size of a chosen subnet.
    pub endpoints: usize,
    /// Subnets that the network had before. They are kept where nothing speaks
    /// against it; compare with the result to tell the user of a change.
    pub former: &'a [Subnet],
    /// A number that the network's former bridge didn't have: that one may
    /// still be on its way out. Other names are tried when one is taken.
    pub generation: u32,
}

/// A bridge that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// The link's name.
    pub name: String,
    /// The network's subnets as declared or chosen.
    pub pools: Vec<Pool>,
}

/// Chooses subnets and makes the bridge, its addresses and its firewall table,
/// and switches forwarding on; all under the lock that the host's engines
/// share, so that no two choose the same.
///
/// # Errors
/// When the driver is none of ours, no subnet fits or the kernel refuses;
/// nothing is left then.
pub fn create(spec: &BridgeSpec<'_>) -> Result<Bridge, Error> {
    check_driver(spec.network)?;
    let _lock = HostLock::acquire()?;
    let mut route = Route::open()?;
    let host = Host::observe(&mut route)?;
    let pools = ipam::plan(&ipam::Request {
        engine: spec.engine,
        network: spec.network,
        endpoints: spec.endpoints,
        former: spec.former,
        taken: host.taken(),
    })?;
    let bridge = Bridge {
        name: make_link(&mut route, spec, &pools, &host)?,
        pools,
    };
    birth::die_if_told("bridge:bare");
    match furnish(&mut route, spec, &bridge, &host) {
        Ok(()) => Ok(bridge),
        Err(error) => {
            // The first error is the one to tell.
            let names = std::slice::from_ref(&bridge.name);
            let _ = retire_locked(&mut route, names);
            let _ = remove(names);
            Err(error)
        }
    }
}

/// Networks of other drivers reach other hosts or stand in the uplink's own
/// segment: a bridge in their place would look like one and be none.
fn check_driver(network: &Network) -> Result<(), Error> {
    match network.driver.as_deref() {
        None | Some("" | "default" | "bridge" | "host" | "none") => Ok(()),
        Some(driver) => Err(Error::Driver {
            network: network.name.clone(),
            driver: driver.to_owned(),
        }),
    }
}

/// Makes the link under the first name that is free.
fn make_link(
    route: &mut Route,
    spec: &BridgeSpec<'_>,
    pools: &[Pool],
    host: &Host,
) -> Result<String, Error> {
    let options = &spec.network.driver_opts;
    let mtu = options.get(OPTION_MTU).and_then(|text| text.parse().ok());
    let gateway = pools.first().map(|pool| pool.gateway);
    let given = options.get(OPTION_NAME);
    let mut attempt = 0;
    loop {
        let generation = spec.generation.wrapping_add(attempt);
        let name = given
            .cloned()
            .unwrap_or_else(|| link::bridge_name(spec.engine, &spec.network.name, generation));
        let mut batch = Batch::new();
        route::add_bridge(
            &mut batch,
            &NewBridge {
                name: &name,
                mac: MacAddress::of(gateway.unwrap_or([0; 4].into())),
                mtu: mtu.unwrap_or(host.mtu()),
            },
        );
        match route.send(batch) {
            Ok(()) => return Ok(name),
            Err(error) if error.is_exists() && given.is_none() && attempt < NAME_TRIES => {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Gives a bare bridge everything else.
fn furnish(
    route: &mut Route,
    spec: &BridgeSpec<'_>,
    bridge: &Bridge,
    host: &Host,
) -> Result<(), Error> {
    let network = spec.network;
    let has_ipv6 = bridge.pools.iter().any(|pool| !pool.subnet.is_ipv4());
    // From here on every engine sees whose it is.
    let mut batch = Batch::new();
    let alias = observe::alias(spec.engine, &network.name);
    route::set_alias(&mut batch, &bridge.name, &alias);
    route.send(batch)?;
    let mut nftables = Nftables::open()?;
    let masquerade = network.driver_opts.get(OPTION_MASQUERADE);
    nftables.replace(&bridge_table(&BridgeRules {
        bridge: bridge.name.clone(),
        network: network.name.clone(),
        subnets: bridge.pools.iter().map(|pool| pool.subnet).collect(),
        is_internal: network.internal,
        is_masqueraded: masquerade.is_none_or(|text| text != "false"),
    }))?;
    forwarding::prepare_bridge(&bridge.name, network.internal, has_ipv6)?;
    if !network.internal {
        firewall::pass_docker(&mut nftables, &bridge.name, &host.ways_out())?;
        forwarding::enable(&mut nftables, &host.uplinks(), has_ipv6)?;
    }
    let index = route.link(&bridge.name)?.index;
    let mut batch = Batch::new();
    for pool in &bridge.pools {
        let prefix = pool.subnet.prefix();
        route::add_address(&mut batch, index, &bridge.name, pool.gateway, prefix);
    }
    route.send(batch)
}

/// Takes bridges out of use at once: links down, so that their subnets are
/// free; firewall tables gone; forwarding put back with the host's last one.
/// What isn't there is no error.
///
/// # Errors
/// When the kernel refuses.
pub fn retire(names: &[String]) -> Result<(), Error> {
    if names.is_empty() {
        return Ok(());
    }
    let _lock = HostLock::acquire()?;
    retire_locked(&mut Route::open()?, names)
}

fn retire_locked(route: &mut Route, names: &[String]) -> Result<(), Error> {
    let mut batch = Batch::new();
    let there = present(route, names)?;
    for (name, _) in &there {
        route::set_down(&mut batch, name, 0);
    }
    let downed = route.send(batch);
    let mut nftables = Nftables::open()?;
    for name in names {
        firewall::unpass_docker(&mut nftables, name)?;
    }
    firewall::remove_bridge_tables(&mut nftables, names)?;
    let is_last = !Host::observe(route)?
        .bridges()
        .iter()
        .any(|bridge| bridge.is_up);
    if is_last {
        forwarding::restore(&mut nftables)?;
    }
    downed
}

/// Removes bridges in one request; it takes the kernel about 20 ms each.
/// What isn't there is no error. Retire them first.
///
/// # Errors
/// When the kernel refuses.
pub fn remove(names: &[String]) -> Result<(), Error> {
    let mut route = Route::open()?;
    let there = present(&mut route, names)?;
    let Some(group) = there
        .first()
        .map(|(_, index)| GROUP_BASE.wrapping_add(*index))
    else {
        return Ok(());
    };
    let mut batch = Batch::new();
    for (name, _) in &there {
        route::set_down(&mut batch, name, group);
    }
    route::delete_group(&mut batch, group);
    route.send(batch)
}

/// Those of `names` that are bridges of ours, with their indexes.
fn present(route: &mut Route, names: &[String]) -> Result<Vec<(String, u32)>, Error> {
    let names: BTreeSet<&String> = names.iter().collect();
    let links = route.links()?;
    Ok(links
        .into_iter()
        .filter(|link| names.contains(&link.name) && link.kind.as_deref() == Some("bridge"))
        .map(|link| (link.name, link.index))
        .collect())
}

/// Lets traffic of links that came up since the bridges were made pass too
/// (a VPN that connected, a cable plugged in). Cheap when nothing changed.
///
/// # Errors
/// When the kernel refuses.
pub fn refresh_uplinks(has_ipv6: bool) -> Result<(), Error> {
    let _lock = HostLock::acquire()?;
    let host = Host::observe(&mut Route::open()?)?;
    let bridges = host.bridges().into_iter().filter(|bridge| bridge.is_up);
    let bridges: Vec<String> = bridges.map(|bridge| bridge.name).collect();
    if !bridges.is_empty() {
        let mut nftables = Nftables::open()?;
        firewall::refresh_docker(&mut nftables, &bridges, &host.ways_out())?;
        forwarding::enable(&mut nftables, &host.uplinks(), has_ipv6)?;
    }
    Ok(())
}
