//! The atomic changes that a plan is made of, one payload a kind.
//!
//! A payload says what is to be done to which object, in names and ids. It
//! never carries a service's definition or a value of its environment, so
//! that a plan can be printed as it is.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{ContainerId, ContainerName, Readiness, ResourceKey, ServiceName, Signal};

/// One atomic change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Operation {
    /// Makes a network of the project.
    CreateNetwork(CreateNetwork),
    /// Takes a network away.
    RemoveNetwork(RemoveNetwork),
    /// Makes a named volume of the project.
    CreateVolume(CreateVolume),
    /// Deletes a volume with its data.
    RemoveVolume(RemoveVolume),
    /// Makes a container that doesn't run yet.
    CreateContainer(CreateContainer),
    /// Runs a service's `pre_start` commands.
    RunPreStart(RunPreStart),
    /// Starts a container that exists.
    StartContainer(StartContainer),
    /// Ends a container's processes in the orderly way.
    StopContainer(StopContainer),
    /// Sends a signal to a container's first process.
    KillContainer(KillContainer),
    /// Stops and starts a container.
    RestartContainer(RestartContainer),
    /// Freezes a container's processes.
    PauseContainer(PauseContainer),
    /// Lets a frozen container's processes go on.
    UnpauseContainer(UnpauseContainer),
    /// Deletes a container that doesn't run.
    RemoveContainer(RemoveContainer),
    /// Gives a container another name.
    RenameContainer(RenameContainer),
    /// Waits for what a dependent needs of a service.
    AwaitGate(AwaitGate),
}

impl Operation {
    /// The container that it is about, when it is about one.
    #[must_use]
    pub fn container(&self) -> Option<&Container> {
        match self {
            Self::CreateContainer(op) => Some(&op.container),
            Self::RunPreStart(op) => Some(&op.container),
            Self::StartContainer(op) => Some(&op.container),
            Self::StopContainer(op) => Some(&op.container),
            Self::KillContainer(op) => Some(&op.container),
            Self::RestartContainer(op) => Some(&op.container),
            Self::PauseContainer(op) => Some(&op.container),
            Self::UnpauseContainer(op) => Some(&op.container),
            Self::RemoveContainer(op) => Some(&op.container),
            Self::RenameContainer(op) => Some(&op.container),
            Self::CreateNetwork(_)
            | Self::RemoveNetwork(_)
            | Self::CreateVolume(_)
            | Self::RemoveVolume(_)
            | Self::AwaitGate(_) => None,
        }
    }
}

/// A container as operations speak of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Which one.
    pub reference: ContainerRef,
    /// The name that users know it by, and that progress shows.
    pub name: ContainerName,
    /// Its service.
    pub service: ServiceName,
}

/// Which container.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerRef {
    /// One that exists.
    Existing(ContainerId),
    /// The one that an earlier operation of the plan creates.
    Planned {
        /// Its service.
        service: ServiceName,
        /// Which of the service's.
        replica: Replica,
    },
}

/// Which of a service's containers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replica {
    /// The replica with this number, from 1.
    Number(u32),
    /// The one-off container with this slug.
    OneOff(String),
}

impl fmt::Display for Replica {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(out, "{number}"),
            Self::OneOff(slug) => write!(out, "run-{slug}"),
        }
    }
}

/// Makes a network of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateNetwork {
    /// Its key in the project.
    pub key: ResourceKey,
    /// Its name on the host.
    pub name: String,
}

/// Takes a network away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveNetwork {
    /// Its name on the host.
    pub name: String,
    /// What it means when somebody else still uses it.
    pub when_used: WhenUsed,
}

/// What it means when a resource that is to go is still in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenUsed {
    /// It stays, with the warning "Resource is still in use".
    Keep,
    /// The operation fails.
    Fail,
}

/// Makes a named volume of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateVolume {
    /// Its key in the project.
    pub key: ResourceKey,
    /// Its name on the host.
    pub name: String,
}

/// Deletes a volume with its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveVolume {
    /// Its name on the host.
    pub name: String,
    /// What it means when somebody else still uses it.
    pub when_used: WhenUsed,
}

/// Makes a container that doesn't run yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateContainer {
    /// What it will be; the reference is always [`ContainerRef::Planned`] and
    /// the name the final one.
    pub container: Container,
    /// Which of the service's containers.
    pub replica: Replica,
    /// The name that it is created under: the final one, or a temporary one
    /// while the container that it replaces still has that.
    pub created_as: ContainerName,
    /// Digest of its image's config.
    pub image_id: String,
    /// The container that it takes the place of.
    pub replaces: Option<ContainerId>,
    /// The container whose anonymous volumes it takes over.
    pub anonymous_volumes_from: Option<ContainerId>,
    /// Whether it goes away by itself at its end.
    pub auto_remove: bool,
}

/// Runs a service's `pre_start` commands, one after the other, each in a
/// container of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPreStart {
    /// The first container that waits for them; its mounts are theirs.
    pub container: Container,
}

/// Starts a container that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartContainer {
    /// Which.
    pub container: Container,
}

/// Ends a container's processes in the orderly way: `pre_stop` hooks, the
/// stop signal, the grace period, SIGKILL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopContainer {
    /// Which.
    pub container: Container,
    /// Grace period of this time; the container's own when absent.
    pub timeout: Option<Duration>,
}

/// Sends a signal to a container's first process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillContainer {
    /// Which.
    pub container: Container,
    /// The signal.
    pub signal: Signal,
}

/// Stops and starts a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartContainer {
    /// Which.
    pub container: Container,
    /// Grace period of this time; the container's own when absent.
    pub timeout: Option<Duration>,
}

/// Freezes a container's processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseContainer {
    /// Which.
    pub container: Container,
}

/// Lets a frozen container's processes go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpauseContainer {
    /// Which.
    pub container: Container,
}

/// Deletes a container that doesn't run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveContainer {
    /// Which.
    pub container: Container,
    /// Whether its anonymous volumes go too.
    pub anonymous_volumes: bool,
    /// Whether it may still run and is then killed first (`rm -f` of a
    /// container that was started meanwhile, leftovers).
    pub force: bool,
}

/// Gives a container another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenameContainer {
    /// Which.
    pub container: Container,
    /// Its name from then on.
    pub to: ContainerName,
}

/// Waits for what a dependent needs of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitGate {
    /// The service that is waited for.
    pub dependency: ServiceName,
    /// Its containers, all of which must get there.
    pub containers: Vec<Container>,
    /// What they must be.
    pub condition: Readiness,
    /// Whether a failure fails the operation. If not, it is a warning and the
    /// operation is done.
    pub required: bool,
}
