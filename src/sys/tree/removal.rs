//! Removing files, folders, and trees however deep they are.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::AtFlags;

use crate::sys::tree::{Kind, entries, open_dir, rename, set_node_mode};

/// Deepest level at which removal holds a descriptor; deeper folders are
/// moved up first, so that no tree can exhaust the descriptors.
const REMOVE_DEPTH_MAX: usize = 32;
/// Removes a name in `dir` that isn't a folder; its absence is fine.
///
/// # Errors
/// unlinkat(2).
pub fn remove_file(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    absent_is_fine(rustix::fs::unlinkat(dir, name, AtFlags::empty()))
}

/// Removes an empty folder in `dir`; its absence is fine.
///
/// # Errors
/// unlinkat(2).
pub fn remove_dir(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    absent_is_fine(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR))
}

fn absent_is_fine(done: rustix::io::Result<()>) -> io::Result<()> {
    match done {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Removes a name in `dir` with all that is below it, however deep it is;
/// its absence is fine.
///
/// # Errors
/// The first call that failed; the rest of the tree is removed all the same
/// as far as it can be.
pub fn remove_tree(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(rustix::io::Errno::ISDIR | rustix::io::Errno::PERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut removal = Removal {
        top: dir,
        waiting: Vec::new(),
        first_error: None,
    };
    removal.remove(dir, name, 0);
    while let Some(next) = removal.waiting.pop() {
        removal.remove(dir, &next, 0);
    }
    removal.first_error.map_or(Ok(()), Err)
}

struct Removal<'a> {
    /// Where folders too deep are moved to.
    top: BorrowedFd<'a>,
    waiting: Vec<OsString>,
    first_error: Option<io::Error>,
}

impl Removal<'_> {
    fn remove(&mut self, parent: BorrowedFd<'_>, name: &OsStr, depth: usize) {
        let children = open_for_removal(parent, name)
            .and_then(|dir| entries(dir.as_fd()).map(|children| (dir, children)));
        match children {
            Ok((dir, children)) => {
                for (child, kind) in children {
                    self.remove_child(dir.as_fd(), &child, kind, depth);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => self.note(error),
        }
        if let Err(error) = remove_dir(parent, name) {
            self.note(error);
        }
    }

    fn remove_child(&mut self, dir: BorrowedFd<'_>, child: &OsStr, kind: Kind, depth: usize) {
        if kind != Kind::Dir {
            if let Err(error) = remove_file(dir, child) {
                self.note(error);
            }
        } else if depth < REMOVE_DEPTH_MAX {
            self.remove(dir, child, depth + 1);
        } else {
            static MOVED: AtomicU64 = AtomicU64::new(0);
            let number = MOVED.fetch_add(1, Ordering::Relaxed);
            let place = OsString::from(format!(".removed-{}-{number}", std::process::id()));
            match rename(dir, child, self.top, &place) {
                Ok(()) => self.waiting.push(place),
                Err(error) => self.note(error),
            }
        }
    }

    fn note(&mut self, error: io::Error) {
        self.first_error.get_or_insert(error);
    }
}

/// A folder that its owner may not read is made readable first.
fn open_for_removal(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    match open_dir(parent, name) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            set_node_mode(parent, name, 0o700)?;
            open_dir(parent, name)
        }
        other => other,
    }
}
