//! What a keeper is told at its birth, over the socket that is its standard
//! input. Starter and keeper are one binary, so this isn't frozen.
//!
//! The orders lie on the shelf too, so that a supervisor whose keeper died
//! can start the next one with nothing but its mirror.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::ProcessIdentity;
use crate::sys::birth::DescriptorLimit;
use crate::sys::descriptor;

/// Name on the shelf.
pub(crate) const ORDERS: &str = "orders";

/// What a keeper is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// The project, or whatever name stands in its argv.
    pub(crate) name: String,
    pub(crate) mode: Mode,
    /// Path of the pair's control group.
    pub(crate) cgroup: Option<String>,
    /// Where complaints go that have no other place.
    pub(crate) log: Option<PathBuf>,
    /// Open files that the caller had, for the user's programs: soft, hard.
    pub(crate) descriptor_limit: (Option<u64>, Option<u64>),
    /// Environment of the pair.
    pub(crate) environment: Vec<(String, String)>,
}

/// Whom a keeper serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// A project's supervisor, which it starts, again and again.
    Respawn {
        /// The project's folder for records, passed on to the supervisor.
        state_dir: PathBuf,
        /// The project's folder for lock and socket.
        run_dir: PathBuf,
    },
    /// Its starter, with whom it ends.
    Tethered,
}

/// The first message to a keeper.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FirstWords {
    pub(crate) orders: Orders,
    /// How many batches of the shelf follow.
    pub(crate) batches: usize,
    /// The supervisor that starts it; None when it is to start one.
    pub(crate) supervisor: Option<ProcessIdentity>,
}

/// A batch of the shelf, whose descriptors come along.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ShelfBatch {
    pub(crate) names: Vec<String>,
}

/// How the birth went.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It serves; the control socket listens.
    Ready,
    /// Another pair has the project.
    Busy,
    /// It can't live.
    Failed {
        /// Why.
        message: String,
    },
}

impl Orders {
    pub(crate) fn set_limit(&mut self, limit: DescriptorLimit) {
        self.descriptor_limit = (limit.soft, limit.hard);
    }

    /// Writes them into a file in memory.
    pub(crate) fn to_file(&self) -> io::Result<OwnedFd> {
        let mut file = File::from(descriptor::memory_file(ORDERS)?);
        file.write_all(&serde_json::to_vec(self).map_err(io::Error::other)?)?;
        Ok(file.into())
    }

    /// Reads them from such a file.
    pub(crate) fn from_file(file: BorrowedFd<'_>) -> io::Result<Self> {
        let file = File::from(descriptor::duplicate(file)?);
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0)?;
        serde_json::from_slice(&bytes).map_err(io::Error::other)
    }
}
