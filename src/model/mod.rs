//! The resolved project: every value is legal by construction.
//!
//! This floor knows names, numbers and their rules. It does not know YAML,
//! the kernel or the disk; `compose` makes these values, the deciders compare
//! them and the adapters carry them out.

mod bundle;
mod container;
mod health;
mod mount;
mod names;
mod network;
mod observed;
mod project;
mod resources;
mod service;
mod signal;
pub(crate) mod units;
mod updates;
mod watch;

pub use bundle::{
    Bundle, BundleMount, CgroupSpec, Device, DeviceRule, Namespace, Namespaces, ProcessSpec,
    Propagation, Rlimit, RootFilesystem, Seccomp, TmpfsMount,
};
pub use container::{
    ContainerRecord, ContainerRuntime, ContainerState, EndpointRecord, ExitRecord, Intent,
    MountRecord, Outcome, PortBinding, ProcessIdentity,
};
pub use health::{Health, HealthProbe, HealthSetting, ProbeCommand, ProbeResult, Probing};
pub use mount::{BindMount, BindRecursion, FileMount, Mount, VolumeMount, VolumeSource};
pub use names::{
    ContainerId, ContainerName, EngineId, InvalidName, ProjectName, ResourceKey, ServiceName,
};
pub use network::{
    Attachment, EndpointSpec, HostPorts, IpamPool, Network, Protocol, PublishedPort,
};
pub use observed::{Observed, ObservedContainer, ObservedNetwork, ObservedVolume};
pub use project::{FileResource, FileSource, Project, Resource, Volume};
pub use resources::{DeviceLimit, Resources};
pub use service::{
    BuildSpec, Condition, Dependency, ExtraHost, Hook, ImageSource, Link, Logging, NamespaceMode,
    PreStartHook, Process, PullPolicy, Readiness, RestartPolicy, Security, Separator, Service,
};
pub use signal::{InvalidSignal, Signal};
pub use updates::Updates;
pub use watch::{WatchAction, WatchRule};
