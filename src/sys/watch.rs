//! Being told of changes in folders (inotify).
//!
//! Says that something happened and in which folder, not what: who waits looks
//! for itself.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use crate::sys::descriptor;

/// Room for the events that are read at once.
const EVENTS_BYTES: usize = 16 << 10;

/// A watched folder's number in its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place(i32);

/// What a set of folders tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Something changed in a folder.
    In(Place),
    /// A folder is watched no longer, mostly because it is gone.
    Gone(Place),
    /// So much happened that the kernel forgot what.
    Lost,
}

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
        inotify::add_watch(&self.inotify, folder, entries())?;
        Ok(())
    }

    /// As [`Watch::add`], and for changes of modes and owners too; gives the
    /// folder's number. The same folder has one number, whatever its name is.
    ///
    /// # Errors
    /// As [`Watch::add`].
    pub fn add_place(&self, folder: &Path) -> io::Result<Place> {
        let flags = entries() | WatchFlags::ATTRIB | WatchFlags::DONT_FOLLOW;
        Ok(Place(inotify::add_watch(&self.inotify, folder, flags)?))
    }

    /// Watches a folder no longer; one that is gone has ended by itself.
    pub fn remove(&self, place: Place) {
        // EINVAL: the kernel was first.
        let _ = inotify::remove_watch(&self.inotify, place.0);
    }

    /// Takes what was told so far, without waiting.
    ///
    /// # Errors
    /// read(2).
    pub fn changes(&self) -> io::Result<Vec<Change>> {
        let mut room = [MaybeUninit::uninit(); EVENTS_BYTES];
        let mut reader = inotify::Reader::new(&self.inotify, &mut room);
        let mut changes = Vec::new();
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(changes),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let place = Place(event.wd());
            let change = if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                Change::Lost
            } else if event.events().contains(ReadFlags::IGNORED) {
                Change::Gone(place)
            } else {
                Change::In(place)
            };
            if changes.last() != Some(&change) {
                changes.push(change);
            }
        }
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

fn entries() -> WatchFlags {
    WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::MODIFY
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::ONLYDIR
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

    #[test]
    fn folders_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("a")).unwrap();
        std::fs::create_dir(path("b")).unwrap();
        let watch = Watch::new().unwrap();
        let (a, b) = (
            watch.add_place(&path("a")).unwrap(),
            watch.add_place(&path("b")).unwrap(),
        );
        assert_eq!(watch.changes().unwrap(), []);
        std::fs::write(path("b/file"), "x").unwrap();
        assert_eq!(watch.changes().unwrap(), [Change::In(b)]);
        assert_eq!(watch.changes().unwrap(), []);
        std::fs::remove_dir(path("a")).unwrap();
        assert!(watch.changes().unwrap().contains(&Change::Gone(a)));
        watch.remove(a);
        watch.remove(b);
        assert_eq!(watch.changes().unwrap(), [Change::Gone(b)]);
    }
}
