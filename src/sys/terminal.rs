//! The caller's own terminal: its size, and raw mode that is always undone.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::termios::{self, OptionalActions, Termios};

/// A terminal's size in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// The size of a terminal; None when it isn't one or has no size.
#[must_use]
pub fn size(terminal: BorrowedFd<'_>) -> Option<Size> {
    let size = termios::tcgetwinsize(terminal).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some(Size {
        rows: size.ws_row,
        columns: size.ws_col,
    })
}

/// Sets the size of a terminal, which tells its foreground processes.
///
/// # Errors
/// When the descriptor is not a terminal.
pub fn set_size(terminal: BorrowedFd<'_>, size: Size) -> io::Result<()> {
    let size = termios::Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(termios::tcsetwinsize(terminal, size)?)
}

/// Raw mode: every byte goes through as it is. Dropping it restores the
/// terminal.
#[derive(Debug)]
pub struct Raw {
    terminal: OwnedFd,
    before: Termios,
}

impl Raw {
    /// Switches a terminal to raw mode.
    ///
    /// # Errors
    /// When the descriptor is not a terminal or can't be duplicated.
    pub fn enter(terminal: BorrowedFd<'_>) -> io::Result<Self> {
        let terminal = terminal.try_clone_to_owned()?;
        let before = termios::tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(&terminal, OptionalActions::Flush, &raw)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nothing can be told here, and nothing else could restore it.
        let _ = termios::tcsetattr(self.terminal.as_fd(), OptionalActions::Drain, &self.before);
    }
}

/// What is typed isn't shown. Dropping it restores the terminal.
#[derive(Debug)]
pub struct Hidden {
    /// Restores it.
    _raw: Raw,
}

impl Hidden {
    /// Switches the echo off.
    ///
    /// # Errors
    /// When the descriptor is not a terminal or can't be duplicated.
    pub fn enter(terminal: BorrowedFd<'_>) -> io::Result<Self> {
        let terminal = terminal.try_clone_to_owned()?;
        let before = termios::tcgetattr(&terminal)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(termios::LocalModes::ECHO);
        termios::tcsetattr(&terminal, OptionalActions::Flush, &hidden)?;
        Ok(Self {
            _raw: Raw { terminal, before },
        })
    }
}

/// Keys come as they are typed and aren't shown; those that signal still do.
/// Dropping it restores the terminal.
#[derive(Debug)]
pub struct Keys {
    /// Restores it.
    _raw: Raw,
}

impl Keys {
    /// Takes a terminal's keys one by one. None when another job has the
    /// terminal: touching it then would stop us.
    ///
    /// # Errors
    /// When the descriptor is not a terminal or can't be duplicated.
    pub fn enter(terminal: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        if termios::tcgetpgrp(terminal)? != rustix::process::getpgrp() {
            return Ok(None);
        }
        let terminal = terminal.try_clone_to_owned()?;
        let before = termios::tcgetattr(&terminal)?;
        let mut keys = before.clone();
        keys.local_modes
            .remove(termios::LocalModes::ECHO | termios::LocalModes::ICANON);
        keys.special_codes[termios::SpecialCodeIndex::VMIN] = 1;
        keys.special_codes[termios::SpecialCodeIndex::VTIME] = 0;
        termios::tcsetattr(&terminal, OptionalActions::Flush, &keys)?;
        Ok(Some(Self {
            _raw: Raw { terminal, before },
        }))
    }
}

#[cfg(test)]
mod tests {
    use rustix::pty;
    use rustix::termios::LocalModes;

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY;
        let master = pty::openpt(flags).unwrap();
        pty::grantpt(&master).unwrap();
        pty::unlockpt(&master).unwrap();
        let name = pty::ptsname(&master, Vec::new()).unwrap();
        let slave = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        (master, slave.into())
    }

    #[test]
    fn a_size_set_is_a_size_seen() {
        let (master, slave) = pair();
        assert_eq!(size(slave.as_fd()), None);
        let wanted = Size {
            rows: 33,
            columns: 101,
        };
        set_size(master.as_fd(), wanted).unwrap();
        assert_eq!(size(slave.as_fd()), Some(wanted));
    }

    #[test]
    fn raw_mode_ends_with_its_guard() {
        let (_master, slave) = pair();
        let echo = |fd: &OwnedFd| {
            termios::tcgetattr(fd)
                .unwrap()
                .local_modes
                .contains(LocalModes::ECHO)
        };
        assert!(echo(&slave));
        let raw = Raw::enter(slave.as_fd()).unwrap();
        assert!(!echo(&slave));
        drop(raw);
        assert!(echo(&slave));
    }

    #[test]
    fn a_file_is_no_terminal() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(size(file.as_fd()), None);
        assert!(Raw::enter(file.as_fd()).is_err());
    }
}
