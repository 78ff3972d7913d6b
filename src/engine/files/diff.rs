//! What a container's own layer adds to, changes in and takes from its image.
//!
//! Read from the layer itself: files that nobody wrote to are never looked at.
//! A container that runs may change it meanwhile; what is gone by then isn't
//! told.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use crate::archive::{Folder, Found, Merged};
use crate::engine::files::{Error, lowers, writes};
use crate::model::ContainerRecord;
use crate::store::Root;
use crate::sys::tree::{self, Kind, Stat};

/// Deepest tree that is looked at, as in the names of a layer.
const DEPTH_MAX: usize = 256;
/// Where every container has something mounted: what lies below is only the
/// place for it, and nobody's change.
const COVERED: [&str; 6] = [
    "/dev",
    "/proc",
    "/sys",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
];
/// The folder that such places are made in where the image has none.
const HOLDER: &str = "/etc";

/// What became of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The image hasn't got it.
    Added,
    /// It isn't as the image has it, or something in it isn't.
    Changed,
    /// The image has it and the container hasn't.
    Deleted,
}

/// The paths that a container has changed, sorted.
///
/// # Errors
/// When its layers can't be read, or are too deep.
pub fn diff(root: &Root, record: &ContainerRecord) -> Result<Vec<(PathBuf, Change)>, Error> {
    let compared = |layers: Vec<PathBuf>| -> io::Result<Vec<(PathBuf, Change)>> {
        let upper = tree::open_root(&writes(root, record))?;
        let image = Merged::open(layers)?;
        let below = (!image.is_empty()).then(|| image.root());
        let mut changes = Vec::new();
        compare(upper.as_fd(), below, Path::new("/"), 0, &mut changes)?;
        changes.sort_by(|(one, _), (other, _)| one.as_os_str().cmp(other.as_os_str()));
        Ok(changes)
    };
    compared(lowers(root, record)?).map_err(|source| Error::Reach {
        name: format!("container {}", record.name),
        source,
    })
}

/// Tells what is different in a folder of the layer.
fn compare(
    upper: BorrowedFd<'_>,
    below: Option<&Folder>,
    path: &Path,
    depth: usize,
    changes: &mut Vec<(PathBuf, Change)>,
) -> io::Result<()> {
    if depth > DEPTH_MAX {
        return Err(io::Error::other(format!(
            "{} has more than {DEPTH_MAX} folders above it",
            path.display()
        )));
    }
    let entries = tree::entries(upper)?;
    if let Some(below) = below
        && depth > 0
        && tree::is_opaque(upper)?
    {
        hidden(below, &entries, path, changes)?;
    }
    for (name, _) in &entries {
        let whole = path.join(name);
        if COVERED.iter().any(|covered| whole == Path::new(covered)) {
            continue;
        }
        let Some(stat) = tree::stat(upper, name)? else {
            continue;
        };
        let old = match below {
            Some(below) => below.child(name)?,
            None => None,
        };
        if stat.is_whiteout() {
            changes.extend(old.map(|_| (whole, Change::Deleted)));
        } else if stat.kind == Kind::Dir {
            folder(upper, name, stat, old, &whole, depth, changes)?;
        } else {
            let change = old.map_or(Change::Added, |_| Change::Changed);
            changes.push((whole, change));
        }
    }
    Ok(())
}

/// Names of the image that a folder made anew doesn't show.
fn hidden(
    below: &Folder,
    entries: &[(OsString, Kind)],
    path: &Path,
    changes: &mut Vec<(PathBuf, Change)>,
) -> io::Result<()> {
    for name in below.names()? {
        if entries.iter().all(|(own, _)| *own != name) {
            changes.push((path.join(name), Change::Deleted));
        }
    }
    Ok(())
}

fn folder(
    upper: BorrowedFd<'_>,
    name: &OsStr,
    stat: Stat,
    old: Option<Found>,
    path: &Path,
    depth: usize,
    changes: &mut Vec<(PathBuf, Change)>,
) -> io::Result<()> {
    let opened = match tree::open_dir(upper, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let before = changes.len();
    let (below, change) = match old {
        None => (None, Some(Change::Added)),
        Some(Found::File { .. }) => (None, Some(Change::Changed)),
        Some(Found::Folder(folder)) => {
            let is_same = looks(folder.stat()?) == looks(stat);
            (Some(folder), (!is_same).then_some(Change::Changed))
        }
    };
    compare(opened.as_fd(), below.as_ref(), path, depth + 1, changes)?;
    let has_changes = changes.len() > before;
    if !has_changes && change == Some(Change::Added) && path == Path::new(HOLDER) {
        return Ok(());
    }
    // A folder with a change in it has changed.
    let change = change.or(has_changes.then_some(Change::Changed));
    changes.extend(change.map(|change| (path.to_owned(), change)));
    Ok(())
}

/// What makes a folder another one.
fn looks(stat: Stat) -> (u32, u32, u32, tree::FileTime) {
    (stat.mode, stat.uid, stat.gid, stat.modified)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Trees of an image's layers, topmost first, and of a container's own.
    struct Trees {
        dir: tempfile::TempDir,
    }

    impl Trees {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            for tree in ["top", "bottom", "own"] {
                fs::create_dir(dir.path().join(tree)).unwrap();
            }
            Self { dir }
        }

        fn file(&self, path: &str) {
            let path = self.dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }

        fn whiteout(&self, path: &str) {
            let path = self.dir.path().join(path);
            let (folder, name) = (path.parent().unwrap(), path.file_name().unwrap());
            fs::create_dir_all(folder).unwrap();
            let folder = tree::open_root(folder).unwrap();
            tree::make_whiteout(folder.as_fd(), name).unwrap();
        }

        /// Gives a folder of the container's the time of the image's.
        fn unchanged(&self, own: &str, image: &str) {
            let modified = |path: &str| {
                let folder = tree::open_root(&self.dir.path().join(path)).unwrap();
                (tree::stat_open(folder.as_fd()).unwrap().modified, folder)
            };
            let ((time, _), (_, folder)) = (modified(image), modified(own));
            tree::set_modified_open(folder.as_fd(), time).unwrap();
        }

        fn changes(&self) -> Vec<String> {
            let upper = tree::open_root(&self.dir.path().join("own")).unwrap();
            let layers = ["top", "bottom"].map(|layer| self.dir.path().join(layer));
            let image = Merged::open(layers).unwrap();
            let mut changes = Vec::new();
            let root = Path::new("/");
            compare(upper.as_fd(), Some(image.root()), root, 0, &mut changes).unwrap();
            changes.sort_by(|(one, _), (other, _)| one.as_os_str().cmp(other.as_os_str()));
            let line =
                |(path, change): &(PathBuf, Change)| format!("{change:?} {}", path.display());
            changes.iter().map(line).collect()
        }
    }

    #[test]
    fn what_is_added_changed_and_deleted() {
        let trees = Trees::new();
        for path in [
            "bottom/etc/passwd",
            "bottom/etc/old",
            "top/bin/sh",
            "bottom/same/file",
        ] {
            trees.file(path);
        }
        trees.file("own/etc/passwd");
        trees.whiteout("own/etc/old");
        trees.whiteout("own/etc/never");
        trees.file("own/new/deep/file");
        fs::create_dir(trees.dir.path().join("own/same")).unwrap();
        trees.unchanged("own/same", "bottom/same");
        assert_eq!(
            trees.changes(),
            [
                "Changed /etc",
                "Deleted /etc/old",
                "Changed /etc/passwd",
                "Added /new",
                "Added /new/deep",
                "Added /new/deep/file",
            ]
        );
    }

    #[test]
    fn a_folder_in_the_place_of_a_file_and_one_made_anew() {
        let trees = Trees::new();
        trees.file("top/name");
        trees.file("top/dir/one");
        trees.file("bottom/dir/two");
        trees.file("own/name/in");
        trees.file("own/dir/two");
        let anew = tree::open_root(&trees.dir.path().join("own/dir")).unwrap();
        tree::set_opaque(anew.as_fd()).unwrap();
        assert_eq!(
            trees.changes(),
            [
                "Changed /dir",
                "Deleted /dir/one",
                "Changed /dir/two",
                "Changed /name",
                "Added /name/in",
            ]
        );
    }

    #[test]
    fn nothing_written_is_no_change() {
        let trees = Trees::new();
        trees.file("top/file");
        trees.file("own/etc/hosts");
        fs::create_dir(trees.dir.path().join("own/proc")).unwrap();
        assert!(trees.changes().is_empty());
    }
}
