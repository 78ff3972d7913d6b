//! The image store: images by name and id, their configs and manifests by
//! digest, their layers unpacked once and shared.
//!
//! Everything is checked before it can be seen: digests while the bytes are
//! read, then one flush, then renames into place, and at last the record and
//! the name. Several processes may load, resolve and remove at once; a
//! [`Guard`] keeps what was resolved from being removed. Who uses an image is
//! not known here: the caller says.

mod blob;
mod carry;
mod contents;
#[cfg(test)]
mod crash_tests;
mod draft;
mod import;
mod ingest;
mod layers;
mod load;
mod lookup;
mod partial;
mod plan;
mod pull;
#[cfg(test)]
mod pull_tests;
mod push;
mod records;
mod remove;
mod save;
mod several;
mod source;
mod steps;
mod streamed;
#[cfg(test)]
mod streamed_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod usage;

use std::io;
use std::path::{Path, PathBuf};

use crate::oci::{Digest, ImageConfig, Reference};
use crate::store::{FileLock, Root};
use crate::{archive, oci, registry, store};

pub use carry::{Arrived, has_layer, pack_layer, packed_as, receive_layer, upon};
pub use draft::{Commit, CommittedLayer, Created, Draft, Workshop, chain, commit, create, merged};
pub use import::{Import, import};
pub use layers::{layer_path, layer_size};
pub use load::{Loaded, load, load_layout};
pub use lookup::{Resolved, config_bytes, get, list, named_at, names, pin_mounts, resolve, tag};
pub use pull::{
    LayerStep, Listener, PullEvent, Pulled, Wanted, checked_at, is_for, pull, remote_digest,
};
pub use push::{PushEvent, PushListener, Pushed, push};
pub use remove::{Removed, prune, remove};
pub use save::save;
pub use several::{Unreadable, name_several, of_services, platforms_of, resolve_on, used_here};
pub use source::Source;
pub use steps::{
    KeptStep, StepRecord, find_step, forget_step, keep_other_key, keep_step, list_steps,
};
pub use usage::{ImageUsage, export, layer_bytes, usage};

/// An image in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Digest of its config.
    pub id: Digest,
    /// Digest of the manifest that it came with, if it came with one.
    pub digest: Option<Digest>,
    /// Its config.
    pub config: ImageConfig,
    /// Its layers by chain id, topmost first.
    pub layers: Vec<Digest>,
    /// Bytes in all its layers' files.
    pub size_bytes: u64,
    /// When it came into the store.
    pub stored_at: jiff::Timestamp,
}

/// Why the image store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An archive's bytes are refused or can't be read.
    #[error("{what}")]
    Archive {
        /// Which part, as in `layer 3 of postgres:15`.
        what: String,
        /// Why.
        #[source]
        source: archive::Error,
    },
    /// A document of an archive is refused.
    #[error("{what}")]
    Document {
        /// Which one, by its place in the archive.
        what: String,
        /// Why.
        #[source]
        source: oci::Error,
    },
    /// Text of the user's that is no reference, platform or change.
    #[error(transparent)]
    Text(#[from] oci::Error),
    /// An archive lacks a part.
    #[error("the archive has no {0}")]
    Missing(String),
    /// Content isn't what its name or its document says.
    #[error("{what} is {found}, but should be {expected}")]
    Mismatch {
        /// Which content.
        what: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// No image of the archive runs on the wanted platform.
    #[error("no image for {0} in the archive")]
    NoPlatform(oci::Platform),
    /// There is no such image.
    #[error("No such image: {0}")]
    NotFound(String),
    /// Several images' ids begin so.
    #[error("{0:?} is the beginning of several images' ids")]
    Ambiguous(String),
    /// An image is used, so it stays.
    #[error("unable to remove {image}: {reason}")]
    InUse {
        /// The image.
        image: String,
        /// By what.
        reason: String,
    },
    /// Others are using the store for too long.
    #[error("the image store is in use by {0}")]
    Busy(String),
    /// The store lacks something that a record promises.
    #[error("image {image} is damaged, load it again: {reason}")]
    Damaged {
        /// The image.
        image: String,
        /// What is wrong.
        reason: String,
    },
    /// A registry didn't give what was asked, or didn't take it.
    #[error("{what}")]
    Registry {
        /// What was under way.
        what: String,
        /// Why.
        #[source]
        source: registry::Error,
    },
    /// A layer that was there is gone before the image was recorded.
    #[error("layer {0} was removed meanwhile")]
    Vanished(String),
    /// What an earlier pull had left was wrong.
    #[error("what an earlier pull has left was wrong: {0}")]
    Stale(String),
    /// A layer that several images need could not be had.
    #[error("pull of image {image}: its layer {layer} failed for another image, too")]
    SharedLayer {
        /// The image.
        image: String,
        /// The layer's digest, short.
        layer: String,
    },
    /// A record or lock failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The system refused a call.
    #[error("{action} {path}")]
    Io {
        /// The verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl Error {
    fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    fn archive(what: impl Into<String>) -> impl FnOnce(archive::Error) -> Self {
        let what = what.into();
        move |source| Self::Archive { what, source }
    }

    fn document(what: impl Into<String>) -> impl FnOnce(oci::Error) -> Self {
        let what = what.into();
        move |source| Self::Document { what, source }
    }
}

/// Keeps every image that is resolved while it lives from being removed.
/// It is held from `resolve` until the record that refers to the image exists.
#[derive(Debug)]
pub struct Guard {
    _lock: FileLock,
}

/// Takes a guard; many may be held at once, by many processes.
///
/// # Errors
/// [`Error::Store`] when the lock can't be opened.
pub fn hold(root: &Root) -> Result<Guard, Error> {
    let lock = FileLock::shared(&root.image_lock_path())?;
    Ok(Guard { _lock: lock })
}

/// How an image is called in messages.
fn shown(names: &[Reference], id: &Digest) -> String {
    names
        .first()
        .map_or_else(|| id.to_string(), Reference::familiar)
}
