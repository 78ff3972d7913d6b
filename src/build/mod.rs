//! Builds images: runs the graphs that Dockerfiles come to.
//!
//! ```text
//! context ▶ Dockerfile ▶ base images ▶ graph ▶ steps, each: key ▶ found, or made ▶ image
//! ```
//! All builds of a project are one run: independent stages work in parallel,
//! equal steps are made once, and what a step came to is kept under a key made
//! of content ([`key`](self) in the code). RUN steps are containers of keepers
//! that end with the run, so a killed build leaves nothing running. Where base
//! images come from and how progress is drawn is the caller's matter.

mod cache;
mod cache_mount;
mod content;
mod context;
mod copy;
mod download;
mod export;
mod git;
mod graph;
mod keepers;
mod key;
mod mounts;
mod network;
mod platforms;
mod prune;
mod request;
mod result;
mod run;
mod select;
mod session;
mod shared;
mod stat_cache;
mod step;
mod stubs;
mod tree;
mod unpack;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

pub use cache::{CACHE_TAG, CacheEntry, CacheFrom, CacheMode, CachePlace, CacheTo};
pub use graph::run;
pub use prune::{PruneFilter, Pruned, Usage, UsageKind, prune, usage};
pub use request::{
    BuildRequest, Cancel, Context, ContextArchive, DockerfileSource, Export, Fetch, Goal,
    NamedSource, Pull, Registry, Secret, Surroundings,
};
pub use result::Built;
pub use session::sweep_killed;

use crate::diagnostic::{Diagnostic, Span};
use crate::protocol::keeper::SpawnFailure;
use crate::{archive, image, keeper, oci, runtime, snapshot, store};

/// A build that came to nothing.
#[derive(Debug)]
pub struct Failure {
    /// The build, as its request calls it.
    pub build: String,
    /// Why.
    pub error: Error,
    /// The step that failed.
    pub step: Option<FailedStep>,
    /// The Dockerfile's text, for excerpts.
    pub dockerfile: Option<Arc<str>>,
}

impl Failure {
    /// One that no step is to blame for.
    pub(crate) fn of_build(request: &BuildRequest, error: Error) -> Self {
        Self {
            build: request.name.clone(),
            error,
            step: None,
            dockerfile: None,
        }
    }
}

/// The step that a build failed at.
#[derive(Debug, Clone)]
pub struct FailedStep {
    /// As progress shows it: `[build 2/4] RUN make`.
    pub name: String,
    /// The instruction's place in the Dockerfile.
    pub span: Span,
    /// The end of what its program wrote.
    pub output: Vec<u8>,
}

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Dockerfile or its ignore file is wrong; each with its place.
    #[error("{}", first_line(.0))]
    Diagnostics(Vec<Diagnostic>),
    /// A program ended with another code than 0.
    #[error("process {command:?} did not complete successfully: {}", ending(*.code, *.oom_killed))]
    Program {
        /// Its words.
        command: String,
        /// Its exit code, 128 and more for signals.
        code: i32,
        /// Whether memory ran out.
        oom_killed: bool,
    },
    /// A program could not be started.
    #[error("process could not be started")]
    Start(#[source] SpawnFailure),
    /// A base image can't be had.
    #[error("image {image}")]
    Fetch {
        /// Which.
        image: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A base image isn't there.
    #[error("image {0}: not found")]
    NoImage(String),
    /// A base image is for another platform.
    #[error("image {image} is for {found}, not for {wanted}")]
    WrongPlatform {
        /// Which.
        image: String,
        /// The platform that it has.
        found: oci::Platform,
        /// The one that is wanted.
        wanted: oci::Platform,
    },
    /// Programs of another platform can't run here.
    #[error(
        "a RUN step for {0} can't run on this machine: register an emulator for it with binfmt_misc, or build FROM --platform=$BUILDPLATFORM"
    )]
    Foreign(oci::Platform),
    /// The Dockerfile isn't there.
    #[error("failed to read dockerfile: open {0}: no such file or directory")]
    NoDockerfile(String),
    /// The context isn't there, or isn't one.
    #[error("unable to prepare context: {what}")]
    Context {
        /// What is wrong.
        what: String,
        /// Why.
        #[source]
        source: Option<io::Error>,
    },
    /// A context or source that has to be fetched from elsewhere.
    #[error("{what} {url}: {reason}")]
    Remote {
        /// What it is.
        what: &'static str,
        /// Its address.
        url: String,
        /// Why it can't be had.
        reason: String,
    },
    /// A named context that should be an OCI layout.
    #[error("OCI layout {folder}")]
    Layout {
        /// Where it is.
        folder: PathBuf,
        /// What is wrong.
        #[source]
        source: image::Error,
    },
    /// A file that can't be downloaded.
    #[error("download of {url}")]
    Download {
        /// Its address.
        url: String,
        /// Why.
        #[source]
        source: crate::registry::Error,
    },
    /// A file that isn't what the instruction says.
    #[error("digest mismatch of {url}: it is {found}, but should be {expected}")]
    Checksum {
        /// Its address.
        url: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A source that the ignore file hides.
    #[error("\"/{0}\": not found: it is excluded by the ignore file")]
    Ignored(String),
    /// Sources could not be found.
    #[error("failed to compute cache key")]
    Sources(#[source] SourceError),
    /// Files could not be copied.
    #[error("copy")]
    Copy(#[source] CopyError),
    /// An archive that can't be unpacked.
    #[error("unpack of {name}")]
    Unpack {
        /// The archive.
        name: String,
        /// Why.
        #[source]
        source: archive::Error,
    },
    /// A secret that a step needs isn't given.
    #[error("secret {0}: not found")]
    NoSecret(String),
    /// A secret can't be read.
    #[error("secret {id}")]
    Secret {
        /// Which.
        id: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An SSH agent that a step needs isn't given.
    #[error("unset ssh forward key {0}")]
    NoAgent(String),
    /// An SSH agent can't be reached.
    #[error("ssh agent {id}")]
    Agent {
        /// Which.
        id: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A device that a step needs can't be had.
    #[error("device {0}: devices by CDI name aren't supported")]
    Device(String),
    /// More private folders of one cache mount than sensible.
    #[error("cache mount {0}: too many of its folders are in use")]
    CacheMounts(String),
    /// There is no place in memory for secrets.
    #[error("no tmpfs for secrets: neither the run folder nor /run nor /dev/shm is one")]
    NoMemory,
    /// Builds wait for each other.
    #[error("builds depend on each other: {}", .0.join(" -> "))]
    Cycle(Vec<String>),
    /// A build that this one needs isn't there or failed.
    #[error("it needs the result of {0}")]
    Dependency(String),
    /// A step was known from a cache elsewhere, and its layer can't be had.
    #[error("cache {cache}")]
    Promise {
        /// Which.
        cache: String,
        /// Why.
        #[source]
        source: cache::Error,
    },
    /// A cache can't be written.
    #[error("export of the cache to {place}")]
    CacheExport {
        /// Where to.
        place: String,
        /// Why.
        #[source]
        source: cache::Error,
    },
    /// It was cut off.
    #[error("cancelled")]
    Cancelled,
    /// The network of a step.
    #[error("network of a build step")]
    Network(#[source] crate::network::Error),
    /// No address for a step.
    #[error("address of a build step: {0}")]
    Address(String),
    /// The control group of a step.
    #[error("control group of a build step")]
    Cgroup(#[source] runtime::cgroup::Error),
    /// The keeper of a step.
    #[error(transparent)]
    Keeper(keeper::Error),
    /// A keeper said what nobody asked.
    #[error("unexpected answer of the keeper: {0}")]
    Answer(String),
    /// The pipes of a step.
    #[error("output of a build step")]
    Pipe(#[source] io::Error),
    /// The image store.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// Root file systems.
    #[error(transparent)]
    Snapshot(#[from] snapshot::Error),
    /// A record or lock.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The system refused a call.
    #[error("{action} {path}")]
    Io {
        /// The verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// Why sources could not be found, in words of their own.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;
/// Why files could not be copied, in words of their own.
pub type CopyError = Box<dyn std::error::Error + Send + Sync>;

impl Error {
    /// The exit code of the program that failed, if one did.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Program { code, .. } => Some(*code),
            Self::Start(failure) => Some(i32::from(failure.exit_code)),
            _ => None,
        }
    }

    /// Whether the build was cut off and isn't to blame.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

impl From<select::Error> for Error {
    fn from(error: select::Error) -> Self {
        Self::Sources(Box::new(error))
    }
}

impl From<content::Error> for Error {
    fn from(error: content::Error) -> Self {
        Self::Sources(Box::new(error))
    }
}

impl From<copy::Error> for Error {
    fn from(error: copy::Error) -> Self {
        Self::Copy(Box::new(error))
    }
}

fn first_line(problems: &[Diagnostic]) -> String {
    match problems {
        [] => "the Dockerfile is wrong".to_owned(),
        [one] => one.to_string(),
        [one, rest @ ..] => format!("{one} (and {} more)", rest.len()),
    }
}

fn ending(code: i32, oom_killed: bool) -> String {
    if oom_killed {
        format!("exit code: {code} (out of memory)")
    } else {
        format!("exit code: {code}")
    }
}
