//! Being told of changes in folders (inotify).
//!
//! Says that something happened, not what: who waits looks for itself.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::sys::descriptor;

/// A set of watched folders. Its descriptor is readable after a change.
#[derive(Debug)]
pub struct Watch {
    inotify: OwnedFd,
}

impl Watch {
    /// An empty set.
    ///
    /// # Errors
    /// inotify_init1(2): `EMFILE` when the user has too many.
    pub fn new() -> io::Result<Self> {
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        Ok(Self {
            inotify: inotify::init(flags)?,
        })
    }

    /// Watches a folder for entries that come, go, are renamed or written to.
    ///
    /// # Errors
    /// inotify_add_watch(2): `ENOENT`, `ENOTDIR`, `ENOSPC` at the user's limit.
    pub fn add(&self, folder: &Path) -> io::Result<()> {
        let flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ONLYDIR;
        inotify::add_watch(&self.inotify, folder, flags)?;
        Ok(())
    }

    /// Makes it quiet until the next change; true if there was one.
    ///
    /// # Errors
    /// read(2).
    pub fn clear(&self) -> io::Result<bool> {
        let mut buffer = [0u8; 4096];
        let mut had_any = false;
        loop {
            match descriptor::read(&self.inotify, &mut buffer) {
                Ok(count) => had_any |= count > 0,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(had_any),
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poll;

    #[test]
    fn changes_in_a_folder_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::new().unwrap();
        watch.add(dir.path()).unwrap();
        assert!(!watch.clear().unwrap());
        std::fs::write(dir.path().join("file"), "x").unwrap();
        assert!(poll::wait_readable(&watch, None).unwrap());
        assert!(watch.clear().unwrap());
        assert!(!watch.clear().unwrap());
        assert!(watch.add(&dir.path().join("file")).is_err());
    }
}
