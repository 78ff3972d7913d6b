//! clone3(2) and what surrounds it: namespaces made and joined, the first
//! steps of a child, and how it is reaped.
//!
//! Nothing here knows what a container is. A child made by [`spawn`] is a copy
//! of a single-threaded caller, so it may allocate; it never returns into the
//! caller's frames and never unwinds out of its closure.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, WaitIdStatus};

use crate::sys::pidfd;

/// The error number that says that a process has ended.
pub const NO_SUCH_PROCESS: i32 = libc::ESRCH;

/// A set of namespace kinds (namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NamespaceSet(libc::c_int);

impl NamespaceSet {
    /// None.
    pub const EMPTY: Self = Self(0);
    /// Mounts.
    pub const MOUNT: Self = Self(libc::CLONE_NEWNS);
    /// Process ids.
    pub const PID: Self = Self(libc::CLONE_NEWPID);
    /// System V IPC and message queues.
    pub const IPC: Self = Self(libc::CLONE_NEWIPC);
    /// Host and domain name.
    pub const UTS: Self = Self(libc::CLONE_NEWUTS);
    /// Network.
    pub const NET: Self = Self(libc::CLONE_NEWNET);
    /// View of the control groups.
    pub const CGROUP: Self = Self(libc::CLONE_NEWCGROUP);

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// `self`, and `other` too if `wanted`.
    #[must_use]
    pub const fn with_if(self, other: Self, wanted: bool) -> Self {
        if wanted { self.with(other) } else { self }
    }
}

/// Whose child the new process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// The caller's.
    Caller,
    /// The caller's parent's; the caller is its sibling.
    CallersParent,
}

/// A process made by [`spawn`] or [`fork`].
#[derive(Debug)]
pub struct Child {
    /// Its id in the caller's pid namespace.
    pub pid: i32,
    /// Its descriptor.
    pub pidfd: OwnedFd,
}

/// Clones the calling process and runs `child` in the copy, which ends with
/// the status that the closure gives (125 if it panics).
///
/// The caller must have no other thread: the copy would keep that thread's
/// locks for ever. Signal handlers are back at their defaults in the copy; the
/// signal mask and ignored signals are the caller's.
pub fn spawn(
    namespaces: NamespaceSet,
    cgroup: Option<BorrowedFd<'_>>,
    parent: Parent,
    child: impl FnOnce() -> u8,
) -> io::Result<Child> {
    /// `CLONE_INTO_CGROUP` and `CLONE_CLEAR_SIGHAND` of linux/sched.h, which
    /// don't fit the C int that libc gives flags.
    const INTO_CGROUP: u64 = 0x2_0000_0000;
    const CLEAR_SIGHAND: u64 = 0x1_0000_0000;

    let mut pidfd: libc::c_int = -1;
    let mut args = CloneArgs {
        flags: CLEAR_SIGHAND | u64::from((libc::CLONE_PIDFD | namespaces.0).cast_unsigned()),
        pidfd: (&raw mut pidfd).expose_provenance() as u64,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        ..CloneArgs::default()
    };
    if parent == Parent::CallersParent {
        args.flags |= u64::from(libc::CLONE_PARENT.cast_unsigned());
        // The kernel gives the new process the caller's own exit signal.
        args.exit_signal = 0;
    }
    if let Some(cgroup) = cgroup {
        args.flags |= INTO_CGROUP;
        args.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    // SAFETY: without CLONE_VM the child gets a copy of the whole memory, so
    // nothing is shared with the caller; `args` and the `pidfd` it points to
    // live across the call and the size is that of the struct.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    match i32::try_from(pid) {
        Ok(0) => end_with(child),
        Ok(pid) if pid > 0 => Ok(Child {
            pid,
            // SAFETY: the kernel stored a new descriptor, owned by nobody else.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Forks the calling process and runs `child` in the copy, which ends with the
/// status that the closure gives (125 if it panics).
///
/// As [`spawn`], for a copy that lives on as a process like any other: the C
/// library knows of it, so it may start threads.
pub fn fork(child: impl FnOnce() -> u8) -> io::Result<Child> {
    // SAFETY: takes no pointers. The caller has no other thread, so the copy
    // finds no lock taken and no structure half changed.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => end_with(child),
        pid => Ok(Child {
            pid,
            // Nobody else reaps the caller's children.
            pidfd: pidfd::open(pid)?,
        }),
    }
}

/// Ends a new process with the status that its closure gives.
fn end_with(child: impl FnOnce() -> u8) -> ! {
    let status = catch_unwind(AssertUnwindSafe(child)).unwrap_or(125);
    // SAFETY: ends the process without running the caller's exit handlers or
    // destructors.
    unsafe { libc::_exit(i32::from(status)) }
}

/// `struct clone_args` of linux/sched.h.
#[derive(Default)]
#[repr(C)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Enters the namespaces of a process (pidfd) or a namespace (its descriptor).
/// Process ids change for children only. With [`NamespaceSet::MOUNT`] the root
/// and working folders become the namespace's root.
pub fn enter(fd: BorrowedFd<'_>, namespaces: NamespaceSet) -> io::Result<()> {
    // SAFETY: takes no pointers.
    match unsafe { libc::setns(fd.as_raw_fd(), namespaces.0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Leaves the namespaces of these kinds for new ones.
pub fn unshare(namespaces: NamespaceSet) -> io::Result<()> {
    // SAFETY: takes no pointers; no flag of a namespace kind touches memory or
    // descriptors that Rust knows of.
    match unsafe { libc::unshare(namespaces.0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Opens the calling process by descriptor.
pub fn open_self() -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_open(
        rustix::process::getpid(),
        rustix::process::PidfdFlags::empty(),
    )?)
}

/// Hides the calling process's memory and descriptors from other processes
/// without CAP_SYS_PTRACE over it, until it executes a program.
pub fn forbid_dumps() -> io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(
        rustix::process::DumpableBehavior::NotDumpable,
    )?)
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It called exit with this status.
    Exited(i32),
    /// This signal ended it.
    Signaled(i32),
}

/// Waits for a child to end and takes its status. None when somebody else
/// has taken it.
pub fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Option<Ending>> {
    loop {
        match wait(pidfd, WaitIdOptions::EXITED) {
            Ok(Some(ending)) => return Ok(Some(ending)),
            Ok(None) | Err(Errno::INTR) => {}
            Err(Errno::CHILD) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits at most `limit` for a child to end and takes its status. Whether it
/// has ended.
pub fn reap_within(pidfd: BorrowedFd<'_>, limit: Duration) -> bool {
    let limit = Timespec::try_from(limit).unwrap_or_default();
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    let ended = rustix::event::poll(&mut fds, Some(&limit)).is_ok_and(|ready| ready > 0);
    ended && reap(pidfd).is_ok()
}

fn wait(pidfd: BorrowedFd<'_>, options: WaitIdOptions) -> Result<Option<Ending>, Errno> {
    let status = rustix::process::waitid(WaitId::PidFd(pidfd), options)?;
    Ok(status.map(|status| ending(&status)))
}

fn ending(status: &WaitIdStatus) -> Ending {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ending::Exited(code),
        (None, signal) => Ending::Signaled(signal.unwrap_or(libc::SIGKILL)),
    }
}

/// Kills a process for certain. An ended one is no error.
pub fn kill(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    match rustix::process::pidfd_send_signal(pidfd, rustix::process::Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Kills a process by its id, for ids that a control group lists. An ended one
/// is no error.
pub fn kill_by_id(pid: i32) -> io::Result<()> {
    let Some(pid) = rustix::process::Pid::from_raw(pid) else {
        return Ok(());
    };
    match rustix::process::kill_process(pid, rustix::process::Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
