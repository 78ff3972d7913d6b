//! A keeper's first moments: from a program that somebody executed to a
//! process of nobody's that serves.
//!
//! ```text
//!   executed: closes what it inherited, reads its orders,
//!             takes the lock, listens               ──Busy──▶ ends
//!     └─clone into the pair's control group─▶ keeper: cleanses itself,
//!   ends at once, for its parent to reap              answers Ready, serves
//! ```

use std::collections::VecDeque;
use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::keeper::launch::PAIR_GROUP;
use crate::keeper::member::Life;
use crate::keeper::orders::{Answer, FirstWords, Mode, ORDERS, ShelfBatch};
use crate::keeper::service::Service;
use crate::keeper::shelf::{CONTROL, LOCK, Shelf};
use crate::keeper::{Error, Step};
use crate::protocol::frame::{self, Assembler};
use crate::runtime;
use crate::sys::cgroup::{self, Hierarchies};
use crate::sys::clone::{self, NamespaceSet, Parent};
use crate::sys::{birth, descriptor, exec, poll, scm};

/// How often and after what pause an empty pair's control groups are removed.
const LEAVE_TRIES: u32 = 50;
const LEAVE_PAUSE: Duration = Duration::from_millis(20);
/// How long the starter may take to give its orders.
const ORDERS_LIMIT: Duration = Duration::from_secs(10);

/// Runs a keeper: `rcompose keeper NAME`, with the starter's socket as
/// standard input. Must be the first thing that the process does. Returns at
/// once, the keeper being another process, or at that one's end. `life` is
/// what the pair's other members do, which are forks of the keeper.
///
/// # Errors
/// Without a starter that gives orders, or when the keeper can't go on.
pub fn run(life: Life) -> Result<(), Error> {
    birth::close_inherited().step(|| "close of what was inherited".to_owned())?;
    let socket = descriptor::take_standard_input().map_err(Error::Socket)?;
    let mut starter = Starter {
        socket,
        incoming: Assembler::default(),
        messages: VecDeque::new(),
    };
    let (words, _) = starter.hear::<FirstWords>()?;
    let mut shelf = starter.shelf(words.batches)?;
    if let Mode::Respawn { run_dir, .. } = &words.orders.mode
        && shelf.get(LOCK).is_none()
    {
        match claim(run_dir, &mut shelf) {
            Ok(Claim::Ours) => {}
            Ok(Claim::Taken) => return starter.answer(&Answer::Busy),
            Err(error) => return starter.refuse(&error),
        }
    }
    if shelf.get(ORDERS).is_none() {
        let orders = words.orders.to_file();
        shelf.put(ORDERS, orders.step(|| "orders".to_owned())?);
    }
    let group = words.orders.cgroup.as_deref().map(Group::prepare);
    let folder = group.as_ref().and_then(|group| group.v2.as_ref());
    let folder = folder.map(OwnedFd::try_clone).transpose();
    let folder = folder.step(|| "control group".to_owned())?;
    // The clone gets copies of everything; here it is dropped unused.
    let keeper = move || keep(starter, words, life, shelf, group.as_ref());
    clone::spawn(
        NamespaceSet::EMPTY,
        folder.as_ref().map(|fd| fd.as_fd()),
        Parent::Caller,
        keeper,
    )
    .step(|| "clone".to_owned())?;
    Ok(())
}

/// The keeper's life; its exit status comes out.
fn keep(
    starter: Starter,
    words: FirstWords,
    life: Life,
    shelf: Shelf,
    group: Option<&Group>,
) -> u8 {
    if let Some(group) = group {
        group.join_v1();
    }
    let serve = || -> Result<(), Error> {
        birth::cleanse().step(|| "separation from the starter".to_owned())?;
        birth::raise_descriptor_limit();
        // Only for people who look at `ps`.
        let _ = birth::set_name("rcompose-keeper");
        starter.answer(&Answer::Ready)?;
        Service::new(words, life, starter.socket, shelf)?.run()
    };
    match serve() {
        Ok(()) => 0,
        Err(error) => {
            complain(&error);
            1
        }
    }
}

/// Writes an error to standard error, which is the project's log.
fn complain(error: &Error) {
    let mut line = format!("rcompose keeper: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        line.push_str(&format!(": {error}"));
        cause = error.source();
    }
    line.push('\n');
    // There is nobody else to tell.
    let _ = descriptor::write_standard_error(line.as_bytes());
}

/// Who started the keeper.
struct Starter {
    socket: OwnedFd,
    incoming: Assembler<OwnedFd>,
    messages: VecDeque<(serde_json::Value, Vec<OwnedFd>)>,
}

impl Starter {
    fn shelf(&mut self, batches: usize) -> Result<Shelf, Error> {
        let mut shelf = Shelf::default();
        for _ in 0..batches {
            let (batch, descriptors) = self.hear::<ShelfBatch>()?;
            shelf.extend(batch.names.into_iter().zip(descriptors));
        }
        Ok(shelf)
    }

    fn hear<T: DeserializeOwned>(&mut self) -> Result<(T, Vec<OwnedFd>), Error> {
        loop {
            if let Some((value, descriptors)) = self.messages.pop_front() {
                let message = serde_json::from_value(value);
                return Ok((message.map_err(frame::Error::Malformed)?, descriptors));
            }
            let is_there = poll::wait_readable(&self.socket, Some(ORDERS_LIMIT));
            if !is_there.map_err(Error::Socket)? {
                return Err(Error::Silent(ORDERS_LIMIT));
            }
            let mut buffer = vec![0u8; 64 << 10];
            let got = scm::receive(&self.socket, &mut buffer).map_err(Error::Socket)?;
            if got.count == 0 {
                return Err(Error::Gone);
            }
            let bytes = buffer.get(..got.count).unwrap_or_default();
            self.incoming.push(bytes, got.descriptors);
            while let Some(message) = self.incoming.take()? {
                self.messages.push_back(message);
            }
        }
    }

    fn answer(&self, answer: &Answer) -> Result<(), Error> {
        let bytes = frame::encode(answer)?;
        // A starter that is gone wants no answer.
        let _ = scm::send(&self.socket, &bytes, &[]);
        Ok(())
    }

    fn refuse(&self, error: &Error) -> Result<(), Error> {
        let cause = std::error::Error::source(error).map_or(String::new(), |e| format!(": {e}"));
        self.answer(&Answer::Failed {
            message: format!("{error}{cause}"),
        })
    }
}

/// Whether a project could be claimed.
enum Claim {
    Ours,
    Taken,
}

/// Most turns of taking a lock whose file went away meanwhile.
const LOCK_TURNS_MAX: usize = 100;

/// Takes a project's lock and listens on its control socket; both go on the
/// shelf.
fn claim(run_dir: &Path, shelf: &mut Shelf) -> Result<Claim, Error> {
    let subject = || format!("run folder {}", run_dir.display());
    let mut builder = DirBuilder::new();
    for _ in 0..LOCK_TURNS_MAX {
        // The pair that leaves removes the folder last of all.
        builder
            .recursive(true)
            .mode(0o700)
            .create(run_dir)
            .step(subject)?;
        match lock(&run_dir.join("lock")) {
            Ok(Some(lock)) => {
                shelf.put(LOCK, lock);
                let control = listen(run_dir);
                let control =
                    control.step(|| format!("control socket in {}", run_dir.display()))?;
                shelf.put(CONTROL, control);
                return Ok(Claim::Ours);
            }
            Ok(None) => return Ok(Claim::Taken),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).step(|| format!("lock in {}", run_dir.display())),
        }
    }
    Ok(Claim::Taken)
}

/// Takes a lock file; None when somebody has it, `NotFound` when it is no
/// longer the one that has the name.
fn lock(path: &Path) -> io::Result<Option<OwnedFd>> {
    let mut options = File::options();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let (ours, named) = (file.metadata()?, std::fs::metadata(path)?);
    if (ours.dev(), ours.ino()) != (named.dev(), named.ino()) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(Some(file.into()))
}

/// Listens on a folder's socket, through the folder's descriptor because a
/// socket's path may not be longer than 107 bytes.
fn listen(folder: &Path) -> io::Result<OwnedFd> {
    let folder = File::open(folder)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/sock", folder.as_raw_fd()));
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    exec::set_umask(0o177);
    let listener = UnixListener::bind(&path);
    exec::set_umask(0o022);
    Ok(listener?.into())
}

/// The pair's control group.
#[derive(Default)]
struct Group {
    /// Folders in the hierarchies of version 1 where the starter is in one.
    v1: Vec<PathBuf>,
    v2: Option<OwnedFd>,
}

impl Group {
    /// Makes the group where that is permitted. Without it the pair stays in
    /// its starter's, and may be ended with it.
    fn prepare(path: &str) -> Self {
        // Of pairs that were killed. The project is ours: nobody else is about
        // to enter one.
        let _ = runtime::cgroup::remove_empty_beside(path, PAIR_GROUP);
        // A group that is there, with a supervisor in it, is used as it is.
        let Ok(v1) = runtime::cgroup::shelter(path) else {
            return Self::default();
        };
        let v2 = Hierarchies::get()
            .ok()
            .and_then(|known| known.v2_group(path));
        let v2 = v2.and_then(|folder| cgroup::open(&folder).ok().flatten());
        Self { v1, v2 }
    }

    fn join_v1(&self) {
        for folder in &self.v1 {
            // It stays where it is in a hierarchy that refuses it.
            let _ = cgroup::join_v1(folder);
        }
    }
}

/// What a supervisor gets from the keeper that starts it.
#[derive(Debug)]
pub struct SupervisorBirth {
    /// Its project.
    pub project: crate::model::ProjectName,
    /// The project's folder for records.
    pub state_dir: PathBuf,
    /// The project's folder for lock and socket.
    pub run_dir: PathBuf,
    /// The keeper's socket, for [`crate::keeper::Client::new`].
    pub socket: OwnedFd,
}

/// Takes a supervisor's birth from its arguments (`rcompose supervisor
/// PROJECT STATE_DIR RUN_DIR`) and its standard input.
///
/// # Errors
/// When no keeper started it.
pub fn supervisor_birth(
    arguments: impl IntoIterator<Item = std::ffi::OsString>,
) -> Result<SupervisorBirth, Error> {
    let mut arguments = arguments.into_iter().skip(2);
    let mut next = || arguments.next().ok_or(Error::Gone);
    let project = next()?.into_string().map_err(|_| Error::Gone)?;
    Ok(SupervisorBirth {
        project: project.parse().map_err(|_| Error::Gone)?,
        state_dir: next()?.into(),
        run_dir: next()?.into(),
        socket: descriptor::take_standard_input().map_err(Error::Socket)?,
    })
}

/// Leaves the pair's control groups for the root ones and removes them and
/// what of their parents is empty. The last act of a keeper.
pub(crate) fn leave_groups(path: &str) {
    let Ok(hierarchies) = Hierarchies::get() else {
        return;
    };
    for hierarchy in hierarchies.v1_below_root() {
        let _ = cgroup::join_v1(&hierarchy.mount);
    }
    if let Some(root) = &hierarchies.v2 {
        let _ = cgroup::write(root, "cgroup.procs", "0");
    }
    // The supervisor and the log writer may take a moment to be gone. What is
    // left after that, the next command finds.
    for _ in 0..LEAVE_TRIES {
        if runtime::cgroup::remove(path).is_ok() {
            return;
        }
        std::thread::sleep(LEAVE_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_claimed_once() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(150));
        let mut shelf = Shelf::default();
        assert!(matches!(claim(&long, &mut shelf), Ok(Claim::Ours)));
        let mut other = Shelf::default();
        assert!(matches!(claim(&long, &mut other), Ok(Claim::Taken)));
        drop(shelf);
        // A child of another test may have a copy of the lock until its exec.
        let is_free = (0..2000).any(|_| {
            let is_ours = matches!(claim(&long, &mut other), Ok(Claim::Ours));
            if !is_ours {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            is_ours
        });
        assert!(is_free);
    }

    #[test]
    fn a_lock_whose_file_was_replaced_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = lock(&path).unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        let second = lock(&path).unwrap();
        assert!(second.is_some(), "another file, another lock");
        drop(first);
        assert!(lock(&path).unwrap().is_none());
    }
}
