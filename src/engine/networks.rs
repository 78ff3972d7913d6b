//! A network of this host: its bridge and its record, made and removed
//! together.
//!
//! It knows neither who asks for it (a project's supervisor, or the user by
//! `network create`) nor who is attached beyond the claims on its addresses.

use crate::engine::create::is_void;
use crate::model::Network;
use crate::network::observe::ObservedBridge;
use crate::network::{self, bridge::BridgeSpec};
use crate::store::{self, NetworkRecord, NetworkStore, Root};
use crate::sys;

/// Why a network was not made or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its record can't be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// No subnet fits, or the kernel refuses.
    #[error("network {name}")]
    Network {
        /// Its name on the host.
        name: String,
        /// Why.
        #[source]
        source: network::Error,
    },
    /// One of that name is there already.
    #[error("network with name {0} already exists")]
    Exists(String),
    /// There is none of that name.
    #[error("network {0} not found")]
    NotFound(String),
    /// Containers still have addresses on it.
    #[error("network {name} has active endpoints: {users}")]
    InUse {
        /// Its name on the host.
        name: String,
        /// Whose they are.
        users: String,
    },
}

/// A network to be made.
#[derive(Debug)]
pub struct Wanted {
    /// As it is declared.
    pub network: Network,
    /// Project and key there; None when the user makes it.
    pub owner: Option<(String, String)>,
    /// How many endpoints are expected; it decides the size of a chosen subnet.
    pub endpoints: usize,
    /// Its record from before its bridge went away; None when there is none
    /// that can be read.
    pub former: Option<NetworkRecord>,
}

/// A network that was made.
#[derive(Debug)]
pub struct Made {
    /// Its record, already written.
    pub record: NetworkRecord,
    /// Whether this call made it, or somebody else meanwhile.
    pub is_new: bool,
    /// Whether its former subnet was taken and another one was chosen.
    pub has_moved: bool,
}

/// Makes a network's bridge and writes its record. Blocks for a moment.
///
/// # Errors
/// [`Error::Network`], [`Error::Store`]; nothing is left then.
pub fn make(root: &Root, wanted: Wanted) -> Result<Made, Error> {
    let _lock = NetworkStore::new(root).lock()?;
    make_locked(root, wanted)
}

/// Makes a network again, whose bridge is gone (a reboot) or whose record is
/// damaged (a power cut), unless somebody has done so by now: containers that
/// start together all find it missing. Blocks for a moment.
///
/// # Errors
/// [`Error::NotFound`] when it was removed meanwhile, and those of [`make`].
pub fn make_again(root: &Root, wanted: Wanted) -> Result<Made, Error> {
    let networks = NetworkStore::new(root);
    let _lock = networks.lock()?;
    let known = wanted.former.as_ref().map(|record| record.generation);
    match networks.get(&wanted.network.name) {
        Ok(Some(record)) if Some(record.generation) != known => Ok(Made {
            record,
            is_new: false,
            has_moved: false,
        }),
        Ok(Some(_)) | Err(store::Error::Damaged { .. }) => make_locked(root, wanted),
        Ok(None) => Err(Error::NotFound(wanted.network.name)),
        Err(error) => Err(error.into()),
    }
}

/// Makes a network that no project owns.
///
/// # Errors
/// [`Error::Exists`], and those of [`make`].
pub fn create(root: &Root, network: Network, endpoints: usize) -> Result<NetworkRecord, Error> {
    let networks = NetworkStore::new(root);
    let _lock = networks.lock()?;
    if networks.get(&network.name)?.is_some() {
        return Err(Error::Exists(network.name));
    }
    let wanted = Wanted {
        network,
        owner: None,
        endpoints,
        former: None,
    };
    Ok(make_locked(root, wanted)?.record)
}

/// Removes the bridges of this engine that nothing is attached to and no record
/// names: whoever made them was killed before it could write it, or whoever
/// removed their record before it could remove them. About 20 ms each.
///
/// # Errors
/// [`Error::Network`] when the kernel refuses, [`Error::Store`].
pub fn sweep(root: &Root) -> Result<(), Error> {
    let networks = NetworkStore::new(root);
    let _lock = networks.lock()?;
    // With a damaged record somewhere nobody can say what is unnamed.
    let all = networks.list()?;
    if !all.damaged.is_empty() {
        return Ok(());
    }
    discard(root, |bridge| {
        !all.records
            .iter()
            .any(|record| record.bridge == bridge.name)
    })
    .map_err(|source| Error::Network {
        name: "that nobody has".to_owned(),
        source,
    })
}

/// The same for what is in the way of a network to be made, without a look at
/// the other records.
fn make_room(root: &Root, name: &str, former: Option<&NetworkRecord>) -> Result<(), Error> {
    let known = former.map(|record| record.bridge.as_str());
    discard(root, |bridge| {
        bridge.network == name && known != Some(bridge.name.as_str())
    })
    .map_err(|source| Error::Network {
        name: name.to_owned(),
        source,
    })
}

/// Removes bridges of this engine. The lock on networks is held, so none of
/// them is being made.
fn discard(root: &Root, is_stray: impl Fn(&ObservedBridge) -> bool) -> Result<(), network::Error> {
    let strays: Vec<String> = network::observe::bridges()?
        .into_iter()
        .filter(|bridge| bridge.engine == root.engine().as_str())
        .filter(|bridge| !bridge.is_running && is_stray(bridge))
        .map(|bridge| bridge.name)
        .collect();
    if strays.is_empty() {
        return Ok(());
    }
    network::bridge::retire(&strays)?;
    network::bridge::remove(&strays)
}

fn make_locked(root: &Root, wanted: Wanted) -> Result<Made, Error> {
    let Wanted {
        network,
        owner,
        endpoints,
        former,
    } = wanted;
    let generation = former
        .as_ref()
        .map_or(0, |record| record.generation.wrapping_add(1));
    let subnets: Vec<_> = former
        .iter()
        .flat_map(|record| record.pools.iter().map(|pool| pool.subnet))
        .collect();
    make_room(root, &network.name, former.as_ref())?;
    let spec = BridgeSpec {
        engine: root.engine(),
        network: &network,
        endpoints,
        former: &subnets,
        generation,
    };
    let bridge = network::bridge::create(&spec).map_err(|source| Error::Network {
        name: network.name.clone(),
        source,
    })?;
    sys::birth::die_if_told("network:before-record");
    let record = NetworkRecord {
        name: network.name.clone(),
        owner,
        applied: network,
        pools: bridge.pools,
        bridge: bridge.name,
        generation,
        created_at: former.map_or_else(sys::time::now, |record| record.created_at),
    };
    if let Err(error) = NetworkStore::new(root).write(&record) {
        // The record's failure is what the user needs.
        let names = [record.bridge.clone()];
        let _ = network::bridge::retire(&names);
        let _ = network::bridge::remove(&names);
        return Err(error.into());
    }
    let has_moved = !subnets.is_empty()
        && subnets
            .iter()
            .any(|subnet| record.pools.iter().all(|pool| pool.subnet != *subnet));
    Ok(Made {
        record,
        is_new: true,
        has_moved,
    })
}

/// The bridges of a network by link name: the one that its record names, or,
/// where that can't be read, those that say that they are its.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Network`] when the kernel can't be asked.
pub fn bridges(root: &Root, name: &str) -> Result<Vec<String>, Error> {
    match NetworkStore::new(root).get(name) {
        Ok(Some(record)) => Ok(vec![record.bridge]),
        Ok(None) => Err(Error::NotFound(name.to_owned())),
        Err(store::Error::Damaged { .. }) => {
            let all = network::observe::bridges().map_err(|source| Error::Network {
                name: name.to_owned(),
                source,
            })?;
            let engine = root.engine().as_str();
            Ok(all
                .into_iter()
                .filter(|bridge| bridge.engine == engine && bridge.network == name)
                .map(|bridge| bridge.name)
                .collect())
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes a network that nobody is attached to: rules, bridge, record.
///
/// # Errors
/// [`Error::NotFound`], [`Error::InUse`]; [`Error::Network`] when the kernel
/// refuses, and then the record stays.
pub fn remove(root: &Root, name: &str) -> Result<(), Error> {
    let networks = NetworkStore::new(root);
    let _lock = networks.lock()?;
    let bridges = bridges(root, name)?;
    let users = users(root, name)?;
    if !users.is_empty() {
        return Err(Error::InUse {
            name: name.to_owned(),
            users: users.join(", "),
        });
    }
    network::bridge::retire(&bridges)
        .and_then(|()| network::bridge::remove(&bridges))
        .map_err(|source| Error::Network {
            name: name.to_owned(),
            source,
        })?;
    Ok(networks.remove(name)?)
}

/// Containers that have an address on a network, in words.
///
/// # Errors
/// When its claims can't be listed.
pub fn users(root: &Root, name: &str) -> Result<Vec<String>, store::Error> {
    let claims = NetworkStore::new(root).claims(name)?.list()?;
    Ok(claims
        .into_iter()
        .filter(|(_, owner)| !is_void(root, owner))
        .map(|(_, owner)| {
            format!(
                "container {} of project {}",
                owner.container.short(),
                owner.project
            )
        })
        .collect())
}
