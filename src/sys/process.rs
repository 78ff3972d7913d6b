//! Processes by number: who they are, whether they still are, and signals.
//!
//! A number alone names nobody: it is used again. [`ProcessIdentity`] is the
//! number with the boot and the start time, and only that is ever kept.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;

use crate::model::{Outcome, ProcessIdentity};
use crate::sys::pidfd;

/// rt_sigtimedwait(2), also as 32-bit programs call it (x86 and ARM agree).
const SIGNAL_WAITS: [i64; 3] = [libc::SYS_rt_sigtimedwait, 177, 421];

/// The kernel's id of this boot.
///
/// # Errors
/// When `/proc` can't be read.
pub fn boot_id() -> io::Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim().to_owned())
}

/// Who has this number at this moment.
///
/// # Errors
/// `NotFound` when nobody has; otherwise when `/proc` can't be read.
pub fn identity(pid: i32) -> io::Result<ProcessIdentity> {
    let stat = stat(pid)?;
    Ok(ProcessIdentity {
        pid,
        start_ticks: stat.start_ticks,
        boot_id: boot_id()?,
    })
}

/// This process.
///
/// # Errors
/// When `/proc` can't be read.
pub fn own_identity() -> io::Result<ProcessIdentity> {
    identity(std::process::id().cast_signed())
}

/// The effective user of this process.
#[must_use]
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether that very process still runs. A zombie doesn't.
#[must_use]
pub fn is_alive(process: &ProcessIdentity) -> bool {
    let Ok(stat) = stat(process.pid) else {
        return false;
    };
    stat.start_ticks == process.start_ticks
        && !stat.is_dead
        && boot_id().is_ok_and(|boot| boot == process.boot_id)
}

/// Whether a process's first thread waits for something that it asked for: it
/// neither runs, nor wants to, nor reads from a disk.
#[must_use]
pub fn is_asleep(pid: i32) -> bool {
    stat(pid).is_ok_and(|stat| stat.is_asleep)
}

/// Whether a process's first thread is waiting for signals at this moment, in
/// sigtimedwait(2) or one of its kin (proc_pid_syscall(5)). True when it can't
/// be told: then it might be.
#[must_use]
pub fn awaits_signals(pid: i32) -> bool {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/syscall")) else {
        return true;
    };
    let number = text.split(' ').next().and_then(|word| word.parse().ok());
    number.is_some_and(|number: i64| SIGNAL_WAITS.contains(&number))
}

/// Opens a descriptor for that very process, also when it is a zombie; None
/// when it was reaped.
///
/// # Errors
/// pidfd_open(2), as when out of descriptors.
pub fn open(process: &ProcessIdentity) -> io::Result<Option<OwnedFd>> {
    let pidfd = match pidfd::open(process.pid) {
        Ok(pidfd) => pidfd,
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        Err(error) => return Err(error),
    };
    // Read after opening: whoever has the number now is whom the descriptor
    // names, or nobody can have it while we hold a zombie's place.
    match identity(process.pid) {
        Ok(now) if now == *process => Ok(Some(pidfd)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sends a signal to that very process; false when it is gone.
///
/// # Errors
/// pidfd_send_signal(2): `EPERM`, `EINVAL`.
pub fn kill(process: &ProcessIdentity, signal: i32) -> io::Result<bool> {
    let Some(pidfd) = open(process)? else {
        return Ok(false);
    };
    match pidfd::send_signal(&pidfd, signal) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Kills all processes of a group whose leader is a child of ours that wasn't
/// waited for, so that the number is still its own.
///
/// # Errors
/// kill(2): `ESRCH` when nobody is left.
pub fn kill_group(leader: u32) -> io::Result<()> {
    let leader = i32::try_from(leader)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let leader = leader.ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::kill_process_group(
        leader,
        rustix::process::Signal::KILL,
    )?)
}

/// How a zombie ended, whoever its parent is (stat field 52, which needs the
/// right to trace it); None when it lives or is gone.
#[must_use]
pub fn zombie_outcome(process: &ProcessIdentity) -> Option<Outcome> {
    let stat = stat(process.pid).ok()?;
    (stat.is_dead && stat.start_ticks == process.start_ticks)
        .then(|| pidfd::outcome_of_status(stat.exit_status))
}

/// What we use of `/proc/PID/stat`.
struct Stat {
    is_dead: bool,
    is_asleep: bool,
    start_ticks: u64,
    exit_status: i32,
}

fn stat(pid: i32) -> io::Result<Stat> {
    // The kernel gives no size; the line is some 300 bytes.
    let mut text = Vec::with_capacity(1 << 10);
    let read = std::fs::File::open(format!("/proc/{pid}/stat"))
        .and_then(|mut file| file.read_to_end(&mut text));
    match read {
        Ok(_) => {}
        // Read of a process that went away between open and read.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {
            return Err(io::ErrorKind::NotFound.into());
        }
        Err(error) => return Err(error),
    }
    parse_stat(&String::from_utf8_lossy(&text)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The program's name stands in parentheses and may hold anything, so fields
/// are counted from the last `)`.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied();
    Some(Stat {
        is_dead: matches!(field(3)?, "Z" | "X" | "x"),
        is_asleep: field(3)? == "S",
        start_ticks: field(22)?.parse().ok()?,
        exit_status: field(52).and_then(|text| text.parse().ok()).unwrap_or(0),
    })
}

/// Has the kernel kill this process when `parent` ends, which must be its
/// parent. False when that has ended already. It holds over exec.
pub fn end_with_parent(parent: i32) -> io::Result<bool> {
    let signal = rustix::process::Signal::KILL;
    rustix::process::set_parent_process_death_signal(Some(signal))?;
    let own = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    Ok(own == Some(parent))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn we_are_alive_and_a_namesake_is_not() {
        let own = own_identity().unwrap();
        assert!(is_alive(&own));
        let later = ProcessIdentity {
            start_ticks: own.start_ticks + 1,
            ..own.clone()
        };
        assert!(!is_alive(&later));
        let other_boot = ProcessIdentity {
            boot_id: "00000000-0000-0000-0000-000000000000".to_owned(),
            ..own
        };
        assert!(!is_alive(&other_boot));
        assert!(!kill(&other_boot, 0).unwrap());
    }

    #[test]
    fn a_zombie_is_dead_and_tells_how() {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "exit 5"])
            .spawn()
            .unwrap();
        let process = identity(child.id().cast_signed()).unwrap();
        let pidfd = open(&process).unwrap().unwrap();
        assert!(crate::sys::poll::wait_readable(&pidfd, None).unwrap());
        assert!(!is_alive(&process));
        assert_eq!(zombie_outcome(&process), Some(Outcome::Code(5)));
        child.wait().unwrap();
        assert!(open(&process).unwrap().is_none());
    }

    #[test]
    fn a_signal_reaches_only_the_one_meant() {
        let mut child = Command::new("/bin/sleep").arg("100").spawn().unwrap();
        let process = identity(child.id().cast_signed()).unwrap();
        let stranger = ProcessIdentity {
            start_ticks: process.start_ticks + 1,
            ..process.clone()
        };
        assert!(!kill(&stranger, libc::SIGKILL).unwrap());
        assert!(is_alive(&process));
        assert!(kill(&process, libc::SIGKILL).unwrap());
        child.wait().unwrap();
        assert!(!kill(&process, libc::SIGKILL).unwrap());
    }

    #[test]
    fn a_name_full_of_parentheses_is_no_trap() {
        let mut text = String::from("12 (a) R (b)) Z");
        for field in 4..=52 {
            text.push_str(&format!(" {field}"));
        }
        let stat = parse_stat(&text).unwrap();
        assert!(stat.is_dead);
        assert_eq!((stat.start_ticks, stat.exit_status), (22, 52));
        assert!(parse_stat("12 (cut").is_none());
    }
}
