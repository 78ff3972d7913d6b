//! What crashes leave on the host, found and removed.
//!
//! A supervisor heals its own project when it is started again; here is what
//! has no project any more, or belongs to one that nobody will start. Whatever
//! is younger than a minute may be somebody's work under way and is left
//! alone. What the user owns (volumes, images, containers with a record) is
//! never touched.

mod search;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

pub use search::find;
use search::is_settled;

use crate::engine::create::is_void;
use crate::engine::networks;
use crate::model::ProjectName;
use crate::runtime::cgroup;
use crate::store::{self, Claims, NetworkStore, Root};
use crate::{network, snapshot, sys};

/// Why the host can't be searched, or something can't be removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Records can't be listed or removed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The kernel's networks can't be listed or removed.
    #[error("networks of this engine")]
    Network(#[source] network::Error),
    /// A network can't be removed.
    #[error(transparent)]
    Remove(#[from] networks::Error),
    /// A container's files can't be removed.
    #[error("files of container {id}")]
    Snapshot {
        /// The container's id, cut.
        id: String,
        /// Why.
        #[source]
        source: snapshot::Error,
    },
    /// A control group can't be removed.
    #[error("control group {path}")]
    Cgroup {
        /// The group.
        path: String,
        /// Why.
        #[source]
        source: cgroup::Error,
    },
    /// A folder can't be removed.
    #[error("remove {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Something that nobody needs any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leftover {
    /// The files of a container whose making or removal was cut off.
    ContainerFiles(PathBuf),
    /// A project's folder without anything in it.
    ProjectFolder(ProjectName),
    /// A network whose project is gone, by name.
    Network(String),
    /// A bridge that no network has, by link name.
    Bridge(String),
    /// A firewall table whose project is gone.
    FirewallTable(String),
    /// An empty control group whose project is gone.
    ControlGroup(String),
    /// A container name whose owner is gone.
    Name(String),
    /// An address whose owner is gone: network and address.
    Address(String, String),
    /// A folder of sockets and locks whose project is gone.
    RunFolder(PathBuf),
}

impl fmt::Display for Leftover {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContainerFiles(path) => write!(out, "container files {}", path.display()),
            Self::ProjectFolder(name) => write!(out, "empty project {name}"),
            Self::Network(name) => write!(out, "network {name}"),
            Self::Bridge(name) => write!(out, "bridge {name}"),
            Self::FirewallTable(name) => write!(out, "firewall table {name}"),
            Self::ControlGroup(path) => write!(out, "control group {path}"),
            Self::Name(name) => write!(out, "claim on container name {name}"),
            Self::Address(network, address) => {
                write!(out, "claim on address {address} of network {network}")
            }
            Self::RunFolder(path) => write!(out, "run folder {}", path.display()),
        }
    }
}

/// A project that is to go down, although nobody said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abandoned {
    /// Which.
    pub project: ProjectName,
    /// Whether its named volumes go too.
    pub removes_volumes: bool,
}

/// Projects whose owner has ended while no supervisor was there to see it, and
/// those of containers that are gone.
///
/// # Errors
/// When the projects can't be listed.
pub fn abandoned(root: &Root) -> Result<Vec<Abandoned>, Error> {
    let mut found = Vec::new();
    for project in root.projects()? {
        let store = root.project(&project);
        if store.has_pair() {
            continue;
        }
        let lease = store.lease().ok().flatten();
        let ended = lease.filter(|lease| !sys::process::is_alive(&lease.owner));
        let is_spent = store.is_throw_away() && store.container_ids()?.is_empty();
        if let Some(lease) = ended {
            found.push(Abandoned {
                project,
                removes_volumes: lease.removes_volumes,
            });
        } else if is_spent && is_settled(store.state_dir()) {
            found.push(Abandoned {
                project,
                removes_volumes: true,
            });
        }
    }
    Ok(found)
}

/// Removes one of them. Its absence is fine.
///
/// # Errors
/// [`Error`], with the subject.
pub fn remove(root: &Root, leftover: &Leftover) -> Result<(), Error> {
    match leftover {
        Leftover::ContainerFiles(path) => {
            let id = path.file_name().unwrap_or_default().to_string_lossy();
            snapshot::remove(path).map_err(|source| Error::Snapshot {
                id: id.chars().take(12).collect(),
                source,
            })
        }
        Leftover::ProjectFolder(name) => Ok(root.project(name).remove()?),
        Leftover::Network(name) => Ok(networks::remove(root, name)?),
        Leftover::Bridge(name) => {
            let names = std::slice::from_ref(name);
            network::bridge::retire(names)
                .and_then(|()| network::bridge::remove(names))
                .map_err(Error::Network)
        }
        Leftover::FirewallTable(name) => {
            network::firewall::remove_tables(std::slice::from_ref(name)).map_err(Error::Network)
        }
        Leftover::ControlGroup(path) => cgroup::remove(path).map_err(|source| Error::Cgroup {
            path: path.clone(),
            source,
        }),
        Leftover::Name(name) => release(&Claims::new(root.names_dir()), root, name),
        Leftover::Address(network, address) => {
            release(&NetworkStore::new(root).claims(network)?, root, address)
        }
        Leftover::RunFolder(path) => match std::fs::remove_dir_all(path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::Folder {
                path: path.clone(),
                source,
            }),
            Ok(()) | Err(_) => Ok(()),
        },
    }
}

fn release(claims: &Claims, root: &Root, name: &str) -> Result<(), Error> {
    match claims.owner(name)? {
        Some(owner) if is_void(root, &owner) => Ok(claims.release(name, &owner.container)?),
        Some(_) | None => Ok(()),
    }
}
