//! Keeping paths of a tree like those of another, one by one: what `watch`
//! does with the files of a running container.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use crate::archive::{CopyRules, Found, InTheWay, Owner, Rights, copy_entry};
use crate::engine::files::{Error, Files, Source, last_name};
use crate::sys::fs;
use crate::sys::tree::{self, Kind};

impl Files {
    /// Makes `path` look like `source`: a file or a link is copied, of a folder
    /// only itself. Folders above it are made. A file gives way to a folder, a
    /// folder to a file only when it is empty.
    ///
    /// # Errors
    /// [`Error::LookUp`] and [`Error::Archive`].
    pub fn mirror(&self, source: &Source, path: &Path, owner: Owner) -> Result<(), Error> {
        let Some(name) = last_name(path) else {
            return Ok(());
        };
        let parent = self.parent(path)?;
        let failed = |error| self.lost(path, error);
        let there = tree::stat(parent.as_fd(), &name).map_err(failed)?;
        if let Found::Folder(folder) = &source.found {
            match there {
                Some(there) if there.kind == Kind::Dir => return Ok(()),
                // A link to a folder is as good.
                Some(_) if matches!(self.look_up(path, true)?, Some(Found::Folder(_))) => {
                    return Ok(());
                }
                Some(_) => tree::remove_file(parent.as_fd(), &name).map_err(failed)?,
                None => {}
            }
            let make = || -> io::Result<()> {
                let stat = folder.stat()?;
                tree::make_dir(parent.as_fd(), &name)?;
                let (uid, gid) = match owner {
                    Owner::Original => (stat.uid, stat.gid),
                    Owner::Given(uid, gid) => (uid, gid),
                };
                // By descriptor: the container may have put something else there.
                let made = tree::open_dir(parent.as_fd(), &name)?;
                tree::set_owner_open(made.as_fd(), uid, gid)?;
                tree::set_mode_open(made.as_fd(), stat.mode)
            };
            return make().map_err(failed);
        }
        if there.is_some_and(|there| there.kind == Kind::Dir) {
            // What is in it isn't ours to remove: then the copy says so.
            let _ = tree::remove_dir(parent.as_fd(), &name);
        }
        let rules = CopyRules {
            owner,
            in_the_way: InTheWay::OfTheSameKind,
            rights: Rights::Kept,
        };
        Ok(copy_entry(&source.found, parent.as_fd(), &name, rules)?)
    }

    /// Removes what is at `path`, a folder with all that is in it; a link
    /// itself, not what it leads to. Nothing there is fine.
    ///
    /// # Errors
    /// [`Error::LookUp`].
    pub fn remove(&self, path: &Path) -> Result<(), Error> {
        let failed = |error| self.lost(path, error);
        let (Some(name), Some(above)) = (last_name(path), path.parent()) else {
            return Ok(());
        };
        let Some(Found::Folder(parent)) = self.look_up(above, true)? else {
            return Ok(());
        };
        let parent = parent.top().map_err(failed)?;
        match tree::stat(parent.as_fd(), &name).map_err(failed)? {
            None => Ok(()),
            Some(there) if there.kind == Kind::Dir => {
                tree::remove_tree(parent.as_fd(), &name).map_err(failed)
            }
            Some(_) => tree::remove_file(parent.as_fd(), &name).map_err(failed),
        }
    }

    /// The folder above a path, made when it is missing.
    fn parent(&self, path: &Path) -> Result<OwnedFd, Error> {
        let above = path.parent().unwrap_or(Path::new("/"));
        fs::ensure_in_root(self.root.as_fd(), above, fs::Kind::Folder)
            .map_err(|error| self.lost(above, error))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, create_dir_all, read_to_string, write};
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::PathBuf;

    use super::*;

    struct Trees {
        _dir: tempfile::TempDir,
        from: PathBuf,
        to: PathBuf,
    }

    impl Trees {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (from, to) = (dir.path().join("from"), dir.path().join("to"));
            create_dir_all(from.join("src")).unwrap();
            create_dir_all(to.join("app")).unwrap();
            Self {
                _dir: dir,
                from,
                to,
            }
        }

        fn files(path: &Path) -> Files {
            let root = tree::open_root(path).unwrap();
            Files::new(root.as_fd(), "in container web-1".to_owned()).unwrap()
        }

        fn mirror(&self, source: &str, target: &str) -> Result<(), Error> {
            let from = Self::files(&self.from);
            let source = from.source(Path::new(source), false)?;
            Self::files(&self.to).mirror(&source, Path::new(target), Owner::Original)
        }

        fn remove(&self, target: &str) {
            Self::files(&self.to).remove(Path::new(target)).unwrap();
        }
    }

    #[test]
    fn files_and_folders_are_made_with_all_above_them() {
        let trees = Trees::new();
        write(trees.from.join("src/run"), "one").unwrap();
        fs::set_permissions(
            trees.from.join("src/run"),
            fs::Permissions::from_mode(0o755),
        )
        .unwrap();
        symlink("run", trees.from.join("src/link")).unwrap();
        trees.mirror("/src/run", "/app/deep/er/run").unwrap();
        trees.mirror("/src/link", "/app/deep/er/link").unwrap();
        trees.mirror("/src", "/app/folder").unwrap();
        let made = trees.to.join("app/deep/er/run");
        assert_eq!(read_to_string(&made).unwrap(), "one");
        let mode = fs::metadata(&made).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        let link = fs::read_link(trees.to.join("app/deep/er/link")).unwrap();
        assert_eq!(link, Path::new("run"));
        let folder = fs::read_dir(trees.to.join("app/folder")).unwrap();
        assert_eq!(folder.count(), 0, "of a folder only itself");
        write(trees.from.join("src/run"), "three").unwrap();
        trees.mirror("/src/run", "/app/deep/er/run").unwrap();
        assert_eq!(read_to_string(&made).unwrap(), "three");
    }

    #[test]
    fn links_of_the_target_are_followed_and_stay_inside() {
        let trees = Trees::new();
        symlink("/real", trees.to.join("app/link")).unwrap();
        write(trees.from.join("src/a"), "a").unwrap();
        trees.mirror("/src/a", "/app/link/sub/a").unwrap();
        assert_eq!(read_to_string(trees.to.join("real/sub/a")).unwrap(), "a");
        trees.mirror("/src", "/app/link").unwrap();
        assert!(trees.to.join("app/link").is_symlink());
        trees.remove("/app/link/sub");
        assert!(!trees.to.join("real/sub").exists() && trees.to.join("real").exists());
        trees.remove("/app/link");
        assert!(!trees.to.join("app/link").is_symlink() && trees.to.join("real").exists());
    }

    #[test]
    fn kinds_give_way_without_losing_what_is_not_ours() {
        let trees = Trees::new();
        write(trees.from.join("src/a"), "a").unwrap();
        write(trees.to.join("app/was-file"), "x").unwrap();
        create_dir_all(trees.to.join("app/empty")).unwrap();
        create_dir_all(trees.to.join("app/full/inner")).unwrap();
        trees.mirror("/src", "/app/was-file").unwrap();
        assert!(trees.to.join("app/was-file").is_dir());
        trees.mirror("/src/a", "/app/empty").unwrap();
        assert!(trees.to.join("app/empty").is_file());
        assert!(trees.mirror("/src/a", "/app/full").is_err());
        assert!(trees.to.join("app/full/inner").is_dir());
    }

    #[test]
    fn what_is_gone_already_may_be_removed() {
        let trees = Trees::new();
        trees.remove("/app/no");
        trees.remove("/no/such/folder");
        trees.remove("/");
        assert!(trees.to.join("app").exists());
    }
}
