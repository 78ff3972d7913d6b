//! How the loader reaches files, without knowing a disk.
//!
//! Two kinds exist: the surface's, which reads the disk within limits, and
//! `MapSource`, which holds texts for tests and tools.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where files come from. Paths are absolute, or `-` for standard input.
pub trait Source {
    /// The bytes of a file.
    ///
    /// # Errors
    /// When there is none or it can't or mustn't be read.
    fn read(&self, path: &Path) -> Result<Vec<u8>, ReadError>;

    /// Whether something is there.
    fn exists(&self, path: &Path) -> bool;

    /// The path with symbolic links followed; None when it can't be told.
    fn resolve_links(&self, path: &Path) -> Option<PathBuf>;
}

/// Why a file was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nothing is there.
    #[error("no such file or directory")]
    NotFound,
    /// It is a folder.
    #[error("is a directory")]
    Folder,
    /// It is a pipe, socket or device.
    #[error("not a regular file")]
    NotRegular,
    /// It is larger than files of its kind may be.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The system refused.
    #[error("{reason}")]
    Refused {
        /// The system's words.
        reason: String,
    },
}

/// Files held in memory.
#[derive(Debug, Clone, Default)]
pub struct MapSource {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl MapSource {
    /// An empty set of files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, text: impl AsRef<[u8]>) -> Self {
        self.files.insert(path.into(), text.as_ref().to_vec());
        self
    }
}

impl Source for MapSource {
    fn read(&self, path: &Path) -> Result<Vec<u8>, ReadError> {
        match self.files.get(path) {
            Some(bytes) => Ok(bytes.clone()),
            None if self.exists(path) => Err(ReadError::Folder),
            None => Err(ReadError::NotFound),
        }
    }

    fn exists(&self, path: &Path) -> bool {
        self.files.keys().any(|file| file.starts_with(path))
    }

    fn resolve_links(&self, path: &Path) -> Option<PathBuf> {
        self.exists(path).then(|| path.to_owned())
    }
}
