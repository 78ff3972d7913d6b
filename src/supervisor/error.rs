//! Why the supervisor could not do what it was asked.

use crate::engine::{bundle, create, networks, observe};
use crate::model::ContainerName;
use crate::network;
use crate::plan;
use crate::protocol::control::FailureKind;
use crate::protocol::keeper::SpawnFailure;
use crate::supervisor::link;
use crate::{image, runtime, snapshot, store, volume};

/// Why a request or an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no plan for it.
    #[error(transparent)]
    Plan(#[from] plan::Error),
    /// The world can't be read.
    #[error(transparent)]
    Observe(#[from] observe::Error),
    /// Records can't be written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The keeper can't be reached or refused.
    #[error(transparent)]
    Link(#[from] link::Error),
    /// The request needs a project and none was ever applied.
    #[error("no project was applied here yet: `up` comes first")]
    NoProject,
    /// The project is down and this supervisor leaves: another one will do it.
    #[error("the supervisor leaves")]
    Leaving,
    /// The client went away.
    #[error("cancelled")]
    Cancelled,
    /// An image's records can't be read.
    #[error("image {reference}")]
    Image {
        /// The reference as written.
        reference: String,
        /// Why.
        #[source]
        source: image::Error,
    },
    /// An image isn't in the store.
    #[error("No such image: {reference}")]
    ImageMissing {
        /// The reference as written.
        reference: String,
    },
    /// A container can't be made.
    #[error("create container {name}")]
    Create {
        /// Its name.
        name: ContainerName,
        /// Why.
        #[source]
        source: create::Error,
    },
    /// A record doesn't make a bundle.
    #[error("container {name}")]
    Bundle {
        /// Its name.
        name: ContainerName,
        /// Why.
        #[source]
        source: bundle::Error,
    },
    /// A container's process can't be started.
    #[error("container {name} could not be started")]
    Start {
        /// Its name.
        name: ContainerName,
        /// Why.
        #[source]
        source: SpawnFailure,
    },
    /// A process can't be started in a running container.
    #[error("exec in container {name}")]
    Exec {
        /// The container's name.
        name: ContainerName,
        /// Why.
        #[source]
        source: SpawnFailure,
    },
    /// A container's control group can't be made.
    #[error("control group of container {name}")]
    Cgroup {
        /// Its name.
        name: ContainerName,
        /// Why.
        #[source]
        source: runtime::cgroup::Error,
    },
    /// A container's files can't be removed.
    #[error("remove the files of container {name}")]
    Snapshot {
        /// Its name.
        name: ContainerName,
        /// Why.
        #[source]
        source: snapshot::Error,
    },
    /// A secret or config can't be made into a file.
    #[error("{what} {key} of container {name}")]
    File {
        /// Its container.
        name: ContainerName,
        /// `secret` or `config`.
        what: &'static str,
        /// Its key.
        key: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A secret or config has no value.
    #[error("{what} {key} of container {name}: environment variable {variable} is not set")]
    FileUnset {
        /// Its container.
        name: ContainerName,
        /// `secret` or `config`.
        what: &'static str,
        /// Its key.
        key: String,
        /// The variable.
        variable: String,
    },
    /// A container's record names a layer that can't be.
    #[error("layers of the container's image")]
    Layers {
        /// What is wrong.
        #[source]
        source: crate::oci::Error,
    },
    /// A container's layers can't be had.
    #[error("layers of the container's image")]
    Lowers {
        /// Why.
        #[source]
        source: snapshot::Error,
    },
    /// A descriptor can't be duplicated or used.
    #[error("use a socket of the sandbox")]
    Descriptor(#[source] std::io::Error),
    /// No pipe for a hook's output.
    #[error("make a pipe for a hook")]
    HookPipe(#[source] std::io::Error),
    /// No random bytes.
    #[error("draw random bytes")]
    Random(#[source] std::io::Error),
    /// A container's network can't be made.
    #[error("network of container {name}")]
    Sandbox {
        /// Its name.
        name: ContainerName,
        /// Why.
        #[source]
        source: network::Error,
    },
    /// A container's addresses can't be settled.
    #[error("addresses of container {name}: {reason}")]
    Addresses {
        /// Its name.
        name: ContainerName,
        /// What is wrong.
        reason: String,
    },
    /// A network can't be made or removed.
    #[error("network {name}")]
    Network {
        /// Its name on the host.
        name: String,
        /// Why.
        #[source]
        source: network::Error,
    },
    /// A network can't be made.
    #[error(transparent)]
    MakeNetwork(#[from] networks::Error),
    /// A network that a container is attached to isn't there.
    #[error("network {name} not found")]
    NetworkMissing {
        /// Its name on the host.
        name: String,
    },
    /// A network's subnets can't be settled.
    #[error("network {name}: {reason}")]
    Subnet {
        /// Its name on the host.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A volume can't be made or removed.
    #[error("volume {name}")]
    Volume {
        /// Its name on the host.
        name: String,
        /// Why.
        #[source]
        source: volume::Error,
    },
    /// A resource that must go is still in use.
    #[error("{what} {name} is still in use by {users}")]
    InUse {
        /// `network` or `volume`.
        what: &'static str,
        /// Its name on the host.
        name: String,
        /// By whom.
        users: String,
    },
    /// A dependency didn't get to where its dependents need it.
    #[error("{message}")]
    Gate {
        /// In docker compose's words.
        message: String,
        /// The last probe's output and the last log lines.
        evidence: Vec<String>,
    },
    /// Readiness took too long (`--wait-timeout`).
    #[error("application not healthy after {}s", after.as_secs_f64())]
    WaitTimeout {
        /// How long it could take.
        after: std::time::Duration,
    },
    /// The container whose namespace or streams are wanted doesn't run.
    #[error("container {name} is not running")]
    NotRunning {
        /// Its name.
        name: String,
    },
    /// It is frozen and can't take what is asked of it.
    #[error("container {name} is paused, unpause the container before {what}")]
    Paused {
        /// Its name.
        name: ContainerName,
        /// `exec` or `attach`.
        what: &'static str,
    },
    /// Its streams can't be joined now.
    #[error("you cannot attach to {state}")]
    NotAttachable {
        /// What it is, and what to do first.
        state: &'static str,
    },
    /// It is frozen already.
    #[error("container {name} is already paused")]
    AlreadyPaused {
        /// Its name.
        name: ContainerName,
    },
    /// It has the name that it is to get.
    #[error("Renaming a container with the same name as its current name: {name}")]
    SameName {
        /// The name.
        name: ContainerName,
    },
    /// Another container has the name.
    #[error("the container name {name:?} is already in use", name = name.as_str())]
    NameTaken {
        /// The name.
        name: ContainerName,
        /// Whose it is.
        #[source]
        source: store::Error,
    },
    /// It goes at its end and can't be started again.
    #[error(
        "restart policy of container {name} cannot be updated: it is removed when it ends (--rm)"
    )]
    AutoRemoved {
        /// Its name.
        name: ContainerName,
    },
    /// It isn't frozen.
    #[error("container {name} is not paused")]
    NotPaused {
        /// Its name.
        name: ContainerName,
    },
    /// A killed container doesn't go.
    #[error(
        "container {name} did not end after SIGKILL: one of its processes is stuck in the kernel"
    )]
    StillRunning {
        /// Its name.
        name: ContainerName,
    },
    /// A running container can't be removed without force.
    #[error("container {name} is running: stop it first, or force the removal")]
    Running {
        /// Its name.
        name: ContainerName,
    },
    /// There is no such container.
    #[error("no such container: {name}")]
    NoContainer {
        /// Its name or id.
        name: String,
    },
    /// A hook ended badly.
    #[error("{hook} hook {index} of container {name} exited with status {code}")]
    Hook {
        /// `pre_start`, `post_start` or `pre_stop`.
        hook: &'static str,
        /// Which, from 1.
        index: usize,
        /// The container's name.
        name: ContainerName,
        /// Its exit code.
        code: i32,
        /// The last lines that it wrote, as far as they are kept.
        evidence: Vec<String>,
    },
    /// More than one operation failed.
    #[error("{}", .0.first().map_or_else(String::new, ToString::to_string))]
    Several(Vec<Error>),
}

impl Error {
    /// The kind that decides the exit code.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Plan(_)
            | Self::NoContainer { .. }
            | Self::SameName { .. }
            | Self::NameTaken { .. }
            | Self::AutoRemoved { .. } => FailureKind::Usage,
            Self::Observe(_)
            | Self::Store(_)
            | Self::Cgroup { .. }
            | Self::Snapshot { .. }
            | Self::File { .. }
            | Self::FileUnset { .. }
            | Self::Sandbox { .. }
            | Self::Addresses { .. }
            | Self::Network { .. }
            | Self::MakeNetwork(_)
            | Self::NetworkMissing { .. }
            | Self::Subnet { .. }
            | Self::Volume { .. }
            | Self::InUse { .. } => FailureKind::Environment,
            Self::Image { .. }
            | Self::ImageMissing { .. }
            | Self::Layers { .. }
            | Self::Lowers { .. } => FailureKind::Image,
            Self::Create { .. }
            | Self::Bundle { .. }
            | Self::Start { .. }
            | Self::Exec { .. }
            | Self::Gate { .. }
            | Self::WaitTimeout { .. }
            | Self::Hook { .. }
            | Self::Running { .. }
            | Self::StillRunning { .. }
            | Self::Paused { .. }
            | Self::AlreadyPaused { .. }
            | Self::NotAttachable { .. }
            | Self::NotPaused { .. }
            | Self::NotRunning { .. } => FailureKind::Container,
            Self::Link(_)
            | Self::NoProject
            | Self::Cancelled
            | Self::Leaving
            | Self::Random(_)
            | Self::HookPipe(_)
            | Self::Descriptor(_) => FailureKind::Internal,
            Self::Several(errors) => errors.first().map_or(FailureKind::Internal, Self::kind),
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::ImageMissing { reference } => Some(format!(
                "load it with `rcompose image load -i ARCHIVE`, or import a root file system as {reference} with `rcompose image import`"
            )),
            Self::Store(error) if error.is_disk_full() => {
                Some("the disk is full: nothing was lost, free some space and run the command again".to_owned())
            }
            Self::Start { source, .. } if source.exit_code == 127 && source.step.starts_with("exec:") => Some(
                "the program is looked up in the container's PATH; `command` and `entrypoint` of the service and the image say which it is".to_owned(),
            ),
            Self::Several(errors) => errors.first().and_then(Self::hint),
            _ => None,
        }
    }

    /// Probe output and log lines that show why.
    #[must_use]
    pub fn evidence(&self) -> Vec<String> {
        match self {
            Self::Gate { evidence, .. } | Self::Hook { evidence, .. } => evidence.clone(),
            Self::Several(errors) => errors.first().map(Self::evidence).unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// Failures of the same request besides the first.
    #[must_use]
    pub fn others(&self) -> &[Error] {
        match self {
            Self::Several(errors) => errors.get(1..).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Docker's exit code for a process that could not be started.
    #[must_use]
    pub fn exit_code(&self) -> Option<u8> {
        match self {
            Self::Start { source, .. } => Some(source.exit_code),
            // As `docker exec` has it: the program's own reasons have codes.
            Self::Exec { source, .. } => match source.exit_code {
                126 | 127 => Some(source.exit_code),
                _ => None,
            },
            Self::Several(errors) => errors.first().and_then(Self::exit_code),
            _ => None,
        }
    }
}

impl From<crate::engine::execute::Error<Error>> for Error {
    fn from(error: crate::engine::execute::Error<Error>) -> Self {
        use crate::engine::execute::Error as Execute;
        match error {
            Execute::Failed(mut errors) if errors.len() == 1 => {
                errors.pop().unwrap_or(Self::Cancelled)
            }
            Execute::Failed(errors) => Self::Several(errors),
            Execute::Cancelled => Self::Cancelled,
            Execute::Dangling(container) => Self::NoContainer {
                name: format!("{container:?}"),
            },
        }
    }
}
