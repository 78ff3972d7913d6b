//! Standard streams: pipes opened so that no reader's death hurts, or a terminal
//! of the container's own.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::runtime::error::{Error, Step};
use crate::sys::exec;
use crate::sys::fs::{self, OFlags};
use crate::sys::pty::{self, Terminal};

/// The three streams of a process that has no terminal.
#[derive(Debug)]
pub(crate) struct Streams {
    /// Read from; the null device when absent.
    pub(crate) stdin: Option<OwnedFd>,
    /// Written to; the null device when absent.
    pub(crate) stdout: Option<OwnedFd>,
    /// Written to; the null device when absent.
    pub(crate) stderr: Option<OwnedFd>,
}

impl Streams {
    /// Opens pipes that are written to for reading as well, so that the death
    /// of their reader is never a SIGPIPE. `proc` is a procfs of the calling
    /// process's own pid namespace.
    pub(crate) fn reopen(self, proc: BorrowedFd<'_>) -> Result<Self, Error> {
        Ok(Self {
            stdin: self.stdin,
            stdout: self.stdout.map(|fd| read_write(fd, proc)).transpose()?,
            stderr: self.stderr.map(|fd| read_write(fd, proc)).transpose()?,
        })
    }
}

fn read_write(fd: OwnedFd, proc: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    if !fs::is_pipe(fd.as_fd()) {
        return Ok(fd);
    }
    let path = format!("self/fd/{}", fd.as_raw_fd());
    fs::open_at(proc, path, OFlags::RDWR).step(|| "opening of an output pipe".to_owned())
}

/// What a process's streams are connected to.
#[derive(Debug)]
pub(crate) enum Stdio {
    /// Pipes.
    Streams(Streams),
    /// A terminal of the container's devpts.
    Terminal(Terminal),
}

/// Starts a session, with keys of its own, and connects the standard streams,
/// which then belong to the user. Gives a terminal's master back.
pub(crate) fn connect(
    stdio: Stdio,
    null: BorrowedFd<'_>,
    uid: u32,
) -> Result<Option<OwnedFd>, Error> {
    let step = || "standard streams".to_owned();
    exec::new_session().step(step)?;
    exec::new_keyring().step(|| "session keyring".to_owned())?;
    match stdio {
        Stdio::Streams(streams) => {
            let all = [&streams.stdin, &streams.stdout, &streams.stderr];
            for (number, stream) in (0..).zip(all) {
                let fd = stream.as_ref().map_or(null, AsFd::as_fd);
                if fs::is_pipe(fd) {
                    fs::give(fd, uid, None).step(step)?;
                }
                exec::set_stream(number, fd).step(step)?;
            }
            Ok(None)
        }
        Stdio::Terminal(terminal) => {
            let slave = terminal.slave.as_fd();
            fs::give(slave, uid, None).step(step)?;
            pty::control(slave).step(step)?;
            for number in 0..=2 {
                exec::set_stream(number, slave).step(step)?;
            }
            Ok(Some(terminal.master))
        }
    }
}
