//! What is on disk: where things lie, how records are written, and who may
//! write when.
//!
//! Two trees: *state* outlives a reboot, *run* does not. A record belongs to
//! one of three classes (durable, atomic, volatile), chosen by what its loss
//! would cost; see [`record`]. The store knows paths, bytes and owners. It
//! does not know what a container does with them.

pub mod claim;
mod lease;
pub mod lock;
pub mod network;
pub mod project;
pub mod record;
pub mod root;

use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

pub use claim::{Claims, Owner};
pub use lease::LeaseRecord;
pub use lock::FileLock;
pub use network::{NetworkRecord, NetworkStore};
pub use project::{ProjectRecord, ProjectStore};
pub use root::Root;

use crate::sys::tree;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused a call on a path.
    #[error("{action} {path}")]
    Io {
        /// The verb: `create`, `write`, `read`, `remove`, `lock` …
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A tree of ours belongs to somebody else, who could change it under us.
    #[error("folder {path} belongs to user {uid}: remove it or set RCOMPOSE_ROOT elsewhere")]
    Foreign {
        /// The tree.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// A record's bytes aren't what was written.
    #[error("record {path} is damaged: {reason}")]
    Damaged {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A record was written by a later rcompose.
    #[error(
        "record {path} has form {found} and this rcompose reads up to {known}: use the newer rcompose"
    )]
    Newer {
        /// The record.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// A claim is held by somebody who lives.
    #[error("{name} is taken by {owner}")]
    Taken {
        /// What was claimed.
        name: String,
        /// Who has it, in words.
        owner: String,
    },
    /// A name can't be a file name.
    #[error("{0:?} can't be the name of a record")]
    BadKey(String),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the disk is full (ENOSPC, EDQUOT).
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

/// Makes a folder with its parents, for the owner only.
///
/// # Errors
/// [`Error::Io`] when it can't be made.
pub fn make_private_dir(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| Error::io("create folder", path, source))
}

/// Removes a file; its absence is fine.
///
/// # Errors
/// [`Error::Io`] for any other reason.
pub fn remove_file(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::io("remove", path, source)),
    }
}

/// Removes a folder with all that is in it, however deep somebody has made
/// that; its absence is fine.
///
/// # Errors
/// [`Error::Io`] with the first failure; everything that can go is gone all
/// the same.
pub fn remove_folder(path: &Path) -> Result<(), Error> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let removed = tree::open_root(parent).and_then(|dir| tree::remove_tree(dir.as_fd(), name));
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path, source))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Checks that a name is one plain path component.
///
/// # Errors
/// [`Error::BadKey`] for an empty name, `.`, `..`, one with a slash or NUL, or
/// one over 200 bytes.
pub fn checked_component(name: &str) -> Result<&str, Error> {
    let plain = !name.is_empty()
        && name != "."
        && name != ".."
        && name.len() <= 200
        && !name.bytes().any(|b| b == b'/' || b == 0);
    if plain {
        Ok(name)
    } else {
        Err(Error::BadKey(name.to_owned()))
    }
}
