//! Cache mounts: folders that outlive builds, `builds/mounts/<id>/<n>`.
//!
//! Each has a lock: sharers hold it together, `locked` alone, and `private`
//! takes the first that nobody holds. Their content is nobody's business here.

use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::build::Error;
use crate::build::request::Cancel;
use crate::dockerfile::{CacheMount, Sharing};
use crate::oci::Digest;
use crate::store::{FileLock, Root, make_private_dir};
use crate::sys::{fs, tree};

/// The lock beside a folder.
const LOCK: &str = "lock";
/// The folder itself.
const DATA: &str = "data";
/// The folder while it is made.
const NEW: &str = "new";
/// What the folder is for, for people.
const NAME: &str = "id";
/// The mode of a mount that doesn't say one.
const MODE_DEFAULT: u32 = 0o755;
/// Private folders of one id.
const PRIVATE_MAX: usize = 256;
/// How often a lock is tried.
const WAIT: Duration = Duration::from_millis(50);

/// A cache mount's folder, held.
#[derive(Debug)]
pub(crate) struct Held {
    /// Where it is.
    pub(crate) path: PathBuf,
    _lock: FileLock,
}

/// Where all of them are.
pub(crate) fn folder(root: &Root) -> PathBuf {
    root.builds_dir().join("mounts")
}

/// The folders of a mount. One id with another owner or mode is another cache:
/// nobody's files are given to who asked for other rights.
fn base(root: &Root, mount: &CacheMount) -> PathBuf {
    let own = match (mount.uid, mount.gid, mount.mode) {
        (0, 0, MODE_DEFAULT) => mount.id.clone(),
        (uid, gid, mode) => format!("{}\0{uid}:{gid}:{mode:o}", mount.id),
    };
    folder(root).join(Digest::of(own.as_bytes()).hex())
}

/// Gives a new folder its first content.
pub(crate) type Fill<'a> = &'a dyn Fn(&Path) -> Result<(), Error>;

/// Takes a cache mount's folder; waits as long as its sharing says. Nobody sees
/// a new one before it has its content.
///
/// # Errors
/// [`Error::Cancelled`] when the wait was cut off, [`Error::Io`], those of
/// `fill`.
pub(crate) fn hold(
    root: &Root,
    mount: &CacheMount,
    fill: Fill<'_>,
    cancel: &Cancel,
) -> Result<Held, Error> {
    let base = base(root, mount);
    match mount.sharing {
        Sharing::Shared => wait(&base.join("0"), mount, FileLock::try_shared, fill, cancel),
        Sharing::Locked => wait(
            &base.join("0"),
            mount,
            FileLock::try_exclusive,
            fill,
            cancel,
        ),
        Sharing::Private => {
            for number in 0..PRIVATE_MAX {
                let place = base.join(number.to_string());
                if let Some(held) = attempt(&place, mount, FileLock::try_exclusive, fill)? {
                    return Ok(held);
                }
            }
            Err(Error::CacheMounts(mount.id.clone()))
        }
    }
}

type Try = fn(&Path) -> Result<Option<FileLock>, crate::store::Error>;

fn wait(
    place: &Path,
    mount: &CacheMount,
    lock: Try,
    fill: Fill<'_>,
    cancel: &Cancel,
) -> Result<Held, Error> {
    loop {
        if let Some(held) = attempt(place, mount, lock, fill)? {
            return Ok(held);
        }
        if cancel.is_set() {
            return Err(Error::Cancelled);
        }
        std::thread::sleep(WAIT);
    }
}

fn attempt(
    place: &Path,
    mount: &CacheMount,
    lock: Try,
    fill: Fill<'_>,
) -> Result<Option<Held>, Error> {
    make_private_dir(place)?;
    let path = place.join(DATA);
    if !path.exists() {
        make(place, mount, fill)?;
    }
    let held = lock(&place.join(LOCK))?;
    // It may have been emptied in between.
    Ok(held
        .filter(|_| path.exists())
        .map(|lock| Held { path, _lock: lock }))
}

/// Makes a folder that isn't there, unless somebody else is at it.
fn make(place: &Path, mount: &CacheMount, fill: Fill<'_>) -> Result<(), Error> {
    let Some(_alone) = FileLock::try_exclusive(&place.join(LOCK))? else {
        return Ok(());
    };
    let (new, path) = (place.join(NEW), place.join(DATA));
    if path.exists() {
        return Ok(());
    }
    // What a killed build has begun.
    remove(&new)?;
    let failed = |source| Error::Io {
        action: "create",
        path: path.clone(),
        source,
    };
    std::fs::create_dir(&new).map_err(failed)?;
    std::fs::write(place.join(NAME), &mount.id).map_err(failed)?;
    std::os::unix::fs::chown(&new, Some(mount.uid), Some(mount.gid)).map_err(failed)?;
    let mode = std::fs::Permissions::from_mode(mount.mode);
    std::fs::set_permissions(&new, mode).map_err(failed)?;
    fill(&new)?;
    std::fs::rename(&new, &path).map_err(failed)
}

/// Empties all folders of an id that nobody holds.
///
/// # Errors
/// [`Error::Io`] when something can't be removed.
pub(crate) fn empty(root: &Root, id: &str) -> Result<(), Error> {
    for listed in list(root)?.iter().filter(|listed| listed.id == id) {
        // Held until it is empty: a build must not take what is going.
        if let Some(_alone) = FileLock::try_exclusive(&listed.place.join(LOCK))? {
            remove(&listed.place.join(DATA))?;
        }
    }
    Ok(())
}

/// A folder of a cache mount, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The mount's id.
    pub(crate) id: String,
    /// The folder with its lock.
    pub(crate) place: PathBuf,
    /// Bytes in its files.
    pub(crate) bytes: u64,
    /// When its lock was last taken anew, more or less: when the folder changed.
    pub(crate) used: Option<std::time::SystemTime>,
    /// Whether a build has it.
    pub(crate) is_held: bool,
}

/// All of them.
pub(crate) fn list(root: &Root) -> Result<Vec<Listed>, Error> {
    let mut found = Vec::new();
    let all = folder(root);
    if !all.exists() {
        return Ok(found);
    }
    for id in crate::store::record::names(&all)? {
        let base = all.join(id);
        for number in crate::store::record::names(&base)? {
            let place = base.join(number);
            let data = place.join(DATA);
            found.push(Listed {
                id: std::fs::read_to_string(place.join(NAME)).unwrap_or_default(),
                bytes: size(&data),
                used: std::fs::metadata(&data)
                    .and_then(|data| data.modified())
                    .ok(),
                is_held: FileLock::try_exclusive(&place.join(LOCK))?.is_none(),
                place,
            });
        }
    }
    Ok(found)
}

/// Removes a folder that nobody holds; gives whether it went.
pub(crate) fn discard(listed: &Listed) -> Result<bool, Error> {
    let Some(_alone) = FileLock::try_exclusive(&listed.place.join(LOCK))? else {
        return Ok(false);
    };
    // The lock stays: somebody may be waiting for it.
    remove(&listed.place.join(DATA))?;
    Ok(true)
}

/// Removes a tree that steps have filled.
fn remove(path: &Path) -> Result<(), Error> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default();
    let removed = fs::folder(parent).and_then(|dir| tree::remove_tree(dir.as_fd(), name));
    removed.map_err(|source| Error::Io {
        action: "remove",
        path: path.to_owned(),
        source,
    })
}

/// Bytes in a tree's files; what can't be read counts nothing.
pub(crate) fn size(path: &Path) -> u64 {
    fn below(folder: std::os::fd::BorrowedFd<'_>, depth: usize) -> u64 {
        if depth > 256 {
            return 0;
        }
        let entries = tree::entries(folder).unwrap_or_default();
        let one = |(name, kind): (std::ffi::OsString, tree::Kind)| match kind {
            tree::Kind::Dir => {
                tree::open_dir(folder, &name).map_or(0, |child| below(child.as_fd(), depth + 1))
            }
            _ => tree::stat(folder, &name)
                .ok()
                .flatten()
                .map_or(0, |stat| stat.size),
        };
        // Files full of holes may say that they are longer than any number.
        entries.into_iter().map(one).fold(0, u64::saturating_add)
    }
    tree::open_root(path).map_or(0, |folder| below(folder.as_fd(), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: Fill<'static> = &|_| Ok(());

    fn scratch() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("s"), &dir.path().join("r")).unwrap();
        (dir, root)
    }

    fn mount(sharing: Sharing) -> CacheMount {
        CacheMount {
            target: "/cache".to_owned(),
            id: "/cache".to_owned(),
            is_read_only: false,
            sharing,
            from: None,
            source: String::new(),
            mode: 0o750,
            uid: 3,
            gid: 4,
        }
    }

    #[test]
    fn sharing_says_who_waits() {
        let (_dir, root) = scratch();
        let go = Cancel::default();
        let stop = Cancel::default();
        stop.set();
        let take = |sharing, cancel| hold(&root, &mount(sharing), EMPTY, cancel);
        let first = take(Sharing::Shared, &go).unwrap();
        let second = take(Sharing::Shared, &go).unwrap();
        assert_eq!(first.path, second.path);
        let other = take(Sharing::Private, &go).unwrap();
        assert_ne!(other.path, first.path);
        let locked = take(Sharing::Locked, &stop);
        assert!(matches!(locked, Err(Error::Cancelled)));
        drop((first, second));
        take(Sharing::Locked, &stop).unwrap();
    }

    #[test]
    fn another_owner_or_mode_is_another_cache() {
        let (_dir, root) = scratch();
        let go = Cancel::default();
        let take = |mount: &CacheMount| hold(&root, mount, EMPTY, &go).unwrap().path.clone();
        let first = mount(Sharing::Shared);
        let mut other = first.clone();
        other.mode = 0o755;
        assert_ne!(take(&first), take(&other));
        other.uid = 9;
        assert_eq!(take(&other), take(&other));
        assert_eq!(list(&root).unwrap().len(), 3);
        empty(&root, "/cache").unwrap();
        assert!(list(&root).unwrap().iter().all(|listed| listed.bytes == 0));
    }

    #[test]
    fn nobody_sees_a_folder_without_its_first_content() {
        let (_dir, root) = scratch();
        let fills = std::sync::atomic::AtomicU32::new(0);
        let slowly = |path: &Path| {
            fills.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            std::thread::sleep(WAIT);
            std::fs::write(path.join("f"), "x").unwrap();
            Ok(())
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let go = Cancel::default();
                    let held = hold(&root, &mount(Sharing::Shared), &slowly, &go).unwrap();
                    assert!(held.path.join("f").exists());
                });
            }
        });
        assert_eq!(fills.into_inner(), 1);
    }

    #[test]
    fn what_was_begun_is_begun_again() {
        let (_dir, root) = scratch();
        let go = Cancel::default();
        let torn = |path: &Path| {
            std::fs::write(path.join("torn"), "x").unwrap();
            Err(Error::Cancelled)
        };
        let cut = hold(&root, &mount(Sharing::Shared), &torn, &go);
        assert!(matches!(cut, Err(Error::Cancelled)));
        let held = hold(&root, &mount(Sharing::Shared), EMPTY, &go).unwrap();
        assert_eq!(std::fs::read_dir(&held.path).unwrap().count(), 0);
        let mode = std::fs::metadata(&held.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o750);
    }

    #[test]
    fn what_is_held_stays_and_the_rest_can_go() {
        let (_dir, root) = scratch();
        let go = Cancel::default();
        let held = hold(&root, &mount(Sharing::Shared), EMPTY, &go).unwrap();
        std::fs::write(held.path.join("f"), "12345").unwrap();
        empty(&root, "/cache").unwrap();
        let listed = list(&root).unwrap();
        assert_eq!((listed[0].bytes, listed[0].is_held), (5, true));
        assert_eq!(listed[0].id, "/cache");
        assert!(!discard(&listed[0]).unwrap());
        drop(held);
        assert!(discard(&listed[0]).unwrap());
        let again = hold(&root, &mount(Sharing::Shared), EMPTY, &go).unwrap();
        assert!(!again.path.join("f").exists());
    }
}
