//! What a step's mounts stood on: files and folders that were made only to
//! mount on, which are no part of the layer.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use crate::archive::{Found, Merged};
use crate::sys::tree::{self, Kind};

/// A mount point that isn't there before the step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stub {
    /// The folder that is there, by its real path.
    above: PathBuf,
    /// The names below it that are made, each in the one before it.
    names: Vec<OsString>,
}

/// Which of these targets are missing in the layers below.
pub(crate) fn missing<'a>(
    below: &Merged,
    targets: impl IntoIterator<Item = &'a str>,
) -> io::Result<Vec<Stub>> {
    let mut stubs = Vec::new();
    for target in targets {
        stubs.extend(stub(below, Path::new(target))?);
    }
    // The deepest goes first.
    stubs.sort_by_key(|stub: &Stub| {
        std::cmp::Reverse(stub.above.components().count() + stub.names.len())
    });
    Ok(stubs)
}

fn stub(below: &Merged, target: &Path) -> io::Result<Option<Stub>> {
    let mut names: Vec<OsString> = Vec::new();
    let mut above = target;
    loop {
        match below.find(above, true)? {
            Some((real, Found::Folder(_))) if !names.is_empty() => {
                names.reverse();
                return Ok(Some(Stub { above: real, names }));
            }
            // There already, or nothing that could be a folder.
            Some(_) => return Ok(None),
            None => {}
        }
        let (Some(parent), Some(name)) = (above.parent(), above.file_name()) else {
            return Ok(None);
        };
        names.push(name.to_owned());
        above = parent;
    }
}

/// Removes from a layer what was made for its step's mounts, and the folders
/// that it has only for that reason.
pub(crate) fn remove(upper: &Path, below: &Merged, stubs: &[Stub]) -> io::Result<()> {
    let root = tree::open_root(upper)?;
    for stub in stubs {
        let mut path = stub.above.clone();
        path.extend(&stub.names);
        let mut names = stub.names.len();
        while names > 0 && remove_empty(root.as_fd(), &path)? {
            path.pop();
            names -= 1;
        }
        if names == 0 {
            remove_unchanged(root.as_fd(), below, stub.above.clone())?;
        }
    }
    Ok(())
}

/// Removes an empty file or folder; false when something else is there.
fn remove_empty(root: std::os::fd::BorrowedFd<'_>, path: &Path) -> io::Result<bool> {
    let parent = path.parent().unwrap_or(Path::new(""));
    let name = path.file_name().unwrap_or(OsStr::new(""));
    let Ok(folder) = tree::open_dir_in_root(root, parent) else {
        return Ok(true);
    };
    let folder = folder.as_fd();
    match tree::stat(folder, name)? {
        None => Ok(true),
        Some(stat) if stat.kind == Kind::File && stat.size == 0 => {
            tree::remove_file(folder, name)?;
            Ok(true)
        }
        Some(stat) if stat.kind == Kind::Dir => match tree::remove_dir(folder, name) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            done => done.map(|()| true),
        },
        Some(_) => Ok(false),
    }
}

/// Removes empty folders that are as those below: they are in the layer only
/// because a mount point was made in them.
fn remove_unchanged(
    root: std::os::fd::BorrowedFd<'_>,
    below: &Merged,
    mut path: PathBuf,
) -> io::Result<()> {
    while !path.as_os_str().is_empty() {
        let Ok(own) = tree::open_dir_in_root(root, &path) else {
            return Ok(());
        };
        let Some(Found::Folder(under)) = below.at(&path)? else {
            return Ok(());
        };
        let (ours, theirs) = (tree::stat_open(own.as_fd())?, under.stat()?);
        let is_same = (ours.mode, ours.uid, ours.gid) == (theirs.mode, theirs.uid, theirs.gid);
        if !is_same || tree::is_opaque(own.as_fd())? || !remove_empty(root, &path)? {
            return Ok(());
        }
        path.pop();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_what_was_made_for_a_mount_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (lower, upper) = (dir.path().join("lower"), dir.path().join("upper"));
        fs::create_dir_all(lower.join("etc")).unwrap();
        fs::create_dir_all(lower.join("usr/share")).unwrap();
        fs::write(lower.join("etc/hosts"), "").unwrap();
        symlink("usr/share", lower.join("share")).unwrap();
        let below = Merged::open([&lower]).unwrap();
        let targets = ["/etc/hosts", "/etc/resolv.conf", "/share/a/b", "/new/x"];
        let stubs = missing(&below, targets).unwrap();
        assert_eq!(stubs.len(), 3);
        for made in ["etc/resolv.conf", "etc/mine", "new/x"] {
            let path = upper.join(made);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        fs::create_dir_all(upper.join("usr/share/a/b")).unwrap();
        fs::write(upper.join("new/kept"), "1").unwrap();
        remove(&upper, &below, &stubs).unwrap();
        assert!(!upper.join("etc/resolv.conf").exists());
        assert!(upper.join("etc/mine").exists(), "the step's own");
        assert!(!upper.join("usr").exists(), "only there for the mount");
        assert!(!upper.join("new/x").exists() && upper.join("new/kept").exists());
    }
}
