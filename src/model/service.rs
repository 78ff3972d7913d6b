//! A service: the recipe for one or more like containers.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::model::bundle::{Device, Rlimit};
use crate::model::health::HealthSetting;
use crate::model::mount::{FileMount, Mount};
use crate::model::names::{ContainerName, ServiceName};
use crate::model::network::{Attachment, PublishedPort};
use crate::model::resources::Resources;
use crate::model::watch::WatchRule;

/// One service of the project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its key.
    pub name: ServiceName,
    /// Where the image comes from.
    pub image: ImageSource,
    /// Platform as in `linux/amd64`.
    pub platform: Option<String>,
    /// What stands between the parts of its containers' names.
    #[serde(default)]
    pub separator: Separator,
    /// Fixed name of its only container.
    pub container_name: Option<ContainerName>,
    /// How many containers.
    pub scale: u32,
    /// What runs in them.
    pub process: Process,
    /// Host name inside; the short id when absent.
    pub hostname: Option<String>,
    /// NIS domain name inside.
    pub domainname: Option<String>,
    /// Networks.
    pub attachment: Attachment,
    /// Published ports.
    pub ports: Vec<PublishedPort>,
    /// `expose` as written, `PORT[-PORT][/PROTO]`.
    pub expose: Vec<String>,
    /// Services that this one alone reaches by other names.
    #[serde(default)]
    pub links: Vec<Link>,
    /// Lines for `/etc/hosts`.
    pub extra_hosts: Vec<ExtraHost>,
    /// Name servers instead of the host's.
    pub dns: Vec<String>,
    /// Search domains instead of the host's.
    pub dns_search: Vec<String>,
    /// Resolver options.
    pub dns_options: Vec<String>,
    /// Volumes, binds, tmpfs and image mounts.
    pub mounts: Vec<Mount>,
    /// Services or containers (`container:NAME`) whose mounts are taken, with `:ro` or `:rw`.
    pub volumes_from: Vec<String>,
    /// Secrets as files.
    pub secrets: Vec<FileMount>,
    /// Configs as files.
    pub configs: Vec<FileMount>,
    /// What must be there first, in the file's order.
    pub depends_on: IndexMap<ServiceName, Dependency>,
    /// Health probe, over the image's.
    pub health: Option<HealthSetting>,
    /// Restart policy.
    pub restart: RestartPolicy,
    /// Limits.
    pub resources: Resources,
    /// Confinement.
    pub security: Security,
    /// `ipc`.
    pub ipc: NamespaceMode,
    /// `pid`.
    pub pid: NamespaceMode,
    /// `uts`.
    pub uts: NamespaceMode,
    /// `cgroup`: host or private.
    pub cgroup: NamespaceMode,
    /// `cgroup_parent`.
    pub cgroup_parent: Option<String>,
    /// Size of `/dev/shm`; 64 MiB when absent.
    pub shm_bytes: Option<u64>,
    /// Logging.
    pub logging: Logging,
    /// User labels, `label_file` folded in.
    pub labels: IndexMap<String, String>,
    /// Annotations.
    pub annotations: IndexMap<String, String>,
    /// Whether an attached `up` follows its output.
    pub attach: bool,
    /// Profiles it belongs to.
    pub profiles: Vec<String>,
    /// Run in containers of their own before the first start.
    #[serde(default)]
    pub pre_start: Vec<PreStartHook>,
    /// Run in the container after its start.
    pub post_start: Vec<Hook>,
    /// Run in the container before it is stopped.
    pub pre_stop: Vec<Hook>,
    /// What is done when files of the project change.
    #[serde(default)]
    pub watch: Vec<WatchRule>,
    /// Storage driver options.
    pub storage_opt: IndexMap<String, String>,
    /// `x-rcompose` of the service, as JSON text.
    pub extension: Option<String>,
    /// The Compose config hash, a label only.
    pub config_hash: String,
}

impl Service {
    /// A service of one container that says nothing but its image.
    #[must_use]
    pub fn new(name: ServiceName, image: ImageSource) -> Self {
        Self {
            name,
            image,
            platform: None,
            separator: Separator::default(),
            container_name: None,
            scale: 1,
            process: Process::default(),
            hostname: None,
            domainname: None,
            attachment: Attachment::Endpoints(IndexMap::new()),
            ports: Vec::new(),
            expose: Vec::new(),
            links: Vec::new(),
            extra_hosts: Vec::new(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_options: Vec::new(),
            mounts: Vec::new(),
            volumes_from: Vec::new(),
            secrets: Vec::new(),
            configs: Vec::new(),
            depends_on: IndexMap::new(),
            health: None,
            restart: RestartPolicy::No,
            resources: Resources::default(),
            security: Security::default(),
            ipc: NamespaceMode::Private,
            pid: NamespaceMode::Private,
            uts: NamespaceMode::Private,
            cgroup: NamespaceMode::Private,
            cgroup_parent: None,
            shm_bytes: None,
            logging: Logging::default(),
            labels: IndexMap::new(),
            annotations: IndexMap::new(),
            attach: true,
            profiles: Vec::new(),
            pre_start: Vec::new(),
            post_start: Vec::new(),
            pre_stop: Vec::new(),
            watch: Vec::new(),
            storage_opt: IndexMap::new(),
            extension: None,
            config_hash: String::new(),
        }
    }
}

/// What stands between the parts of a container's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Separator {
    /// `PROJECT-SERVICE-1`.
    #[default]
    Hyphen,
    /// `PROJECT_SERVICE_1`, as Compose 1 had it (`--compatibility`).
    Underscore,
}

impl Separator {
    /// The character.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hyphen => "-",
            Self::Underscore => "_",
        }
    }
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageSource {
    /// A reference to take from the store or a registry.
    Pull {
        /// As written in the file.
        reference: String,
        /// When to ask the registry.
        policy: PullPolicy,
    },
    /// A build whose result is tagged.
    Build {
        /// The build.
        spec: Box<BuildSpec>,
        /// `image:` of the service, or `PROJECT-SERVICE`.
        tag: String,
        /// When to ask the registry, or build.
        policy: PullPolicy,
    },
    /// `provider:`: something outside makes the resource.
    Provider {
        /// Its type.
        kind: String,
    },
}

impl ImageSource {
    /// The reference that containers of the service run.
    #[must_use]
    pub fn reference(&self) -> &str {
        match self {
            Self::Pull { reference, .. } => reference,
            Self::Build { tag, .. } => tag,
            Self::Provider { kind } => kind,
        }
    }
}

/// `pull_policy`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullPolicy {
    /// Pull when it is not there.
    #[default]
    Missing,
    /// Ask each time.
    Always,
    /// Never ask.
    Never,
    /// Build each time.
    Build,
    /// Ask when the last answer is older than this.
    Every(Duration),
}

/// `build:`; the builder reads the parts that it needs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildSpec {
    /// Folder or URL, absolute when a folder.
    pub context: String,
    /// Dockerfile, relative to the context.
    pub dockerfile: Option<String>,
    /// Its text instead of a file.
    pub dockerfile_inline: Option<String>,
    /// Build arguments; a null value was not set.
    pub args: IndexMap<String, Option<String>>,
    /// Stage to build.
    pub target: Option<String>,
    /// The whole section in canonical form, as JSON text, for what isn't above.
    pub canonical: String,
}

/// What runs in a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// `command`; None is the image's, an empty list clears it.
    pub command: Option<Vec<String>>,
    /// `entrypoint`; None is the image's, an empty list clears it.
    pub entrypoint: Option<Vec<String>>,
    /// Environment over the image's; a null value unsets the image's.
    pub environment: IndexMap<String, Option<String>>,
    /// Working folder; the image's when absent.
    pub working_dir: Option<String>,
    /// User as written; the image's when absent.
    pub user: Option<String>,
    /// Further groups, names or numbers.
    pub group_add: Vec<String>,
    /// Whether it gets a terminal.
    pub tty: bool,
    /// Whether its stdin is kept open.
    pub stdin_open: bool,
    /// Whether our init is PID 1.
    pub init: bool,
    /// Signal that ends it, as written; the image's or SIGTERM when absent.
    pub stop_signal: Option<String>,
    /// Time between that signal and SIGKILL; 10 s when absent.
    pub stop_grace_period: Option<Duration>,
}

/// How a container is confined.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    /// Capabilities added, as written.
    pub cap_add: Vec<String>,
    /// Capabilities dropped, as written.
    pub cap_drop: Vec<String>,
    /// Everything allowed.
    pub privileged: bool,
    /// Whether the root file system is read-only.
    pub read_only: bool,
    /// `security_opt` as written.
    pub security_opt: Vec<String>,
    /// Kernel settings of the container's namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Resource limits of processes.
    pub ulimits: Vec<Rlimit>,
    /// Device nodes passed in.
    pub devices: Vec<Device>,
    /// `device_cgroup_rules` as written.
    pub device_cgroup_rules: Vec<String>,
    /// Adjustment for the out-of-memory killer.
    pub oom_score_adj: Option<i32>,
    /// User namespace mode as written.
    pub userns_mode: Option<String>,
}

/// Whose namespace a container lives in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamespaceMode {
    /// Its own; others may not join.
    #[default]
    Private,
    /// Its own; others may join (`ipc: shareable`).
    Shareable,
    /// None at all (`ipc: none`).
    None,
    /// The host's.
    Host,
    /// A service's.
    Service(ServiceName),
    /// A container's, by name or id.
    Container(String),
}

/// A `depends_on` entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// What is waited for.
    pub condition: Condition,
    /// Whether a restart of the dependency restarts the dependent.
    pub restart: bool,
    /// Whether a failure is an error rather than a warning.
    pub required: bool,
}

/// What a dependent waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It was started.
    ServiceStarted,
    /// Its health is healthy.
    ServiceHealthy,
    /// It exited with 0.
    ServiceCompletedSuccessfully,
}

impl Condition {
    /// The specification's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceStarted => "service_started",
            Self::ServiceHealthy => "service_healthy",
            Self::ServiceCompletedSuccessfully => "service_completed_successfully",
        }
    }
}

/// What the containers of a service are waited for to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// Started, whatever came after.
    Started,
    /// Healthy; without a probe it is an error.
    Healthy,
    /// Exited with 0.
    CompletedSuccessfully,
    /// Healthy, or running when it has no probe (`--wait --compatibility`).
    RunningOrHealthy,
    /// The same, or exited with 0 (`--wait`).
    ReadyOrDone,
}

impl From<Condition> for Readiness {
    fn from(condition: Condition) -> Self {
        match condition {
            Condition::ServiceStarted => Self::Started,
            Condition::ServiceHealthy => Self::Healthy,
            Condition::ServiceCompletedSuccessfully => Self::CompletedSuccessfully,
        }
    }
}

/// When a container that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// Whatever its exit code.
    Always,
    /// Unless the user stopped it.
    UnlessStopped,
    /// When the exit code isn't 0.
    OnFailure {
        /// How often; for ever when absent.
        max: Option<NonZeroU32>,
    },
}

impl RestartPolicy {
    /// What people write: `no`, `always`, `unless-stopped`, `on-failure` and
    /// `on-failure:N`; None for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.split_once(':').unwrap_or((text, "")) {
            ("no", "") => Self::No,
            ("always", "") => Self::Always,
            ("unless-stopped", "") => Self::UnlessStopped,
            ("on-failure", "") => Self::OnFailure { max: None },
            ("on-failure", max) if max.bytes().all(|b| b.is_ascii_digit()) => Self::OnFailure {
                max: max.parse().ok().and_then(NonZeroU32::new),
            },
            _ => return None,
        })
    }
}

/// An `extra_hosts` entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraHost {
    /// Host name.
    pub name: String,
    /// Address as text, or `host-gateway`.
    pub address: String,
}

/// `logging`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Logging {
    /// Driver; `json-file` when absent.
    pub driver: Option<String>,
    /// Options as text.
    pub options: IndexMap<String, String>,
}

/// A `links` entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The service.
    pub service: ServiceName,
    /// Its name for the one that links.
    pub alias: String,
}

/// A `pre_start` command: it runs in a container of its own, which is the
/// service's but for what the hook says itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreStartHook {
    /// Its image; the one that the service's container has when None.
    pub image: Option<String>,
    /// What its container is made from, with the service's mounts.
    pub recipe: Box<Service>,
}

/// A `post_start` or `pre_stop` command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The command.
    pub command: Vec<String>,
    /// User; the service's when absent.
    pub user: Option<String>,
    /// Whether it runs with every capability.
    pub privileged: bool,
    /// Working folder; the service's when absent.
    pub working_dir: Option<String>,
    /// Environment over the service's.
    pub environment: IndexMap<String, Option<String>>,
}
