//! The one reader, extractor and packer of tar archives.
//!
//! Archives come from strangers. [`TarReader`] reads them strictly and within
//! limits; [`Extractor`] writes a layer's tree through descriptors that can't
//! leave its root; [`settle()`] lays the tree on the layers below it. Which
//! entry means what is judged in `oci`; where trees and blobs lie, what their
//! digests must be and when they become visible is the image store's matter.

mod copy;
mod decode;
mod encode;
mod entry;
mod extract;
mod feed;
mod header;
mod layer;
mod map;
mod merged;
mod overlay;
mod pack;
mod pax;
mod reader;
mod settle;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod unpack;
mod upper;

use std::io;
use std::time::Duration;

pub use copy::{
    CopyRules, InTheWay, Owner, Rights, copy_content, copy_entry, copy_tree, copy_upper, link_upper,
};
pub use decode::decoder;
pub use encode::Gzip;
pub use entry::Entry;
pub use extract::Extractor;
pub use feed::{ChunkReader, Fed, feed};
pub use header::EntryKind;
pub use layer::Unsettled;
pub use map::rebuild;
pub use merged::{Folder, Found, Merged};
pub use overlay::{Overlay, Ownership};
pub use pack::Packer;
pub use reader::TarReader;
pub use settle::settle;
pub use unpack::unpack;
pub use upper::{UpperLayer, UpperRules, record_upper};

/// How much an archive may ask for. A limit reached is an error that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the plain archive.
    pub bytes_max: u64,
    /// Entries.
    pub entries_max: u64,
    /// Time for one archive.
    pub time_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 128 << 30,
            entries_max: 10_000_000,
            time_max: Duration::from_secs(3600),
        }
    }
}

/// Why an archive could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes could not be had or decompressed.
    #[error("read of the archive")]
    Read(#[source] io::Error),
    /// The bytes aren't a tar.
    #[error("malformed archive at byte {offset}: {reason}")]
    Malformed {
        /// Where.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// A name, owner or mark that no file may have.
    #[error(transparent)]
    Entry(#[from] crate::oci::Error),
    /// An entry of a kind that isn't supported.
    #[error("entry {name:?}: {what} isn't supported")]
    Unsupported {
        /// The entry.
        name: String,
        /// The kind.
        what: String,
    },
    /// A hard link to what isn't there or can't be linked.
    #[error("entry {name:?}: hard link to {target:?}, which {reason}")]
    Link {
        /// The entry.
        name: String,
        /// What it links to.
        target: String,
        /// Why it can't.
        reason: &'static str,
    },
    /// The archive asks for more than is allowed.
    #[error("the archive has more than {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: u64,
    },
    /// A file could not be made.
    #[error("{action} {name:?}")]
    Write {
        /// The verb: `create`, `write`, `link` …
        action: &'static str,
        /// The file, relative to the root.
        name: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl Error {
    fn write<'a>(
        action: &'static str,
        name: &'a (impl AsRef<std::path::Path> + ?Sized),
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Write {
            action,
            name: name.as_ref().display().to_string(),
            source,
        }
    }

    /// The system's reason, when the system was the reason.
    #[must_use]
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Read(source) | Self::Write { source, .. } => Some(source),
            Self::Malformed { .. }
            | Self::Entry(_)
            | Self::Unsupported { .. }
            | Self::Link { .. }
            | Self::Limit { .. } => None,
        }
    }
}
