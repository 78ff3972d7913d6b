//! Root file systems: an image's layers below, a container's folder on top.
//!
//! Knows which folders overlay is given and how they come and go. It mounts
//! nothing: the runtime does, in the container's own namespace.

use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use crate::oci::Digest;
use crate::store::{self, Root};
use crate::sys::tree;

/// Takes a container's writes.
const UPPER: &str = "upper";
/// Overlay's own folder.
const WORK: &str = "work";
/// What the root is mounted on, in the container's namespace.
const MOUNT_POINT: &str = "root";

/// Why a root file system could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder of the store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The system refused a call.
    #[error("{action} {path}")]
    Io {
        /// The verb.
        action: &'static str,
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// A container's folders for its root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Takes the writes.
    pub upper: PathBuf,
    /// Overlay's own.
    pub work: PathBuf,
    /// An empty folder to mount on.
    pub mount_point: PathBuf,
}

impl Snapshot {
    /// The folders inside a container's folder, whether they exist or not.
    #[must_use]
    pub fn inside(container: &Path) -> Self {
        Self {
            upper: container.join(UPPER),
            work: container.join(WORK),
            mount_point: container.join(MOUNT_POINT),
        }
    }
}

/// The trees of layers, in the same order, topmost first; never empty.
///
/// # Errors
/// [`Error::Store`] when the stand-in for "no layers" can't be made.
pub fn lowers(root: &Root, layers: &[Digest]) -> Result<Vec<PathBuf>, Error> {
    if layers.is_empty() {
        return Ok(vec![root.empty_layer_tree()?]);
    }
    let tree = |layer: &Digest| root.layer_tree(layer.hex());
    Ok(layers.iter().map(tree).collect())
}

/// Makes a container's folders. The upper one looks like the topmost layer's
/// root, because it is what the container sees as `/`.
///
/// # Errors
/// [`Error::Io`]; what was made stays for [`remove`].
pub fn prepare(container: &Path, lowers: &[PathBuf]) -> Result<Snapshot, Error> {
    let snapshot = Snapshot::inside(container);
    for path in [&snapshot.upper, &snapshot.work, &snapshot.mount_point] {
        store::make_private_dir(path)?;
    }
    let path = &snapshot.upper;
    let same_root = || {
        let upper = tree::open_root(path)?;
        let (mode, uid, gid) = match lowers.first() {
            Some(top) => {
                let stat = tree::stat_open(tree::open_root(top)?.as_fd())?;
                (stat.mode, stat.uid, stat.gid)
            }
            None => (0o755, 0, 0),
        };
        if (uid, gid) != tree::own_ids() {
            tree::set_owner_open(upper.as_fd(), uid, gid)?;
        }
        tree::set_mode_open(upper.as_fd(), mode)
    };
    same_root().map_err(|source| Error::Io {
        action: "prepare",
        path: path.clone(),
        source,
    })?;
    Ok(snapshot)
}

/// Removes a container's folder with all that it wrote, its log included. The
/// overlay must not be mounted. What isn't there is fine.
///
/// # Errors
/// [`Error::Io`] with the first failure; the rest is removed all the same.
pub fn remove(container: &Path) -> Result<(), Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io {
            action: "remove",
            path,
            source,
        }
    };
    let dir = match tree::open_root(container) {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(Error::Io {
                action: "open",
                path: container.to_owned(),
                source,
            });
        }
    };
    // What a container wrote is removed without following anything.
    let entries = tree::entries(dir.as_fd()).map_err(failed(container))?;
    let removed: Vec<_> = entries
        .iter()
        .map(|(name, _)| {
            tree::remove_tree(dir.as_fd(), name).map_err(failed(&container.join(name)))
        })
        .collect();
    removed.into_iter().collect::<Result<(), Error>>()?;
    match std::fs::remove_dir(container) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed(container)(source)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_upper_looks_like_the_images_root() {
        let dir = tempfile::tempdir().unwrap();
        let lower = dir.path().join("lower");
        fs::create_dir(&lower).unwrap();
        fs::set_permissions(&lower, fs::Permissions::from_mode(0o751)).unwrap();
        let container = dir.path().join("c");
        let snapshot = prepare(&container, &[lower]).unwrap();
        let mode = fs::metadata(&snapshot.upper).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o751);
        fs::create_dir_all(snapshot.upper.join("a/b")).unwrap();
        fs::write(snapshot.upper.join("a/b/c"), "x").unwrap();
        fs::write(container.join("log"), "x").unwrap();
        remove(&container).unwrap();
        assert!(!container.exists());
        remove(&container).unwrap();
        remove(&dir.path().join("nothing")).unwrap();
    }

    #[test]
    fn lowers_are_never_empty() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("s"), &dir.path().join("r")).unwrap();
        assert!(lowers(&root, &[]).unwrap()[0].is_dir());
        let id = Digest::of(b"x");
        assert_eq!(
            lowers(&root, std::slice::from_ref(&id)).unwrap(),
            [root.layer_tree(id.hex())]
        );
    }
}
