//! Where a node stands, small enough for every node to carry.
//!
//! Knows files by number; `Files` turns a place into a span for people.

use std::path::PathBuf;
use std::sync::Arc;

use crate::diagnostic::Span;

/// A place in one of the files that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// Number of the file; 0 is "nowhere", for values that no file holds.
    pub(crate) file: u32,
    /// Line, from 1.
    pub(crate) line: u32,
    /// Column in characters, from 1.
    pub(crate) column: u32,
    /// First byte.
    pub(crate) offset: u32,
    /// Length in bytes; 0 when only the start is known.
    pub(crate) length: u32,
}

impl Place {
    /// The place of values that no file holds.
    pub(crate) const NOWHERE: Self = Self {
        file: 0,
        line: 0,
        column: 0,
        offset: 0,
        length: 0,
    };
}

/// The files that were read, by number.
#[derive(Debug, Default)]
pub(crate) struct Files {
    files: Vec<File>,
}

#[derive(Debug)]
struct File {
    path: Arc<PathBuf>,
    text: Arc<str>,
}

impl Files {
    /// Takes in a file and gives its number.
    pub(crate) fn add(&mut self, path: PathBuf, text: Arc<str>) -> u32 {
        self.files.push(File {
            path: Arc::new(path),
            text,
        });
        u32::try_from(self.files.len()).unwrap_or(u32::MAX)
    }

    /// The span of a place; None for values that no file holds.
    pub(crate) fn span(&self, place: Place) -> Option<Span> {
        let file = self.file(place.file)?;
        Some(Span {
            file: Arc::clone(&file.path),
            line: place.line,
            column: place.column,
            offset: usize::try_from(place.offset).unwrap_or(usize::MAX),
            length: usize::try_from(place.length).unwrap_or(0),
        })
    }

    /// Every file with its text, for excerpts.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&Arc<PathBuf>, &Arc<str>)> {
        self.files.iter().map(|file| (&file.path, &file.text))
    }

    fn file(&self, number: u32) -> Option<&File> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.files.get(index)
    }
}
