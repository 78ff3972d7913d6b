//! What is done to the processes of a group, and its end.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::runtime::cgroup::{Error, Motion, OWN_PREFIX, WAIT, WAIT_TRIES};
use crate::sys;
use crate::sys::cgroup::{self as files, Hierarchies};
use crate::sys::features::Features;

/// Every folder of a group that exists.
fn folders(path: &str) -> Result<Vec<PathBuf>, Error> {
    let hosts = Hierarchies::get().map_err(Error::Search)?;
    let mounts = hosts.v1.iter().map(|known| &known.mount).chain(&hosts.v2);
    Ok(mounts
        .map(|mount| mount.join(path))
        .filter(|folder| folder.is_dir())
        .collect())
}

/// Removes a group and the groups below it, once its last process is gone, and
/// the folders of ours above it that are empty then. All hierarchies are tried;
/// the first failure is given.
pub fn remove(path: &str) -> Result<(), Error> {
    let removed = remove_alone(path);
    remove_above(path, own_folders_above(path))?;
    removed
}

/// Removes that many of the folders above a group, as far as they are empty.
fn remove_above(path: &str, count: usize) -> Result<(), Error> {
    let hosts = Hierarchies::get().map_err(Error::Search)?;
    for mount in hosts.v1.iter().map(|known| &known.mount).chain(&hosts.v2) {
        let folder = mount.join(path);
        for above in folder.ancestors().skip(1).take(count) {
            match fs::remove_dir(above) {
                // Another group is left there, as it should be.
                Err(error) if error.kind() != ErrorKind::NotFound => break,
                // Who removed it at the same time may have stopped there.
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(())
}

fn remove_alone(path: &str) -> Result<(), Error> {
    let mut first = Ok(());
    for folder in folders(path)? {
        let removed = remove_tree(&folder);
        first = first.and(removed.map_err(|source| Error::Remove {
            path: folder,
            source,
        }));
    }
    first
}

/// Removes the groups beside one whose names begin with this, where no process
/// is in them any more.
pub fn remove_empty_beside(path: &str, beginning: &str) -> Result<(), Error> {
    let hosts = Hierarchies::get().map_err(Error::Search)?;
    for mount in hosts.v1.iter().map(|known| &known.mount).chain(&hosts.v2) {
        let Some(folder) = mount.join(path).parent().map(Path::to_owned) else {
            continue;
        };
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(beginning.as_bytes())
            {
                // Refused by the kernel when somebody is in it.
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
    Ok(())
}

/// How many of the folders above a group are ours to remove: all, or none where
/// it stands in a group of the user's (`cgroup_parent`), which may have limits.
fn own_folders_above(path: &str) -> usize {
    if path.starts_with(OWN_PREFIX) {
        Path::new(path).components().count().saturating_sub(1)
    } else {
        0
    }
}

/// Removes the group of a container that has ended, and kills who is left in
/// it: with the host's pid namespace, or another container's, children outlive
/// the first process (so runc ends them too). Of the folders above it, `kept`
/// and those above that stay: the pair has its own group in them, and the next
/// start needs them.
pub fn end(path: &str, kept: &str) -> Result<(), Error> {
    let folder = tracking_folder(path).map_err(Error::Search)?;
    if folder.is_some_and(|folder| !pids_below(&folder).is_empty()) {
        kill(path)?;
    }
    let removed = remove_alone(path);
    if !Path::new(path).starts_with(kept) {
        remove_above(path, own_folders_above(path))?;
    }
    removed
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    // Mostly there is nothing below.
    if fs::remove_dir(folder).is_ok() {
        return Ok(());
    }
    for _ in 0..WAIT_TRIES {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove_tree(&entry.path())?;
            }
        }
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                std::thread::sleep(WAIT);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            removed => return removed,
        }
    }
    Err(ErrorKind::ResourceBusy.into())
}

/// Kills every process of a group and of the groups below it, those that are
/// being forked included. A group that isn't there has none.
pub fn kill(path: &str) -> Result<(), Error> {
    let fail = |source| Error::Signal {
        verb: "kill",
        path: path.to_owned(),
        source,
    };
    let hosts = Hierarchies::get().map_err(Error::Search)?;
    if let Some(folder) = hosts.v2_group(path)
        && Features::get().cgroup_kill
    {
        match files::write(&folder, "cgroup.kill", "1") {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(fail(error)),
        }
    }
    kill_frozen(path).map_err(fail)
}

/// Without `cgroup.kill`: nothing forks while it is frozen, so one pass finds
/// all; a hierarchy without a freezer takes several.
fn kill_frozen(path: &str) -> io::Result<()> {
    let Some(folder) = tracking_folder(path)? else {
        return Ok(());
    };
    for _ in 0..WAIT_TRIES {
        let _ = set_motion(path, Motion::Frozen);
        let pids = pids_below(&folder);
        for pid in &pids {
            sys::clone::kill_by_id(*pid)?;
        }
        let _ = set_motion(path, Motion::Thawed);
        if pids.is_empty() {
            return Ok(());
        }
        std::thread::sleep(WAIT);
    }
    Err(ErrorKind::TimedOut.into())
}

/// A folder of the group that knows its processes.
fn tracking_folder(path: &str) -> io::Result<Option<PathBuf>> {
    let hosts = Hierarchies::get()?;
    let freezer = hosts.v1_group("freezer", path);
    let others = hosts.v1.iter().map(|known| known.mount.join(path));
    Ok(hosts
        .v2_group(path)
        .into_iter()
        .chain(freezer)
        .chain(others)
        .find(|folder| folder.is_dir()))
}

fn pids_below(folder: &Path) -> Vec<i32> {
    let mut pids: Vec<i32> = files::read(folder, "cgroup.procs")
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.parse().ok())
        .filter(|pid| *pid > 0)
        .collect();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            pids.extend(pids_below(&entry.path()));
        }
    }
    pids
}

/// Freezes or thaws a group.
pub fn freeze(path: &str, motion: Motion) -> Result<(), Error> {
    set_motion(path, motion).map_err(|source| Error::Signal {
        verb: match motion {
            Motion::Frozen => "freeze",
            Motion::Thawed => "thaw",
        },
        path: path.to_owned(),
        source,
    })
}

fn set_motion(path: &str, motion: Motion) -> io::Result<()> {
    let hosts = Hierarchies::get()?;
    if let Some(folder) = hosts.v2_group(path).filter(|folder| folder.is_dir()) {
        let (value, event) = match motion {
            Motion::Frozen => ("1", "frozen 1"),
            Motion::Thawed => ("0", "frozen 0"),
        };
        files::write(&folder, "cgroup.freeze", value)?;
        return wait_for(&folder, "cgroup.events", event);
    }
    let folder = hosts
        .v1_group("freezer", path)
        .ok_or_else(|| io::Error::other("this host can't freeze: no cgroup2, no freezer"))?;
    let value = match motion {
        Motion::Frozen => "FROZEN",
        Motion::Thawed => "THAWED",
    };
    files::write(&folder, "freezer.state", value)?;
    wait_for(&folder, "freezer.state", value)
}

fn wait_for(folder: &Path, file: &str, line: &str) -> io::Result<()> {
    for _ in 0..WAIT_TRIES {
        if files::read(folder, file)?
            .lines()
            .any(|found| found == line)
        {
            return Ok(());
        }
        std::thread::sleep(WAIT);
    }
    Err(ErrorKind::TimedOut.into())
}
