//! Copies a merged tree into a folder: content, owners, modes, attributes,
//! times, links and devices.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::archive::layer::Attributes;
use crate::archive::{Error, Folder, Found};
use crate::sys::tree::{self, Kind, Stat};

/// Deepest tree copied.
const DEPTH_MAX: usize = 256;

/// Copies what is in `from`, and its own attributes, into the folder `to`.
///
/// Names that are there already stay if they look the same (kind, length,
/// time) and are replaced otherwise, so that a copy that was broken off can
/// be done again; names that `from` doesn't have are left alone.
///
/// # Errors
/// [`Error::Write`] with the first name that failed.
pub fn copy_tree(from: &Folder, to: BorrowedFd<'_>) -> Result<(), Error> {
    let root = to.try_clone_to_owned().map_err(Error::write("open", "."))?;
    let mut copy = Copy {
        root,
        linked: HashMap::new(),
        own: tree::own_ids(),
    };
    copy.folder(from, to, Path::new(""), 0)
}

/// Copies a tree that overlay wrote into an empty folder: overlay's marks come
/// along, so that the copy can take the tree's place.
///
/// # Errors
/// As [`copy_tree`].
pub fn copy_upper(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Error> {
    let root = to.try_clone_to_owned().map_err(Error::write("open", "."))?;
    let mut copy = Copy {
        root,
        linked: HashMap::new(),
        own: tree::own_ids(),
    };
    copy.upper(from, to, Path::new(""), 0)
}

struct Copy {
    /// Where the copy goes.
    root: OwnedFd,
    /// Where files with several names went, by device and inode.
    linked: HashMap<(u64, u64), PathBuf>,
    own: (u32, u32),
}

impl Copy {
    fn folder(
        &mut self,
        from: &Folder,
        to: BorrowedFd<'_>,
        path: &Path,
        depth: usize,
    ) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(Error::Limit {
                what: "levels of folders",
                limit: DEPTH_MAX as u64,
            });
        }
        for name in from.names().map_err(Error::write("read", path))? {
            let path = path.join(&name);
            let failed = |source| Error::write("copy", &path)(source);
            match from.child(&name).map_err(failed)? {
                None => {}
                Some(Found::Folder(child)) => {
                    let target = make_folder(to, &name).map_err(failed)?;
                    self.folder(&child, target.as_fd(), &path, depth + 1)?;
                }
                Some(Found::File { parent, name, stat }) => {
                    self.file(parent.as_fd(), &name, &stat, to, &path)
                        .map_err(failed)?;
                }
            }
        }
        let copy_attributes = || {
            let top = from.top()?;
            Attributes::of(top.as_fd())?.apply(to, self.own)
        };
        copy_attributes().map_err(Error::write("set the attributes of", path))
    }

    /// A folder of overlay's writes, mark by mark.
    fn upper(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        path: &Path,
        depth: usize,
    ) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(Error::Limit {
                what: "levels of folders",
                limit: DEPTH_MAX as u64,
            });
        }
        for (name, kind) in tree::entries(from).map_err(Error::write("read", path))? {
            let path = path.join(&name);
            let failed = |source| Error::write("copy", &path)(source);
            if kind == Kind::Dir {
                let target = make_folder(to, &name).map_err(failed)?;
                let source = tree::open_dir(from, &name).map_err(failed)?;
                self.upper(source.as_fd(), target.as_fd(), &path, depth + 1)?;
            } else if let Some(stat) = tree::stat(from, &name).map_err(failed)? {
                self.file(from, &name, &stat, to, &path).map_err(failed)?;
            }
        }
        let copy_attributes = || {
            if tree::is_opaque(from)? {
                tree::set_opaque(to)?;
            }
            Attributes::of(from)?.apply(to, self.own)
        };
        copy_attributes().map_err(Error::write("set the attributes of", path))
    }

    fn file(
        &mut self,
        from: BorrowedFd<'_>,
        name: &OsStr,
        stat: &Stat,
        to: BorrowedFd<'_>,
        path: &Path,
    ) -> io::Result<()> {
        match tree::stat(to, name)? {
            Some(there) if is_same(&there, stat) => return self.remember(stat, path),
            Some(_) => tree::remove_tree(to, name)?,
            None => {}
        }
        if stat.has_other_names
            && let Some(first) = self.linked.get(&(stat.device, stat.inode))
        {
            let parent = first.parent().unwrap_or(Path::new(""));
            let parent = tree::open_dir_in_root(self.root.as_fd(), parent)?;
            let first_name = first.file_name().unwrap_or(OsStr::new(""));
            return tree::link(parent.as_fd(), first_name, to, name);
        }
        match stat.kind {
            Kind::File => self.content(from, name, to)?,
            Kind::Symlink => {
                tree::make_symlink(to, name, &tree::read_link(from, name)?)?;
                tree::set_owner(to, name, stat.uid, stat.gid)?;
                tree::set_modified(to, name, stat.modified)?;
            }
            Kind::CharDevice | Kind::BlockDevice | Kind::Fifo | Kind::Other => {
                tree::make_node(to, name, stat.kind, stat.node)?;
                tree::set_owner(to, name, stat.uid, stat.gid)?;
                tree::set_node_mode(to, name, stat.mode)?;
                tree::set_modified(to, name, stat.modified)?;
            }
            // A folder is never a file.
            Kind::Dir => {}
        }
        self.remember(stat, path)
    }

    fn content(&self, from: BorrowedFd<'_>, name: &OsStr, to: BorrowedFd<'_>) -> io::Result<()> {
        let mut source: File = tree::open_file(from, name)?;
        let mut target = tree::create_file(to, name)?;
        // copy_file_range(2) underneath: no copy at all where blocks can be shared.
        io::copy(&mut source, &mut target)?;
        Attributes::of(source.as_fd())?.apply(target.as_fd(), self.own)
    }

    #[expect(clippy::unnecessary_wraps, reason = "it ends two fallible ways")]
    fn remember(&mut self, stat: &Stat, path: &Path) -> io::Result<()> {
        if stat.has_other_names {
            self.linked
                .insert((stat.device, stat.inode), path.to_owned());
        }
        Ok(())
    }
}

fn make_folder(to: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    match tree::stat(to, name)? {
        Some(there) if there.kind == Kind::Dir => {}
        Some(_) => {
            tree::remove_tree(to, name)?;
            tree::make_dir(to, name)?;
        }
        None => tree::make_dir(to, name)?,
    }
    tree::open_dir(to, name)
}

fn is_same(one: &Stat, other: &Stat) -> bool {
    let seen = |stat: &Stat| {
        (
            stat.kind,
            stat.size,
            stat.modified,
            stat.mode,
            stat.uid,
            stat.gid,
        )
    };
    seen(one) == seen(other)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;
    use crate::archive::testing::Tar;
    use crate::archive::{Extractor, Limits, Merged, settle};

    fn merged(dir: &Path, layers: Vec<Tar>) -> Merged {
        let mut paths: Vec<PathBuf> = Vec::new();
        for (number, tar) in layers.into_iter().enumerate() {
            let path = dir.join(format!("layer{number}"));
            fs::create_dir(&path).unwrap();
            let limits = Limits::default();
            let layer = Extractor::extract(tar.end().as_slice(), &path, limits).unwrap();
            settle(layer, &Merged::open(&paths).unwrap()).unwrap();
            paths.insert(0, path);
        }
        Merged::open(paths).unwrap()
    }

    #[test]
    fn overlays_marks_are_copied() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("d")).unwrap();
        fs::create_dir(&to).unwrap();
        let (from, to) = (
            tree::open_root(&from).unwrap(),
            tree::open_root(&to).unwrap(),
        );
        tree::make_whiteout(from.as_fd(), OsStr::new("gone")).unwrap();
        let opaque = tree::open_dir(from.as_fd(), OsStr::new("d")).unwrap();
        tree::set_opaque(opaque.as_fd()).unwrap();
        copy_upper(from.as_fd(), to.as_fd()).unwrap();
        let gone = tree::stat(to.as_fd(), OsStr::new("gone")).unwrap();
        assert!(gone.unwrap().is_whiteout());
        let copied = tree::open_dir(to.as_fd(), OsStr::new("d")).unwrap();
        assert!(tree::is_opaque(copied.as_fd()).unwrap());
    }

    #[test]
    fn everything_comes_along() {
        let dir = tempfile::tempdir().unwrap();
        let tree = merged(
            dir.path(),
            vec![
                Tar::new()
                    .owner(7, 8)
                    .mode(0o700)
                    .dir("./")
                    .mode(0o4750)
                    .file("a", "1")
                    .hard_link("b", "a")
                    .file("gone", "x"),
                Tar::new()
                    .file(".wh.gone", "")
                    .symlink("l", "a")
                    .fifo("p")
                    .dir("d")
                    .file("d/f", "2"),
            ],
        );
        let to = dir.path().join("to");
        fs::create_dir(&to).unwrap();
        let target = tree::open_root(&to).unwrap();
        for _ in 0..2 {
            copy_tree(tree.root(), target.as_fd()).unwrap();
            let top = fs::metadata(&to).unwrap();
            assert_eq!(
                (top.uid(), top.gid(), top.permissions().mode() & 0o7777),
                (7, 8, 0o700)
            );
            let (a, b) = (
                fs::metadata(to.join("a")).unwrap(),
                fs::metadata(to.join("b")).unwrap(),
            );
            assert_eq!(
                (a.ino(), a.uid(), a.permissions().mode() & 0o7777),
                (b.ino(), 7, 0o4750)
            );
            assert_eq!(fs::read_to_string(to.join("d/f")).unwrap(), "2");
            assert_eq!(fs::read_link(to.join("l")).unwrap(), Path::new("a"));
            assert!(!to.join("gone").exists());
            // What is in the way of a second try, or nobody's business.
            fs::write(to.join("d/f"), "half").unwrap();
            fs::write(to.join("users"), "kept").unwrap();
        }
        assert_eq!(fs::read_to_string(to.join("users")).unwrap(), "kept");
    }
}
