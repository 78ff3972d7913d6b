//! What a process of ours must not have by accident from whoever typed the
//! command, item by item, and what it is made from.
//!
//! | inherited              | made                                            | by                          |
//! |------------------------|-------------------------------------------------|-----------------------------|
//! | descriptors            | closed from 3 up; 0–2 are chosen by the starter | [`close_inherited`]         |
//! | session, terminal      | a session of its own                            | [`cleanse`]                 |
//! | working folder         | `/`                                             | [`cleanse`]                 |
//! | umask                  | 022                                             | [`cleanse`]                 |
//! | signals ignored, masked| default, none masked; SIGPIPE ignored           | [`cleanse`]                 |
//! | niceness, policy, CPUs | 0, other, all                                   | [`cleanse`]                 |
//! | out-of-memory score    | lowered, if permitted                           | [`cleanse`]                 |
//! | open file limit        | raised; the old one is for the user's programs              | [`raise_descriptor_limit`]  |
//! | control group          | its own                                         | the keeper, with `clone`    |
//! | environment            | a list of names                                 | the starter                 |
//! | binary                 | a read-only mount of it, or a sealed copy       | [`own_binary`]              |

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::process::{Resource, Rlimit};

use crate::sys::mount::{self, Attributes, Reach};
use crate::sys::{descriptor, exec};

/// What the pair's members ask the out-of-memory killer for.
const OOM_SCORE_ADJUSTMENT: &str = "-500";
/// Open files that the pair may have: about seven a container.
const DESCRIPTORS_MAX: u64 = 1 << 20;

/// Closes every descriptor from 3 up. For the first line of a role: nothing
/// may have been opened yet, or, in a fork, nothing of it may be used again.
///
/// # Errors
/// close_range(2): kernels before 5.9.
pub fn close_inherited() -> io::Result<()> {
    // SAFETY: takes no pointers. Called as the first act of a process, when
    // no descriptor above 2 has an owner in this program that is used again.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Makes the calling, single-threaded process nobody's: see the list above.
///
/// # Errors
/// Where an item that matters can't be had; what only helps is tried.
pub fn cleanse() -> io::Result<()> {
    exec::new_session()?;
    std::env::set_current_dir("/")?;
    exec::set_umask(0o022);
    exec::reset_signals()?;
    ignore_broken_pipes();
    let _ = rustix::process::setpriority_process(None, 0);
    reset_scheduling();
    let _ = exec::reset_affinity();
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJUSTMENT);
    Ok(())
}

fn ignore_broken_pipes() {
    // SAFETY: SIG_IGN is no handler and touches no memory of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

fn reset_scheduling() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the pointer is to a parameter block that lives across the call.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const parameters) };
    const WHO_PROCESS: libc::c_int = 1;
    // SAFETY: takes numbers only; class and level 0 mean "by niceness".
    unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, 0) };
}

/// A limit on open files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescriptorLimit {
    /// Soft limit; None is unlimited.
    pub soft: Option<u64>,
    /// Hard limit; None is unlimited.
    pub hard: Option<u64>,
}

/// The limit on open files as it is.
#[must_use]
pub fn descriptor_limit() -> DescriptorLimit {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    DescriptorLimit {
        soft: limit.current,
        hard: limit.maximum,
    }
}

/// Raises the limit on open files as far as permitted.
pub fn raise_descriptor_limit() {
    let old = rustix::process::getrlimit(Resource::Nofile);
    let wanted = old.maximum.map(|hard| hard.max(DESCRIPTORS_MAX));
    let attempts = [wanted, old.maximum];
    for limit in attempts {
        let limit = Rlimit {
            current: limit,
            maximum: limit,
        };
        if rustix::process::setrlimit(Resource::Nofile, limit).is_ok() {
            break;
        }
    }
}

/// Names the process for `ps` and the like, cut at 15 bytes.
///
/// # Errors
/// When `/proc` can't be written.
pub fn set_name(name: &str) -> io::Result<()> {
    std::fs::write("/proc/self/comm", name)
}

/// Gives the calling process the streams of a role: `input`, `output` and, if
/// given, `errors`.
///
/// # Errors
/// dup2(2).
pub fn take_streams(
    input: BorrowedFd<'_>,
    output: BorrowedFd<'_>,
    errors: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    descriptor::replace_standard(0, input)?;
    descriptor::replace_standard(1, output)?;
    errors.map_or(Ok(()), |fd| descriptor::replace_standard(2, fd))
}

/// Gives the calling process the arguments that `/proc/PID/cmdline` shows, as
/// if it had been executed with them (`PR_SET_MM_MAP` of prctl(2)). They are
/// kept until it ends.
///
/// # Errors
/// Where the kernel can't do it (`CONFIG_CHECKPOINT_RESTORE`), or without
/// `/proc`.
pub fn set_arguments(arguments: &[OsString]) -> io::Result<()> {
    let mut bytes = Vec::new();
    for argument in arguments {
        bytes.extend_from_slice(argument.as_bytes());
        bytes.push(0);
    }
    let mut map = MemoryMap::own()?;
    let range = bytes.leak().as_ptr_range();
    map.argument_start = range.start.expose_provenance() as u64;
    map.argument_end = range.end.expose_provenance() as u64;
    // SAFETY: the kernel reads the structure, whose size is given. Nothing but
    // the range of the arguments is another than it was; the kernel reads that
    // one for whoever asks and never writes it, and it is leaked, so it stays.
    let result = unsafe {
        libc::prctl(
            libc::PR_SET_MM,
            libc::PR_SET_MM_MAP,
            &raw const map,
            size_of::<MemoryMap>(),
            0,
        )
    };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// `struct prctl_mm_map` of linux/prctl.h.
#[derive(Debug)]
#[repr(C)]
struct MemoryMap {
    code_start: u64,
    code_end: u64,
    data_start: u64,
    data_end: u64,
    break_start: u64,
    break_now: u64,
    stack_start: u64,
    argument_start: u64,
    argument_end: u64,
    environment_start: u64,
    environment_end: u64,
    /// None: the auxiliary vector stays.
    auxiliary: u64,
    auxiliary_bytes: u32,
    /// -1: the program stays.
    program: i32,
}

impl MemoryMap {
    /// The calling process's, from `/proc/self/stat` (proc_pid_stat(5), whose
    /// numbers of fields these are).
    fn own() -> io::Result<Self> {
        let text = std::fs::read_to_string("/proc/self/stat")?;
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        // The second field, the name, may have anything in it; it ends here.
        let (_, fields) = text.rsplit_once(')').ok_or_else(malformed)?;
        let fields: Vec<_> = fields.split_ascii_whitespace().collect();
        let field = |number: usize| {
            let field = fields.get(number - 3).and_then(|text| text.parse().ok());
            field.ok_or_else(malformed)
        };
        // SAFETY: asks where the heap ends and changes nothing.
        let end_of_heap = unsafe { libc::sbrk(0) };
        Ok(Self {
            code_start: field(26)?,
            code_end: field(27)?,
            data_start: field(45)?,
            data_end: field(46)?,
            break_start: field(47)?,
            break_now: end_of_heap.expose_provenance() as u64,
            stack_start: field(28)?,
            argument_start: field(48)?,
            argument_end: field(49)?,
            environment_start: field(50)?,
            environment_end: field(51)?,
            auxiliary: 0,
            auxiliary_bytes: 0,
            program: -1,
        })
    }
}

/// A descriptor of our own program that nothing run from it can be written
/// through: a detached read-only mount of it, or else a sealed copy in memory.
///
/// # Errors
/// When there is neither, as without `/proc`.
pub fn own_binary() -> io::Result<OwnedFd> {
    protected_binary(Path::new("/proc/self/exe"))
}

/// The same for any program.
///
/// # Errors
/// As [`own_binary`].
pub fn protected_binary(path: &Path) -> io::Result<OwnedFd> {
    let file = File::open(path)?;
    read_only_mount(&file).or_else(|_| sealed_copy(file))
}

fn read_only_mount(file: &File) -> io::Result<OwnedFd> {
    let copy = mount::copy_of(file.as_fd(), Reach::One)?;
    mount::restrict(copy.as_fd(), Attributes::READ_ONLY, Reach::One)?;
    Ok(copy)
}

fn sealed_copy(mut file: File) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 don't know the flag and need none.
    let copy = rustix::fs::memfd_create("rcompose", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create("rcompose", flags))?;
    let mut copy = File::from(copy);
    io::copy(&mut file, &mut copy)?;
    copy.flush()?;
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&copy, seals)?;
    // A descriptor that can only be read: an open writer makes exec "busy".
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&copy));
    let reader = File::open(path)?;
    descriptor::duplicate(&reader)
}

/// Kills the process here and now if a test asks for it, in debug builds
/// alone: `RCOMPOSE_TEST_DIE=POINT@FILE` names the point and a file that is
/// removed by the one process that dies.
pub fn die_if_told(point: &str) {
    if !cfg!(debug_assertions) {
        return;
    }
    let Ok(told) = std::env::var("RCOMPOSE_TEST_DIE") else {
        return;
    };
    let Some((name, marker)) = told.split_once('@') else {
        return;
    };
    if name == point && std::fs::remove_file(marker).is_ok() {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::process::Command;

    use super::*;

    fn run(binary: &OwnedFd) -> String {
        let output = Command::new(format!("/proc/self/fd/{}", binary.as_raw_fd()))
            .args(["-c", "echo hello"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_read_only_mount_of_a_program_runs_and_cannot_be_written() {
        // A copy that nobody else runs: a busy program can't be written either.
        // Copied by another process: one that a test forks meanwhile would hold
        // ours open for writing until it executes its program.
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("sh");
        let copied = Command::new("cp").arg("/bin/sh").arg(&program).status();
        assert!(copied.unwrap().success());
        let Ok(binary) = read_only_mount(&File::open(&program).unwrap()) else {
            // Not privileged; the copy is what is used then.
            return;
        };
        assert_eq!(run(&binary), "hello\n");
        let path = format!("/proc/self/fd/{}", binary.as_raw_fd());
        let error = File::options().write(true).open(path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ReadOnlyFilesystem);
    }

    #[test]
    fn a_sealed_copy_of_a_program_runs_and_cannot_be_written() {
        let binary = sealed_copy(File::open("/bin/sh").unwrap()).unwrap();
        assert_eq!(run(&binary), "hello\n");
        let path = format!("/proc/self/fd/{}", binary.as_raw_fd());
        let write = File::options().write(true).open(path);
        assert!(write.and_then(|mut file| file.write_all(b"x")).is_err());
    }
}
