//! A layer in the making, written by path on top of the layers below it.
//!
//! Paths are resolved as a container would see them: through the layer itself
//! and those below, symbolic links followed inside the root. What is written
//! lies in the layer alone; folders on the way take mode, owner and attributes
//! from below. Where the files come from is the caller's matter.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::archive::layer::Attributes;
use crate::archive::{Error, Found, Merged};
use crate::sys::fs;
use crate::sys::tree::{self, FileTime, Kind, Stat};

/// Most symbolic links on the way to a file, as in the kernel.
const LINKS_MAX: u32 = 40;

/// Who owns a file that is written, and what may be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ownership {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// A layer's tree upon those below it.
#[derive(Debug)]
pub struct Overlay {
    upper: Rc<OwnedFd>,
    whole: Merged,
    own: (u32, u32),
    /// Times of folders, which what is made in them would change.
    times: RefCell<Vec<(PathBuf, FileTime)>>,
}

impl Overlay {
    /// Opens a layer's tree, which nobody else writes to.
    ///
    /// # Errors
    /// [`Error::Write`] when it can't be opened.
    pub fn open(upper: &Path, below: &Merged) -> Result<Self, Error> {
        let root = tree::open_root(upper).map_err(Error::write("open", upper))?;
        let root = Rc::new(root);
        Ok(Self {
            whole: below.under(Rc::clone(&root)),
            upper: root,
            own: tree::own_ids(),
            times: RefCell::default(),
        })
    }

    /// A path as a container would see it, with symbolic links followed; the
    /// path that comes back has none.
    ///
    /// # Errors
    /// [`Error::Write`] when a layer can't be read, or links go in circles.
    pub fn find(&self, path: &Path) -> Result<Option<(PathBuf, Found)>, Error> {
        self.whole
            .find(path, true)
            .map_err(Error::write("find", path))
    }

    /// A small file as a container would see it, at most `bytes_max` of it.
    ///
    /// # Errors
    /// As [`Overlay::find`].
    pub fn read(&self, path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
        use std::io::Read as _;
        let failed = |source| Error::write("read", path)(source);
        let Some(file) = self.whole.open_file(path).map_err(failed)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(bytes_max)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        Ok(Some(bytes))
    }

    /// The real folder and the name that a path stands for, with links followed
    /// to where nothing is yet; folders that are missing on the way are made.
    ///
    /// # Errors
    /// As [`Overlay::make_folder`].
    pub fn make_way(&self, path: &Path, made: Ownership) -> Result<(PathBuf, OsString), Error> {
        let mut path = path.to_owned();
        for _ in 0..=LINKS_MAX {
            let parent = self.make_folder(path.parent().unwrap_or(Path::new("")), made)?;
            let name = path.file_name().unwrap_or(OsStr::new("")).to_owned();
            match self.child(&parent, &name)? {
                Some(Found::File {
                    parent: folder,
                    stat,
                    ..
                }) if stat.kind == Kind::Symlink => {
                    let target = tree::read_link(folder.as_fd(), &name)
                        .map_err(Error::write("read link", &path))?;
                    path = Path::new("/").join(parent).join(target);
                }
                Some(_) | None => return Ok((parent, name)),
            }
        }
        let circle = io::Error::other("too many symbolic links");
        Err(Error::write("find", &path)(circle))
    }

    /// The real path of a folder; what is missing of it is made as `made` says.
    ///
    /// # Errors
    /// [`Error::Write`] when something else than a folder is in the way.
    pub fn make_folder(&self, path: &Path, made: Ownership) -> Result<PathBuf, Error> {
        let failed = |source| Error::write("create folder", path)(source);
        let mut way: Vec<OsString> = Vec::new();
        let mut ahead = fs::steps(path);
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                way.pop();
                continue;
            }
            let here: PathBuf = way.iter().collect();
            let folder = match self.whole.at(&here).map_err(failed)? {
                Some(Found::Folder(folder)) => folder,
                Some(Found::File { .. }) | None => {
                    return Err(failed(io::ErrorKind::NotADirectory.into()));
                }
            };
            match folder.child(&name).map_err(failed)? {
                Some(Found::Folder(_)) => way.push(name),
                Some(Found::File { parent, stat, .. }) if stat.kind == Kind::Symlink => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(failed(io::Error::other("too many symbolic links")));
                    }
                    let target = tree::read_link(parent.as_fd(), &name).map_err(failed)?;
                    let target = PathBuf::from(target);
                    if target.is_absolute() {
                        way.clear();
                    }
                    ahead.extend(fs::steps(&target));
                }
                Some(Found::File { .. }) => {
                    return Err(failed(io::ErrorKind::NotADirectory.into()));
                }
                None => {
                    self.put_folder(&here, &name, made, None)?;
                    way.push(name);
                }
            }
        }
        Ok(way.into_iter().collect())
    }

    /// Makes a folder in a real folder, or gives one that is there (also
    /// below) these attributes; its time when all is [finished](Self::finish).
    ///
    /// # Errors
    /// [`Error::Write`] when something else is in the way.
    pub fn put_folder(
        &self,
        parent: &Path,
        name: &OsStr,
        made: Ownership,
        modified: Option<FileTime>,
    ) -> Result<(), Error> {
        let path = parent.join(name);
        let failed = |source| Error::write("create folder", &path)(source);
        let folder = self.own_folder(parent)?;
        match self.child(parent, name)? {
            Some(Found::File { .. }) => {
                return Err(failed(io::ErrorKind::NotADirectory.into()));
            }
            Some(Found::Folder(_)) => drop(self.own_folder(&path)?),
            None => self
                .make_anew(folder.as_fd(), name, tree::make_dir)
                .map_err(failed)?,
        }
        let made_folder = tree::open_dir(folder.as_fd(), name).map_err(failed)?;
        if let Some(time) = modified {
            self.times.borrow_mut().push((path.clone(), time));
        }
        attributes(made, None, Vec::new())
            .apply(made_folder.as_fd(), self.own)
            .map_err(failed)
    }

    /// Gives the folders that were put the times that they are to have.
    ///
    /// # Errors
    /// [`Error::Write`] with the first that failed.
    pub fn finish(self) -> Result<(), Error> {
        for (path, time) in self.times.into_inner().into_iter().rev() {
            let set = || {
                let folder = tree::open_dir_in_root(self.upper.as_fd(), &path)?;
                tree::set_modified_open(folder.as_fd(), time)
            };
            set().map_err(Error::write("set the time of", &path))?;
        }
        Ok(())
    }

    /// Copies an open file's content and attributes to a name in a real
    /// folder, in place of any file that is there.
    ///
    /// # Errors
    /// [`Error::Write`] when a folder is in the way.
    pub fn put_file(
        &self,
        parent: &Path,
        name: &OsStr,
        source: &mut File,
        owned: Ownership,
        modified: Option<FileTime>,
    ) -> Result<(), Error> {
        let path = parent.join(name);
        let failed = |source| Error::write("copy", &path)(source);
        let folder = self.room(parent, name)?;
        let mut target = tree::create_file(folder.as_fd(), name).map_err(failed)?;
        // copy_file_range(2) underneath: no copy at all where blocks can be shared.
        io::copy(source, &mut target).map_err(failed)?;
        let kept = Attributes::of(source.as_fd()).map_err(failed)?;
        attributes(owned, modified, kept.xattrs)
            .apply(target.as_fd(), self.own)
            .map_err(failed)
    }

    /// Gives a file that was put at the real path `to` a further name in a
    /// real folder, in place of any file that is there.
    ///
    /// # Errors
    /// As [`Overlay::put_file`].
    pub fn put_link(&self, parent: &Path, name: &OsStr, to: &Path) -> Result<(), Error> {
        let path = parent.join(name);
        let failed = |source| Error::write("link", &path)(source);
        let folder = self.room(parent, name)?;
        let there = self.own_folder(to.parent().unwrap_or(Path::new("")))?;
        let known = to.file_name().unwrap_or(OsStr::new(""));
        tree::link(there.as_fd(), known, folder.as_fd(), name).map_err(failed)
    }

    /// Gives a real folder a time when all is [finished](Self::finish).
    ///
    /// # Errors
    /// [`Error::Write`] when it can't be made in this layer.
    pub fn set_folder_time(&self, path: &Path, modified: FileTime) -> Result<(), Error> {
        drop(self.own_folder(path)?);
        let mut times = self.times.borrow_mut();
        times.retain(|(known, _)| known != path);
        times.push((path.to_owned(), modified));
        Ok(())
    }

    /// Writes bytes to a name in a real folder, in place of any file there.
    ///
    /// # Errors
    /// As [`Overlay::put_file`].
    pub fn put_bytes(
        &self,
        parent: &Path,
        name: &OsStr,
        bytes: &[u8],
        owned: Ownership,
        modified: Option<FileTime>,
    ) -> Result<(), Error> {
        let path = parent.join(name);
        let failed = |source| Error::write("write", &path)(source);
        let folder = self.room(parent, name)?;
        let mut target = tree::create_file(folder.as_fd(), name).map_err(failed)?;
        io::Write::write_all(&mut target, bytes).map_err(failed)?;
        attributes(owned, modified, Vec::new())
            .apply(target.as_fd(), self.own)
            .map_err(failed)
    }

    /// Copies what is neither a file nor a folder: a symbolic link, a device,
    /// a named pipe.
    ///
    /// # Errors
    /// As [`Overlay::put_file`].
    pub fn put_other(
        &self,
        parent: &Path,
        name: &OsStr,
        source: (BorrowedFd<'_>, &OsStr, &Stat),
        owned: Ownership,
    ) -> Result<(), Error> {
        let path = parent.join(name);
        let folder = self.room(parent, name)?;
        let folder = folder.as_fd();
        let (from, from_name, stat) = source;
        let put = || {
            if stat.kind == Kind::Symlink {
                tree::make_symlink(folder, name, &tree::read_link(from, from_name)?)?;
            } else {
                tree::make_node(folder, name, stat.kind, stat.node)?;
            }
            tree::set_owner(folder, name, owned.uid, owned.gid)?;
            if stat.kind != Kind::Symlink {
                tree::set_node_mode(folder, name, owned.mode)?;
            }
            tree::set_modified(folder, name, stat.modified)
        };
        put().map_err(Error::write("copy", &path))
    }

    fn child(&self, parent: &Path, name: &OsStr) -> Result<Option<Found>, Error> {
        let failed = |source| Error::write("find", parent)(source);
        match self.whole.at(parent).map_err(failed)? {
            Some(Found::Folder(folder)) => folder.child(name).map_err(failed),
            Some(Found::File { .. }) | None => Ok(None),
        }
    }

    /// The folder in which a file is about to be made under a name that is free.
    fn room(&self, parent: &Path, name: &OsStr) -> Result<OwnedFd, Error> {
        let path = parent.join(name);
        let failed = |source| Error::write("write", &path)(source);
        if let Some(Found::Folder(_)) = self.child(parent, name)? {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let folder = self.own_folder(parent)?;
        tree::remove_file(folder.as_fd(), name).map_err(failed)?;
        Ok(folder)
    }

    /// Makes something where a mark of this layer may stand.
    fn make_anew(
        &self,
        folder: BorrowedFd<'_>,
        name: &OsStr,
        make: impl Fn(BorrowedFd<'_>, &OsStr) -> io::Result<()>,
    ) -> io::Result<()> {
        let is_marked = tree::stat(folder, name)?.is_some_and(|stat| stat.is_whiteout());
        if !is_marked {
            return make(folder, name);
        }
        tree::remove_file(folder, name)?;
        make(folder, name)?;
        tree::set_opaque(tree::open_dir(folder, name)?.as_fd())
    }

    /// A real folder in this layer, made like the one below where it is missing.
    fn own_folder(&self, path: &Path) -> Result<OwnedFd, Error> {
        let failed = |source| Error::write("create folder", path)(source);
        let mut here = self.upper.try_clone().map_err(failed)?;
        let mut below = PathBuf::new();
        for name in path.iter() {
            below.push(name);
            if tree::stat(here.as_fd(), name).map_err(failed)?.is_none() {
                let top = match self.whole.at(&below).map_err(failed)? {
                    Some(Found::Folder(folder)) => folder,
                    Some(Found::File { .. }) | None => {
                        return Err(failed(io::ErrorKind::NotADirectory.into()));
                    }
                };
                let like = Attributes::of(top.top().map_err(failed)?.as_fd()).map_err(failed)?;
                tree::make_dir(here.as_fd(), name).map_err(failed)?;
                let made = tree::open_dir(here.as_fd(), name).map_err(failed)?;
                like.apply(made.as_fd(), self.own).map_err(failed)?;
            }
            here = tree::open_dir(here.as_fd(), name).map_err(failed)?;
        }
        Ok(here)
    }
}

fn attributes(
    owned: Ownership,
    modified: Option<FileTime>,
    xattrs: Vec<(OsString, Vec<u8>)>,
) -> Attributes {
    Attributes {
        uid: owned.uid,
        gid: owned.gid,
        mode: owned.mode,
        modified,
        xattrs,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    const MADE: Ownership = Ownership {
        uid: 0,
        gid: 0,
        mode: 0o755,
    };

    /// A lower layer with `usr/lib` (0750, owner 7), `lib -> usr/lib`, and a file.
    fn scratch() -> (tempfile::TempDir, PathBuf, Overlay) {
        let dir = tempfile::tempdir().unwrap();
        let (upper, lower) = (dir.path().join("upper"), dir.path().join("lower"));
        fs::create_dir(&upper).unwrap();
        fs::create_dir_all(lower.join("usr/lib")).unwrap();
        fs::set_permissions(lower.join("usr/lib"), fs::Permissions::from_mode(0o750)).unwrap();
        std::os::unix::fs::chown(lower.join("usr/lib"), Some(7), None).unwrap();
        symlink("/usr/lib", lower.join("lib")).unwrap();
        fs::write(lower.join("file"), "below").unwrap();
        let overlay = Overlay::open(&upper, &Merged::open([&lower]).unwrap()).unwrap();
        (dir, upper, overlay)
    }

    #[test]
    fn folders_on_the_way_look_as_below() {
        let (_dir, upper, overlay) = scratch();
        let real = overlay.make_folder(Path::new("/lib/a/../b"), MADE).unwrap();
        assert_eq!(real, Path::new("usr/lib/b"));
        let lib = fs::metadata(upper.join("usr/lib")).unwrap();
        assert_eq!((lib.mode() & 0o7777, lib.uid()), (0o750, 7));
        assert!(!upper.join("lib").exists());
        overlay
            .put_bytes(&real, OsStr::new("f"), b"1", MADE, None)
            .unwrap();
        let (found, _) = overlay.find(Path::new("lib/b/f")).unwrap().unwrap();
        assert_eq!(found, Path::new("usr/lib/b/f"));
        assert_eq!(
            overlay.read(Path::new("lib/b/f"), 9).unwrap().unwrap(),
            b"1"
        );
    }

    #[test]
    fn a_link_to_nowhere_leads_to_where_nothing_is() {
        let (dir, upper, overlay) = scratch();
        let lower = dir.path().join("lower");
        symlink("/no/where", lower.join("far")).unwrap();
        symlink("../near", lower.join("usr/lib/link")).unwrap();
        symlink("loop", lower.join("loop")).unwrap();
        let way = |path: &str| overlay.make_way(Path::new(path), MADE);
        let name = |name: &str| OsString::from(name);
        assert_eq!(way("far").unwrap(), (PathBuf::from("no"), name("where")));
        assert!(upper.join("no").is_dir());
        let near = way("lib/link").unwrap();
        assert_eq!(near, (PathBuf::from("usr"), name("near")));
        assert_eq!(way("file").unwrap(), (PathBuf::new(), name("file")));
        assert!(way("loop").is_err());
    }

    #[test]
    fn files_replace_files_and_never_folders() {
        let (dir, upper, overlay) = scratch();
        let source = dir.path().join("source");
        fs::write(&source, "new").unwrap();
        let mut file = File::open(&source).unwrap();
        let owned = Ownership {
            uid: 3,
            gid: 4,
            mode: 0o4711,
        };
        let root = Path::new("");
        for _ in 0..2 {
            let mut file = file.try_clone().unwrap();
            io::Seek::rewind(&mut file).unwrap();
            overlay
                .put_file(root, OsStr::new("file"), &mut file, owned, None)
                .unwrap();
        }
        let made = fs::metadata(upper.join("file")).unwrap();
        assert_eq!(
            (made.uid(), made.gid(), made.mode() & 0o7777),
            (3, 4, 0o4711)
        );
        assert_eq!(fs::read_to_string(upper.join("file")).unwrap(), "new");
        let error = overlay
            .put_file(root, OsStr::new("usr"), &mut file, owned, None)
            .unwrap_err();
        assert!(error.to_string().contains("usr"), "{error}");
        let error = overlay
            .put_folder(root, OsStr::new("file"), MADE, None)
            .unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
        assert!(overlay.make_folder(Path::new("file/x"), MADE).is_err());
    }

    #[test]
    fn links_in_circles_end() {
        let (_dir, _upper, overlay) = scratch();
        let from = tempfile::tempdir().unwrap();
        symlink("loop", from.path().join("loop")).unwrap();
        let source = tree::open_root(from.path()).unwrap();
        let name = OsStr::new("loop");
        let stat = tree::stat(source.as_fd(), name).unwrap().unwrap();
        overlay
            .put_other(Path::new(""), name, (source.as_fd(), name, &stat), MADE)
            .unwrap();
        assert!(overlay.make_folder(Path::new("loop/x"), MADE).is_err());
    }
}
