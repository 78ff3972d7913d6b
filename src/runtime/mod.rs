//! Our container runtime: from a bundle to a running process, and further
//! processes beside it.
//!
//! Called from a single-threaded keeper. [`start`] and [`exec()`] return right
//! after clone3(2); everything slow happens in the child (the *init stage*, see
//! `stage`), which reports over a channel that [`Starting`] listens to without
//! ever blocking. The runtime decides nothing: which limits, capabilities and
//! paths there are is in the bundle. It doesn't know images, networks or logs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::model::{Bundle, Namespace, ProcessSpec};
use crate::sys::clone::{self, Child, Ending, NamespaceSet, Parent};
use crate::sys::sync;

mod capabilities;
pub mod cgroup;
mod channel;
mod defaults;
mod devices;
mod error;
mod exec;
mod mounts;
mod process;
mod rootfs;
mod seccomp;
mod stage;
mod streams;
mod sysctl;
mod system;
mod tree;
pub(crate) mod user;
mod visit;

pub use capabilities::{UnknownCapability, capabilities, default_capabilities};
pub use defaults::{default_masked_paths, default_read_only_paths, default_sysctls};
pub use error::Error;
pub use seccomp::prepare as prepare_filter;
pub use visit::visit;

use channel::{Channel, News};
use error::Step;

/// The user and group that `user` (`name`, `uid`, `name:group`, `uid:gid` or
/// empty) means in the texts of a container's passwd and group files.
///
/// # Errors
/// The name that the files don't have, in Docker's words.
pub fn owner_of(user: &str, passwd: &str, group: &str) -> Result<(u32, u32), String> {
    user::resolve(user, &[], passwd, group)
        .map(|identity| (identity.uid, identity.gid))
        .map_err(|error| error.to_string())
}

/// What a process's standard streams are.
#[derive(Debug)]
pub enum ChildStdio {
    /// Pipes; an absent one is the container's `/dev/null`.
    Streams {
        /// Read end.
        stdin: Option<OwnedFd>,
        /// Write end.
        stdout: Option<OwnedFd>,
        /// Write end.
        stderr: Option<OwnedFd>,
    },
    /// A terminal of the container's own devpts, opened by the init stage.
    Terminal {
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
}

/// Whose namespaces are joined, where the bundle says `Join`.
#[derive(Debug, Default)]
pub struct Joins {
    /// A network namespace.
    pub net: Option<OwnedFd>,
    /// A process (pidfd) whose pid namespace is joined.
    pub pid_of: Option<OwnedFd>,
    /// A process (pidfd) whose IPC namespace and `/dev/shm` are joined.
    pub ipc_of: Option<OwnedFd>,
    /// A process (pidfd) whose UTS namespace is joined.
    pub uts_of: Option<OwnedFd>,
}

/// Starts a container. Returns as soon as its first process exists.
pub fn start(bundle: &Bundle, stdio: ChildStdio, joins: Joins) -> Result<Starting, Error> {
    check(bundle, &joins)?;
    let group = exec::open_group(&bundle.cgroup.path)?;
    let (ours, theirs) = sync::channel().step(|| "channel to the init stage".to_owned())?;
    let channel = Channel::new(theirs);
    let home = match &joins.pid_of {
        Some(other) => Some(enter_pid_namespace(other.as_fd())?),
        None => None,
    };
    let child = clone::spawn(
        own_namespaces(bundle),
        group.as_ref().map(AsFd::as_fd),
        Parent::Caller,
        || {
            let error = stage::run(bundle, stdio, &joins, &channel);
            channel.failed(&error);
            error.exit_code()
        },
    );
    let back = match &home {
        Some(home) => clone::enter(home.as_fd(), NamespaceSet::PID),
        None => Ok(()),
    };
    let child = child.step(|| "clone of the container's first process".to_owned())?;
    if let Err(error) = back {
        end(&child).step(|| "end of a container in the wrong namespace".to_owned())?;
        return Err(Error::new("return to the own pid namespace", error));
    }
    Ok(Starting::new(ours, child, Role::Process))
}

/// Starts a process beside the first one (`target`, a pidfd) of a container
/// whose control group is at `cgroup`.
pub fn exec(
    target: BorrowedFd<'_>,
    process: &ProcessSpec,
    cgroup: &str,
    stdio: ChildStdio,
) -> Result<Starting, Error> {
    let (ours, theirs) = sync::channel().step(|| "channel to the helper".to_owned())?;
    let channel = Channel::new(theirs);
    let helper = clone::spawn(NamespaceSet::EMPTY, None, Parent::Caller, || {
        exec::help(target, process, cgroup, stdio, &channel)
    })
    .step(|| "clone of a helper".to_owned())?;
    Ok(Starting::new(ours, helper, Role::Helper))
}

/// Refuses a bundle whose namespaces to join didn't come along.
fn check(bundle: &Bundle, joins: &Joins) -> Result<(), Error> {
    let wanted = [
        ("network", bundle.namespaces.net, joins.net.is_some()),
        ("pid", bundle.namespaces.pid, joins.pid_of.is_some()),
        ("IPC", bundle.namespaces.ipc, joins.ipc_of.is_some()),
        ("UTS", bundle.namespaces.uts, joins.uts_of.is_some()),
    ];
    for (name, namespace, given) in wanted {
        if (namespace == Namespace::Join) != given {
            let reason = if given {
                "a descriptor to join came along without being asked for"
            } else {
                "no descriptor to join came along"
            };
            return Err(Error::because(format!("{name} namespace"), reason));
        }
    }
    Ok(())
}

fn own_namespaces(bundle: &Bundle) -> NamespaceSet {
    let is_new = |namespace| namespace == Namespace::New;
    // The cgroup namespace comes later: its root is the group that the process
    // is in when it is made.
    NamespaceSet::MOUNT
        .with_if(NamespaceSet::PID, is_new(bundle.namespaces.pid))
        .with_if(NamespaceSet::IPC, is_new(bundle.namespaces.ipc))
        .with_if(NamespaceSet::UTS, is_new(bundle.namespaces.uts))
        .with_if(NamespaceSet::NET, is_new(bundle.namespaces.net))
}

/// Makes the next children members of another process's pid namespace. Gives
/// what leads back.
fn enter_pid_namespace(other: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    let step = || "entry into the pid namespace".to_owned();
    let home = clone::open_self().step(step)?;
    clone::enter(other, NamespaceSet::PID).step(step)?;
    Ok(home)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Process,
    Helper,
}

/// A process on its way to the user's program.
#[derive(Debug)]
pub struct Starting {
    sync: OwnedFd,
    helper: Option<Child>,
    process: Option<Child>,
    ready: bool,
    terminal: Option<OwnedFd>,
    failure: Option<Error>,
}

/// A process that runs the user's program (or just did).
#[derive(Debug)]
pub struct Started {
    /// Its id in the caller's pid namespace.
    pub pid: i32,
    /// Its descriptor.
    pub pidfd: OwnedFd,
    /// Its terminal's master.
    pub terminal: Option<OwnedFd>,
}

impl Starting {
    fn new(sync: OwnedFd, child: Child, role: Role) -> Self {
        let (helper, process) = match role {
            Role::Process => (None, Some(child)),
            Role::Helper => (Some(child), None),
        };
        Self {
            sync,
            helper,
            process,
            ready: false,
            terminal: None,
            failure: None,
        }
    }

    /// The process's descriptor; that of an exec's helper until the process exists.
    /// None after [`Starting::advance`] has given a result.
    #[must_use]
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        let child = self.process.as_ref().or(self.helper.as_ref());
        child.map(|child| child.pidfd.as_fd())
    }

    /// Readable when [`Starting::advance`] has something to do.
    #[must_use]
    pub fn sync(&self) -> BorrowedFd<'_> {
        self.sync.as_fd()
    }

    /// Takes the news of the init stage, without blocking. None: more to come.
    /// After an error nothing of the process is left.
    pub fn advance(&mut self) -> Result<Option<Started>, Error> {
        loop {
            match channel::hear(self.sync.as_fd()) {
                Ok(News::Process(child)) => self.process = Some(child),
                Ok(News::Ready(master)) => {
                    self.ready = true;
                    self.terminal = master;
                }
                Ok(News::Failed(error)) => self.failure = Some(error),
                Ok(News::Nothing) => return Ok(None),
                Ok(News::End) => break,
                Err(error) => {
                    self.failure.get_or_insert(error);
                    break;
                }
            }
        }
        // The other end is closed, so the helper has ended but for its last
        // moments, and a failed stage too.
        if let Some(helper) = self.helper.take() {
            end(&helper).step(|| "end of the helper".to_owned())?;
        }
        let process = self.process.take();
        match (self.failure.take(), process) {
            (None, Some(process)) if self.ready => Ok(Some(Started {
                pid: process.pid,
                pidfd: process.pidfd,
                terminal: self.terminal.take(),
            })),
            (failure, process) => {
                let ending = process.as_ref().map(end);
                Err(failure.unwrap_or_else(|| died(ending)))
            }
        }
    }

    /// Kills the process. Gives the descriptor of what doesn't end at once (in
    /// an unkillable wait of the kernel): its status is the caller's to take.
    pub fn abort(mut self) -> Vec<OwnedFd> {
        let mut unreaped = Vec::new();
        // The helper first: afterwards it is certain what it has made. A process
        // that it couldn't tell of any more finds the channel closed and ends.
        unreaped.extend(self.helper.take().and_then(kill_now));
        while let Ok(news) = channel::hear(self.sync.as_fd()) {
            match news {
                News::Process(child) => self.process = Some(child),
                News::Ready(_) | News::Failed(_) => {}
                News::Nothing | News::End => break,
            }
        }
        unreaped.extend(self.process.take().and_then(kill_now));
        unreaped
    }
}

/// Kills a child and takes its status. Its descriptor comes back if that takes
/// longer than a moment.
fn kill_now(child: Child) -> Option<OwnedFd> {
    // Fails for a process that has ended, which is as well.
    let _ = clone::kill(child.pidfd.as_fd());
    (!clone::reap_within(child.pidfd.as_fd(), ABORT_WAIT)).then_some(child.pidfd)
}

/// How long an aborted process may take to end while the caller waits.
const ABORT_WAIT: std::time::Duration = std::time::Duration::from_millis(50);

/// Sees to the end of a child that has nothing more to do. None when somebody
/// who waits for any child was faster.
fn end(child: &Child) -> io::Result<Option<Ending>> {
    clone::kill(child.pidfd.as_fd())?;
    clone::reap(child.pidfd.as_fd())
}

/// An init stage that went without a word.
fn died(ending: Option<io::Result<Option<Ending>>>) -> Error {
    let reason = match ending {
        Some(Ok(Some(Ending::Signaled(signal)))) => format!("ended by signal {signal}"),
        Some(Ok(Some(Ending::Exited(code)))) => format!("ended with status {code}"),
        Some(Ok(None)) | None => "ended".to_owned(),
        Some(Err(error)) => return Error::new("end of the init stage", error),
    };
    Error::because("init stage", reason)
}
