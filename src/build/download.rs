//! Files that are somewhere else: each URL is fetched once a run, and hashed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::build::Error;
use crate::build::request::Cancel;
use crate::build::shared::lock;
use crate::image::Workshop;
use crate::oci::{Algorithm, Digest, Hasher};
use crate::registry;
use crate::sys::tree::FileTime;

/// Longest file that is fetched.
const BYTES_MAX: u64 = 16 << 30;
/// Bytes read at once.
const CHUNK_BYTES: usize = 128 << 10;

/// A file that was fetched.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What it is called, by its URL.
    pub(crate) name: String,
    /// When the server says that it was changed.
    pub(crate) modified: Option<FileTime>,
}

/// The files of a run by URL.
#[derive(Debug, Default)]
pub(crate) struct Downloads {
    /// Each has a lock of its own, so that one is waited for and not the others.
    files: Mutex<HashMap<String, Arc<Mutex<Option<Fetched>>>>>,
}

impl Downloads {
    /// Fetches a URL, unless this run has it.
    ///
    /// # Errors
    /// [`Error::Download`].
    pub(crate) fn fetch(
        &self,
        url: &str,
        workshop: &Workshop,
        cancel: &Cancel,
    ) -> Result<Fetched, Error> {
        let place = Arc::clone(lock(&self.files).entry(url.to_owned()).or_default());
        let mut place = lock(&place);
        if let Some(known) = &*place {
            return Ok(known.clone());
        }
        let path = workshop.place("download");
        let mut file = File::create_new(&path).map_err(Error::io("create", &path))?;
        let done = registry::download(url, &mut file, BYTES_MAX, &|| cancel.is_set());
        let done = done.map_err(|source| match cancel.is_set() {
            true => Error::Cancelled,
            false => Error::Download {
                url: url.to_owned(),
                source,
            },
        })?;
        let fetched = Fetched {
            path,
            name: name(url),
            modified: done.modified.map(|time| FileTime {
                seconds: time.as_second(),
                nanos: 0,
            }),
        };
        *place = Some(fetched.clone());
        Ok(fetched)
    }
}

impl Fetched {
    /// Opens it.
    pub(crate) fn open(&self) -> Result<File, Error> {
        File::open(&self.path).map_err(Error::io("open", &self.path))
    }

    /// Its digest.
    pub(crate) fn digest(&self, algorithm: Algorithm) -> Result<Digest, Error> {
        let mut file = self.open()?;
        let failed = |source| Error::io("read", &self.path)(source);
        file.rewind().map_err(failed)?;
        let mut hasher = Hasher::new(algorithm);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = file.read(&mut chunk).map_err(failed)?;
            if count == 0 {
                return Ok(hasher.finish());
            }
            hasher.update(chunk.get(..count).unwrap_or_default());
        }
    }
}

/// The last part of a URL's path.
fn name(url: &str) -> String {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let last = path.split('/').skip(1).last().unwrap_or_default();
    match last {
        "" | "." | ".." => "download".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_called_by_their_address() {
        for (url, expected) in [
            ("https://x.y/a/b.tar.gz?token=/z#f", "b.tar.gz"),
            ("https://x.y/", "download"),
            ("https://x.y", "download"),
            ("https://x.y/..", "download"),
        ] {
            assert_eq!(name(url), expected, "{url}");
        }
    }
}
