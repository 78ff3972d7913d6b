//! Folders of content that isn't checked yet. Each has an owner, who holds a
//! lock in it; what dead owners left is swept by the next one.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::image::Error;
use crate::store::{FileLock, Root};
use crate::sys::tree;

/// The lock in a folder, held by its owner.
const OWNER: &str = "owner";
/// The lock that is held while a folder is made or swept.
const DOOR: &str = ".tmp-door";

/// A folder of this process's own; it goes when the value does.
#[derive(Debug)]
pub(super) struct Ingest {
    path: PathBuf,
    _owner: FileLock,
}

impl Ingest {
    /// Makes a folder, after sweeping what the dead have left.
    pub(super) fn new(root: &Root) -> Result<Self, Error> {
        let dir = root.ingest_dir();
        let _door = FileLock::exclusive(&dir.join(DOOR))?;
        sweep(&dir)?;
        let mut number = 0_u32;
        loop {
            let path = dir.join(format!("{}-{number}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => {
                    let owner = FileLock::exclusive(&path.join(OWNER))?;
                    return Ok(Self {
                        path,
                        _owner: owner,
                    });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(Error::io("create folder", &path)(error)),
            }
        }
    }

    /// A path inside the folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A file that nobody can find: it goes when it is closed.
    pub(super) fn nameless(&self) -> Result<File, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.path(&format!("nameless-{number}"));
        let mut options = File::options();
        let opened = options.read(true).write(true).create_new(true).open(&path);
        let file = opened.map_err(Error::io("create", &path))?;
        std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        Ok(file)
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        // What can't be removed here is swept by the next owner.
        let _ = remove(&self.path);
    }
}

/// Removes the folders that nobody holds.
fn sweep(dir: &Path) -> Result<(), Error> {
    for name in crate::store::record::names(dir)? {
        let path = dir.join(&name);
        if let Ok(Some(_nobody)) = FileLock::try_exclusive(&path.join(OWNER)) {
            remove(&path)?;
        } else if !path.join(OWNER).exists() {
            // Made and never owned: its maker died behind the door.
            remove(&path)?;
        }
    }
    Ok(())
}

/// Removes a tree that strangers' archives have filled.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or(OsStr::new("."));
    tree::open_root(parent)
        .and_then(|dir| tree::remove_tree(dir.as_fd(), name))
        .map_err(Error::io("remove", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_living_keep_their_folders() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("s"), &dir.path().join("r")).unwrap();
        let first = Ingest::new(&root).unwrap();
        std::fs::create_dir(root.ingest_dir().join("1-0")).unwrap();
        std::fs::write(root.ingest_dir().join("1-0").join(OWNER), "").unwrap();
        std::fs::create_dir(root.ingest_dir().join("1-1")).unwrap();
        let second = Ingest::new(&root).unwrap();
        assert!(first.path(OWNER).exists() && second.path(OWNER).exists());
        assert!(!root.ingest_dir().join("1-0").exists());
        assert!(!root.ingest_dir().join("1-1").exists());
        let gone = first.path.clone();
        drop(first);
        assert!(!gone.exists());
    }
}
