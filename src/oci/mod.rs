//! The OCI image model as values: references, digests, platforms, manifests,
//! configs and what a layer's entries mean.
//!
//! Everything here is a pure function of bytes. It does not know where blobs
//! lie, how an archive is read or how a layer is written; `archive` and
//! `image` do that with the verdicts given here.

mod change;
mod config;
mod digest;
mod launch;
mod layer;
mod manifest;
mod media;
mod platform;
mod reference;
mod save;

pub use change::Change;
pub use config::{HealthConfig, History, ImageConfig, RootFs, RunConfig};
pub use digest::{Algorithm, Digest, Hasher, chain_ids};
pub use launch::DEFAULT_PATH;
pub use layer::{EntryName, LayerVerdict, clean_name, is_xattr_kept, layer_verdict, owner_id};
pub use manifest::{Descriptor, Document, Index, Layout, Manifest, ManifestPlatform};
pub use media::{LayerEncoding, MediaType};
pub use platform::Platform;
pub use reference::{ImageQuery, Reference};
pub use save::{SaveEntry, parse_save_manifest};

/// Longest manifest or index read, in bytes.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// Longest image config read, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 8 << 20;
/// Most layers of one image; the kernel's overlay takes 500 lowers.
pub const LAYERS_MAX: usize = 500;
/// Most manifests of one index.
pub const INDEX_ENTRIES_MAX: usize = 1000;

/// Why bytes or text are no part of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A reference that breaks the grammar.
    #[error("invalid reference {text:?}: {rule}")]
    Reference {
        /// The text.
        text: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A digest that isn't one, or of an algorithm that isn't supported.
    #[error("invalid digest {text:?}: {rule}")]
    Digest {
        /// The text.
        text: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A platform that isn't `os/architecture[/variant]`.
    #[error("invalid platform {0:?}: it is written os/architecture[/variant]")]
    Platform(String),
    /// A document that isn't what it should be.
    #[error("invalid {what}: {reason}")]
    Document {
        /// `manifest`, `image config` …
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A layer entry that no file system may have.
    #[error("invalid layer entry {name:?}: {rule}")]
    Entry {
        /// The entry's name.
        name: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A `--change` that can't be applied.
    #[error("invalid change {text:?}: {reason}")]
    Change {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither the image nor the project says what to run.
    #[error(
        "no command specified: neither the image nor the project has an entrypoint or a command"
    )]
    NoCommand,
}

impl Error {
    fn document(what: &'static str, reason: impl ToString) -> Self {
        Self::Document {
            what,
            reason: reason.to_string(),
        }
    }
}
