//! What has come so far of blobs that aren't in the store yet:
//! `partial/<algorithm>-<hex>`, locked by whoever writes it.
//!
//! The bytes are trusted by nobody: they go through the same digest as those
//! that come from the registry.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::image::Error;
use crate::oci::Descriptor;
use crate::store::{FileLock, Root, make_private_dir};

/// How long a part is kept that nobody asks on for.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Blobs up to this length aren't kept in parts: they come again as quickly.
const KEPT_BYTES_MIN: u64 = 64 << 10;

/// The beginning of a blob.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    /// The file, which is locked.
    lock: FileLock,
    length: u64,
    /// Whether what came last could be written.
    is_whole: bool,
}

impl Partial {
    /// Opens what was kept of a blob; None when it isn't worth it, or when
    /// somebody else is at it.
    pub(super) fn open(root: &Root, descriptor: &Descriptor) -> Result<Option<Self>, Error> {
        if descriptor.size <= KEPT_BYTES_MIN {
            return Ok(None);
        }
        let dir = dir(root);
        make_private_dir(&dir)?;
        let digest = &descriptor.digest;
        let name = format!("{}-{}", digest.algorithm().as_str(), digest.hex());
        let path = dir.join(name);
        let Some(lock) = FileLock::try_exclusive(&path)? else {
            return Ok(None);
        };
        let metadata = lock.file().metadata();
        let found = metadata.map_err(Error::io("open", &path))?.len();
        // A whole blob may be wrong, too; its last bytes are asked for again.
        let length = found.min(descriptor.size.saturating_sub(1));
        Ok(Some(Self {
            path,
            lock,
            length,
            is_whole: true,
        }))
    }

    /// How many bytes are there.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Reads what is there up to `end`.
    pub(super) fn replay(&self, at: u64, end: u64, into: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
        let count = wanted.min(into.len());
        let into = into.get_mut(..count).unwrap_or_default();
        match self.lock.file().read_at(into, at)? {
            0 if count > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }

    /// Adds what came. A full disk ends the keeping, not the pull.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        if !self.is_whole {
            return;
        }
        match self.lock.file().write_all_at(bytes, self.length) {
            Ok(()) => self.length += bytes.len() as u64,
            Err(_) => {
                self.is_whole = false;
                // What was written of it must not be taken for the rest.
                let _ = self.lock.file().set_len(self.length);
            }
        }
    }

    /// Forgets it: it is in the store, or of no use.
    pub(super) fn remove(self) {
        // What stays is swept some day.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn dir(root: &Root) -> PathBuf {
    root.state_dir().join("partial")
}

/// Removes parts that nobody has asked on for; all of them when `all`.
pub(super) fn sweep(root: &Root, which: Sweep) -> Result<(), Error> {
    let dir = dir(root);
    for name in crate::store::record::names(&dir)? {
        let path = dir.join(name);
        let written = std::fs::metadata(&path).and_then(|metadata| metadata.modified());
        let age = written.map(|time| SystemTime::now().duration_since(time).unwrap_or_default());
        let is_old = age.is_ok_and(|age| age > AGE_MAX);
        if (is_old || which == Sweep::All)
            && let Ok(Some(_nobody)) = FileLock::try_exclusive(&path)
        {
            crate::store::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Which parts go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sweep {
    /// Those that were left long ago.
    Old,
    /// All that nobody is at.
    All,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::testing::scratch;
    use crate::oci::Digest;

    fn descriptor(size: u64) -> Descriptor {
        Descriptor::new("", Digest::of(b"x"), size)
    }

    #[test]
    fn what_came_is_there_the_next_time() {
        let (_dir, root) = scratch();
        assert!(Partial::open(&root, &descriptor(10)).unwrap().is_none());
        let large = descriptor(1 << 20);
        let mut partial = Partial::open(&root, &large).unwrap().unwrap();
        partial.keep(b"hello ");
        partial.keep(b"world");
        assert!(Partial::open(&root, &large).unwrap().is_none());
        drop(partial);
        let again = Partial::open(&root, &large).unwrap().unwrap();
        let mut bytes = [0; 20];
        assert_eq!(again.length(), 11);
        assert_eq!(again.replay(6, 11, &mut bytes).unwrap(), 5);
        assert_eq!(&bytes[..5], b"world");
        sweep(&root, Sweep::All).unwrap();
        assert!(again.path.exists(), "somebody is at it");
        drop(again);
        sweep(&root, Sweep::Old).unwrap();
        assert_eq!(std::fs::read_dir(dir(&root)).unwrap().count(), 1);
        sweep(&root, Sweep::All).unwrap();
        assert_eq!(std::fs::read_dir(dir(&root)).unwrap().count(), 0);
    }

    #[test]
    fn a_part_is_never_the_whole() {
        let (_dir, root) = scratch();
        let blob = descriptor(KEPT_BYTES_MIN + 1);
        let mut partial = Partial::open(&root, &blob).unwrap().unwrap();
        partial.keep(&vec![1; usize::try_from(KEPT_BYTES_MIN + 5).unwrap()]);
        drop(partial);
        let again = Partial::open(&root, &blob).unwrap().unwrap();
        assert_eq!(again.length(), KEPT_BYTES_MIN);
    }
}
