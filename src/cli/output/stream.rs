//! The two streams, with colours as `--ansi` and the terminal allow.

use std::io::{self, Stderr, Stdout, Write};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::OnceLock;

/// One of our two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// What was asked for.
    Stdout,
    /// What is told beside it.
    Stderr,
}

impl Stream {
    /// Writes a line. A reader who has left isn't an error here: progress and
    /// notices go on for whoever is left.
    pub(crate) fn line(self, line: &str) {
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        let _ = self.write(&bytes);
    }

    /// Its descriptor.
    pub(crate) fn descriptor(self) -> BorrowedFd<'static> {
        match self {
            // The standard library's handles live as long as the process.
            Self::Stdout => stdout().as_fd(),
            Self::Stderr => stderr().as_fd(),
        }
    }

    /// Writes bytes at once and as they are.
    pub(crate) fn write_raw(self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => put(&mut io::stdout().lock(), bytes),
            Self::Stderr => put(&mut io::stderr().lock(), bytes),
        }
    }

    /// Writes bytes at once, colours taken out where they don't belong.
    pub(crate) fn write(self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => put(&mut anstream::stdout().lock(), bytes),
            Self::Stderr => put(&mut anstream::stderr().lock(), bytes),
        }
    }
}

fn stdout() -> &'static Stdout {
    static HANDLE: OnceLock<Stdout> = OnceLock::new();
    HANDLE.get_or_init(io::stdout)
}

fn stderr() -> &'static Stderr {
    static HANDLE: OnceLock<Stderr> = OnceLock::new();
    HANDLE.get_or_init(io::stderr)
}

fn put(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(bytes)?;
    out.flush()
}
