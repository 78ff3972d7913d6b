//! Caches that travel: what builds came to, in a folder, a registry or an
//! image, for builds of other machines.
//!
//! ```text
//! steps ▶ document + packed layers ▶ folder, registry or image
//!       ◀ promises: a step is known, its layer comes when somebody reads it
//! ```
//! What a key is made of stands in `build::key`: it is content, so it means
//! the same on every machine. A cache is as trustworthy as who writes it: that
//! a layer is what the document says is checked, that a step really comes to
//! that layer can't be.

mod document;
mod folder;
mod promise;
mod source;
mod target;

use std::path::PathBuf;

use crate::oci::{Digest, Reference};

pub(crate) use promise::{Promised, Promises, Trust};
pub(crate) use source::{Source, Sources};
pub(crate) use target::{Exports, Finished};

/// A place that steps are taken from besides the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CacheFrom {
    /// A folder that an export has written.
    Folder {
        /// Which.
        path: PathBuf,
        /// Which of the caches in it.
        entry: CacheEntry,
    },
    /// A repository of a registry: a cache, or an image that carries one.
    Registry(Reference),
}

/// Which cache of a folder is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CacheEntry {
    /// The one with this tag.
    Tag(String),
    /// The one of this manifest.
    Digest(Digest),
}

/// A place that steps are written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheTo {
    /// Where.
    pub place: CachePlace,
    /// How much.
    pub mode: CacheMode,
    /// Whether the build is well without it.
    pub is_optional: bool,
}

/// Where steps are written to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CachePlace {
    /// A folder, which may hold other caches under other tags.
    Folder {
        /// Which.
        path: PathBuf,
        /// The tag.
        tag: String,
    },
    /// A repository of a registry.
    Registry(Reference),
    /// The image itself.
    Inline,
}

/// Which layers a cache carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheMode {
    /// Those of the image.
    #[default]
    Min,
    /// Those of all steps.
    Max,
}

/// The tag of a cache in a folder that isn't named.
pub const CACHE_TAG: &str = "latest";

impl CacheFrom {
    /// As progress and warnings call it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Folder { path, .. } => path.display().to_string(),
            Self::Registry(reference) => reference.familiar(),
        }
    }
}

impl CachePlace {
    /// As progress and warnings call it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Folder { path, .. } => path.display().to_string(),
            Self::Registry(reference) => reference.familiar(),
            Self::Inline => "the image".to_owned(),
        }
    }
}

/// Why a cache can't be used or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("{0}: not found")]
    NotFound(String),
    /// It is BuildKit's, whose keys mean something else.
    #[error("it was written by BuildKit, whose caches only BuildKit can use")]
    Foreign,
    /// An image that carries none.
    #[error("the image carries no cache: build it with --cache-to type=inline")]
    Bare,
    /// It isn't what it should be.
    #[error("{what} is no cache: {reason}")]
    Malformed {
        /// Which part.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// The folder can't be used.
    #[error("{action} {path}")]
    Io {
        /// The verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// No registry can be asked.
    #[error("registry")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The registry refused.
    #[error(transparent)]
    Registry(#[from] crate::registry::Error),
    /// A layer can't be packed or unpacked.
    #[error(transparent)]
    Image(#[from] crate::image::Error),
    /// The cache knows the step, but has no layer for it.
    #[error("it doesn't carry layer {0}")]
    NoLayer(String),
}

impl Error {
    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    fn malformed(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::Malformed {
            what: what.into(),
            reason: reason.to_string(),
        }
    }

    /// With all its reasons, in a line.
    pub(crate) fn whole(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}
