//! A process in a running container.
//!
//! Joining a pid namespace takes effect for children only, so a helper joins
//! and clones the real process as its own sibling: the keeper stays the parent
//! of both, takes the helper's status at once and the process's when it ends.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::model::ProcessSpec;
use crate::runtime::ChildStdio;
use crate::runtime::channel::Channel;
use crate::runtime::error::{Error, Step};
use crate::runtime::process::{self, Launch};
use crate::runtime::streams::{Stdio, Streams};
use crate::runtime::{devices, stage, system};
use crate::sys::cgroup::{self, Hierarchies};
use crate::sys::clone::{self, NamespaceSet, Parent};
use crate::sys::fs::{self, DeviceNumber, OFlags};
use crate::sys::{exec, pty};

/// What the helper enters. The cgroup namespace isn't among it: on a host where
/// namespaces are delegation boundaries (systemd's), a process can't be cloned
/// into a group from outside that group's namespace while seeing only the inside.
const BEFORE_CLONE: NamespaceSet = NamespaceSet::MOUNT
    .with(NamespaceSet::PID)
    .with(NamespaceSet::IPC)
    .with(NamespaceSet::UTS)
    .with(NamespaceSet::NET);

/// The helper: gives its exit status.
pub(crate) fn help(
    target: BorrowedFd<'_>,
    process: &ProcessSpec,
    cgroup: &str,
    stdio: ChildStdio,
    channel: &Channel,
) -> u8 {
    match spawn(target, process, cgroup, stdio, channel) {
        Ok(()) => 0,
        Err(error) => {
            channel.failed(&error);
            error.exit_code()
        }
    }
}

fn spawn(
    target: BorrowedFd<'_>,
    process: &ProcessSpec,
    cgroup: &str,
    stdio: ChildStdio,
    channel: &Channel,
) -> Result<(), Error> {
    clone::forbid_dumps().step(|| "hiding of the helper".to_owned())?;
    let mut needed = stage::needed_streams(&stdio);
    needed.extend([channel.as_fd(), target]);
    exec::keep_only(&needed).step(|| "closing of descriptors".to_owned())?;
    stage::join_groups(cgroup)?;
    let group = open_group(cgroup)?;
    let stdio = match stdio {
        ChildStdio::Terminal { .. } => stdio,
        ChildStdio::Streams {
            stdin,
            stdout,
            stderr,
        } => {
            let streams = Streams {
                stdin,
                stdout,
                stderr,
            };
            let streams = streams.reopen(system::proc_of_processes()?.as_fd())?;
            ChildStdio::Streams {
                stdin: streams.stdin,
                stdout: streams.stdout,
                stderr: streams.stderr,
            }
        }
    };
    clone::enter(target, BEFORE_CLONE).map_err(|error| gone(error, "entry into"))?;
    let child = clone::spawn(
        NamespaceSet::EMPTY,
        group.as_ref().map(AsFd::as_fd),
        Parent::CallersParent,
        || {
            let error = match prepare(target, process, stdio) {
                Ok(launch) => launch.run(channel),
                Err(error) => error,
            };
            channel.failed(&error);
            error.exit_code()
        },
    )
    .map_err(|error| gone(error, "clone into"))?;
    channel
        .process(&child)
        .step(|| "answer to the starter".to_owned())
}

/// The kernel's ways to say that a container's first process has ended.
fn gone(error: std::io::Error, what: &str) -> Error {
    match error.kind() {
        std::io::ErrorKind::OutOfMemory => Error::because("exec", "the container is not running"),
        _ if error.raw_os_error() == Some(clone::NO_SUCH_PROCESS) => {
            Error::because("exec", "the container is not running")
        }
        _ => Error::new(format!("{what} the container"), error),
    }
}

/// The container's v2 group, where there is one.
pub(crate) fn open_group(path: &str) -> Result<Option<OwnedFd>, Error> {
    if path.is_empty() {
        return Ok(None);
    }
    let step = || format!("control group {path}");
    match Hierarchies::get().step(step)?.v2_group(path) {
        Some(folder) => cgroup::open(&folder).step(step),
        None => Ok(None),
    }
}

/// Inside the container, where nothing but the kernel is trusted.
fn prepare<'a>(
    target: BorrowedFd<'_>,
    process: &'a ProcessSpec,
    stdio: ChildStdio,
) -> Result<Launch<'a>, Error> {
    exec::set_umask(0);
    clone::enter(target, NamespaceSet::CGROUP).map_err(|error| gone(error, "entry into"))?;
    let root = fs::folder("/").step(|| "root of the container".to_owned())?;
    let proc = system::proc_of_processes()?;
    let stdio = match stdio {
        ChildStdio::Streams {
            stdin,
            stdout,
            stderr,
        } => Stdio::Streams(Streams {
            stdin,
            stdout,
            stderr,
        }),
        ChildStdio::Terminal { rows, columns } => {
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            let terminal = fs::open_in_root(root.as_fd(), "dev/pts", flags)
                .and_then(|pts| pty::open(pts.as_fd(), rows, columns))
                .step(|| "terminal of /dev/pts".to_owned())?;
            Stdio::Terminal(terminal)
        }
    };
    let identity = process::identify(process, root.as_fd())?;
    let null = null_device(root.as_fd(), proc.as_fd())?;
    process::enter_folder(&process.cwd, root.as_fd())?;
    Ok(Launch {
        process,
        identity,
        stdio,
        null,
        proc,
        init: None,
    })
}

/// The container's null device; one of our own when `/dev/null` is something else.
fn null_device(root: BorrowedFd<'_>, proc: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    let step = || "null device".to_owned();
    if let Ok(found) = fs::open_in_root(root, "dev/null", OFlags::PATH) {
        let number = DeviceNumber::of(&fs::stat(found.as_fd()).step(step)?);
        if number == Some(devices::NULL) {
            // Through the descriptor that was looked at, not by the path again.
            let path = format!("self/fd/{}", found.as_raw_fd());
            let flags = OFlags::RDWR | OFlags::NOCTTY;
            if let Ok(null) = fs::open_at(proc, path, flags) {
                return Ok(null);
            }
        }
    }
    let own = devices::nodes()?;
    devices::open_null(own.as_fd(), OFlags::RDWR).step(step)
}
