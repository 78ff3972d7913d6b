//! Processes by descriptor: signals, waiting and how they ended.
//!
//! A pidfd polls readable when its process has ended, and hung up once its
//! parent has reaped it. Who the parent is decides what can be known:
//!
//! | asker  | state  | source                                   |
//! |--------|--------|------------------------------------------|
//! | parent | zombie | [`wait`]                                 |
//! | other  | zombie | `/proc/PID/stat` ([`crate::sys::process`]) |
//! | other  | reaped | [`exit_status`] (kernel 6.15)            |

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};

use crate::model::Outcome;

/// Opens a descriptor for the process that has this number at this moment.
///
/// # Errors
/// pidfd_open(2): `ESRCH` when there is none, or it has been reaped.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// Sends a signal; 0 only asks whether it could be sent.
///
/// # Errors
/// pidfd_send_signal(2): `ESRCH` when the process has been reaped.
pub fn send_signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    let number = pidfd.as_fd().as_raw_fd();
    // SAFETY: the descriptor is borrowed for the call, the info pointer is
    // null, which the kernel documents as "as kill(2)", and the flags are 0.
    // rustix only sends signals that have a name, not the real-time ones.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            number,
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0u32,
        )
    };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// How a child of ours ended, without taking the zombie away; None while it
/// lives.
///
/// # Errors
/// waitid(2): `ECHILD` when it isn't our child.
pub fn peek(pidfd: impl AsFd) -> io::Result<Option<Outcome>> {
    wait_with(
        pidfd,
        WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT,
    )
}

/// Reaps a child of ours and says how it ended; None while it lives.
///
/// # Errors
/// waitid(2): `ECHILD` when it isn't our child.
pub fn wait(pidfd: impl AsFd) -> io::Result<Option<Outcome>> {
    wait_with(pidfd, WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
}

fn wait_with(pidfd: impl AsFd, options: WaitIdOptions) -> io::Result<Option<Outcome>> {
    let Some(status) = rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), options)? else {
        return Ok(None);
    };
    let code = status
        .exit_status()
        .and_then(|code| u8::try_from(code).ok());
    let signal = status
        .terminating_signal()
        .and_then(|signal| u8::try_from(signal).ok());
    Ok(Some(match (code, signal) {
        (Some(code), _) => Outcome::Code(code),
        (None, Some(signal)) => Outcome::Signal(signal),
        (None, None) => Outcome::Unknown,
    }))
}

/// An outcome from a wait status as wait(2) gives it.
#[must_use]
pub fn outcome_of_status(status: i32) -> Outcome {
    let signal = status & 0x7f;
    if signal == 0 {
        u8::try_from((status >> 8) & 0xff).map_or(Outcome::Unknown, Outcome::Code)
    } else {
        u8::try_from(signal).map_or(Outcome::Unknown, Outcome::Signal)
    }
}

/// `struct pidfd_info` (linux/pidfd.h), in its first published size.
#[repr(C)]
#[derive(Debug, Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ids: [u32; 8],
    exit_code: i32,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;
/// `_IOWR(0xFF, 11, struct pidfd_info)` with its 64 bytes.
const PIDFD_GET_INFO: libc::c_ulong = 0xC040_FF0B;
const _: () = assert!(size_of::<PidfdInfo>() == 64);

/// How a process that is not our child ended, after its parent reaped it.
/// None while it lives or is a zombie.
///
/// # Errors
/// ioctl(2): `ENOTTY` or `EINVAL` on kernels before 6.15.
pub fn exit_status(pidfd: impl AsFd) -> io::Result<Option<Outcome>> {
    let mut info = PidfdInfo {
        mask: PIDFD_INFO_EXIT,
        ..PidfdInfo::default()
    };
    let number = pidfd.as_fd().as_raw_fd();
    // SAFETY: the request's size field says 64 bytes, which is the size of
    // the structure that is passed and lives across the call; every bit
    // pattern the kernel may write is valid for its integers.
    let result = unsafe { libc::ioctl(number, PIDFD_GET_INFO, &raw mut info) };
    if result == -1 {
        let error = io::Error::last_os_error();
        // A reaped process for which the kernel kept nothing.
        return match error.raw_os_error() {
            Some(libc::ESRCH) => Ok(None),
            _ => Err(error),
        };
    }
    if info.mask & PIDFD_INFO_EXIT == 0 {
        return Ok(None);
    }
    Ok(Some(outcome_of_status(info.exit_code)))
}

/// The number of the process behind a descriptor; None when it was reaped.
///
/// # Errors
/// When `/proc/self/fdinfo` can't be read or it isn't a pidfd.
pub fn pid_of(pidfd: impl AsFd) -> io::Result<Option<i32>> {
    let number = pidfd.as_fd().as_raw_fd();
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
    let pid = text
        .lines()
        .find_map(|line| line.strip_prefix("Pid:"))
        .and_then(|value| value.trim().parse::<i32>().ok())
        .ok_or(io::ErrorKind::InvalidInput)?;
    Ok((pid > 0).then_some(pid))
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;
    use crate::sys::poll;

    fn child(script: &str) -> (OwnedFd, std::process::Child) {
        let child = Command::new("/bin/sh")
            .args(["-c", script])
            .spawn()
            .unwrap();
        let pidfd = open(child.id().cast_signed()).unwrap();
        (pidfd, child)
    }

    #[test]
    fn a_child_is_peeked_at_and_then_reaped() {
        let (pidfd, _child) = child("exit 37");
        assert!(poll::wait_readable(&pidfd, Some(Duration::from_secs(10))).unwrap());
        assert_eq!(peek(&pidfd).unwrap(), Some(Outcome::Code(37)));
        assert_eq!(wait(&pidfd).unwrap(), Some(Outcome::Code(37)));
        assert!(wait(&pidfd).is_err());
    }

    #[test]
    fn a_signal_is_told_from_a_code() {
        let (pidfd, child) = child("sleep 100");
        assert_eq!(wait(&pidfd).unwrap(), None);
        assert_eq!(pid_of(&pidfd).unwrap(), Some(child.id().cast_signed()));
        send_signal(&pidfd, libc::SIGKILL).unwrap();
        assert!(poll::wait_readable(&pidfd, Some(Duration::from_secs(10))).unwrap());
        assert_eq!(wait(&pidfd).unwrap(), Some(Outcome::Signal(9)));
        assert_eq!(pid_of(&pidfd).unwrap(), None);
    }

    #[test]
    fn the_kernel_remembers_the_exit_of_a_reaped_process() {
        let (pidfd, mut child) = child("exit 3");
        child.wait().unwrap();
        // Kernels before 6.15 refuse; newer ones must know.
        if let Ok(outcome) = exit_status(&pidfd) {
            assert_eq!(outcome, Some(Outcome::Code(3)));
        }
    }

    #[test]
    fn wait_statuses_are_read_as_wait_documents_them() {
        assert_eq!(outcome_of_status(0x2500), Outcome::Code(37));
        assert_eq!(outcome_of_status(0x0b), Outcome::Signal(11));
        assert_eq!(outcome_of_status(0x8b), Outcome::Signal(11));
    }
}
