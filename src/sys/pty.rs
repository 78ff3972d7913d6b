//! Terminals of a given devpts: opened by descriptor, never by a path that a
//! container could have arranged.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::sys::fs;

/// Both ends of a terminal.
#[derive(Debug)]
pub struct Terminal {
    /// The end that shows and types.
    pub master: OwnedFd,
    /// The end that programs use.
    pub slave: OwnedFd,
    /// Its number, as in `/dev/pts/N`.
    pub number: u32,
}

/// Opens a terminal of the devpts whose root folder is `pts`.
pub fn open(pts: BorrowedFd<'_>, rows: u16, columns: u16) -> io::Result<Terminal> {
    if fs::filesystem_magic(pts)? != fs::DEVPTS_MAGIC {
        return Err(io::Error::other("not a devpts file system"));
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let master = rustix::fs::openat(pts, "ptmx", flags, Mode::empty())?;
    rustix::pty::unlockpt(&master)?;
    let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, peer)?;
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(&master, size)?;
    let number = number(master.as_fd())?;
    Ok(Terminal {
        master,
        slave,
        number,
    })
}

fn number(master: BorrowedFd<'_>) -> io::Result<u32> {
    let mut number: libc::c_uint = 0;
    // SAFETY: TIOCGPTN stores one unsigned int through the pointer.
    match unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number) } {
        0 => Ok(number),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets a terminal's size.
pub fn resize(master: BorrowedFd<'_>, rows: u16, columns: u16) -> io::Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(rustix::termios::tcsetwinsize(master, size)?)
}

/// Makes a terminal the controlling one of the calling session leader.
pub fn control(slave: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::process::ioctl_tiocsctty(slave)?)
}
