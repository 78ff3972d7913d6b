//! Control groups: made and limited before a container starts, watched while it
//! runs, removed afterwards. Called by the engine, never by the keeper.
//!
//! A group is one relative path, as in `rcompose/ab12cd/shop/0123…`, that is
//! made in every hierarchy of the host: in each of version 1 for limits, in
//! version 2, wherever it is mounted, for killing and freezing, and for limits
//! where it is alone. What a host can't limit is a [`Warning`], never a failure.

mod device_rules;
mod settings;

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::{CgroupSpec, Device, DeviceRule, Resources};
use crate::sys::cgroup::{self as files, Hierarchies};
use crate::sys::features::Features;
use crate::sys::fs::DeviceNumber;
use crate::sys::{self, bpf};
use settings::Setting;

/// A limit that was asked for and isn't in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The limit in the user's words, as in `memory limit`.
    pub limit: String,
    /// Why not.
    pub reason: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} is not in force: {}", self.limit, self.reason)
    }
}

/// A failure with a control group.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The mount table can't be read.
    #[error("search for control groups")]
    Search(#[source] io::Error),
    /// A group's folder can't be made.
    #[error("creation of control group {path}")]
    Create {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A value isn't taken.
    #[error("{limit} ({value} in {file})")]
    Set {
        /// The limit in the user's words.
        limit: String,
        /// The file.
        file: PathBuf,
        /// What was written.
        value: String,
        /// Why.
        source: io::Error,
    },
    /// A device of a limit or rule can't be looked at.
    #[error("device {path}")]
    Device {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A group can't be frozen, thawed or killed.
    #[error("{verb} of control group {path}")]
    Signal {
        /// What was tried.
        verb: &'static str,
        /// The group.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A group's folder can't be removed.
    #[error("removal of control group {path}")]
    Remove {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Whether processes of a group run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
    /// None of them runs.
    Frozen,
    /// They run.
    Thawed,
}

/// What a group uses at the moment; absent where nothing counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// CPU time since its start.
    pub cpu_time: Option<Duration>,
    /// Memory.
    pub memory_bytes: Option<u64>,
    /// Memory limit.
    pub memory_bytes_max: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// Controllers that version 2 hands down to a container's group.
const V2_CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

/// How often and how long a group that is emptying itself is waited for.
const EMPTY_TRIES: u32 = 100;
const EMPTY_WAIT: Duration = Duration::from_millis(2);

/// Makes the group anew and sets its limits. `rules` come on top of the
/// default devices; a privileged group may use every device.
pub fn prepare(
    spec: &CgroupSpec,
    rules: &[DeviceRule],
    privileged: bool,
) -> Result<Vec<Warning>, Error> {
    let hosts = Hierarchies::get().map_err(Error::Search)?;
    let mut warnings = Vec::new();
    for hierarchy in &hosts.v1 {
        create(&hierarchy.mount, &spec.path, |folder| {
            inherit_cpuset(folder, &hierarchy.controllers)
        })?;
    }
    if let Some(mount) = &hosts.v2 {
        create(mount, &spec.path, |_| Ok(()))?;
        delegate(mount, &spec.path);
    }
    set_limits(hosts, spec, &mut warnings)?;
    if !privileged {
        allow_devices(hosts, &spec.path, rules, &mut warnings)?;
    }
    Ok(warnings)
}

/// The rules that let a container use the devices that are passed to it.
pub fn device_rules(devices: &[Device]) -> Result<Vec<DeviceRule>, Error> {
    let mut rules = Vec::new();
    for device in devices {
        let fail = |source| Error::Device {
            path: device.source.clone(),
            source,
        };
        let mut paths = vec![device.source.clone()];
        if device.source.is_dir() {
            let entries = fs::read_dir(&device.source).map_err(fail)?;
            paths = entries.flatten().map(|entry| entry.path()).collect();
        }
        for path in paths {
            let stat = sys::fs::stat_path(&path).map_err(fail)?;
            rules.extend(DeviceNumber::of(&stat).map(|number| DeviceRule {
                kind: if number.block { 'b' } else { 'c' },
                major: Some(number.major),
                minor: Some(number.minor),
                permissions: device.permissions.clone(),
                allow: true,
            }));
        }
    }
    Ok(rules)
}

/// Makes a folder and those above it; the last one anew, so that counters and
/// limits of an earlier life are gone. `new` sees each one that was made.
fn create(mount: &Path, path: &str, new: impl Fn(&Path) -> io::Result<()>) -> Result<(), Error> {
    let whole = mount.join(path);
    // Fails when it isn't there, or isn't empty: then it is used as it is.
    let _ = fs::remove_dir(&whole);
    let fail = |source| Error::Create {
        path: whole.clone(),
        source,
    };
    // Another project may be taking an empty folder above away at this moment.
    for _ in 0..EMPTY_TRIES {
        let mut folder = mount.to_owned();
        let made = Path::new(path).components().try_for_each(|step| {
            folder.push(step);
            match fs::create_dir(&folder) {
                Ok(()) => new(&folder),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                Err(error) => Err(error),
            }
        });
        match made {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            made => return made.map_err(fail),
        }
    }
    Err(fail(ErrorKind::NotFound.into()))
}

/// A v1 cpuset group takes no process before it has CPUs and memory nodes.
fn inherit_cpuset(folder: &Path, controllers: &[String]) -> io::Result<()> {
    if !controllers.iter().any(|name| name == "cpuset") {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(folder);
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if files::read(folder, file)?.trim().is_empty() {
            files::write(folder, file, files::read(above, file)?.trim())?;
        }
    }
    Ok(())
}

/// Hands the controllers of version 2 down to a group. Those that can't be
/// handed down are missed, and warned about, when a limit needs them.
fn delegate(mount: &Path, path: &str) {
    let mut folder = mount.to_owned();
    for step in Path::new(path).components() {
        let available = files::read(&folder, "cgroup.controllers").unwrap_or_default();
        for controller in V2_CONTROLLERS {
            if available.split_whitespace().any(|name| name == controller) {
                let _ = files::write(&folder, "cgroup.subtree_control", &format!("+{controller}"));
            }
        }
        folder.push(step);
    }
}

fn set_limits(
    hosts: &Hierarchies,
    spec: &CgroupSpec,
    warnings: &mut Vec<Warning>,
) -> Result<(), Error> {
    let limits = &spec.resources;
    if limits == &Resources::default() {
        return Ok(());
    }
    let unified = hosts.is_unified();
    let all = if unified {
        settings::v2(limits, &device_number)
    } else {
        settings::v1(limits, &device_number)
    };
    let all = all.map_err(|lost| Error::Device {
        path: lost.path.into(),
        source: lost.source,
    })?;
    for setting in all {
        let folder = if unified {
            hosts.v2_group(&spec.path)
        } else {
            hosts.v1_group(setting.controller, &spec.path)
        };
        warnings.extend(apply(folder.as_deref(), &setting)?);
    }
    if unified {
        let lacking = settings::unknown_to_v2(limits).into_iter();
        warnings.extend(lacking.map(|limit| Warning {
            limit: limit.to_owned(),
            reason: "control groups of version 2 have no such limit".to_owned(),
        }));
    }
    Ok(())
}

/// Writes one value. A host that lacks the file gives a warning.
fn apply(folder: Option<&Path>, setting: &Setting) -> Result<Option<Warning>, Error> {
    let missing = |reason: String| {
        setting.asked.then(|| Warning {
            limit: setting.limit.to_owned(),
            reason,
        })
    };
    let Some(folder) = folder else {
        return Ok(missing(format!(
            "this host has no {} controller",
            setting.controller
        )));
    };
    let mut file = setting.file;
    if file == "blkio.weight" && !folder.join(file).exists() {
        file = "blkio.bfq.weight";
    }
    if file == "io.weight" && !folder.join(file).exists() {
        file = "io.bfq.weight";
    }
    match files::write(folder, file, &setting.value) {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(missing(format!(
            "this host's {} controller has no {file}",
            setting.controller
        ))),
        // The kernel's way to say "not on this host" for a file that it shows.
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            Ok(missing(format!("this host doesn't support {file}")))
        }
        Err(_) if !setting.asked => Ok(None),
        Err(source) => Err(Error::Set {
            limit: setting.limit.to_owned(),
            file: folder.join(file),
            value: setting.value.clone(),
            source,
        }),
    }
}

fn device_number(path: &str) -> io::Result<String> {
    let number = DeviceNumber::of(&sys::fs::stat_path(path)?)
        .ok_or_else(|| io::Error::other("not a device"))?;
    Ok(format!("{}:{}", number.major, number.minor))
}

fn allow_devices(
    hosts: &Hierarchies,
    path: &str,
    rules: &[DeviceRule],
    warnings: &mut Vec<Warning>,
) -> Result<(), Error> {
    let mut all = device_rules::defaults();
    all.extend_from_slice(rules);
    if let Some(folder) = hosts.v1_group("devices", path) {
        return allow_devices_v1(&folder, &all);
    }
    let unlimited = |reason: String| Warning {
        limit: "restriction of device access".to_owned(),
        reason,
    };
    let Some(folder) = hosts.v2_group(path) else {
        warnings.push(unlimited("this host has no control groups".to_owned()));
        return Ok(());
    };
    let attached = bpf::load_device_program(&device_rules::program(&all)).and_then(|program| {
        let group = sys::fs::folder(&folder)?;
        bpf::attach_device_program(group.as_fd(), program.as_fd())
    });
    if let Err(error) = attached {
        warnings.push(unlimited(format!(
            "the kernel refuses its program: {error}"
        )));
    }
    Ok(())
}

fn allow_devices_v1(folder: &Path, rules: &[DeviceRule]) -> Result<(), Error> {
    let set = |file: &str, value: String| {
        files::write(folder, file, &value).map_err(|source| Error::Set {
            limit: "device rule".to_owned(),
            file: folder.join(file),
            value,
            source,
        })
    };
    set("devices.deny", "a".to_owned())?;
    for rule in rules {
        let file = if rule.allow {
            "devices.allow"
        } else {
            "devices.deny"
        };
        set(file, device_rules::line(rule))?;
    }
    Ok(())
}

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
/// the folders above it that are empty then. All hierarchies are tried; the
/// first failure is given.
pub fn remove(path: &str) -> Result<(), Error> {
    let mut first = Ok(());
    for folder in folders(path)? {
        let removed = remove_tree(&folder).map_err(|source| Error::Remove {
            path: folder.clone(),
            source,
        });
        let above = folder.ancestors().skip(1);
        for above in above.take(Path::new(path).components().count().saturating_sub(1)) {
            // Fails where another group is left, as it should.
            if fs::remove_dir(above).is_err() {
                break;
            }
        }
        first = first.and(removed);
    }
    first
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    for _ in 0..EMPTY_TRIES {
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
                std::thread::sleep(EMPTY_WAIT);
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
    for _ in 0..EMPTY_TRIES {
        let _ = set_motion(path, Motion::Frozen);
        let pids = pids_below(&folder);
        for pid in &pids {
            sys::clone::kill_by_id(*pid)?;
        }
        let _ = set_motion(path, Motion::Thawed);
        if pids.is_empty() {
            return Ok(());
        }
        std::thread::sleep(EMPTY_WAIT);
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
    for _ in 0..EMPTY_TRIES {
        if files::read(folder, file)?
            .lines()
            .any(|found| found == line)
        {
            return Ok(());
        }
        std::thread::sleep(EMPTY_WAIT);
    }
    Err(ErrorKind::TimedOut.into())
}

/// Whether the out-of-memory killer ended a process of the group since it was
/// prepared.
#[must_use]
pub fn oom_killed(path: &str) -> bool {
    let Ok(hosts) = Hierarchies::get() else {
        return false;
    };
    let (folder, file) = match hosts.v1_group("memory", path) {
        Some(folder) => (Some(folder), "memory.oom_control"),
        None => (hosts.v2_group(path), "memory.events"),
    };
    folder
        .and_then(|folder| files::read(&folder, file).ok())
        .and_then(|text| field(&text, "oom_kill"))
        .is_some_and(|count| count > 0)
}

/// What the group uses.
#[must_use]
pub fn usage(path: &str) -> Usage {
    let Ok(hosts) = Hierarchies::get() else {
        return Usage::default();
    };
    let read = |controller: &str, v1: &str, v2: &str| {
        let (folder, file) = match hosts.v1_group(controller, path) {
            Some(folder) => (folder, v1),
            None => (hosts.v2_group(path)?, v2),
        };
        files::read(&folder, file).ok()
    };
    let number = |text: String| text.trim().parse::<u64>().ok();
    let cpu_time = match hosts.v1_group("cpuacct", path) {
        Some(folder) => files::read(&folder, "cpuacct.usage")
            .ok()
            .and_then(number)
            .map(Duration::from_nanos),
        None => read("cpu", "", "cpu.stat")
            .and_then(|text| field(&text, "usage_usec"))
            .map(Duration::from_micros),
    };
    Usage {
        cpu_time,
        memory_bytes: read("memory", "memory.usage_in_bytes", "memory.current").and_then(number),
        memory_bytes_max: read("memory", "memory.limit_in_bytes", "memory.max").and_then(number),
        pids: read("pids", "pids.current", "pids.current").and_then(number),
    }
}

/// The number of a line like `oom_kill 2`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}
