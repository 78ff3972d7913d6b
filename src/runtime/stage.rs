//! The init stage of a container: everything between clone3(2) and the user's
//! program, in the order that keeps it safe.
//!
//! 1. While paths mean the host's: control groups, namespaces to join, sources
//!    of mounts, all of it opened.
//! 2. Away from the host: the namespace's real root, propagation off.
//! 3. The container's tree, built by descriptor; nothing in it is trusted.
//! 4. pivot_root(2); from here on the host isn't reachable.
//! 5. `process`: user, limits, privileges, program.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::model::{Bundle, Namespace};
use crate::runtime::channel::Channel;
use crate::runtime::devices::{self, HostDevice, SharedMemory};
use crate::runtime::error::{Error, Step};
use crate::runtime::mounts::{self, Source};
use crate::runtime::process::Launch;
use crate::runtime::rootfs::Layers;
use crate::runtime::streams::Streams;
use crate::runtime::system::{self, GroupView};
use crate::runtime::tree::{Builder, Tree, Wanted};
use crate::runtime::{ChildStdio, Joins};
use crate::sys::cgroup::{self, Hierarchies};
use crate::sys::clone::{self, NamespaceSet};
use crate::sys::fs::{self, OFlags};
use crate::sys::mount::{self, Reach, Sharing};
use crate::sys::{exec, loopback, system as host};

/// Runs the stage; returns only with the reason why it failed.
pub(crate) fn run(bundle: &Bundle, stdio: ChildStdio, joins: &Joins, channel: &Channel) -> Error {
    match stage(bundle, stdio, joins, channel) {
        Ok(launch) => launch.run(channel),
        Err(error) => error,
    }
}

fn stage<'a>(
    bundle: &'a Bundle,
    stdio: ChildStdio,
    joins: &Joins,
    channel: &Channel,
) -> Result<Launch<'a>, Error> {
    clone::forbid_dumps().step(|| "hiding of the init stage".to_owned())?;
    exec::keep_only(&needed(&stdio, joins, channel))
        .step(|| "closing of descriptors".to_owned())?;
    // Nodes and folders get exactly the modes that are asked for.
    exec::set_umask(0);
    join_groups(&bundle.cgroup.path)?;
    let proc = enter_namespaces(bundle, joins)?;
    let stdio = match stdio {
        ChildStdio::Terminal { rows, columns } => Wanted::Terminal { rows, columns },
        ChildStdio::Streams {
            stdin,
            stdout,
            stderr,
        } => Wanted::Streams(
            Streams {
                stdin,
                stdout,
                stderr,
            }
            .reopen(proc.as_fd())?,
        ),
    };
    let host = HostSide::open(bundle, joins, proc)?;
    let tree = host.leave_and_build(bundle)?;
    tree.launch(bundle, stdio)
}

fn needed<'a>(
    stdio: &'a ChildStdio,
    joins: &'a Joins,
    channel: &'a Channel,
) -> Vec<BorrowedFd<'a>> {
    let mut needed = needed_streams(stdio);
    needed.push(channel.as_fd());
    let joined = [&joins.net, &joins.ipc_of, &joins.uts_of];
    needed.extend(joined.into_iter().flatten().map(AsFd::as_fd));
    needed
}

/// The descriptors that a process's streams come from.
pub(crate) fn needed_streams(stdio: &ChildStdio) -> Vec<BorrowedFd<'_>> {
    match stdio {
        ChildStdio::Terminal { .. } => Vec::new(),
        ChildStdio::Streams {
            stdin,
            stdout,
            stderr,
        } => [stdin, stdout, stderr]
            .into_iter()
            .flatten()
            .map(AsFd::as_fd)
            .collect(),
    }
}

/// Moves into the container's group of each v1 hierarchy. A group that could
/// not be prepared has been warned about by then.
pub(crate) fn join_groups(path: &str) -> Result<(), Error> {
    if path.is_empty() {
        return Ok(());
    }
    let step = || format!("control group {path}");
    for hierarchy in &Hierarchies::get().step(step)?.v1 {
        match cgroup::join_v1(&hierarchy.mount.join(path)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::new(step(), error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Joins what is joined, makes what can only be made from inside, and gives a
/// procfs of the new pid namespace.
fn enter_namespaces(bundle: &Bundle, joins: &Joins) -> Result<OwnedFd, Error> {
    let joined = [
        (&joins.net, NamespaceSet::NET, "network"),
        (&joins.ipc_of, NamespaceSet::IPC, "IPC"),
        (&joins.uts_of, NamespaceSet::UTS, "UTS"),
    ];
    for (fd, kind, name) in joined {
        if let Some(fd) = fd {
            clone::enter(fd.as_fd(), kind).step(|| format!("entry into the {name} namespace"))?;
        }
    }
    if bundle.namespaces.net == Namespace::New {
        loopback::raise().step(|| "loopback link".to_owned())?;
    }
    if bundle.namespaces.cgroup == Namespace::New {
        // Not before the groups are joined: they become its root.
        clone::unshare(NamespaceSet::CGROUP).step(|| "cgroup namespace".to_owned())?;
    }
    if bundle.namespaces.uts == Namespace::New {
        host::set_hostname(&bundle.hostname).step(|| format!("hostname {}", bundle.hostname))?;
        if let Some(name) = &bundle.domainname {
            host::set_domainname(name).step(|| format!("domainname {name}"))?;
        }
    }
    system::proc()
}

/// What is opened while paths mean the host's.
struct HostSide<'a> {
    root: OwnedFd,
    layers: Layers,
    place: OwnedFd,
    mounts: Vec<(&'a str, Source<'a>)>,
    devices: Vec<HostDevice>,
    groups: GroupView,
    shm: SharedMemory,
    proc: OwnedFd,
    own_mounts: OwnedFd,
}

impl<'a> HostSide<'a> {
    fn open(bundle: &'a Bundle, joins: &Joins, proc: OwnedFd) -> Result<Self, Error> {
        let step = || "host's root folder".to_owned();
        let root = fs::folder("/").step(step)?;
        let own_mounts = fs::open_at(proc.as_fd(), "self/ns/mnt", OFlags::RDONLY).step(step)?;
        let point = &bundle.root.mount_point;
        let place = fs::folder(point).step(|| format!("mount point {}", point.display()))?;
        let mounts = bundle
            .mounts
            .iter()
            .map(|mount| Ok((mount.target(), mounts::open(mount)?)))
            .collect::<Result<_, Error>>()?;
        let mut devices = Vec::new();
        for device in &bundle.devices {
            devices.extend(devices::look(device)?);
        }
        if bundle.privileged {
            devices.extend(devices::look_everywhere()?);
        }
        Ok(Self {
            layers: Layers::of_root(&bundle.root)?,
            groups: system::open_groups(&bundle.cgroup.path, bundle.namespaces.cgroup)?,
            shm: open_shm(bundle, joins)?,
            root,
            place,
            mounts,
            devices,
            proc,
            own_mounts,
        })
    }

    fn leave_and_build(self, bundle: &Bundle) -> Result<Tree, Error> {
        let step = || "leaving of the host's tree".to_owned();
        // In a chroot, or after a look at another container's tree, the root
        // folder isn't the namespace's own: this makes it so.
        clone::enter(self.own_mounts.as_fd(), NamespaceSet::MOUNT).step(step)?;
        mount::make_all_private().step(step)?;
        let step = || format!("root file system at {}", bundle.root.mount_point.display());
        let overlay = self.layers.mount(self.proc.as_fd(), self.place.as_fd())?;
        let root = overlay
            .settle(self.place.as_fd(), || {
                fs::open_in_root(self.root.as_fd(), &bundle.root.mount_point, OFlags::PATH)
            })
            .step(step)?;
        let builder = Builder {
            bundle,
            root,
            proc: self.proc,
        };
        builder.build(self.mounts, &self.devices, self.groups, self.shm)
    }
}

/// The `/dev/shm` that goes with the IPC namespace.
fn open_shm(bundle: &Bundle, joins: &Joins) -> Result<SharedMemory, Error> {
    let step = || "shared memory of another container".to_owned();
    let shm = match (bundle.namespaces.ipc, &joins.ipc_of) {
        (Namespace::New, _) => return Ok(SharedMemory::Own(bundle.shm_bytes)),
        (Namespace::Host, _) | (Namespace::Join, None) => {
            let shm = fs::folder("/dev/shm").step(step)?;
            mount::copy_of(shm.as_fd(), Reach::One).step(step)?
        }
        (Namespace::Join, Some(other)) => {
            // A copy can only be made from inside; the way back is taken with
            // the next step of the stage.
            clone::enter(other.as_fd(), NamespaceSet::MOUNT).step(step)?;
            let root = fs::folder("/").step(step)?;
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            let shm = fs::open_in_root(root.as_fd(), "dev/shm", flags).step(step)?;
            mount::copy_of(shm.as_fd(), Reach::One).step(step)?
        }
    };
    mount::share(shm.as_fd(), Sharing::Private, Reach::One).step(step)?;
    Ok(SharedMemory::Of(shm))
}
