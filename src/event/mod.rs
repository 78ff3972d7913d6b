//! Typed progress and project events: what happened, never how it is drawn.

use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a long-running command tells its user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A resource moved on.
    Progress(Progress),
    /// Something that the user should know and that stops nothing.
    Warning(String),
    /// Something happened in the project.
    Project(ProjectEvent),
}

/// Where a resource stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The kind of thing.
    pub resource: ResourceKind,
    /// Its name as users see it.
    pub name: String,
    /// What it is doing, or has done.
    pub status: Status,
    /// Further words, such as the reason of an error.
    pub details: Option<String>,
    /// Bytes done and bytes in all, for transfers.
    pub amount: Option<(u64, u64)>,
    /// Time since the resource's first event, when it is done.
    pub elapsed: Option<Duration>,
}

/// The kinds of things that progress is about, in docker compose's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// A container.
    Container,
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// An image.
    Image,
    /// A service.
    Service,
}

impl ResourceKind {
    /// The word that stands before the name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "Container",
            Self::Network => "Network",
            Self::Volume => "Volume",
            Self::Image => "Image",
            Self::Service => "Service",
        }
    }
}

macro_rules! statuses {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $phase:ident;)*) => {
        /// What a resource is doing; docker compose's words.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Status {
            $(#[doc = $word] $(#[$doc])* $variant,)*
        }

        impl Status {
            /// docker compose's word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// Whether the word means work, success or trouble.
            #[must_use]
            pub fn phase(self) -> Phase {
                match self {
                    $(Self::$variant => Phase::$phase,)*
                }
            }
        }
    };
}

statuses! {
    Creating = "Creating", Working;
    Created = "Created", Done;
    Starting = "Starting", Working;
    Started = "Started", Done;
    Waiting = "Waiting", Working;
    Healthy = "Healthy", Done;
    Exited = "Exited", Done;
    Restarting = "Restarting", Working;
    Restarted = "Restarted", Done;
    Running = "Running", Done;
    Recreate = "Recreate", Working;
    Recreated = "Recreated", Done;
    Stopping = "Stopping", Working;
    Stopped = "Stopped", Done;
    Killing = "Killing", Working;
    Killed = "Killed", Done;
    Removing = "Removing", Working;
    Removed = "Removed", Done;
    Building = "Building", Working;
    Built = "Built", Done;
    Pulling = "Pulling", Working;
    Pulled = "Pulled", Done;
    Skipped = "Skipped", Done;
    Pausing = "Pausing", Working;
    Paused = "Paused", Done;
    Unpausing = "Unpausing", Working;
    Unpaused = "Unpaused", Done;
    Error = "Error", Failed;
    Warning = "Warning", Warned;
}

/// How far a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Under way.
    Working,
    /// Done.
    Done,
    /// Done, with a warning.
    Warned,
    /// Failed.
    Failed,
}

/// One line of `rcompose events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProjectEvent {
    /// When.
    pub time: Timestamp,
    /// What, in Docker's words: create, start, die, stop, kill, restart,
    /// destroy, `health_status: healthy`, `exec_create: …`.
    pub action: String,
    /// Container id.
    pub id: String,
    /// Service.
    pub service: String,
    /// Image, name and labels, and the exit code of a `die`.
    pub attributes: IndexMap<String, String>,
}
