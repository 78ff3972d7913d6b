//! What a run of builds has on the host for its time: a folder of its own with
//! a lock, a place in memory for secrets, a name for control groups.
//!
//! A killed run leaves its folder with a free lock; the next run, or the next
//! command that changes a project, takes away what stands in it: the bridge,
//! the control groups, the secrets' place.

use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::build::Error;
use crate::model::ContainerId;
use crate::network;
use crate::runtime;
use crate::store::{self, FileLock, Root, make_private_dir};
use crate::sys::{self, fs};

/// The lock in a folder, held by its owner.
const OWNER: &str = "owner";
/// The lock that is held while a folder is made or swept.
const DOOR: &str = ".tmp-door";
/// Says which bridge is to be removed.
const BRIDGE: &str = "bridge";
/// Says where secrets were.
const MEMORY: &str = "memory";
/// Folders that are in memory on every system.
const MEMORY_PLACES: [&str; 2] = ["/run", "/dev/shm"];

/// What a run has on the host.
#[derive(Debug)]
pub(crate) struct Session {
    folder: PathBuf,
    cgroup: String,
    memory: OnceLock<PathBuf>,
    /// Held while that is made.
    making: Mutex<()>,
    _owner: FileLock,
}

impl Session {
    /// Begins, after sweeping what killed runs have left.
    pub(crate) fn open(root: &Root) -> Result<Self, Error> {
        let dir = root.run_dir().join("builds");
        make_private_dir(&dir)?;
        let _door = FileLock::exclusive(&dir.join(DOOR))?;
        sweep(root, &dir)?;
        let mut number = 0_u32;
        loop {
            let name = format!("{}-{number}", std::process::id());
            let folder = dir.join(&name);
            match std::fs::create_dir(&folder) {
                Ok(()) => {
                    let owner = FileLock::exclusive(&folder.join(OWNER))?;
                    return Ok(Self {
                        cgroup: cgroup(root, &name),
                        folder,
                        memory: OnceLock::new(),
                        making: Mutex::default(),
                        _owner: owner,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(source) => return Err(failed("create folder", &folder)(source)),
            }
        }
    }

    /// The folder below which its control groups are.
    pub(crate) fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// A path in its folder.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Says that a bridge goes with this run.
    pub(crate) fn note_bridge(&self, name: &str) -> Result<(), Error> {
        let path = self.place(BRIDGE);
        std::fs::write(&path, name).map_err(failed("write", &path))
    }

    /// A folder in memory, for secrets.
    pub(crate) fn memory(&self) -> Result<&Path, Error> {
        let _alone = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = self.memory.get() {
            return Ok(place);
        }
        let place = if is_memory(&self.folder) {
            self.place("secrets")
        } else {
            let above = MEMORY_PLACES.iter().map(Path::new);
            let above = above.into_iter().find(|path| is_memory(path));
            let above = above.ok_or(Error::NoMemory)?;
            let place = above.join(unguessable_name()?);
            // Noted first, so that nothing is left behind.
            let note = self.place(MEMORY);
            let text = place.as_os_str().as_encoded_bytes();
            std::fs::write(&note, text).map_err(failed("write", &note))?;
            place
        };
        create_private(&place).map_err(failed("create folder", &place))?;
        Ok(self.memory.get_or_init(|| place))
    }
}

/// A name that nobody can have taken before us, in a folder that is everybody's.
fn unguessable_name() -> Result<String, Error> {
    let bytes = sys::random::bytes32();
    let bytes = bytes.map_err(failed("draw random bytes for", Path::new(MEMORY)))?;
    Ok(format!("rcompose-{}", ContainerId::from_random(bytes)))
}

/// Makes a folder that wasn't there: one that was may be somebody else's.
fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(path)
}

impl Drop for Session {
    fn drop(&mut self) {
        // What can't be removed here is swept by the next run.
        let _ = clear(&self.folder, &self.cgroup);
    }
}

fn cgroup(root: &Root, name: &str) -> String {
    format!("{}/build-{name}", root.cgroup_base())
}

fn is_memory(path: &Path) -> bool {
    fs::folder(path)
        .and_then(|folder| fs::filesystem_magic(folder.as_fd()))
        .is_ok_and(|magic| magic == fs::TMPFS_MAGIC)
}

/// Takes away what killed builds have left on the host. Costs one look at a
/// folder when there is nothing; while a build begins or ends, that one does it.
///
/// # Errors
/// [`Error::Io`] when the folder can't be read, [`Error::Network`] and others
/// when something can't be removed.
pub fn sweep_killed(root: &Root) -> Result<(), Error> {
    let dir = root.run_dir().join("builds");
    if store::record::names(&dir)?.is_empty() {
        return Ok(());
    }
    match FileLock::try_exclusive(&dir.join(DOOR))? {
        Some(_door) => sweep(root, &dir),
        None => Ok(()),
    }
}

/// Takes away what runs that nobody holds any more have left.
///
/// # Errors
/// [`Error::Io`] when the folder can't be read.
pub(crate) fn sweep(root: &Root, dir: &Path) -> Result<(), Error> {
    for name in store::record::names(dir)? {
        let folder = dir.join(&name);
        if is_dead(&folder.join(OWNER))? {
            clear(&folder, &cgroup(root, &name))?;
        }
    }
    Ok(())
}

/// Whether nobody has the lock of a run's folder. The folder may vanish
/// meanwhile: a run that ends needs no door.
fn is_dead(owner: &Path) -> Result<bool, Error> {
    if !owner.exists() {
        return Ok(true);
    }
    match FileLock::try_exclusive(owner) {
        Err(store::Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(true)
        }
        found => Ok(found?.is_some()),
    }
}

/// Removes a run's folder, last, after what stands in it.
fn clear(folder: &Path, cgroup: &str) -> Result<(), Error> {
    if let Ok(bridge) = std::fs::read_to_string(folder.join(BRIDGE)) {
        let names = [bridge];
        network::bridge::retire(&names).map_err(Error::Network)?;
        network::bridge::remove(&names).map_err(Error::Network)?;
    }
    if let Ok(place) = std::fs::read(folder.join(MEMORY)) {
        use std::os::unix::ffi::OsStringExt as _;
        let place = PathBuf::from(std::ffi::OsString::from_vec(place));
        remove(&place)?;
    }
    // A keeper that was killed with its run could not end what it started.
    runtime::cgroup::kill(cgroup).map_err(Error::Cgroup)?;
    // Groups in which something still ends are found by the next run.
    runtime::cgroup::remove(cgroup).map_err(Error::Cgroup)?;
    remove(folder)
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(failed("remove", path)),
    }
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_for_secrets_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let (theirs, link) = (dir.path().join("theirs"), dir.path().join("link"));
        std::fs::create_dir(&theirs).unwrap();
        std::os::unix::fs::symlink(&theirs, &link).unwrap();
        for taken in [&theirs, &link] {
            let error = create_private(taken).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        }
        let names = [unguessable_name().unwrap(), unguessable_name().unwrap()];
        assert!(names[0] != names[1] && names[0].len() > 70);
    }

    #[test]
    fn the_dead_are_swept_and_the_living_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("s"), &dir.path().join("r")).unwrap();
        let living = Session::open(&root).unwrap();
        let memory = living.memory().unwrap().to_owned();
        assert!(is_memory(&memory));
        let dead = root.run_dir().join("builds/1-0");
        std::fs::create_dir(&dead).unwrap();
        std::fs::write(dead.join("secret"), "x").unwrap();
        let other = Session::open(&root).unwrap();
        assert!(!dead.exists());
        assert!(living.place(OWNER).exists() && other.place(OWNER).exists());
        assert_ne!(living.cgroup(), other.cgroup());
        let second = root.run_dir().join("builds/2-0");
        std::fs::create_dir(&second).unwrap();
        sweep_killed(&root).unwrap();
        assert!(!second.exists() && living.place(OWNER).exists());
        let gone = living.folder.clone();
        drop(living);
        assert!(!gone.exists() && !memory.exists());
        assert!(is_dead(&gone.join(OWNER)).unwrap());
    }

    #[test]
    fn runs_that_end_while_others_begin_harm_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("s"), &dir.path().join("r")).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        drop(Session::open(&root).unwrap());
                    }
                });
            }
        });
        let left = store::record::names(&root.run_dir().join("builds")).unwrap();
        assert_eq!(left, Vec::<String>::new());
    }
}
