//! Writes a layer's entries into a folder of its own.
//!
//! Every name is made in a folder opened inside the layer's root, and made
//! new: what was there is removed first, so nothing is ever followed,
//! truncated or changed in place.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::archive::layer::{Attributes, PendingLink, Unsettled};
use crate::archive::map::Recorder;
use crate::archive::{Entry, EntryKind, Error, Limits, TarReader};
use crate::oci::{self, EntryName, LayerVerdict};
use crate::sys::tree::{self, Kind};

/// Extracts one layer.
#[derive(Debug)]
pub struct Extractor {
    layer: Unsettled,
    /// The folder of the last entry: the next one is mostly in it too.
    last_folder: Option<(PathBuf, Rc<std::os::fd::OwnedFd>)>,
    /// Owner and group that new files get by themselves.
    own: (u32, u32),
}

impl Extractor {
    /// Extracts all entries of a plain tar into `root`, an empty folder that
    /// nobody else may write to.
    ///
    /// # Errors
    /// See [`Error`]. What was written so far stays in `root`.
    pub fn extract<R: BufRead>(source: R, root: &Path, limits: Limits) -> Result<Unsettled, Error> {
        Self::run(source, root, limits, None)
    }

    /// Extracts, and writes a map from which [`crate::archive::rebuild`] makes the tar
    /// again; without one when the tree doesn't hold all of the tar's contents
    /// ([`Unsettled::has_map`]).
    ///
    /// # Errors
    /// As [`Self::extract`].
    pub fn extract_with_map<R: BufRead>(
        source: R,
        root: &Path,
        limits: Limits,
        map: File,
    ) -> Result<Unsettled, Error> {
        Self::run(source, root, limits, Some(map))
    }

    fn run<R: BufRead>(
        source: R,
        root: &Path,
        limits: Limits,
        map: Option<File>,
    ) -> Result<Unsettled, Error> {
        let mut extractor = Self {
            layer: Unsettled::new(root)?,
            last_folder: None,
            own: tree::own_ids(),
        };
        let mut reader = TarReader::new(source, limits);
        if let Some(map) = map {
            reader.record_into(Recorder::new(map).map_err(Error::write("write", "map"))?);
            extractor.layer.has_map = true;
        }
        while let Some(entry) = reader.next_entry()? {
            extractor.take(&entry, &mut reader)?;
        }
        reader.finish_record()?;
        Ok(extractor.layer)
    }

    fn take<R: BufRead>(&mut self, entry: &Entry, reader: &mut TarReader<R>) -> Result<(), Error> {
        match oci::layer_verdict(&entry.name)? {
            LayerVerdict::Skip => Ok(()),
            LayerVerdict::Root => self.describe_root(entry),
            LayerVerdict::Whiteout(name) => {
                self.layer.whiteouts.push(name);
                Ok(())
            }
            LayerVerdict::Opaque(folder) => {
                self.layer.opaques.push(folder);
                Ok(())
            }
            LayerVerdict::Entry(name) => {
                let attributes = attributes(entry)?;
                match entry.kind {
                    EntryKind::Directory => self.folder(&name, attributes),
                    EntryKind::File => self.file(&name, &attributes, reader),
                    EntryKind::HardLink => self.hard_link(name, entry),
                    EntryKind::Symlink => self.symlink(&name, entry, &attributes),
                    EntryKind::CharDevice => self.node(&name, Kind::CharDevice, entry, &attributes),
                    EntryKind::BlockDevice => {
                        self.node(&name, Kind::BlockDevice, entry, &attributes)
                    }
                    EntryKind::Fifo => self.node(&name, Kind::Fifo, entry, &attributes),
                }
            }
        }
    }

    fn describe_root(&mut self, entry: &Entry) -> Result<(), Error> {
        if entry.kind != EntryKind::Directory {
            return Err(Error::Unsupported {
                name: String::from_utf8_lossy(&entry.name).into_owned(),
                what: "a root that is no folder".to_owned(),
            });
        }
        let attributes = attributes(entry)?;
        let stat = tree::stat_open(self.layer.root.as_fd()).map_err(Error::write("open", "."))?;
        self.layer
            .plan_folder(stat.inode, PathBuf::new(), Some(attributes));
        Ok(())
    }

    /// The folder that an entry lies in.
    fn parent(&mut self, path: &Path) -> Result<Rc<std::os::fd::OwnedFd>, Error> {
        if let Some((last, folder)) = &self.last_folder
            && last == path
        {
            return Ok(Rc::clone(folder));
        }
        let folder = Rc::new(self.layer.make_folder(path)?);
        self.last_folder = Some((path.to_owned(), Rc::clone(&folder)));
        Ok(folder)
    }

    /// Makes something under a name, in place of whatever is there.
    fn replace<T>(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        make: impl Fn(BorrowedFd<'_>, &OsStr) -> io::Result<T>,
    ) -> io::Result<T> {
        match make(parent, name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.remove(parent, name)?;
                make(parent, name)
            }
            done => done,
        }
    }

    /// Removes what an earlier entry made.
    fn remove(&mut self, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        // It may have been, or been above, the last folder, or held content
        // that the map counts on.
        self.last_folder = None;
        self.layer.has_map = false;
        tree::remove_tree(parent, name)
    }

    fn folder(&mut self, name: &EntryName, attributes: Attributes) -> Result<(), Error> {
        let path = name.path();
        let parent = self.parent(&name.parent)?;
        let parent = parent.as_fd();
        let failed = |source| Error::write("create folder", &path)(source);
        let is_there = tree::stat(parent, &name.name).map_err(failed)?;
        if is_there.is_none_or(|stat| stat.kind != Kind::Dir) {
            self.replace(parent, &name.name, tree::make_dir)
                .map_err(failed)?;
        }
        let made = tree::stat(parent, &name.name).map_err(failed)?;
        let made = made.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        self.layer.plan_folder(made.inode, path, Some(attributes));
        Ok(())
    }

    fn file<R: BufRead>(
        &mut self,
        name: &EntryName,
        attributes: &Attributes,
        reader: &mut TarReader<R>,
    ) -> Result<(), Error> {
        let path = name.path();
        let parent = self.parent(&name.parent)?;
        let mut file = self
            .replace(parent.as_fd(), &name.name, tree::create_file)
            .map_err(Error::write("create", &path))?;
        reader.keep_content_in(&path);
        let mut write = |piece: &[u8]| {
            file.write_all(piece)
                .map_err(Error::write("write", &path))?;
            Ok(piece.len() as u64)
        };
        while let Some(count) = reader.content_piece(&mut write)? {
            self.layer.content_bytes += count;
        }
        attributes
            .apply(file.as_fd(), self.own)
            .map_err(Error::write("set the attributes of", &path))
    }

    fn symlink(
        &mut self,
        name: &EntryName,
        entry: &Entry,
        attributes: &Attributes,
    ) -> Result<(), Error> {
        let path = name.path();
        let parent = self.parent(&name.parent)?;
        let parent = parent.as_fd();
        let target = OsStr::from_bytes(&entry.link);
        self.replace(parent, &name.name, |dir, name| {
            tree::make_symlink(dir, name, target)
        })
        .map_err(Error::write("create symbolic link", &path))?;
        attributes
            .apply_to_name(parent, &name.name, self.own)
            .map_err(Error::write("set the attributes of", &path))
    }

    fn node(
        &mut self,
        name: &EntryName,
        kind: Kind,
        entry: &Entry,
        attributes: &Attributes,
    ) -> Result<(), Error> {
        let path = name.path();
        let parent = self.parent(&name.parent)?;
        let parent = parent.as_fd();
        // Overlay would take this node for a removed name, which only a
        // whiteout entry may ask for; an empty file stands in.
        let is_mark = kind == Kind::CharDevice && entry.node == (0, 0);
        let make = |dir: BorrowedFd<'_>, name: &OsStr| {
            let made = if is_mark {
                Err(io::ErrorKind::PermissionDenied.into())
            } else {
                tree::make_node(dir, name, kind, entry.node)
            };
            match made {
                // Without the right to make devices too.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    tree::create_file(dir, name).map(drop)
                }
                done => done,
            }
        };
        self.replace(parent, &name.name, make)
            .map_err(Error::write("create device", &path))?;
        attributes
            .apply_to_name(parent, &name.name, self.own)
            .and_then(|()| tree::set_node_mode(parent, &name.name, attributes.mode))
            .map_err(Error::write("set the attributes of", &path))
    }

    fn hard_link(&mut self, name: EntryName, entry: &Entry) -> Result<(), Error> {
        let path = name.path();
        let refuse = |reason| Error::Link {
            name: path.display().to_string(),
            target: String::from_utf8_lossy(&entry.link).into_owned(),
            reason,
        };
        let failed = |source| Error::write("link", &path)(source);
        let target = oci::clean_name(&entry.link)?.ok_or_else(|| refuse("is the root"))?;
        let parent = self.parent(&name.parent)?;
        let parent = parent.as_fd();
        let there = tree::open_dir_in_root(self.layer.root.as_fd(), &target.parent).ok();
        let found = match &there {
            Some(dir) => tree::stat(dir.as_fd(), &target.name).map_err(failed)?,
            None => None,
        };
        let (Some(dir), Some(found)) = (there, found) else {
            // Perhaps a lower layer has it. What is here under the name goes,
            // so that a later entry is told from an earlier one.
            if tree::stat(parent, &name.name).map_err(failed)?.is_some() {
                self.remove(parent, &name.name).map_err(failed)?;
            }
            self.layer.links.push(PendingLink { name, target });
            return Ok(());
        };
        if found.kind == Kind::Dir {
            return Err(refuse("is a folder"));
        }
        if tree::stat(parent, &name.name)
            .map_err(failed)?
            .map(|stat| stat.inode)
            == Some(found.inode)
        {
            return Ok(());
        }
        let make = |to: BorrowedFd<'_>, to_name: &OsStr| {
            tree::link(dir.as_fd(), &target.name, to, to_name)
        };
        self.replace(parent, &name.name, make).map_err(failed)
    }
}

pub(super) fn attributes(entry: &Entry) -> Result<Attributes, Error> {
    let kept = entry
        .xattrs
        .iter()
        .filter(|(name, _)| oci::is_xattr_kept(name));
    Ok(Attributes {
        uid: oci::owner_id(&entry.name, entry.uid)?,
        gid: oci::owner_id(&entry.name, entry.gid)?,
        mode: entry.mode,
        modified: Some(entry.modified),
        xattrs: kept
            .map(|(name, value)| (OsString::from_vec(name.clone()), value.clone()))
            .collect(),
    })
}
