//! What a build is asked for.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indexmap::IndexMap;

use crate::build::cache::{CacheFrom, CacheTo};
use crate::dockerfile::Options;
use crate::event::BuildEvent;
use crate::oci::{Platform, Reference};
use crate::registry::Client;
use crate::store::Root;

/// One image to build.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// What progress and messages call it: a service, or an image's name.
    pub name: String,
    /// Where files are copied from.
    pub context: Context,
    /// Where the Dockerfile is.
    pub dockerfile: DockerfileSource,
    /// What the language is told.
    pub options: Options,
    /// The platforms to build for, each once. When there is none, it is
    /// `options.platform` alone; else that one doesn't count.
    pub platforms: Vec<Platform>,
    /// Contexts by name; each name has its kind in `options.contexts` too.
    pub contexts: IndexMap<String, NamedSource>,
    /// Secrets by id.
    pub secrets: IndexMap<String, Secret>,
    /// Sockets of SSH agents by id.
    pub ssh: IndexMap<String, PathBuf>,
    /// Whether base images are asked for again.
    pub pull: Pull,
    /// Names for the image.
    pub names: Vec<Reference>,
    /// What else becomes of the result.
    pub exports: Vec<Export>,
    /// Places that steps are taken from besides the store.
    pub cache_from: Vec<CacheFrom>,
    /// Places that the steps are written to.
    pub cache_to: Vec<CacheTo>,
    /// How far it goes.
    pub goal: Goal,
}

/// How far a build goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Goal {
    /// To the image.
    #[default]
    Image,
    /// To the checks of the Dockerfile.
    Check,
}

/// Where files are copied from.
#[derive(Debug, Clone)]
pub enum Context {
    /// A folder. Nothing of it is read but what the Dockerfile names.
    Folder(PathBuf),
    /// A tar, plain or compressed.
    Archive(ContextArchive),
    /// A repository or an archive somewhere else, as written.
    Remote(String),
    /// Nothing at all: the Dockerfile came alone.
    Empty,
}

/// A tar of a context.
#[derive(Clone)]
pub enum ContextArchive {
    /// A file.
    File(PathBuf),
    /// Standard input, or something else that is read once.
    Stream(Arc<std::sync::Mutex<Box<dyn std::io::Read + Send>>>),
}

impl fmt::Debug for ContextArchive {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => out.debug_tuple("File").field(path).finish(),
            Self::Stream(_) => out.write_str("Stream"),
        }
    }
}

/// Where the Dockerfile is.
#[derive(Debug, Clone)]
pub enum DockerfileSource {
    /// A file of the host.
    File(PathBuf),
    /// A path in the context.
    InContext(String),
    /// Its text, and what messages call it.
    Inline {
        /// The text.
        text: String,
        /// The name for messages.
        name: PathBuf,
    },
}

/// What a named context is.
#[derive(Debug, Clone)]
pub enum NamedSource {
    /// Files.
    Tree(Context),
    /// An image by name; the options have it.
    Image,
    /// A folder with an OCI layout, and a tag or digest in it.
    OciLayout {
        /// The folder.
        folder: PathBuf,
        /// Which image of it; the only one without.
        tag: Option<String>,
    },
    /// The result of another request of the same run, by its name.
    Build(String),
}

/// Whether base images are asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pull {
    /// When they aren't there.
    #[default]
    Missing,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A secret's value.
#[derive(Clone)]
pub enum Secret {
    /// In a file, read when a step asks for it.
    File(PathBuf),
    /// Here.
    Value(Vec<u8>),
}

impl fmt::Debug for Secret {
    /// Leaves the value out.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => out.debug_tuple("File").field(path).finish(),
            Self::Value(_) => out.write_str("Value"),
        }
    }
}

/// What else becomes of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Export {
    /// Its files, in a folder.
    Folder(PathBuf),
    /// Its files, as a tar; to standard output without a path.
    Tar(Option<PathBuf>),
    /// The image, as an archive that docker and OCI tools read.
    Archive(Option<PathBuf>),
}

/// Makes an image be in the store: asks a registry, or finds that it is there.
pub type Fetch<'a> = dyn Fn(&Reference, &Platform, Pull) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
    + Sync
    + 'a;

/// Gives the client of registries, or why there can be none.
pub type Registry<'a> =
    dyn Fn() -> Result<Client, Box<dyn std::error::Error + Send + Sync>> + Sync + 'a;

/// Where builds run and whom they tell.
pub struct Surroundings<'a> {
    /// The engine's folders.
    pub root: &'a Root,
    /// Told what happens, from many threads.
    pub events: &'a (dyn Fn(BuildEvent) + Sync),
    /// Makes base images be there.
    pub fetch: &'a Fetch<'a>,
    /// Talks to registries about caches.
    pub registry: &'a Registry<'a>,
    /// Ends the builds when it is set.
    pub cancel: &'a Cancel,
    /// Steps worked on at once.
    pub jobs: usize,
    /// The environment, of which our own processes get what they need.
    pub environment: Vec<(String, String)>,
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Surroundings")
            .field("root", self.root)
            .field("jobs", &self.jobs)
            .finish_non_exhaustive()
    }
}

/// Says that builds should end.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    own: Arc<AtomicBool>,
    /// Those that it is a part of, the next one first.
    above: Vec<Arc<AtomicBool>>,
}

impl Cancel {
    /// Ends what looks at it, within a fifth of a second.
    pub fn set(&self) {
        self.own.store(true, Ordering::Relaxed);
    }

    /// Whether it was set, or one that it is a part of.
    #[must_use]
    pub fn is_set(&self) -> bool {
        let mut all = std::iter::once(&self.own).chain(&self.above);
        all.any(|flag| flag.load(Ordering::Relaxed))
    }

    /// One for a part of the work: it can end alone, and ends with this one.
    pub(crate) fn part(&self) -> Self {
        Self {
            own: Arc::default(),
            above: std::iter::once(&self.own)
                .chain(&self.above)
                .map(Arc::clone)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_with_all_that_it_is_a_part_of() {
        let whole = Cancel::default();
        let half = whole.part();
        let quarter = half.part();
        quarter.set();
        assert!(quarter.is_set() && !half.is_set());
        let other = half.part();
        whole.set();
        assert!(half.is_set() && other.is_set());
    }
}
