//! The last steps of a process before it becomes a program: session, signals,
//! limits, ids, descriptors, execve(2).

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Starts a session; the caller leads it and has no terminal.
pub fn new_session() -> io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

/// Takes up an empty session keyring, so that the keys of whoever started us
/// stay with them. A kernel without keyrings has nothing to keep apart.
pub fn new_keyring() -> io::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: a null name asks for a new keyring; nothing else is read.
    let result = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
    if result >= 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // Also what a filter around us says.
        Some(libc::ENOSYS | libc::EPERM) => Ok(()),
        _ => Err(error),
    }
}

/// Sets the file mode mask.
pub fn set_umask(mask: u32) {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
}

/// Gives a signal its default action. KILL and STOP are refused, without effect.
fn default_action(signal: i32) {
    /// `struct sigaction` as the kernel has it; all zero is the default action.
    #[repr(C)]
    struct Action([u64; 4]);
    const SET_BYTES: usize = 8;
    let default = Action([0; 4]);
    // The raw call: the C library's own refuses the two signals that it keeps
    // for itself, which whoever started us may have ignored.
    // SAFETY: reads one action without a handler; the old one isn't asked for.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal,
            &raw const default,
            std::ptr::null_mut::<Action>(),
            SET_BYTES,
        )
    };
}

/// Gives every signal its default action and blocks none.
pub fn reset_signals() -> io::Result<()> {
    const SIGNALS: i32 = 64;
    const SET_BYTES: usize = 8;
    for signal in 1..=SIGNALS {
        default_action(signal);
    }
    let none = 0_u64;
    // SAFETY: reads one set; the old one isn't asked for.
    check(unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            std::ptr::null_mut::<u64>(),
            SET_BYTES,
        )
    })
}

/// Lets the process run on every CPU that its cpuset allows.
pub fn reset_affinity() -> io::Result<()> {
    let every = [u64::MAX; 128];
    // SAFETY: the kernel reads as many bytes as it is told, cut at its own size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_sched_setaffinity,
            0,
            size_of_val(&every),
            every.as_ptr(),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Number of a resource limit by its lower-case name, as in `nofile`.
#[must_use]
pub fn limit_number(name: &str) -> Option<u32> {
    Some(match name {
        "as" => libc::RLIMIT_AS,
        "core" => libc::RLIMIT_CORE,
        "cpu" => libc::RLIMIT_CPU,
        "data" => libc::RLIMIT_DATA,
        "fsize" => libc::RLIMIT_FSIZE,
        "locks" => libc::RLIMIT_LOCKS,
        "memlock" => libc::RLIMIT_MEMLOCK,
        "msgqueue" => libc::RLIMIT_MSGQUEUE,
        "nice" => libc::RLIMIT_NICE,
        "nofile" => libc::RLIMIT_NOFILE,
        "nproc" => libc::RLIMIT_NPROC,
        "rss" => libc::RLIMIT_RSS,
        "rtprio" => libc::RLIMIT_RTPRIO,
        "rttime" => libc::RLIMIT_RTTIME,
        "sigpending" => libc::RLIMIT_SIGPENDING,
        "stack" => libc::RLIMIT_STACK,
        _ => return None,
    })
}

/// Sets a resource limit of the calling process; `u64::MAX` is unlimited.
pub fn set_limit(number: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: reads one struct, which lives across the call.
    match unsafe { libc::setrlimit(number, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes up a user, a group and supplementary groups, for good.
pub fn set_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // The raw calls: the C library's own would tell other threads, of which
    // there are none.
    // SAFETY: reads `groups.len()` ids from a slice of them.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
    // SAFETY: takes three numbers.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: takes three numbers.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })
}

fn check(result: libc::c_long) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets no program that follows gain privileges.
pub fn forbid_new_privileges() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// Makes `fd` the standard stream `number` (0, 1 or 2).
pub fn set_stream(number: i32, fd: BorrowedFd<'_>) -> io::Result<()> {
    if fd.as_raw_fd() == number {
        let flags = rustix::io::FdFlags::empty();
        return Ok(rustix::io::fcntl_setfd(fd, flags)?);
    }
    // SAFETY: the standard streams are never closed through an OwnedFd by a
    // process that goes on to execute a program.
    match unsafe { libc::dup2(fd.as_raw_fd(), number) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Closes every descriptor but the standard streams and `kept`. For a process
/// that never returns to the owners of what is closed.
pub fn keep_only(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut numbers: Vec<u32> = kept
        .iter()
        .map(|fd| fd.as_raw_fd().cast_unsigned())
        .filter(|number| *number > 2)
        .collect();
    numbers.sort_unstable();
    let mut first = 3;
    for number in numbers {
        if number > first {
            close_range(first, number - 1)?;
        }
        first = first.max(number + 1);
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: takes three numbers. The owners of the descriptors are frames
    // that the calling process, a copy made by clone3(2), never returns to.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })
}

/// A program's arguments or environment, in the kernel's form.
#[derive(Debug)]
pub struct Strings {
    /// Keeps the strings alive that `pointers` leads to.
    _owned: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl Strings {
    /// Ends each text with a zero; a text that holds one is an error.
    pub fn new<T: Into<Vec<u8>>>(
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Self, std::ffi::NulError> {
        let owned = texts
            .into_iter()
            .map(CString::new)
            .collect::<Result<Vec<_>, _>>()?;
        let pointers = owned
            .iter()
            .map(|text| text.as_ptr())
            .chain([std::ptr::null()])
            .collect();
        Ok(Self {
            _owned: owned,
            pointers,
        })
    }
}

/// Becomes the program at `path`; returns only with the reason why not.
pub fn execute(path: &CStr, arguments: &Strings, environment: &Strings) -> io::Error {
    // SAFETY: both arrays end with a null pointer and lead to strings that
    // live as long as they do.
    unsafe {
        libc::execve(
            path.as_ptr(),
            arguments.pointers.as_ptr(),
            environment.pointers.as_ptr(),
        )
    };
    io::Error::last_os_error()
}

/// Becomes the program in an open file; returns only with the reason why not.
pub fn execute_file(file: BorrowedFd<'_>, arguments: &Strings, environment: &Strings) -> io::Error {
    // SAFETY: the path is an empty C string; both arrays end with a null
    // pointer and lead to strings that live as long as they do.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            arguments.pointers.as_ptr(),
            environment.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Whether the calling process may execute the regular file at `path`.
pub fn executable(path: &CStr) -> io::Result<()> {
    let stat = rustix::fs::stat(path)?;
    match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::RegularFile => {}
        rustix::fs::FileType::Directory => return Err(io::ErrorKind::IsADirectory.into()),
        _ => return Err(io::ErrorKind::PermissionDenied.into()),
    }
    Ok(rustix::fs::accessat(
        rustix::fs::CWD,
        path,
        rustix::fs::Access::EXEC_OK,
        rustix::fs::AtFlags::EACCESS,
    )?)
}
