//! Descriptors: making, duplicating, marking and closing them.
//!
//! Everything made here is close-on-exec. Knows nothing of what flows through.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{FileType, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pipe::PipeFlags;

/// A pipe: the end to read and the end to write.
#[derive(Debug)]
pub struct Pipe {
    /// Read here.
    pub reader: OwnedFd,
    /// Write here.
    pub writer: OwnedFd,
}

/// Makes a pipe whose ends block.
///
/// # Errors
/// pipe2(2): out of descriptors or of pipe memory.
pub fn pipe() -> io::Result<Pipe> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    Ok(Pipe { reader, writer })
}

/// Lets a pipe hold this many bytes, or as many as the system allows it.
/// A pipe that stays as it was holds 64 KiB.
pub fn enlarge_pipe(pipe: impl AsFd, bytes: usize) {
    // Less is slower and no fault: unprivileged callers have a limit.
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, bytes);
}

/// Makes two connected stream sockets that block.
///
/// # Errors
/// socketpair(2): out of descriptors.
pub fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let pair = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    Ok(pair)
}

/// Another descriptor for the same open file, numbered 3 or higher.
///
/// # Errors
/// fcntl(2): out of descriptors.
pub fn duplicate(fd: impl AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 3)?)
}

/// Sets or clears `O_NONBLOCK`, which belongs to the open file, so to every
/// duplicate in every process.
///
/// # Errors
/// fcntl(2).
pub fn set_nonblocking(fd: impl AsFd, is_nonblocking: bool) -> io::Result<()> {
    let fd = fd.as_fd();
    let flags = rustix::fs::fcntl_getfl(fd)?;
    let mut wanted = flags;
    wanted.set(OFlags::NONBLOCK, is_nonblocking);
    if wanted != flags {
        rustix::fs::fcntl_setfl(fd, wanted)?;
    }
    Ok(())
}

/// Moves up to `limit` bytes that wait in a pipe to where `target` stands,
/// without them ever being in our memory: a process killed in the middle has
/// moved them or hasn't. Gives 0 at the pipe's end.
///
/// # Errors
/// splice(2): `WouldBlock` when nothing waits; `InvalidInput` when the source
/// isn't a pipe or the target appends.
pub fn splice(pipe: impl AsFd, target: impl AsFd, limit: usize) -> io::Result<usize> {
    use rustix::pipe::SpliceFlags;
    loop {
        match rustix::pipe::splice(&pipe, None, &target, None, limit, SpliceFlags::NONBLOCK) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Reads what is there; 0 at the end.
///
/// # Errors
/// read(2): `WouldBlock` on a non-blocking descriptor with nothing to read.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::io::read(&fd, &mut *buffer) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Whether it is a pipe or FIFO: the only kind that may enter a container.
///
/// # Errors
/// fstat(2).
pub fn is_pipe(fd: impl AsFd) -> io::Result<bool> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

/// Whether both are one and the same file (device and inode).
///
/// # Errors
/// fstat(2).
#[cfg(test)]
pub(crate) fn is_same_file(one: impl AsFd, other: impl AsFd) -> io::Result<bool> {
    let one = rustix::fs::fstat(one)?;
    let other = rustix::fs::fstat(other)?;
    Ok(one.st_dev == other.st_dev && one.st_ino == other.st_ino)
}

/// Opens `/dev/null` for reading and writing.
///
/// # Errors
/// open(2): no `/dev` here.
pub fn null() -> io::Result<OwnedFd> {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    Ok(file.into())
}

/// A nameless file in memory, open for reading and writing.
///
/// # Errors
/// memfd_create(2).
pub fn memory_file(name: &str) -> io::Result<OwnedFd> {
    Ok(rustix::fs::memfd_create(
        name,
        rustix::fs::MemfdFlags::CLOEXEC,
    )?)
}

/// Takes what the process was started with as standard input and leaves
/// `/dev/null` in its place.
///
/// # Errors
/// fcntl(2) or open(2), as when standard input was closed.
pub fn take_standard_input() -> io::Result<OwnedFd> {
    let taken = duplicate(std::io::stdin())?;
    replace_standard(0, null()?.as_fd())?;
    Ok(taken)
}

/// Makes standard input (0), output (1) or error (2) a duplicate of `fd`.
///
/// # Errors
/// dup2(2); `InvalidInput` for other numbers.
pub fn replace_standard(number: RawFd, fd: BorrowedFd<'_>) -> io::Result<()> {
    if !(0..=2).contains(&number) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: dup2 takes two numbers and no memory. Its target is one of the
    // standard three, which nothing owns as an `OwnedFd`; rustix offers the
    // same only with a feature that we don't otherwise need.
    let result = unsafe { libc::dup2(fd.as_raw_fd(), number) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Writes to standard error, which is a log file for every role but the
/// command line.
///
/// # Errors
/// write(2).
pub fn write_standard_error(bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    io::stderr().write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pipes_are_pipes() {
        let pipe = pipe().unwrap();
        let (one, _other) = stream_pair().unwrap();
        assert!(is_pipe(&pipe.reader).unwrap());
        assert!(!is_pipe(&one).unwrap());
        assert!(!is_pipe(null().unwrap()).unwrap());
    }

    #[test]
    fn a_duplicate_is_the_same_file_and_closes_on_exec() {
        let pipe = pipe().unwrap();
        let twin = duplicate(&pipe.writer).unwrap();
        assert!(is_same_file(&twin, &pipe.writer).unwrap());
        let flags = rustix::io::fcntl_getfd(&twin).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn nonblocking_reaches_every_duplicate() {
        let pipe = pipe().unwrap();
        let twin = duplicate(&pipe.reader).unwrap();
        set_nonblocking(&pipe.reader, true).unwrap();
        let error = rustix::io::read(&twin, &mut [0u8; 1]).unwrap_err();
        assert_eq!(error, rustix::io::Errno::AGAIN);
    }

    #[test]
    fn bytes_are_moved_from_a_pipe_to_a_file() {
        use std::os::unix::fs::FileExt as _;
        let pipe = pipe().unwrap();
        let file = std::fs::File::from(memory_file("test").unwrap());
        let error = splice(&pipe.reader, &file, 100).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        rustix::io::write(&pipe.writer, b"hello").unwrap();
        assert_eq!(splice(&pipe.reader, &file, 100).unwrap(), 5);
        let mut bytes = [0u8; 5];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"hello");
        drop(pipe.writer);
        assert_eq!(splice(&pipe.reader, &file, 100).unwrap(), 0);
    }

    #[test]
    fn only_the_standard_three_can_be_replaced() {
        let null = null().unwrap();
        let error = replace_standard(3, null.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
