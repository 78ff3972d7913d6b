//! Locks on files (flock(2)), held as long as the value lives.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::store::Error;

/// A lock on a file. The file is made when missing and never removed.
///
/// The kernel frees it with the last copy of its descriptor, and a child on its
/// way to another program has one: so the end of the value frees it in words,
/// and the end of the process whatever else was held.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl FileLock {
    /// Waits for the lock, sharing it with other sharers.
    ///
    /// # Errors
    /// [`Error::Io`] when the file can't be opened or locked.
    pub fn shared(path: &Path) -> Result<Self, Error> {
        let file = open(path)?;
        file.lock_shared()
            .map_err(|source| Error::io("lock", path, source))?;
        Ok(Self { file })
    }

    /// Waits for the lock, alone.
    ///
    /// # Errors
    /// [`Error::Io`] when the file can't be opened or locked.
    pub fn exclusive(path: &Path) -> Result<Self, Error> {
        let file = open(path)?;
        file.lock()
            .map_err(|source| Error::io("lock", path, source))?;
        Ok(Self { file })
    }

    /// Takes the lock alone if nobody has it.
    ///
    /// # Errors
    /// [`Error::Io`] when the file can't be opened or locked.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>, Error> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file })),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(source)) => Err(Error::io("lock", path, source)),
        }
    }

    /// Takes the lock with other sharers if nobody has it alone.
    ///
    /// # Errors
    /// [`Error::Io`] when the file can't be opened or locked.
    pub fn try_shared(path: &Path) -> Result<Option<Self>, Error> {
        let file = open(path)?;
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Self { file })),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(source)) => Err(Error::io("lock", path, source)),
        }
    }

    /// The file, open for reading and writing as long as it is locked.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing it frees it, too.
        let _ = self.file.unlock();
    }
}

fn open(path: &Path) -> Result<File, Error> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let opened = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    opened.map_err(|source: io::Error| Error::io("open lock", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let held = FileLock::shared(&path).unwrap();
        assert!(FileLock::try_exclusive(&path).unwrap().is_none());
        let second = FileLock::try_shared(&path).unwrap();
        assert!(second.is_some());
        drop((held, second));
        let alone = FileLock::try_exclusive(&path).unwrap();
        assert!(alone.is_some() && FileLock::try_shared(&path).unwrap().is_none());
    }

    #[test]
    fn a_copy_of_its_descriptor_does_not_hold_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let held = FileLock::exclusive(&path).unwrap();
        let _childs = held.file().try_clone().unwrap();
        drop(held);
        assert!(FileLock::try_exclusive(&path).unwrap().is_some());
    }
}
