//! What the user asked for, beside the project: one struct a verb.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{ContainerName, ServiceName, Signal};
use crate::plan::dag::Confirmation;

/// Config digests of the images that services run, by service.
pub type ImageIds = BTreeMap<ServiceName, String>;

/// When an existing container is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recreate {
    /// When it differs from what the project says.
    #[default]
    Diverged,
    /// Always (`--force-recreate`).
    Force,
    /// Never (`--no-recreate`).
    Never,
}

/// What happens to containers whose service isn't in the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Orphans {
    /// They are named in a warning.
    #[default]
    Warn,
    /// They are removed (`--remove-orphans`).
    Remove,
    /// Nothing (`COMPOSE_IGNORE_ORPHANS`).
    Ignore,
}

/// Options of `up`, `create` and `scale`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UpOptions {
    /// Services that were named; all when empty.
    pub services: Vec<ServiceName>,
    /// Leave what they depend on alone.
    pub no_deps: bool,
    /// For the named services.
    pub recreate: Recreate,
    /// For those that are there because others depend on them.
    pub recreate_dependencies: Recreate,
    /// New containers don't take over anonymous volumes (`-V`).
    pub renew_anonymous_volumes: bool,
    /// Replicas over what the project says.
    pub scale: BTreeMap<ServiceName, u32>,
    /// Containers of unknown services.
    pub orphans: Orphans,
    /// Create, but don't start (`--no-start`, `create`).
    pub no_start: bool,
    /// Networks and volumes that no chosen service uses are made too (`--all-resources`).
    pub all_resources: bool,
    /// Grace period of stops (`-t`).
    pub timeout: Option<Duration>,
    /// Wait until the named services are running or healthy.
    pub wait: bool,
    /// A container that ends, even with 0, isn't what is waited for (`--compatibility`).
    pub strict_wait: bool,
    /// How long that may take.
    pub wait_timeout: Option<Duration>,
    /// Every question is answered with yes (`-y`).
    pub assume_yes: bool,
    /// Questions of an earlier plan that were answered with yes.
    pub confirmed: BTreeSet<Confirmation>,
}

/// Options of `down`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DownOptions {
    /// Services that were named; the whole project when empty.
    pub services: Vec<ServiceName>,
    /// Containers of unknown services and one-off containers go too.
    pub remove_orphans: bool,
    /// Volumes go too, with their data (`-v`).
    pub volumes: bool,
    /// Grace period (`-t`).
    pub timeout: Option<Duration>,
}

/// Options of `stop`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StopOptions {
    /// Services that were named; all when empty.
    pub services: Vec<ServiceName>,
    /// Grace period (`-t`).
    pub timeout: Option<Duration>,
}

/// Options of `pause` and `unpause`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PauseOptions {
    /// Services that were named; all when empty.
    pub services: Vec<ServiceName>,
}

/// Options of `start`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StartOptions {
    /// Services that were named; all when empty.
    pub services: Vec<ServiceName>,
    /// Wait until they are running or healthy.
    pub wait: bool,
    /// A container that ends, even with 0, isn't what is waited for (`--compatibility`).
    pub strict_wait: bool,
    /// How long that may take.
    pub wait_timeout: Option<Duration>,
}

/// Options of `restart`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartOptions {
    /// Services that were named; all when empty.
    pub services: Vec<ServiceName>,
    /// Leave dependents with `restart: true` alone.
    pub no_deps: bool,
    /// Grace period (`-t`).
    pub timeout: Option<Duration>,
}

/// Options of `kill`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillOptions {
    /// Services that were named; all when empty.
    pub services: Vec<ServiceName>,
    /// The signal.
    pub signal: Signal,
    /// Containers of unknown services get it too (`--remove-orphans`).
    pub orphans: bool,
}

/// Options of `rm`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RmOptions {
    /// Services that were named; all when empty.
    pub services: Vec<ServiceName>,
    /// Stop running containers first (`-s`).
    pub stop: bool,
    /// Anonymous volumes go too (`-v`).
    pub volumes: bool,
    /// Don't ask (`-f`), or the question was answered with yes.
    pub force: bool,
    /// Grace period of stops.
    pub timeout: Option<Duration>,
}

/// Options of `run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOptions {
    /// Whose recipe is run, as the command line changed it in the project.
    pub service: ServiceName,
    /// Random id, twelve hexadecimal digits.
    pub slug: String,
    /// Name (`--name`); made of project, service and slug when absent.
    pub name: Option<ContainerName>,
    /// Leave what it depends on alone.
    pub no_deps: bool,
    /// It goes away by itself at its end (`--rm`).
    pub auto_remove: bool,
    /// Containers of unknown services.
    pub orphans: Orphans,
}
