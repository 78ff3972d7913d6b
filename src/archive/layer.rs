//! A layer's tree between extraction and its place on the layers below.
//!
//! Extraction knows nothing of the lower layers, so what depends on them is
//! kept here: folders that no entry described, removed names, and hard links
//! to files that this layer doesn't have.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::archive::Error;
use crate::oci::EntryName;
use crate::sys::fs;
use crate::sys::tree::{self, FileTime, Kind};

/// Most symbolic links on the way to a folder, as in the kernel.
const LINKS_MAX: u32 = 40;

/// A layer that is extracted and not yet laid on those below it.
#[derive(Debug)]
pub struct Unsettled {
    /// The layer's own tree.
    pub(super) root: OwnedFd,
    /// Folders by inode: where each was made and what it is to become. Only
    /// the inode tells whether that path still is that folder.
    pub(super) folders: HashMap<u64, FolderPlan>,
    /// Names that are gone from the layers below.
    pub(super) whiteouts: Vec<EntryName>,
    /// Folders that hide what the layers below have in them.
    pub(super) opaques: Vec<PathBuf>,
    /// Hard links to what this layer doesn't have.
    pub(super) links: Vec<PendingLink>,
    /// Bytes in regular files.
    pub(super) content_bytes: u64,
    /// Whether the map that was written holds, together with the tree.
    pub(super) has_map: bool,
}

/// A folder of the layer.
#[derive(Debug, Clone)]
pub(super) struct FolderPlan {
    pub(super) path: PathBuf,
    /// None for a folder that no entry described.
    pub(super) attributes: Option<Attributes>,
}

/// What a file is to have besides content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    pub(super) modified: Option<FileTime>,
    pub(super) xattrs: Vec<(OsString, Vec<u8>)>,
}

impl Attributes {
    /// Those of a folder that nothing is known of.
    pub(super) fn default_folder() -> Self {
        Self {
            uid: 0,
            gid: 0,
            mode: 0o755,
            modified: None,
            xattrs: Vec::new(),
        }
    }

    /// Those of an open file, without what belongs to the host.
    pub(super) fn of(file: BorrowedFd<'_>) -> std::io::Result<Self> {
        use std::os::unix::ffi::OsStrExt as _;
        let stat = tree::stat_open(file)?;
        let mut xattrs = tree::xattrs(file)?;
        xattrs.retain(|(name, _)| crate::oci::is_xattr_kept(name.as_bytes()));
        Ok(Self {
            uid: stat.uid,
            gid: stat.gid,
            mode: stat.mode,
            modified: Some(stat.modified),
            xattrs,
        })
    }

    /// Gives them to an open file or folder. The order matters: a change of
    /// owner clears set-user-id bits and capabilities.
    pub(super) fn apply(&self, file: BorrowedFd<'_>, own: (u32, u32)) -> std::io::Result<()> {
        if (self.uid, self.gid) != own {
            tree::set_owner_open(file, self.uid, self.gid)?;
        }
        tree::set_mode_open(file, self.mode)?;
        for (name, value) in &self.xattrs {
            match tree::set_xattr(file, name, value) {
                // The file system knows no such attributes.
                Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {}
                done => done?,
            }
        }
        match self.modified {
            Some(time) => tree::set_modified_open(file, time),
            None => Ok(()),
        }
    }

    /// Gives owner and time to a name that can't be opened: a link, a node.
    pub(super) fn apply_to_name(
        &self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        own: (u32, u32),
    ) -> std::io::Result<()> {
        if (self.uid, self.gid) != own {
            tree::set_owner(parent, name, self.uid, self.gid)?;
        }
        match self.modified {
            Some(time) => tree::set_modified(parent, name, time),
            None => Ok(()),
        }
    }
}

/// A hard link whose target this layer doesn't have.
#[derive(Debug, Clone)]
pub(super) struct PendingLink {
    pub(super) name: EntryName,
    pub(super) target: EntryName,
}

impl Unsettled {
    /// Begins with an empty folder, which nobody else may write to.
    ///
    /// # Errors
    /// [`Error::Write`] when it can't be opened.
    pub(super) fn new(root: &Path) -> Result<Self, Error> {
        let root_fd = tree::open_root(root).map_err(Error::write("open", root))?;
        let mut layer = Self {
            root: root_fd,
            folders: HashMap::new(),
            whiteouts: Vec::new(),
            opaques: Vec::new(),
            links: Vec::new(),
            content_bytes: 0,
            has_map: false,
        };
        let stat = tree::stat_open(layer.root.as_fd()).map_err(Error::write("open", root))?;
        layer.plan_folder(stat.inode, PathBuf::new(), None);
        Ok(layer)
    }

    /// Bytes in the layer's regular files.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Whether a map was written from which the tar can be made again.
    #[must_use]
    pub fn has_map(&self) -> bool {
        self.has_map
    }

    pub(super) fn plan_folder(
        &mut self,
        inode: u64,
        path: PathBuf,
        attributes: Option<Attributes>,
    ) {
        self.folders.insert(inode, FolderPlan { path, attributes });
    }

    /// Opens a folder of the layer, making what is missing of it. Links are
    /// followed inside the layer, dangling ones too: their targets are made.
    pub(super) fn make_folder(&mut self, path: &Path) -> Result<OwnedFd, Error> {
        if let Ok(folder) = tree::open_dir_in_root(self.root.as_fd(), path) {
            return Ok(folder);
        }
        let failed = |source| Error::write("create folder", path)(source);
        let mut way: Vec<(OsString, OwnedFd)> = Vec::new();
        let mut ahead = fs::steps(path);
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                way.pop();
                continue;
            }
            let here = way.last().map_or(self.root.as_fd(), |(_, dir)| dir.as_fd());
            match tree::stat(here, &name).map_err(failed)? {
                Some(stat) if stat.kind == Kind::Symlink => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(failed(std::io::Error::other("too many symbolic links")));
                    }
                    let target = PathBuf::from(tree::read_link(here, &name).map_err(failed)?);
                    ahead.extend(fs::steps(&target));
                    if target.is_absolute() {
                        way.clear();
                    }
                }
                // A file in the way is an error of open_dir.
                Some(_) => {
                    let dir = tree::open_dir(here, &name).map_err(failed)?;
                    way.push((name, dir));
                }
                None => {
                    tree::make_dir(here, &name).map_err(failed)?;
                    let dir = tree::open_dir(here, &name).map_err(failed)?;
                    let inode = tree::stat_open(dir.as_fd()).map_err(failed)?.inode;
                    way.push((name, dir));
                    let real = way.iter().map(|(name, _)| name).collect();
                    self.plan_folder(inode, real, None);
                }
            }
        }
        match way.pop() {
            Some((_, dir)) => Ok(dir),
            None => self.root.try_clone().map_err(failed),
        }
    }
}
