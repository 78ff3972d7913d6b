//! Lays an extracted layer on the layers below it, so that overlay shows
//! what the image means.
//!
//! A folder that no entry described takes its attributes from below, or gives
//! way to the symbolic link that stands there; hard links find their targets;
//! a removed name is marked where something is removed and nowhere else.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::archive::layer::{Attributes, FolderPlan, PendingLink, Unsettled};
use crate::archive::{Error, Folder, Found, Merged};
use crate::oci::EntryName;
use crate::sys::tree::{self, Kind};

/// Settles `layer` on `below`, its lower layers as they are committed.
///
/// # Errors
/// [`Error::Link`] for a hard link to nothing, [`Error::Write`].
pub fn settle(layer: Unsettled, below: &Merged) -> Result<(), Error> {
    let root = layer.root.try_clone().map_err(Error::write("open", "."))?;
    let whole = below.under(Rc::new(root));
    let mut settling = Settling {
        layer,
        below,
        whole,
    };
    settling.links()?;
    settling.follow_links_below()?;
    settling.opaques()?;
    settling.whiteouts()?;
    settling.folders()
}

struct Settling<'a> {
    layer: Unsettled,
    below: &'a Merged,
    /// The layer on those below it.
    whole: Merged,
}

impl Settling<'_> {
    /// Links to files of lower layers share their inode: both are immutable.
    fn links(&mut self) -> Result<(), Error> {
        for PendingLink { name, target } in std::mem::take(&mut self.layer.links) {
            let path = name.path();
            let failed = |source| Error::write("link", &path)(source);
            let refuse = |reason| Error::Link {
                name: path.display().to_string(),
                target: target.path().display().to_string(),
                reason,
            };
            let parent = self.layer.make_folder(&name.parent)?;
            if tree::stat(parent.as_fd(), &name.name)
                .map_err(failed)?
                .is_some()
            {
                continue;
            }
            let found = match self.below.find(&target.parent, true).map_err(failed)? {
                Some((_, Found::Folder(folder))) => folder.child(&target.name).map_err(failed)?,
                Some((_, Found::File { .. })) | None => None,
            };
            match found {
                None => return Err(refuse("isn't there")),
                Some(Found::Folder(_)) => return Err(refuse("is a folder")),
                Some(Found::File {
                    parent: from,
                    name: from_name,
                    ..
                }) => {
                    tree::link(from.as_fd(), &from_name, parent.as_fd(), &name.name)
                        .map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    /// `lib/x` over a lower `lib -> usr/lib` means `usr/lib/x`: a folder that
    /// was only made to hold `x` must not hide the link.
    fn follow_links_below(&mut self) -> Result<(), Error> {
        let plans = self.layer.folders.values();
        let implied = plans.filter(|plan| plan.attributes.is_none());
        let mut ahead: Vec<PathBuf> = implied.map(|plan| plan.path.clone()).collect();
        // The last is the one nearest to the root.
        ahead.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
        while let Some(path) = ahead.pop() {
            if self.is_removed(&path) {
                continue;
            }
            let failed = |source| Error::write("move", &path)(source);
            let is_link = match self.below.at(&path).map_err(failed)? {
                Some(Found::File { stat, .. }) => stat.kind == Kind::Symlink,
                Some(Found::Folder(_)) | None => false,
            };
            if !is_link {
                continue;
            }
            // A link to nothing, or to a file, gives way to the folder.
            let Ok(Some((real, Found::Folder(_)))) = self.below.find(&path, true) else {
                continue;
            };
            if real.starts_with(&path) {
                continue;
            }
            self.relocate(&path, &real)?;
            for waiting in &mut ahead {
                rebase(waiting, &path, &real);
            }
        }
        Ok(())
    }

    fn relocate(&mut self, from: &Path, to: &Path) -> Result<(), Error> {
        let failed = |source| Error::write("move", from)(source);
        let target = self.layer.make_folder(to)?;
        let source = self.layer.make_folder(from)?;
        let inode = tree::stat_open(source.as_fd()).map_err(failed)?.inode;
        move_children(source.as_fd(), target.as_fd()).map_err(failed)?;
        if let (Some(parent), Some(name)) = (from.parent(), from.file_name()) {
            let parent = self.layer.make_folder(parent)?;
            tree::remove_dir(parent.as_fd(), name).map_err(failed)?;
        }
        self.layer.folders.remove(&inode);
        for plan in self.layer.folders.values_mut() {
            rebase(&mut plan.path, from, to);
        }
        Ok(())
    }

    /// Whether a whiteout of this layer takes away what is below at a path.
    fn is_removed(&self, path: &Path) -> bool {
        let by_name = |gone: &EntryName| path.starts_with(gone.path());
        let by_folder = |opaque: &PathBuf| path.starts_with(opaque) && path != opaque;
        self.layer.whiteouts.iter().any(by_name) || self.layer.opaques.iter().any(by_folder)
    }

    fn opaques(&mut self) -> Result<(), Error> {
        for path in std::mem::take(&mut self.layer.opaques) {
            let failed = |source| Error::write("hide the layers below", &path)(source);
            let Some((real, folder)) = self.find_folder(&path)? else {
                continue;
            };
            if folder.under_top_layer().is_some() {
                self.inherit_folders(&real)?;
                let folder = self.layer.make_folder(&real)?;
                tree::set_opaque(folder.as_fd()).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn whiteouts(&mut self) -> Result<(), Error> {
        let mut whiteouts = std::mem::take(&mut self.layer.whiteouts);
        // Those near the root first: they may take others' folders away.
        whiteouts.sort_by_key(|name| name.parent.components().count());
        for EntryName { parent, name } in whiteouts {
            let path = parent.join(&name);
            let failed = |source| Error::write("remove", &path)(source);
            let Some((real, folder)) = self.find_folder(&parent)? else {
                continue;
            };
            let removed = match folder.under_top_layer() {
                Some(below) => below.child(&name).map_err(failed)?,
                None => None,
            };
            let Some(removed) = removed else {
                continue;
            };
            self.inherit_folders(&real)?;
            let folder = self.layer.make_folder(&real)?;
            match tree::stat(folder.as_fd(), &name).map_err(failed)? {
                None => tree::make_whiteout(folder.as_fd(), &name).map_err(failed)?,
                Some(stat) if stat.kind == Kind::Dir && matches!(removed, Found::Folder(_)) => {
                    let own = tree::open_dir(folder.as_fd(), &name).map_err(failed)?;
                    tree::set_opaque(own.as_fd()).map_err(failed)?;
                    // It is another folder than the one below.
                    let inode = tree::stat_open(own.as_fd()).map_err(failed)?.inode;
                    if let Some(plan) = self.layer.folders.get_mut(&inode) {
                        plan.attributes
                            .get_or_insert_with(Attributes::default_folder);
                    }
                }
                // What this layer has there hides the rest anyway.
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn find_folder(&self, path: &Path) -> Result<Option<(PathBuf, Folder)>, Error> {
        match self
            .whole
            .find(path, true)
            .map_err(Error::write("find", path))?
        {
            Some((real, Found::Folder(folder))) => Ok(Some((real, folder))),
            Some((_, Found::File { .. })) | None => Ok(None),
        }
    }

    /// Makes a path's folders in this layer while what is below can still be
    /// seen, and gives them its attributes.
    fn inherit_folders(&mut self, path: &Path) -> Result<(), Error> {
        let folder = self.layer.make_folder(path)?;
        drop(folder);
        let mut at = Some(path);
        while let Some(path) = at {
            self.inherit(path)?;
            at = path.parent();
        }
        Ok(())
    }

    fn inherit(&mut self, path: &Path) -> Result<(), Error> {
        let failed = |source| Error::write("read the attributes below", path)(source);
        let Some(Found::Folder(folder)) = self.whole.at(path).map_err(failed)? else {
            return Ok(());
        };
        let (own, below) = (folder.stat().map_err(failed)?, folder.under_top_layer());
        let (Some(plan), Some(below)) = (self.layer.folders.get_mut(&own.inode), below) else {
            return Ok(());
        };
        if plan.attributes.is_none() {
            let top = below.top().map_err(failed)?;
            plan.attributes = Some(Attributes::of(top.as_fd()).map_err(failed)?);
        }
        Ok(())
    }

    /// Gives every folder its attributes, the deepest first: their making
    /// changed the times, and a folder may become one that can't be entered.
    fn folders(&mut self) -> Result<(), Error> {
        let implied = self
            .layer
            .folders
            .values()
            .filter(|plan| plan.attributes.is_none());
        let implied: Vec<PathBuf> = implied.map(|plan| plan.path.clone()).collect();
        for path in implied {
            self.inherit(&path)?;
        }
        let own = tree::own_ids();
        let mut plans: Vec<(u64, FolderPlan)> = self.layer.folders.drain().collect();
        plans.sort_by_key(|(_, plan)| std::cmp::Reverse(plan.path.components().count()));
        for (inode, plan) in plans {
            let failed = |source| Error::write("set the attributes of", &plan.path)(source);
            let Some(folder) = self.open_same(inode, &plan.path).map_err(failed)? else {
                continue;
            };
            let default = Attributes::default_folder();
            let attributes = plan.attributes.as_ref().unwrap_or(&default);
            attributes.apply(folder.as_fd(), own).map_err(failed)?;
        }
        Ok(())
    }

    /// The folder that was made at a path, unless a later entry replaced it.
    fn open_same(&self, inode: u64, path: &Path) -> io::Result<Option<OwnedFd>> {
        let Ok(folder) = tree::open_dir_in_root(self.layer.root.as_fd(), path) else {
            return Ok(None);
        };
        let is_same = tree::stat_open(folder.as_fd())?.inode == inode;
        Ok(is_same.then_some(folder))
    }
}

/// Moves what is in a folder into another; folders are merged, anything else
/// takes the place of what is there.
fn move_children(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    for (name, kind) in tree::entries(from)? {
        match tree::rename(from, &name, to, &name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            done => {
                done?;
                continue;
            }
        }
        let there = tree::stat(to, &name)?;
        if kind == Kind::Dir && there.is_some_and(|stat| stat.kind == Kind::Dir) {
            let (source, target) = (tree::open_dir(from, &name)?, tree::open_dir(to, &name)?);
            move_children(source.as_fd(), target.as_fd())?;
            tree::remove_dir(from, &name)?;
        } else {
            tree::remove_tree(to, &name)?;
            tree::rename(from, &name, to, &name)?;
        }
    }
    Ok(())
}

/// Moves a path that begins with `from` to `to`.
fn rebase(path: &mut PathBuf, from: &Path, to: &Path) {
    if let Ok(rest) = path.strip_prefix(from) {
        *path = to.join(rest);
    }
}
