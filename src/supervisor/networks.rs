//! The project's networks: bridges, and addresses on them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use indexmap::IndexMap;

use crate::engine::create::is_void;
use crate::engine::networks;
use crate::model::{
    ContainerId, ContainerRecord, EndpointRecord, EndpointSpec, Network, Resource, ResourceKey,
};
use crate::network;
use crate::store::{self, Claims, NetworkRecord, NetworkStore, Owner};
use crate::supervisor::Error;
use crate::supervisor::host::{Host, blocking};
use crate::supervisor::live::Task;
use crate::supervisor::zone::aliases;
use crate::topology::endpoint;
use crate::topology::ipam::{self, Pool};
use crate::topology::naming;

/// How often an address is chosen again because somebody else was quicker.
const CLAIM_ATTEMPTS_MAX: u32 = 64;
/// Whose an address is, as long as only the claim's name was read.
const CLAIMED: &str = "another container";
/// Containers that a network's subnet has room for at least.
const ENDPOINTS_MIN: usize = 12;

/// A network that a container joins, and how.
pub(crate) type Joined = (NetworkRecord, EndpointSpec);

impl Host {
    /// Makes a network of the project: subnets, bridge, rules, record.
    pub(crate) async fn create_network(
        &self,
        key: &ResourceKey,
        network: &Network,
    ) -> Result<(), Error> {
        let root = self.root.clone();
        let wanted = self.wanted_network(key, network.clone());
        blocking(move || networks::make(&root, wanted)).await?;
        self.refresh_zone();
        Ok(())
    }

    /// A network of the project as it is to be made.
    fn wanted_network(&self, key: &ResourceKey, network: Network) -> networks::Wanted {
        networks::Wanted {
            network,
            owner: Some((self.store.name().to_string(), key.to_string())),
            endpoints: self.expected_endpoints(),
            former: None,
        }
    }

    /// Lets running containers out by links of the host that came up since
    /// their bridges were made, such as a VPN. Nobody waits for it.
    pub(crate) fn follow_uplinks(self: &Rc<Self>) {
        let (mut has_sandboxes, mut has_ipv6) = (false, false);
        for live in self.table.borrow().iter() {
            let endpoints = live.sandbox.iter().flat_map(|(endpoints, _)| endpoints);
            for (_, endpoint) in endpoints {
                has_sandboxes = true;
                has_ipv6 |= endpoint.ipv6.is_some();
            }
        }
        if !has_sandboxes {
            return;
        }
        let host = Rc::clone(self);
        let refreshing = Task::spawn(async move {
            let done = blocking(move || network::bridge::refresh_uplinks(has_ipv6)).await;
            if let Err(error) = done {
                host.warn(&format!("links that came up were not looked at: {error}"));
            }
        });
        refreshing.detach();
    }

    fn expected_endpoints(&self) -> usize {
        let project = self.project.borrow();
        let replicas: u32 = project
            .as_deref()
            .map(|project| project.services.values().map(|service| service.scale).sum())
            .unwrap_or_default();
        // Room for recreation, scaling and one-off containers.
        usize::try_from(replicas)
            .unwrap_or(usize::MAX)
            .saturating_mul(2)
            .max(ENDPOINTS_MIN)
    }

    /// A container's networks in the order of connection, each with its bridge
    /// up: after a reboot it is made anew.
    pub(crate) async fn attached_networks(
        &self,
        record: &ContainerRecord,
        specs: &IndexMap<ResourceKey, EndpointSpec>,
    ) -> Result<Vec<Joined>, Error> {
        let networks = NetworkStore::new(&self.root);
        let mut joined = Vec::new();
        for (key, spec) in endpoint::connection_order(specs) {
            let name = self.network_name(record, key);
            let network = match networks.get(&name) {
                Ok(Some(found)) => self.with_bridge(found).await?,
                Ok(None) => return Err(Error::NetworkMissing { name }),
                Err(error @ store::Error::Damaged { .. }) => self.heal_network(key, error).await?,
                Err(error) => return Err(error.into()),
            };
            joined.push((network, spec.clone()));
        }
        Ok(joined)
    }

    /// A running container's networks, as far as their records are there.
    pub(crate) fn joined_networks(
        &self,
        record: &ContainerRecord,
        endpoints: &IndexMap<String, EndpointRecord>,
    ) -> Result<Vec<Joined>, Error> {
        let networks = NetworkStore::new(&self.root);
        let mut joined = Vec::new();
        for name in endpoints.keys() {
            match networks.get(name) {
                Ok(Some(network)) => joined.push((network, EndpointSpec::default())),
                Ok(None) => {}
                Err(error) => {
                    self.warn(&format!(
                        "a network of {} is not known: {error}",
                        record.name
                    ));
                }
            }
        }
        Ok(joined)
    }

    async fn with_bridge(&self, record: NetworkRecord) -> Result<NetworkRecord, Error> {
        if self.known_bridges.borrow().contains(&record.bridge) {
            return Ok(record);
        }
        let bridges = blocking(network::observe::bridges)
            .await
            .map_err(|source| Error::Network {
                name: record.name.clone(),
                source,
            })?;
        let is_up = bridges
            .iter()
            .any(|bridge| bridge.name == record.bridge && bridge.is_up);
        let record = if is_up {
            record
        } else {
            let root = self.root.clone();
            let wanted = networks::Wanted {
                network: record.applied.clone(),
                owner: record.owner.clone(),
                endpoints: self.expected_endpoints(),
                former: Some(record),
            };
            let made = blocking(move || networks::make_again(&root, wanted)).await?;
            if made.has_moved {
                self.warn(&format!(
                    "network {}: its former subnet is taken by now; a new one was chosen",
                    made.record.name
                ));
            }
            made.record
        };
        self.known_bridges
            .borrow_mut()
            .insert(record.bridge.clone());
        Ok(record)
    }

    /// Makes a network of the project anew whose record can't be read, as the
    /// model that was applied last declares it.
    async fn heal_network(
        &self,
        key: &ResourceKey,
        error: store::Error,
    ) -> Result<NetworkRecord, Error> {
        let declared = {
            let project = self.project.borrow();
            let networks = project.as_deref().map(|project| &project.networks);
            match networks.and_then(|networks| networks.get(key)) {
                Some(Resource::Managed(network)) => Some(network.clone()),
                Some(Resource::External { .. }) | None => None,
            }
        };
        let Some(network) = declared else {
            return Err(error.into());
        };
        let root = self.root.clone();
        let wanted = self.wanted_network(key, network);
        let made = blocking(move || networks::make_again(&root, wanted)).await?;
        if made.is_new {
            self.warn(&format!("{error}; the network was made anew"));
        }
        Ok(made.record)
    }

    /// A network's name on the host.
    fn network_name(&self, record: &ContainerRecord, key: &ResourceKey) -> String {
        let project = self.project.borrow();
        match project
            .as_deref()
            .and_then(|project| project.networks.get(key))
        {
            Some(Resource::External { name }) => name.clone(),
            Some(Resource::Managed(network)) => network.name.clone(),
            // The model of another day; its name follows the rule.
            None => format!("{}_{key}", record.project),
        }
    }

    /// Claims a container's addresses on its networks: what the service asks
    /// for, else free ones. Nothing stays claimed on failure.
    pub(crate) fn claim_addresses(
        &self,
        record: &ContainerRecord,
        networks: &[Joined],
    ) -> Result<Vec<Vec<IpAddr>>, Error> {
        let mut all = Vec::new();
        for (network, spec) in networks {
            match self.claim_on(record, network, spec) {
                Ok(addresses) => all.push(addresses),
                Err(error) => {
                    self.release_addresses(record);
                    return Err(error);
                }
            }
        }
        Ok(all)
    }

    fn claim_on(
        &self,
        record: &ContainerRecord,
        network: &NetworkRecord,
        spec: &EndpointSpec,
    ) -> Result<Vec<IpAddr>, Error> {
        let claims = NetworkStore::new(&self.root).claims(&network.name)?;
        let mut names = vec![record.name.to_string()];
        names.extend(aliases(record, spec));
        let owner = Owner {
            project: record.project.clone(),
            container: record.id.clone(),
            names,
        };
        let wanted = [
            spec.ipv4_address.map(IpAddr::V4),
            spec.ipv6_address.map(IpAddr::V6),
        ];
        let mut addresses = Vec::new();
        for pool in one_pool_a_family(&network.pools) {
            let is_ipv4 = pool.gateway.is_ipv4();
            let fixed = wanted
                .iter()
                .flatten()
                .find(|address| address.is_ipv4() == is_ipv4);
            addresses.push(match fixed {
                Some(address) => self.claim_fixed(record, network, *address, &claims, &owner)?,
                None => self.claim_free(record, network, pool, &claims, &owner)?,
            });
        }
        Ok(addresses)
    }

    fn claim_fixed(
        &self,
        record: &ContainerRecord,
        network: &NetworkRecord,
        address: IpAddr,
        claims: &Claims,
        owner: &Owner,
    ) -> Result<IpAddr, Error> {
        let refused = |reason: String| Error::Addresses {
            name: record.name.clone(),
            reason,
        };
        ipam::check_static(&network.name, &network.pools, address, &BTreeMap::new())
            .map_err(|error| refused(error.to_string()))?;
        match claims.take(&address.to_string(), owner, &|owner| {
            is_void(&self.root, owner)
        }) {
            Ok(()) => Ok(address),
            Err(store::Error::Taken { owner, .. }) => Err(refused(format!(
                "address {address} on network {} is taken by {owner}",
                network.name
            ))),
            Err(error) => Err(error.into()),
        }
    }

    fn claim_free(
        &self,
        record: &ContainerRecord,
        network: &NetworkRecord,
        pool: &Pool,
        claims: &Claims,
        owner: &Owner,
    ) -> Result<IpAddr, Error> {
        let names = claims.names()?;
        let mut taken = self.given_addresses(record, network);
        let claimed = names.iter().filter_map(|name| name.parse().ok());
        taken.extend(claimed.map(|address| (address, CLAIMED.to_owned())));
        for _ in 0..CLAIM_ATTEMPTS_MAX {
            let address = match ipam::allocate(&network.name, pool, &taken) {
                Ok(address) => address,
                // Full, as far as names tell: claims of the dead make room.
                Err(error) if !self.sweep_claims(claims, &mut taken)? => {
                    let reason = error.to_string();
                    return Err(Error::Addresses {
                        name: record.name.clone(),
                        reason,
                    });
                }
                Err(_) => continue,
            };
            match claims.take(&address.to_string(), owner, &|owner| {
                is_void(&self.root, owner)
            }) {
                Ok(()) => return Ok(address),
                Err(store::Error::Taken { owner, .. }) => taken.insert(address, owner),
                Err(error) => return Err(error.into()),
            };
        }
        Err(Error::Addresses {
            name: record.name.clone(),
            reason: format!(
                "every address tried on network {} was taken meanwhile",
                network.name
            ),
        })
    }

    /// Addresses on a network that the project's file gives to its services, by
    /// whom: nobody is to get one while its owner is down.
    fn given_addresses(
        &self,
        record: &ContainerRecord,
        network: &NetworkRecord,
    ) -> BTreeMap<IpAddr, String> {
        let project = self.project.borrow().clone();
        let Some(project) = project else {
            return BTreeMap::new();
        };
        let keys = project.networks.keys();
        let same = keys.filter(|key| self.network_name(record, key) == network.name);
        same.flat_map(|key| naming::static_addresses(&project, key))
            .collect()
    }

    /// Frees addresses whose owners are gone; false when there are none.
    fn sweep_claims(
        &self,
        claims: &Claims,
        taken: &mut BTreeMap<IpAddr, String>,
    ) -> Result<bool, Error> {
        let mut freed = false;
        for (name, owner) in claims.list()? {
            if let (true, Ok(address)) = (is_void(&self.root, &owner), name.parse()) {
                claims.release(&name, &owner.container)?;
                freed |= taken.remove(&address).is_some();
            }
        }
        Ok(freed)
    }

    /// Gives a container's addresses back: those that it is known to have,
    /// else whatever is claimed for it on the project's networks.
    pub(crate) fn release_addresses(&self, record: &ContainerRecord) {
        let networks = NetworkStore::new(&self.root);
        let known = {
            let table = self.table.borrow();
            let live = table.get(&record.id);
            let sandbox = live.and_then(|live| live.sandbox.as_ref());
            sandbox.map(|(endpoints, _)| known_addresses(endpoints))
        };
        let known = known.unwrap_or_else(|| {
            let used = self.used_networks().into_iter();
            used.map(|name| (name, None)).collect()
        });
        for (name, addresses) in known {
            let released = networks
                .claims(&name)
                .and_then(|claims| release(&claims, addresses, &record.id));
            if let Err(error) = released {
                tracing::warn!(%error, network = name, "addresses were not released");
            }
        }
    }
}

/// A network's name with the addresses claimed there, None when they aren't known.
type Claimed = (String, Option<Vec<String>>);

fn known_addresses(endpoints: &IndexMap<String, EndpointRecord>) -> Vec<Claimed> {
    let addresses = |endpoint: &EndpointRecord| {
        let ipv4 = endpoint.ipv4.iter().map(ToString::to_string);
        ipv4.chain(endpoint.ipv6.iter().map(ToString::to_string))
            .collect()
    };
    endpoints
        .iter()
        .map(|(network, endpoint)| (network.clone(), Some(addresses(endpoint))))
        .collect()
}

fn release(
    claims: &Claims,
    addresses: Option<Vec<String>>,
    container: &ContainerId,
) -> Result<(), store::Error> {
    let addresses = match addresses {
        Some(addresses) => addresses,
        None => claims.names()?,
    };
    for address in addresses {
        claims.release(&address, container)?;
    }
    Ok(())
}

/// The first pool of each family: where a container gets its address.
fn one_pool_a_family(pools: &[Pool]) -> impl Iterator<Item = &Pool> {
    let first = |is_ipv4: bool| {
        pools
            .iter()
            .find(move |pool| pool.gateway.is_ipv4() == is_ipv4)
    };
    first(true).into_iter().chain(first(false))
}
