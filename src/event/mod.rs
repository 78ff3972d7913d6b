//! Typed progress and project events: what happened, never how it is drawn.

mod build;

use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use build::{BuildEvent, BuildStream, Origin, Vertex};

/// What a long-running command tells its user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A resource moved on.
    Progress(Progress),
    /// A layer of an image moved on.
    Layer(LayerProgress),
    /// Something that the user should know and that stops nothing.
    Warning(String),
    /// Something happened in the project.
    Project(ProjectEvent),
    /// A hook wrote a line, for those who asked for it.
    Hook(HookLine),
}

/// A line that a `pre_start`, `post_start` or `pre_stop` command wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookLine {
    /// Name of the container that it ran for.
    pub container: String,
    /// Its service.
    pub service: String,
    /// The line without its end.
    pub text: String,
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
    /// Time since the resource's first event, when it is done.
    pub elapsed: Option<Duration>,
}

/// Where a layer of an image stands that is pulled or pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerProgress {
    /// The image, as users see it.
    pub image: String,
    /// The beginning of the layer's digest.
    pub layer: String,
    /// What happens to it.
    pub status: LayerStatus,
    /// Bytes done and bytes in all.
    pub amount: Option<(u64, u64)>,
}

/// What happens to a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerStatus {
    /// It will be downloaded.
    Begun,
    /// Others are downloaded before it.
    Waiting,
    /// It is being downloaded and unpacked.
    Downloading,
    /// All of it has come.
    Downloaded,
    /// It is here.
    Pulled,
    /// It was here.
    Existing,
    /// It is packed for a push.
    Preparing,
    /// It is being sent.
    Pushing,
    /// It is in the registry.
    Pushed,
    /// It was in the registry.
    ExistingThere,
    /// The registry took it from another repository of its own.
    Mounted,
}

impl LayerStatus {
    /// docker's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "Pulling fs layer",
            Self::Waiting => "Waiting",
            Self::Downloading => "Downloading",
            Self::Downloaded => "Download complete",
            Self::Pulled => "Pull complete",
            Self::Existing => "Already exists",
            Self::Preparing => "Preparing",
            Self::Pushing => "Pushing",
            Self::Pushed => "Pushed",
            Self::ExistingThere => "Layer already exists",
            Self::Mounted => "Mounted from another repository",
        }
    }

    /// Whether its bytes are under way.
    #[must_use]
    pub fn is_moving(self) -> bool {
        matches!(self, Self::Downloading | Self::Pushing)
    }

    /// Whether there is more to come.
    #[must_use]
    pub fn phase(self) -> Phase {
        match self {
            Self::Begun | Self::Waiting | Self::Downloading | Self::Preparing | Self::Pushing => {
                Phase::Working
            }
            Self::Downloaded
            | Self::Pulled
            | Self::Existing
            | Self::Pushed
            | Self::ExistingThere
            | Self::Mounted => Phase::Done,
        }
    }
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
    Pushing = "Pushing", Working;
    Pushed = "Pushed", Done;
    Skipped = "Skipped", Done;
    Pausing = "Pausing", Working;
    Paused = "Paused", Done;
    Unpausing = "Unpausing", Working;
    Unpaused = "Unpaused", Done;
    Copying = "Copying", Working;
    Copied = "Copied", Done;
    Exporting = "Exporting", Working;
    Exported = "Exported", Done;
    Committing = "Committing", Working;
    Committed = "Committed", Done;
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
