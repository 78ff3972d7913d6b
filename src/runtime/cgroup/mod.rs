//! Control groups: made and limited before a container starts, watched while it
//! runs, removed afterwards. Called by the engine, never by the keeper.
//!
//! A group is one relative path, as in `rcompose/ab12cd/shop/0123…`, that is
//! made in every hierarchy of the host: in each of version 1 for limits, in
//! version 2, wherever it is mounted, for killing and freezing, and for limits
//! where it is alone. What a host can't limit is a [`Warning`], never a failure.

mod control;
mod device_access;
mod prepare;
mod settings;
mod watch;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use control::{end, freeze, kill, remove, remove_empty_beside};
pub use prepare::{device_rules, prepare, shelter, update};
pub use watch::{oom_killed, usage};

/// A limit that was asked for and isn't in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The limit in the user's words, as in `memory limit`.
    pub limit: String,
    /// Why not.
    pub reason: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} is not in force: {}", self.limit, self.reason)
    }
}

/// A failure with a control group.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The mount table can't be read.
    #[error("search for control groups")]
    Search(#[source] io::Error),
    /// A group's folder can't be made.
    #[error("creation of control group {path}")]
    Create {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A value isn't taken.
    #[error("{limit} ({value} in {file})")]
    Set {
        /// The limit in the user's words.
        limit: String,
        /// The file.
        file: PathBuf,
        /// What was written.
        value: String,
        /// Why.
        source: io::Error,
    },
    /// Nothing would keep the container from the host's devices.
    #[error("restriction of device access (only a `privileged` container does without)")]
    Devices(#[source] io::Error),
    /// A device of a limit or rule can't be looked at.
    #[error("device {path}")]
    Device {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A group can't be frozen, thawed or killed.
    #[error("{verb} of control group {path}")]
    Signal {
        /// What was tried.
        verb: &'static str,
        /// The group.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A group's folder can't be removed.
    #[error("removal of control group {path}")]
    Remove {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Whether processes of a group run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
    /// None of them runs.
    Frozen,
    /// They run.
    Thawed,
}

/// What a group uses at the moment; absent where nothing counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// CPU time since its start.
    pub cpu_time: Option<Duration>,
    /// Memory.
    pub memory_bytes: Option<u64>,
    /// Memory limit.
    pub memory_bytes_max: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// How the name of the topmost group begins when the engine made it up.
const OWN_PREFIX: &str = "rcompose";
/// How often and how long a change that the kernel makes in its own time is
/// waited for.
const WAIT_TRIES: u32 = 100;
const WAIT: Duration = Duration::from_millis(2);
