//! `develop.watch`: what is done to a service when files of its project change.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::service::Hook;

/// One rule of `develop.watch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchRule {
    /// File or folder of the host, absolute, its links resolved.
    pub path: PathBuf,
    /// What is done.
    pub action: WatchAction,
    /// Where it goes in the container; None for rules that copy nothing.
    #[serde(default)]
    pub target: Option<PathBuf>,
    /// Patterns of what is left out, from `path` on.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// Patterns of what alone is meant, from `path` on; everything when empty.
    #[serde(default)]
    pub include: Vec<String>,
    /// Runs in the containers after a copy.
    #[serde(default)]
    pub exec: Option<Hook>,
    /// Whether everything is copied when the watch begins.
    #[serde(default)]
    pub initial_sync: bool,
}

/// What a change leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchAction {
    /// The image is built and the containers are made anew.
    Rebuild,
    /// The change is copied into the containers.
    Sync,
    /// The containers are restarted.
    Restart,
    /// Copied, then restarted.
    SyncRestart,
    /// Copied, then a command runs in the containers.
    SyncExec,
}

impl WatchAction {
    /// Whether changes are copied into the containers.
    #[must_use]
    pub fn copies(self) -> bool {
        match self {
            Self::Sync | Self::SyncRestart | Self::SyncExec => true,
            Self::Rebuild | Self::Restart => false,
        }
    }
}
