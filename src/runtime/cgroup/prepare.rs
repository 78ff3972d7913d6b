//! Making a group: folders in every hierarchy, limits, device access.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};

use crate::model::{CgroupSpec, Device, DeviceRule, Resources};
use crate::runtime::cgroup::settings::{self, Setting};
use crate::runtime::cgroup::{Error, WAIT_TRIES, Warning, device_access};
use crate::sys::cgroup::{self as files, Hierarchies};
use crate::sys::features::Features;
use crate::sys::fs::DeviceNumber;
use crate::sys::{self, bpf};

/// Controllers that version 2 hands down to a container's group.
const V2_CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

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

/// Sets the limits of a group that is in use. Those that the spec doesn't name
/// stay as they are.
///
/// # Errors
/// [`Error::Set`] for a value that the kernel refuses, as a memory limit below
/// what is in use; those before it are in force by then.
pub fn update(spec: &CgroupSpec) -> Result<Vec<Warning>, Error> {
    let hosts = Hierarchies::get().map_err(Error::Search)?;
    let mut warnings = Vec::new();
    set_limits(hosts, spec, &mut warnings)?;
    Ok(warnings)
}

/// Makes a group without limits for processes of ours, to be out of their
/// starter's: in version 2, and in those hierarchies of version 1 where the
/// calling process is in a group at all. Gives its folders in version 1.
pub fn shelter(path: &str) -> Result<Vec<PathBuf>, Error> {
    let hosts = Hierarchies::get().map_err(Error::Search)?;
    let mut folders = Vec::new();
    for hierarchy in hosts.v1_below_root() {
        create(&hierarchy.mount, path, |folder| {
            inherit_cpuset(folder, &hierarchy.controllers)
        })?;
        folders.push(hierarchy.mount.join(path));
    }
    if let Some(mount) = &hosts.v2 {
        create(mount, path, |_| Ok(()))?;
    }
    Ok(folders)
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
/// limits of an earlier life are gone. `ready` sees each one.
fn create(mount: &Path, path: &str, ready: impl Fn(&Path) -> io::Result<()>) -> Result<(), Error> {
    let whole = mount.join(path);
    let fail = |source| Error::Create {
        path: whole.clone(),
        source,
    };
    let is_name = |step| matches!(step, Component::Normal(_));
    if !Path::new(path).components().all(is_name) {
        return Err(fail(io::Error::new(
            ErrorKind::InvalidInput,
            "it would lead out of the control groups",
        )));
    }
    // Mostly those above are there and this one isn't.
    match fs::create_dir(&whole) {
        Ok(()) if ready(&whole).is_ok() => return Ok(()),
        // Fails when it isn't empty: then it is used as it is.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let _ = fs::remove_dir(&whole);
        }
        Ok(()) | Err(_) => {}
    }
    // Another project may be taking an empty folder above away at this moment.
    for _ in 0..WAIT_TRIES {
        let mut folder = mount.to_owned();
        let made = Path::new(path).components().try_for_each(|step| {
            folder.push(step);
            match fs::create_dir(&folder) {
                Ok(()) => ready(&folder),
                // Made by somebody who had no use for it as a cpuset.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => ready(&folder),
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
            let value = files::read(above, file)?;
            if value.trim().is_empty() {
                return Err(ErrorKind::InvalidInput.into());
            }
            files::write(folder, file, value.trim())?;
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
    let mut set = |setting: &Setting| -> Result<(), Error> {
        let folder = if unified {
            hosts.v2_group(&spec.path)
        } else {
            hosts.v1_group(setting.controller, &spec.path)
        };
        warnings.extend(apply(folder.as_deref(), setting)?);
        Ok(())
    };
    // One limit may have to make room for another: memory can't be raised over
    // what it may use with swap, nor that be lowered below memory.
    let refused: Vec<Setting> = all
        .into_iter()
        .filter(|setting| set(setting).is_err())
        .collect();
    refused.iter().try_for_each(&mut set)?;
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
    let (file, value) = match &setting.instead {
        Some((other, value)) if !folder.join(setting.file).exists() => (*other, value),
        _ => (setting.file, &setting.value),
    };
    match files::write(folder, file, value) {
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
            value: value.clone(),
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
    let mut all = device_access::defaults();
    all.extend_from_slice(rules);
    if let Some(folder) = hosts.v1_group("devices", path) {
        return allow_devices_v1(&folder, &all);
    }
    let Some(folder) = hosts.v2_group(path) else {
        if Features::get().cgroup2 {
            return Err(Error::Devices(io::Error::other(
                "this host has no control groups",
            )));
        }
        // A test that does without version 2 does without this as well.
        warnings.push(Warning {
            limit: "restriction of device access".to_owned(),
            reason: "this host has no control groups".to_owned(),
        });
        return Ok(());
    };
    // A container may make any node, so without this it has the host's disks.
    bpf::load_device_program(&device_access::program(&all))
        .and_then(|program| {
            let group = sys::fs::folder(&folder)?;
            bpf::attach_device_program(group.as_fd(), program.as_fd())
        })
        .map_err(Error::Devices)
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
        set(file, device_access::line(rule))?;
    }
    Ok(())
}
