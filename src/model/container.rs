//! A container as it is kept on disk and as it lives.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::health::{HealthProbe, Probing};
use crate::model::names::{ContainerId, ContainerName, ProjectName, ServiceName};
use crate::model::network::Protocol;
use crate::model::resources::Resources;
use crate::model::service::{RestartPolicy, Service};
use crate::model::updates::Updates;

/// What is written when a container is created. It changes only by rename,
/// by `container update`, and by the user's wish to have it running or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// Its project.
    pub project: ProjectName,
    /// Its service as it was applied.
    pub service: Service,
    /// Its number among the service's replicas; None for one-off containers.
    pub number: Option<u32>,
    /// Random id of a one-off container.
    pub slug: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Digest of the image's config, `sha256:…`.
    pub image_id: String,
    /// Layers of the image by chain id, topmost first.
    pub layers: Vec<String>,
    /// Program and arguments after the image's rules.
    pub argv: Vec<String>,
    /// The whole environment after the image's rules.
    pub env: Vec<(String, String)>,
    /// Working folder after the image's rules.
    pub cwd: String,
    /// User after the image's rules.
    pub user: String,
    /// Labels: the image's, the user's and Compose's.
    pub labels: IndexMap<String, String>,
    /// Ports that the image and the file expose, as `80/tcp`.
    pub exposed: Vec<String>,
    /// The settled probe; None without one.
    pub probe: Option<HealthProbe>,
    /// Signal that ends it, by number.
    pub stop_signal: i32,
    /// Time before SIGKILL.
    pub stop_grace_period: Duration,
    /// What is mounted in it.
    pub mounts: Vec<MountRecord>,
    /// Whether the user wants it running.
    pub intent: Intent,
    /// Whether it goes away by itself at its end (`run --rm`).
    pub auto_remove: bool,
    /// Whether a one-off container is called by its service's name too.
    #[serde(default)]
    pub use_aliases: bool,
    /// What was changed since it was made (`container update`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updates: Option<Box<Updates>>,
}

impl ContainerRecord {
    /// Whether it was made by `run`.
    #[must_use]
    pub fn is_one_off(&self) -> bool {
        self.number.is_none()
    }

    /// Its limits: its service's, and what was changed since.
    #[must_use]
    pub fn resources(&self) -> Resources {
        let own = &self.service.resources;
        let updates = self.updates.as_ref();
        updates.map_or_else(|| own.clone(), |updates| updates.resources.over(own))
    }

    /// When it is started again: as its service says, or as was said since.
    #[must_use]
    pub fn restart(&self) -> RestartPolicy {
        let updated = self.updates.as_ref().and_then(|updates| updates.restart);
        updated.unwrap_or(self.service.restart)
    }

    /// Its service's name.
    #[must_use]
    pub fn service_name(&self) -> &ServiceName {
        &self.service.name
    }
}

/// Whether the user wants a container running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// Created and never started.
    Created,
    /// Started.
    Running,
    /// Stopped by the user: `unless-stopped` and `always` leave it alone.
    Stopped,
}

/// A mount that a container has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRecord {
    /// `bind`, `volume`, `tmpfs` or `image`.
    pub kind: String,
    /// Volume's name on the host; None for the other kinds.
    pub volume: Option<String>,
    /// Whether the volume belongs to this container alone.
    pub anonymous: bool,
    /// Path on the host.
    pub source: Option<PathBuf>,
    /// Path in the container.
    pub target: String,
    /// Whether writing is refused.
    pub read_only: bool,
}

/// What is known of a container since this boot (a volatile record).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerRuntime {
    /// Its first process; None when it isn't running.
    pub process: Option<ProcessIdentity>,
    /// The keeper's id for its latest start.
    pub spawn: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// Its endpoints by network name on the host.
    pub endpoints: IndexMap<String, EndpointRecord>,
    /// Published ports with the real numbers.
    pub ports: Vec<PortBinding>,
    /// Health, when it has a probe.
    pub probing: Option<Probing>,
    /// Starts by the restart policy since the last start by the user.
    pub restarts: u32,
    /// The pause before the last of them.
    #[serde(default)]
    pub restart_pause: Option<Duration>,
    /// Whether it waits for its next start, and until when.
    pub restarting_until: Option<Timestamp>,
    /// Whether it is frozen.
    pub paused: bool,
}

/// A process, told apart from a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Process id in the host's namespace.
    pub pid: i32,
    /// Start time in clock ticks since boot (proc(5), stat field 22).
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

/// An endpoint as allocated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRecord {
    /// IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its prefix length.
    pub ipv4_prefix: u8,
    /// IPv4 gateway.
    pub gateway: Option<Ipv4Addr>,
    /// IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// Its prefix length.
    pub ipv6_prefix: u8,
    /// MAC address as text.
    pub mac: String,
    /// Interface in the container.
    pub interface: String,
    /// Names that resolve to it on this network.
    pub names: Vec<String>,
}

/// A published port with its real number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortBinding {
    /// Address of the host.
    pub host_ip: IpAddr,
    /// Port of the host.
    pub host_port: u16,
    /// Port in the container.
    pub container_port: u16,
    /// Transport.
    pub protocol: Protocol,
}

/// How a container ended; written by the log writer after the last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The keeper's id for the start that ended.
    pub spawn: String,
    /// How.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
    /// Whether the out-of-memory killer ended it.
    pub oom_killed: bool,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It exited with this code.
    Code(u8),
    /// A signal ended it.
    Signal(u8),
    /// Nobody saw it end. Never taken for success.
    Unknown,
}

impl Outcome {
    /// Docker's exit code: 128+n for signals, 255 when unknown.
    #[must_use]
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Code(code) => i32::from(code),
            Self::Signal(signal) => 128 + i32::from(signal),
            Self::Unknown => 255,
        }
    }

    /// Whether it is known to have ended with 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    /// Never started.
    Created,
    /// Its first process lives.
    Running {
        /// That process.
        process: ProcessIdentity,
        /// Since when.
        since: Timestamp,
    },
    /// It lives and is frozen.
    Paused {
        /// Its first process.
        process: ProcessIdentity,
        /// When it was started.
        since: Timestamp,
    },
    /// It ended and its restart policy will start it again.
    Restarting {
        /// How it ended.
        outcome: Outcome,
        /// When it ended.
        at: Timestamp,
    },
    /// It ended.
    Exited {
        /// How.
        outcome: Outcome,
        /// When.
        at: Timestamp,
    },
}

impl ContainerState {
    /// Docker's word: created, running, paused, restarting or exited.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running { .. } => "running",
            Self::Paused { .. } => "paused",
            Self::Restarting { .. } => "restarting",
            Self::Exited { .. } => "exited",
        }
    }

    /// Whether its first process lives.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. } | Self::Paused { .. })
    }
}
