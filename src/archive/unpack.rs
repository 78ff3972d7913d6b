//! Puts the entries of an archive into a tree that is in use, as `cp -` does.
//!
//! Unlike a layer's, the tree has been there before: folders are filled, files
//! give way to files, and a folder never gives way to anything else. Names are
//! resolved inside the tree's root, links and all, so an archive can do no
//! more than a program that runs there.

use std::ffi::OsStr;
use std::io::{self, BufRead, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::archive::extract::attributes;
use crate::archive::layer::Attributes;
use crate::archive::{Entry, EntryKind, Error, Limits, Owner, TarReader};
use crate::oci;
use crate::sys::fs;
use crate::sys::tree::{self, FileTime, Kind};

/// Puts a plain archive's entries into the folder `into` of the tree at `root`.
///
/// # Errors
/// What the archive or the file system refuses; entries before that are there.
pub fn unpack<R: BufRead>(
    source: R,
    root: BorrowedFd<'_>,
    into: &Path,
    owner: Owner,
    limits: Limits,
) -> Result<(), Error> {
    let mut reader = TarReader::new(source, limits);
    let mut place = Place {
        root,
        into,
        owner,
        own: tree::own_ids(),
        folders: Vec::new(),
    };
    while let Some(entry) = reader.next_entry()? {
        place.take(&entry, &mut reader)?;
    }
    place.finish()
}

struct Place<'a> {
    root: BorrowedFd<'a>,
    into: &'a Path,
    owner: Owner,
    own: (u32, u32),
    /// Times of folders, which change while they are filled.
    folders: Vec<(PathBuf, FileTime)>,
}

impl Place<'_> {
    fn take<R: BufRead>(&mut self, entry: &Entry, reader: &mut TarReader<R>) -> Result<(), Error> {
        let Some(name) = oci::clean_name(&entry.name)? else {
            return Ok(());
        };
        let path = name.path();
        let parent = self
            .folder(&name.parent)
            .map_err(Error::write("create folder", &name.parent))?;
        let (parent, name) = (parent.as_fd(), name.name.as_os_str());
        let mut attributes = attributes(entry)?;
        if let Owner::Given(uid, gid) = self.owner {
            (attributes.uid, attributes.gid) = (uid, gid);
        }
        let failed = |source| Error::write("create", &path)(source);
        if entry.kind == EntryKind::Directory {
            self.directory(parent, name, &attributes).map_err(failed)?;
            self.folders
                .extend(attributes.modified.map(|time| (path, time)));
            return Ok(());
        }
        make_room(parent, name).map_err(failed)?;
        match entry.kind {
            EntryKind::File => {
                let mut file = tree::create_file(parent, name).map_err(failed)?;
                while reader
                    .content_piece(|piece| file.write_all(piece).map_err(failed))?
                    .is_some()
                {}
                attributes.apply(file.as_fd(), self.own).map_err(failed)
            }
            EntryKind::Symlink => tree::make_symlink(parent, name, OsStr::from_bytes(&entry.link))
                .and_then(|()| attributes.apply_to_name(parent, name, self.own))
                .map_err(failed),
            EntryKind::HardLink => self.hard_link(entry, parent, name).map_err(failed),
            EntryKind::CharDevice => self
                .node(parent, name, Kind::CharDevice, entry, &attributes)
                .map_err(failed),
            EntryKind::BlockDevice => self
                .node(parent, name, Kind::BlockDevice, entry, &attributes)
                .map_err(failed),
            EntryKind::Fifo => self
                .node(parent, name, Kind::Fifo, entry, &attributes)
                .map_err(failed),
            // Made above.
            EntryKind::Directory => Ok(()),
        }
    }

    /// A folder of the archive, made when the archive has no entry for it.
    fn folder(&self, path: &Path) -> io::Result<OwnedFd> {
        fs::ensure_in_root(self.root, self.into.join(path), fs::Kind::Folder)
    }

    fn directory(
        &self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        attributes: &Attributes,
    ) -> io::Result<()> {
        match tree::stat(parent, name)? {
            Some(there) if there.kind == Kind::Dir => {}
            Some(_) => {
                return Err(io::Error::other(
                    "cannot overwrite non-directory with directory",
                ));
            }
            None => tree::make_dir(parent, name)?,
        }
        attributes.apply(tree::open_dir(parent, name)?.as_fd(), self.own)
    }

    fn hard_link(&self, entry: &Entry, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        let target = oci::clean_name(&entry.link).map_err(io::Error::other)?;
        let target = target.ok_or_else(|| io::Error::other("hard link to the root"))?;
        let folder = self.folder(&target.parent)?;
        tree::link(folder.as_fd(), &target.name, parent, name)
    }

    fn node(
        &self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        kind: Kind,
        entry: &Entry,
        attributes: &Attributes,
    ) -> io::Result<()> {
        tree::make_node(parent, name, kind, entry.node)?;
        tree::set_node_mode(parent, name, attributes.mode)?;
        attributes.apply_to_name(parent, name, self.own)
    }

    /// Sets the folders' times, innermost first.
    fn finish(self) -> Result<(), Error> {
        for (path, time) in self.folders.iter().rev() {
            tree::open_dir_in_root(self.root, &self.into.join(path))
                .and_then(|folder| tree::set_modified_open(folder.as_fd(), *time))
                .map_err(Error::write("set the time of", path))?;
        }
        Ok(())
    }
}

/// Takes away what has the name, unless it is a folder.
fn make_room(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match tree::stat(parent, name)? {
        Some(there) if there.kind == Kind::Dir => Err(io::Error::other(
            "cannot overwrite directory with non-directory",
        )),
        Some(_) => tree::remove_file(parent, name),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, read_to_string};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;
    use crate::archive::testing::Tar;

    fn put(tar: Tar, root: &Path, into: &str, owner: Owner) -> Result<(), Error> {
        let root = tree::open_root(root).unwrap();
        let tar = tar.end();
        unpack(
            tar.as_slice(),
            root.as_fd(),
            Path::new(into),
            owner,
            Limits::default(),
        )
    }

    #[test]
    fn entries_join_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("srv/d")).unwrap();
        fs::write(root.join("srv/d/kept"), "kept").unwrap();
        fs::write(root.join("srv/d/f"), "old").unwrap();
        let tar = Tar::new()
            .owner(7, 8)
            .mode(0o750)
            .dir("./")
            .mode(0o750)
            .dir("d")
            .mode(0o4755)
            .file("d/f", "new")
            .hard_link("h", "d/f")
            .symlink("l", "d/f")
            .fifo("p")
            .file("deep/er/g", "g");
        put(tar, &root, "/srv", Owner::Original).unwrap();
        let read = |path: &str| read_to_string(root.join("srv").join(path)).unwrap();
        assert_eq!((read("d/f"), read("d/kept")), ("new".into(), "kept".into()));
        assert_eq!(
            (read("h"), read("l"), read("deep/er/g")),
            ("new".into(), "new".into(), "g".into())
        );
        let made = fs::metadata(root.join("srv/d/f")).unwrap();
        assert_eq!(
            (made.uid(), made.gid(), made.permissions().mode() & 0o7777),
            (7, 8, 0o4755)
        );
        assert_eq!(
            fs::metadata(root.join("srv/d"))
                .unwrap()
                .permissions()
                .mode()
                & 0o7777,
            0o750
        );
        put(Tar::new().file("x", ""), &root, "/srv", Owner::Given(3, 4)).unwrap();
        assert_eq!(fs::metadata(root.join("srv/x")).unwrap().uid(), 3);
    }

    #[test]
    fn no_entry_leaves_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("srv")).unwrap();
        fs::write(dir.path().join("secret"), "untouched").unwrap();
        symlink(dir.path(), root.join("srv/out")).unwrap();
        let tar = Tar::new()
            .file("../../secret", "1")
            .file("out/secret", "2")
            .symlink("again", "../..")
            .file("again/secret", "3");
        put(tar, &root, "srv", Owner::Original).unwrap();
        assert_eq!(
            read_to_string(dir.path().join("secret")).unwrap(),
            "untouched"
        );
        assert_eq!(read_to_string(root.join("srv/secret")).unwrap(), "1");
        assert_eq!(read_to_string(root.join("secret")).unwrap(), "3");
    }

    #[test]
    fn kinds_are_not_exchanged() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("f"), "").unwrap();
        assert!(put(Tar::new().file("d", ""), dir.path(), "", Owner::Original).is_err());
        assert!(put(Tar::new().dir("f"), dir.path(), "", Owner::Original).is_err());
        assert!(dir.path().join("d").is_dir() && dir.path().join("f").is_file());
    }
}
