//! Where an archive comes from.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::image::Error;

/// An archive's bytes.
pub enum Source {
    /// A regular file, read at any place.
    File(File),
    /// A stream, read once.
    Stream(Box<dyn Read + Send>),
}

impl Source {
    /// Opens a path; a pipe becomes a stream.
    ///
    /// # Errors
    /// [`Error::Io`] when it can't be opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        Self::of(file).map_err(Error::io("open", path))
    }

    /// Takes an open file, such as stdin; anything but a regular file at its
    /// beginning becomes a stream.
    ///
    /// # Errors
    /// fstat(2).
    pub fn of(file: File) -> std::io::Result<Self> {
        use std::io::Seek as _;
        if !file.metadata()?.is_file() {
            return Ok(Self::Stream(Box::new(file)));
        }
        match (&file).stream_position() {
            Ok(0) => Ok(Self::File(file)),
            Ok(_) | Err(_) => Ok(Self::Stream(Box::new(file))),
        }
    }

    /// The bytes from the beginning, once.
    pub(super) fn into_reader(self) -> Box<dyn Read + Send> {
        match self {
            Self::File(file) => Box::new(file),
            Self::Stream(stream) => stream,
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => out.debug_tuple("File").field(file).finish(),
            Self::Stream(_) => out.write_str("Stream"),
        }
    }
}
