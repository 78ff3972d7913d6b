//! The container's `/dev`: its own tmpfs with Docker's default nodes, its own
//! devpts, shared memory and message queues, and the devices asked for.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::model::Device;
use crate::runtime::error::{Error, Step};
use crate::runtime::mounts;
use crate::sys::fs::{self, DeviceNumber, Kind, OFlags};
use crate::sys::mount::{self, Attributes, Filesystem, Reach};

/// Group that owns terminals, the same in every distribution.
const TTY_GROUP: u32 = 5;

/// The null device.
pub(crate) const NULL: DeviceNumber = DeviceNumber {
    block: false,
    major: 1,
    minor: 3,
};

/// Name, major and minor number of the default nodes, all character devices.
const NODES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// What `/dev/shm` is.
#[derive(Debug)]
pub(crate) enum SharedMemory {
    /// The container's own, of this size.
    Own(u64),
    /// A detached copy of somebody else's.
    Of(OwnedFd),
}

/// A finished `/dev`.
#[derive(Debug)]
pub(crate) struct Devices {
    /// The tmpfs.
    pub(crate) folder: OwnedFd,
    /// The root folder of its devpts, unless the bundle mounts something there.
    pub(crate) terminals: Option<OwnedFd>,
}

/// Makes the tmpfs with the default nodes and links, detached.
pub(crate) fn nodes() -> Result<OwnedFd, Error> {
    let step = || "default devices in /dev".to_owned();
    let settings = [
        ("mode", Some("755".to_owned())),
        ("size", Some("65536k".to_owned())),
    ];
    let attributes = Attributes::NO_SUID;
    let dev = mounts::memory("tmpfs", &settings, attributes).step(step)?;
    for (name, major, minor) in NODES {
        let device = DeviceNumber {
            block: false,
            major,
            minor,
        };
        fs::make_device(dev.as_fd(), name, device, 0o666)
            .step(|| format!("device node /dev/{name}"))?;
    }
    for (name, target) in LINKS {
        fs::make_link(dev.as_fd(), name, target).step(step)?;
    }
    for name in ["pts", "shm", "mqueue"] {
        fs::make_folder(dev.as_fd(), name, 0o755).step(step)?;
    }
    Ok(dev)
}

/// Mounts what belongs below `/dev`, which has its place by now. `replaced`
/// tells which paths the bundle mounts something else at.
pub(crate) fn furnish(
    folder: OwnedFd,
    shm: SharedMemory,
    replaced: impl Fn(&str) -> bool,
) -> Result<Devices, Error> {
    let plain = Attributes::NO_SUID.with(Attributes::NO_EXEC);
    let strict = plain.with(Attributes::NO_DEV);
    let mut terminals = None;
    if !replaced("/dev/pts") {
        let step = || "devpts at /dev/pts".to_owned();
        let pts = Filesystem::open("devpts")
            .and_then(|pts| pts.set("source", "devpts"))
            .and_then(|pts| pts.flag("newinstance"))
            .and_then(|pts| pts.set("ptmxmode", "0666"))
            .and_then(|pts| pts.set("mode", "0620"))
            .and_then(|pts| pts.set("gid", TTY_GROUP.to_string()))
            .and_then(|pts| pts.mount(plain))
            .step(step)?;
        attach_below(&folder, "pts", pts.as_fd()).step(step)?;
        terminals = Some(pts);
    }
    if !replaced("/dev/shm") {
        let step = || "shared memory at /dev/shm".to_owned();
        let shm = match shm {
            SharedMemory::Of(shm) => shm,
            SharedMemory::Own(bytes) => {
                let settings = [
                    ("mode", Some("1777".to_owned())),
                    ("size", Some(bytes.to_string())),
                ];
                mounts::memory("shm", &settings, strict).step(step)?
            }
        };
        attach_below(&folder, "shm", shm.as_fd()).step(step)?;
    }
    if !replaced("/dev/mqueue") {
        let step = || "message queues at /dev/mqueue".to_owned();
        let queues = Filesystem::open("mqueue")
            .and_then(|queues| queues.set("source", "mqueue"))
            .and_then(|queues| queues.mount(strict))
            .step(step)?;
        attach_below(&folder, "mqueue", queues.as_fd()).step(step)?;
    }
    Ok(Devices { folder, terminals })
}

fn attach_below(folder: &OwnedFd, name: &str, mounted: BorrowedFd<'_>) -> std::io::Result<()> {
    let place = fs::open_plain(folder.as_fd(), name, OFlags::PATH | OFlags::DIRECTORY)?;
    mount::attach(mounted, place.as_fd())
}

/// Opens the container's null device.
pub(crate) fn open_null(dev: BorrowedFd<'_>, flags: OFlags) -> std::io::Result<OwnedFd> {
    fs::open_plain(dev, "null", flags)
}

/// A device on the host, looked at.
#[derive(Debug)]
pub(crate) struct HostDevice {
    target: String,
    number: DeviceNumber,
    mode: u32,
    uid: u32,
    gid: u32,
}

/// Looks at a device, or at every device of a folder.
pub(crate) fn look(device: &Device) -> Result<Vec<HostDevice>, Error> {
    let step = || format!("device {}", device.source.display());
    let stat = fs::stat_path(&device.source).step(step)?;
    if let Some(found) = host_device(&stat, device.target.clone()) {
        return Ok(vec![found]);
    }
    if !device.source.is_dir() {
        return Err(Error::because(step(), "not a device node"));
    }
    let mut found = Vec::new();
    gather(&device.source, &device.target, &mut found).step(step)?;
    Ok(found)
}

/// Looks at every device of the host that a privileged container gets.
pub(crate) fn look_everywhere() -> Result<Vec<HostDevice>, Error> {
    let mut found = Vec::new();
    gather(Path::new("/dev"), "/dev", &mut found).step(|| "devices of the host".to_owned())?;
    let is_default = |device: &HostDevice| {
        NODES
            .iter()
            .any(|(name, ..)| device.target.strip_prefix("/dev/") == Some(*name))
    };
    found.retain(|device| !is_default(device));
    Ok(found)
}

/// Names in a folder of devices that hold none of the host's own.
const NOT_DEVICES: [&str; 7] = ["pts", "shm", "fd", "mqueue", "console", "ptmx", ".udev"];

fn gather(folder: &Path, target: &str, found: &mut Vec<HostDevice>) -> std::io::Result<()> {
    let mut folders: Vec<(PathBuf, String)> = vec![(folder.to_owned(), target.to_owned())];
    while let Some((folder, target)) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !NOT_DEVICES.contains(name)) else {
                continue;
            };
            let target = format!("{target}/{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push((entry.path(), target));
            } else if !kind.is_symlink()
                && let Ok(stat) = fs::stat_path(entry.path())
            {
                found.extend(host_device(&stat, target));
            }
        }
    }
    Ok(())
}

fn host_device(stat: &fs::Stat, target: String) -> Option<HostDevice> {
    Some(HostDevice {
        target,
        number: DeviceNumber::of(stat)?,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
    })
}

/// Makes a host's device in the container.
pub(crate) fn make(device: &HostDevice, root: BorrowedFd<'_>) -> Result<(), Error> {
    let step = || format!("device node {}", device.target);
    let (folder, name) = device
        .target
        .rsplit_once('/')
        .ok_or_else(|| Error::because(step(), "not an absolute path"))?;
    let folder = fs::ensure_in_root(root, folder, Kind::Folder).step(step)?;
    match fs::make_device(folder.as_fd(), name, device.number, device.mode) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made
            .and_then(|()| fs::give_at(folder.as_fd(), Path::new(name), device.uid, device.gid))
            .step(step),
    }
}

/// Shows a terminal as `/dev/console`.
pub(crate) fn make_console(devices: &Devices, number: u32) -> Result<(), Error> {
    let step = || "terminal at /dev/console".to_owned();
    let pts = devices
        .terminals
        .as_ref()
        .ok_or_else(|| Error::because(step(), "something else is mounted at /dev/pts"))?;
    let slave = fs::open_plain(pts.as_fd(), number.to_string(), OFlags::PATH).step(step)?;
    let bound = mount::copy_of(slave.as_fd(), Reach::One).step(step)?;
    drop(fs::make_file(devices.folder.as_fd(), "console", 0o600).step(step)?);
    let place = fs::open_plain(devices.folder.as_fd(), "console", OFlags::PATH).step(step)?;
    mount::attach(bound.as_fd(), place.as_fd()).step(step)
}
