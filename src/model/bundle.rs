//! The runtime's input: one container with every choice made.
//!
//! The engine lowers a service, an image's config and the network's answers
//! into a bundle; the keeper hands it to the runtime as it is. Paths are the
//! host's unless a field says otherwise.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::names::ContainerId;
use crate::model::resources::Resources;

/// Everything that the runtime needs to start a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// The container.
    pub id: ContainerId,
    /// Host name; ignored in the host's UTS namespace.
    pub hostname: String,
    /// NIS domain name.
    pub domainname: Option<String>,
    /// Root file system.
    pub root: RootFilesystem,
    /// The first process.
    pub process: ProcessSpec,
    /// Namespaces.
    pub namespaces: Namespaces,
    /// Mounts after the default ones, in the order of their targets' depth.
    pub mounts: Vec<BundleMount>,
    /// Device nodes besides the default ones.
    pub devices: Vec<Device>,
    /// Device access besides the default rules (cgroup device controller).
    pub device_rules: Vec<DeviceRule>,
    /// Paths in the container that are hidden; empty when privileged.
    pub masked_paths: Vec<String>,
    /// Paths in the container that are made read-only; empty when privileged.
    pub read_only_paths: Vec<String>,
    /// Kernel settings to write from inside.
    pub sysctls: BTreeMap<String, String>,
    /// Control group and limits.
    pub cgroup: CgroupSpec,
    /// Whether our init is PID 1 and the process its child.
    pub init: bool,
    /// Whether sysfs, cgroups and devices are the host's.
    pub privileged: bool,
    /// Size of `/dev/shm`.
    pub shm_bytes: u64,
}

/// An overlay of image layers with a folder on top that takes the writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFilesystem {
    /// Unpacked layers, topmost first; never empty.
    pub lowers: Vec<PathBuf>,
    /// Takes the writes.
    pub upper: PathBuf,
    /// The overlay's own folder, on the file system of `upper`.
    pub work: PathBuf,
    /// An empty folder to mount on, in the container's own mount namespace.
    pub mount_point: PathBuf,
    /// Whether the root is mounted read-only.
    pub read_only: bool,
    /// Whether `fsync` may do nothing (throw-away containers only).
    pub volatile: bool,
}

/// A process to run inside a sandbox.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// Program and arguments; the program is looked up in the environment's PATH.
    pub argv: Vec<String>,
    /// The whole environment; HOME is added from the image's passwd when absent.
    pub env: Vec<(String, String)>,
    /// Working folder, made when missing (not for exec).
    pub cwd: String,
    /// `name`, `uid`, `name:group`, `uid:gid` or empty, resolved in the
    /// container's own passwd and group files.
    pub user: String,
    /// Further groups, names or numbers.
    pub groups: Vec<String>,
    /// Whether it gets a controlling terminal of the container's devpts.
    pub tty: bool,
    /// Capabilities of the bounding set, as bits by number (capability.h).
    pub capabilities: u64,
    /// System call filter.
    pub seccomp: Seccomp,
    /// Whether exec can't gain privileges.
    pub no_new_privileges: bool,
    /// Resource limits set; the caller's own otherwise.
    pub rlimits: Vec<Rlimit>,
    /// Adjustment for the out-of-memory killer; 0 when absent.
    pub oom_score_adj: Option<i32>,
}

impl std::fmt::Debug for ProcessSpec {
    /// Leaves the values of the environment out, so that no log line shows them.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ProcessSpec")
            .field("argv", &self.argv)
            .field(
                "env",
                &self.env.iter().map(|(key, _)| key).collect::<Vec<_>>(),
            )
            .field("cwd", &self.cwd)
            .field("user", &self.user)
            .field("tty", &self.tty)
            .finish_non_exhaustive()
    }
}

/// Which namespaces are the container's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// Process ids.
    pub pid: Namespace,
    /// System V IPC and message queues; also whose `/dev/shm`.
    pub ipc: Namespace,
    /// Host name.
    pub uts: Namespace,
    /// View of the control groups.
    pub cgroup: Namespace,
    /// Network; `Join` means the descriptor that comes with the request.
    pub net: Namespace,
}

/// One namespace's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Namespace {
    /// Made for the container.
    New,
    /// The host's.
    Host,
    /// An existing one, whose descriptor comes with the request.
    Join,
}

/// A mount into the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BundleMount {
    /// A path of the host.
    Bind {
        /// Folder or file on the host.
        source: PathBuf,
        /// Folder or file below `source` that is mounted instead of it,
        /// resolved without leaving `source`.
        subpath: Option<String>,
        /// Absolute path in the container, resolved without leaving its root.
        target: String,
        /// Whether writing is refused, submounts included where the kernel can.
        read_only: bool,
        /// Whether submounts are bound too.
        recursive: bool,
        /// Whether a read-only bind leaves submounts writable.
        submounts_writable: bool,
        /// Propagation; private when absent.
        propagation: Option<Propagation>,
    },
    /// Memory.
    Tmpfs(TmpfsMount),
    /// Layers of another image, read-only.
    Overlay {
        /// Unpacked layers, topmost first.
        lowers: Vec<PathBuf>,
        /// Folder inside, resolved without leaving it.
        subpath: Option<String>,
        /// Absolute path in the container.
        target: String,
    },
}

impl BundleMount {
    /// The absolute path in the container.
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Self::Bind { target, .. } | Self::Overlay { target, .. } => target,
            Self::Tmpfs(tmpfs) => &tmpfs.target,
        }
    }
}

/// A tmpfs mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TmpfsMount {
    /// Absolute path in the container.
    pub target: String,
    /// Limit; half of the memory when absent.
    pub size_bytes: Option<u64>,
    /// Permission bits; 0o1777 when absent.
    pub mode: Option<u32>,
    /// Owner; root when absent.
    pub uid: Option<u32>,
    /// Group; root when absent.
    pub gid: Option<u32>,
    /// Whether programs can't be run from it.
    pub no_exec: bool,
    /// Whether set-user-id bits are ignored.
    pub no_suid: bool,
    /// Whether device nodes are ignored.
    pub no_dev: bool,
    /// Whether it is read-only.
    pub read_only: bool,
}

/// Mount propagation (mount_namespaces(7)); the `r` forms are always meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// `private`, `rprivate`.
    Private,
    /// `slave`, `rslave`.
    Slave,
    /// `shared`, `rshared`.
    Shared,
}

/// A device node passed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Node on the host.
    pub source: PathBuf,
    /// Node in the container.
    pub target: String,
    /// Letters of `rwm`.
    pub permissions: String,
}

/// A rule for the device controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// `a`, `b` or `c`.
    pub kind: char,
    /// Major number; any when absent.
    pub major: Option<u32>,
    /// Minor number; any when absent.
    pub minor: Option<u32>,
    /// Letters of `rwm`.
    pub permissions: String,
    /// Whether it allows.
    pub allow: bool,
}

/// A process resource limit (getrlimit(2)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Lower-case name without `RLIMIT_`, as in `nofile`.
    pub name: String,
    /// Soft limit; -1 is unlimited.
    pub soft: i64,
    /// Hard limit; -1 is unlimited.
    pub hard: i64,
}

/// System call filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seccomp {
    /// Docker's default policy for the capabilities given.
    Default,
    /// No filter.
    Unconfined,
    /// A profile in Docker's JSON form.
    Profile(String),
}

/// A container's control group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CgroupSpec {
    /// Path below each hierarchy's root, without a leading slash, as in
    /// `rcompose/ab12cd/shop/0123…`.
    pub path: String,
    /// Limits.
    pub resources: Resources,
}
