//! Why an operation is in a plan, as data and in words.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{ContainerName, ResourceKey, ServiceName};

/// Why an operation is in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The project has it and the world doesn't.
    Missing,
    /// It exists and doesn't run.
    NotRunning,
    /// An operation of this plan makes it.
    Created,
    /// It exists under a temporary name that an interrupted run left.
    Interrupted,
    /// It differs from what the project says, attribute by attribute.
    Changed(Vec<Change>),
    /// The user asked for a new one whatever it is like.
    Forced,
    /// The user asked for exactly this.
    Requested,
    /// The service has more containers than it should.
    ScaledDown {
        /// How many it should have.
        to: u32,
    },
    /// Its service isn't in the project.
    Orphan,
    /// This service needs it, or needs it in another state.
    NeededBy(ServiceName),
    /// A container takes its place.
    Replaced,
    /// It takes over the name of the container that it replaced.
    Replacing {
        /// The name.
        name: ContainerName,
    },
    /// A service that it shares a namespace or mounts with gets a new container.
    SourceRecreated(ServiceName),
    /// A service that it shares a namespace with starts anew.
    SourceRestarted(ServiceName),
    /// A dependency with `restart: true` gets a new container or starts anew.
    DependencyRestarted(ServiceName),
    /// A network that it is attached to is made anew.
    NetworkRecreated(ResourceKey),
    /// A volume that it mounts is made anew.
    VolumeRecreated(ResourceKey),
    /// The command waits until the services are ready.
    Wait,
}

impl fmt::Display for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => out.write_str("it does not exist"),
            Self::NotRunning => out.write_str("it is not running"),
            Self::Created => out.write_str("it was created"),
            Self::Interrupted => out.write_str("an earlier run was interrupted"),
            Self::Changed(changes) => {
                for (position, change) in changes.iter().enumerate() {
                    let comma = if position == 0 { "" } else { ", " };
                    write!(out, "{comma}{change}")?;
                }
                Ok(())
            }
            Self::Forced => out.write_str("recreation was asked for"),
            Self::Requested => out.write_str("it was asked for"),
            Self::ScaledDown { to } => write!(out, "the scale is {to}"),
            Self::Orphan => out.write_str("its service is not in the project"),
            Self::NeededBy(service) => write!(out, "{service} depends on it"),
            Self::Replaced => out.write_str("it is replaced"),
            Self::Replacing { name } => write!(out, "it replaces {name}"),
            Self::SourceRecreated(service) => {
                write!(out, "it shares with {service}, which is recreated")
            }
            Self::SourceRestarted(service) => {
                write!(out, "it shares with {service}, which starts anew")
            }
            Self::DependencyRestarted(service) => {
                write!(out, "its dependency {service} starts anew")
            }
            Self::NetworkRecreated(key) => write!(out, "network {key} is recreated"),
            Self::VolumeRecreated(key) => write!(out, "volume {key} is recreated"),
            Self::Wait => out.write_str("the command waits for it"),
        }
    }
}

/// One difference between the applied and the desired state. Never a value:
/// values may be secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Change {
    /// What differs, in the Compose file's words, as in `environment.FOO`.
    pub attribute: String,
    /// How it differs.
    pub how: How,
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            How::Added => "added",
            How::Removed => "removed",
            How::Changed => "changed",
        };
        write!(out, "{} {how}", self.attribute)
    }
}

/// How something differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Only the project has it.
    Added,
    /// Only the world has it.
    Removed,
    /// Both have it and it differs.
    Changed,
}
