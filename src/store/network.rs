//! Network records and the addresses claimed on them.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::Network;
use crate::store::record::{self, Record};
use crate::store::{Claims, Error, FileLock, Root, checked_component, make_private_dir};
use crate::topology::ipam::Pool;

/// A network that was made (a durable record).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// Its name on the host.
    pub name: String,
    /// Project that owns it and the key there; None when made by the user.
    pub owner: Option<(String, String)>,
    /// As it was applied.
    pub applied: Network,
    /// Subnets in use, with their rules.
    pub pools: Vec<Pool>,
    /// The kernel's bridge; another one after each time the network was down.
    pub bridge: String,
    /// How many bridges it has had, so that a name is not used again at once.
    pub generation: u32,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Record for NetworkRecord {
    const KIND: &'static str = "network";
    const VERSION: u32 = 1;
}

/// Every network of an engine.
#[derive(Debug, Default)]
pub struct Networks {
    /// Those that can be read, by name.
    pub records: Vec<NetworkRecord>,
    /// Names of the others, and what is wrong with them.
    pub damaged: Vec<(String, Error)>,
}

/// Where networks are kept.
#[derive(Debug, Clone)]
pub struct NetworkStore {
    folder: PathBuf,
}

impl NetworkStore {
    /// The networks of an engine.
    #[must_use]
    pub fn new(root: &Root) -> Self {
        Self {
            folder: root.networks_dir(),
        }
    }

    fn dir(&self, name: &str) -> Result<PathBuf, Error> {
        Ok(self.folder.join(checked_component(name)?))
    }

    /// One network.
    ///
    /// # Errors
    /// As [`record::read`].
    pub fn get(&self, name: &str) -> Result<Option<NetworkRecord>, Error> {
        record::read(&self.dir(name)?.join("record"))
    }

    /// Every network by name.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder can't be listed.
    pub fn list(&self) -> Result<Networks, Error> {
        let mut networks = Networks::default();
        let mut names = record::names(&self.folder)?;
        names.sort();
        for name in names {
            match self.get(&name) {
                Ok(Some(network)) => networks.records.push(network),
                Ok(None) => {}
                Err(error) => networks.damaged.push((name, error)),
            }
        }
        Ok(networks)
    }

    /// Keeps a network. A project's is made again from the project's model when
    /// a power cut has damaged its record, so nothing waits for the disk; what
    /// the user made by hand is written down nowhere else.
    ///
    /// # Errors
    /// As [`record::write_durable`].
    pub fn write(&self, network: &NetworkRecord) -> Result<(), Error> {
        let dir = self.dir(&network.name)?;
        make_private_dir(&dir)?;
        let path = dir.join("record");
        match network.owner {
            Some(_) => record::write_atomic(&path, network),
            None => record::write_durable(&path, network),
        }
    }

    /// Removes a network's record and claims.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let dir = self.dir(name)?;
        match std::fs::remove_dir_all(&dir) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &dir, source))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The addresses taken on a network.
    ///
    /// # Errors
    /// [`Error::BadKey`].
    pub fn claims(&self, name: &str) -> Result<Claims, Error> {
        Ok(Claims::new(self.dir(name)?.join("claims")))
    }

    /// The lock under which a network's bridge is made and removed. It lies
    /// outside the network's folder, which goes away under it.
    ///
    /// # Errors
    /// [`Error::Io`] when it can't be taken.
    pub fn lock(&self) -> Result<FileLock, Error> {
        FileLock::exclusive(&self.folder.join(".tmp-lock"))
    }
}
