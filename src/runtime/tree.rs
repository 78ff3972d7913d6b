//! A container's tree: what is mounted below its root, in which order, and the
//! change into it. Sources come opened; nothing in the tree is trusted.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use crate::model::Bundle;
use crate::runtime::devices::{self, HostDevice, SharedMemory};
use crate::runtime::error::{Error, Step};
use crate::runtime::mounts::{self, Source};
use crate::runtime::process::{self, Launch};
use crate::runtime::streams::{Stdio, Streams};
use crate::runtime::system::{self, GroupView};
use crate::sys::fs::{self, Kind, OFlags};
use crate::sys::mount::{self, Attributes, Reach};
use crate::sys::{init, pty};

/// What a process's streams will be.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// These.
    Streams(Streams),
    /// A terminal that is opened when there is a devpts.
    Terminal {
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
}

/// A root that is being furnished.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    /// What is asked for.
    pub(crate) bundle: &'a Bundle,
    /// The mounted root file system.
    pub(crate) root: OwnedFd,
    /// A detached procfs of the container's pid namespace.
    pub(crate) proc: OwnedFd,
}

impl Builder<'_> {
    /// Mounts everything that goes below the root.
    pub(crate) fn build(
        self,
        mounts: Vec<(&str, Source<'_>)>,
        devices: &[HostDevice],
        groups: GroupView,
        shm: SharedMemory,
    ) -> Result<Tree, Error> {
        let (bundle, root) = (self.bundle, self.root.as_fd());
        let targets: Vec<String> = mounts
            .iter()
            .map(|(target, _)| mounts::lexical(target))
            .collect();
        let replaced = |path: &str| targets.iter().any(|target| target == path);
        let proc = self.proc.as_fd();
        if !replaced("/proc") {
            let place = system::ordinary_folder(root, "proc")?;
            mount::attach(proc, place.as_fd()).step(|| "mount at /proc".to_owned())?;
        }
        // Made even when the bundle covers /dev: the null device hides paths.
        let nodes = devices::nodes()?;
        let null =
            devices::open_null(nodes.as_fd(), OFlags::PATH).step(|| "null device".to_owned())?;
        let place = system::ordinary_folder(root, "dev")?;
        mount::attach(nodes.as_fd(), place.as_fd()).step(|| "mount at /dev".to_owned())?;
        let mut dev = None;
        if !replaced("/dev") {
            dev = Some(devices::furnish(nodes, shm, replaced)?);
        }
        if !replaced("/sys") {
            let sys = system::sysfs(bundle.privileged)?;
            let place = system::ordinary_folder(root, "sys")?;
            mount::attach(sys.as_fd(), place.as_fd()).step(|| "mount at /sys".to_owned())?;
            if !replaced("/sys/fs/cgroup") {
                system::place_groups(groups, sys.as_fd(), bundle.privileged)?;
            }
        }
        for (target, source) in mounts {
            mounts::place(source, target, root, proc)?;
        }
        if dev.is_some() {
            for device in devices {
                devices::make(device, root)?;
            }
        }
        system::set(bundle, proc)?;
        Ok(Tree {
            root: self.root,
            proc: self.proc,
            null,
            dev,
        })
    }
}

/// The container's tree, complete but for the terminal and what is hidden.
#[derive(Debug)]
pub(crate) struct Tree {
    root: OwnedFd,
    proc: OwnedFd,
    null: OwnedFd,
    dev: Option<devices::Devices>,
}

impl Tree {
    /// Opens the terminal, hides what is to be hidden, and makes the tree the
    /// root; the host is out of reach then.
    pub(crate) fn launch<'a>(self, bundle: &'a Bundle, stdio: Wanted) -> Result<Launch<'a>, Error> {
        let stdio = match stdio {
            Wanted::Streams(streams) => Stdio::Streams(streams),
            Wanted::Terminal { rows, columns } => {
                Stdio::Terminal(self.open_terminal(rows, columns)?)
            }
        };
        let process = &bundle.process;
        let root = self.root.as_fd();
        let identity = process::identify(process, root)?;
        let cwd = process.cwd.as_str();
        if !cwd.is_empty() {
            fs::ensure_in_root(root, cwd, Kind::Folder).step(|| format!("working folder {cwd}"))?;
        }
        system::protect(&bundle.read_only_paths, root)?;
        system::mask(&bundle.masked_paths, root, self.null.as_fd())?;
        if bundle.root.read_only {
            mount::restrict(root, Attributes::READ_ONLY, Reach::One)
                .step(|| "read-only root".to_owned())?;
        }
        let null = fs::open_at(
            self.proc.as_fd(),
            format!("self/fd/{}", self.null.as_raw_fd()),
            OFlags::RDWR | OFlags::NOCTTY,
        )
        .step(|| "null device".to_owned())?;
        mount::pivot(root).step(|| "change of the root file system".to_owned())?;
        process::enter_folder(cwd, root)?;
        Ok(Launch {
            process,
            identity,
            stdio,
            null,
            proc: self.proc,
            init: match bundle.init {
                true => Some(init::open().step(|| "init program".to_owned())?),
                false => None,
            },
        })
    }

    fn open_terminal(&self, rows: u16, columns: u16) -> Result<pty::Terminal, Error> {
        let step = || "terminal".to_owned();
        let no_devpts = || Error::because(step(), "no devpts of the container's own at /dev/pts");
        let dev = self.dev.as_ref().ok_or_else(no_devpts)?;
        let pts = dev.terminals.as_ref().ok_or_else(no_devpts)?;
        let terminal = pty::open(pts.as_fd(), rows, columns).step(step)?;
        devices::make_console(dev, terminal.number)?;
        Ok(terminal)
    }
}
