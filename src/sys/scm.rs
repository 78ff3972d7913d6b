//! Bytes with descriptors over Unix stream sockets (SCM_RIGHTS).
//!
//! The kernel hands descriptors over with the first byte of the write that
//! carried them, and ends a read after the bytes of that write; what those
//! bytes mean is the caller's.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// Most descriptors that one write may carry; the kernel's limit is 253.
pub const DESCRIPTORS_MAX: usize = 64;

/// Writes bytes, with descriptors beside the first of them; gives the number
/// of bytes taken. With at least one byte taken, all descriptors went along.
///
/// # Errors
/// sendmsg(2): `WouldBlock` on a full socket, `BrokenPipe` when the other side
/// is gone (no signal is raised); `InvalidInput` when there are more than
/// [`DESCRIPTORS_MAX`] descriptors, or some and no byte.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    if descriptors.len() > DESCRIPTORS_MAX || (bytes.is_empty() && !descriptors.is_empty()) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    loop {
        let slices = [IoSlice::new(bytes)];
        match rustix::net::sendmsg(&socket, &slices, &mut control, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// What one read gave.
#[derive(Debug)]
pub struct Received {
    /// Bytes put into the buffer; 0 at the end of the stream.
    pub count: usize,
    /// Descriptors that came with the last write among those bytes.
    pub descriptors: Vec<OwnedFd>,
}

/// Reads bytes and the descriptors beside them, which are close-on-exec.
///
/// # Errors
/// recvmsg(2): `WouldBlock` on an empty socket.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = loop {
        let mut slices = [IoSliceMut::new(buffer)];
        match rustix::net::recvmsg(&socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            result => break result?,
        }
    };
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            descriptors.extend(rights);
        }
    }
    Ok(Received {
        count: message.bytes,
        descriptors,
    })
}

/// Writes that wait for a non-blocking socket to take them, in order.
///
/// Each entry is written by calls of its own, so that its descriptors arrive
/// with its first byte and with no byte of another entry behind them.
#[derive(Debug, Default)]
pub struct Outbox {
    entries: VecDeque<Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    bytes: Vec<u8>,
    written: usize,
    descriptors: Vec<OwnedFd>,
}

impl Outbox {
    /// Adds bytes with their descriptors, at most [`DESCRIPTORS_MAX`].
    pub fn push(&mut self, bytes: Vec<u8>, descriptors: Vec<OwnedFd>) {
        debug_assert!(descriptors.len() <= DESCRIPTORS_MAX && !bytes.is_empty());
        self.bytes += bytes.len();
        self.entries.push_back(Entry {
            bytes,
            written: 0,
            descriptors,
        });
    }

    /// Whether everything was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes that wait.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.bytes
    }

    /// Writes as much as the socket takes; true when nothing waits any more.
    ///
    /// # Errors
    /// sendmsg(2), except for a full socket.
    pub fn flush(&mut self, socket: impl AsFd) -> io::Result<bool> {
        while let Some(entry) = self.entries.front_mut() {
            let rest = entry.bytes.get(entry.written..).unwrap_or_default();
            let descriptors: Vec<_> = entry.descriptors.iter().map(AsFd::as_fd).collect();
            let count = match send(&socket, rest, &descriptors) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            drop(descriptors);
            entry.descriptors.clear();
            entry.written += count;
            self.bytes -= count;
            if entry.written >= entry.bytes.len() {
                // Requests carry environments: nothing of them stays behind.
                if let Some(mut done) = self.entries.pop_front() {
                    wipe(&mut done.bytes);
                }
            }
        }
        Ok(true)
    }
}

/// Overwrites bytes in a way the compiler can't leave out.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::descriptor;

    fn pipes(count: usize) -> Vec<OwnedFd> {
        (0..count)
            .map(|_| descriptor::pipe().unwrap().reader)
            .collect()
    }

    #[test]
    fn descriptors_arrive_with_their_bytes() {
        let (one, other) = descriptor::stream_pair().unwrap();
        let sent = pipes(DESCRIPTORS_MAX);
        let borrowed: Vec<_> = sent.iter().map(AsFd::as_fd).collect();
        assert_eq!(send(&one, b"before", &[]).unwrap(), 6);
        assert_eq!(send(&one, b"with", &borrowed).unwrap(), 4);
        assert_eq!(send(&one, b"after", &[]).unwrap(), 5);
        let mut buffer = [0u8; 100];
        let mut bytes = 0;
        let mut came = Vec::new();
        while came.is_empty() {
            let got = receive(&other, &mut buffer).unwrap();
            bytes += got.count;
            came = got.descriptors;
        }
        assert_eq!(bytes, 10, "a read ends with the write that had descriptors");
        assert_eq!(came.len(), DESCRIPTORS_MAX);
        assert!(descriptor::is_same_file(&came[0], &sent[0]).unwrap());
    }

    #[test]
    fn too_many_or_orphaned_descriptors_are_refused() {
        let (one, _other) = descriptor::stream_pair().unwrap();
        let sent = pipes(DESCRIPTORS_MAX + 1);
        let borrowed: Vec<_> = sent.iter().map(AsFd::as_fd).collect();
        assert!(send(&one, b"x", &borrowed).is_err());
        assert!(send(&one, b"", &borrowed[..1]).is_err());
    }

    #[test]
    fn an_outbox_survives_a_full_socket() {
        let (one, other) = descriptor::stream_pair().unwrap();
        descriptor::set_nonblocking(&one, true).unwrap();
        let mut outbox = Outbox::default();
        for number in 0..20u8 {
            outbox.push(vec![number; 100_000], pipes(1));
        }
        assert!(!outbox.flush(&one).unwrap());
        let mut buffer = vec![0u8; 65536];
        let (mut total, mut fds) = (0, 0);
        while total < 2_000_000 {
            let got = receive(&other, &mut buffer).unwrap();
            total += got.count;
            fds += got.descriptors.len();
            outbox.flush(&one).unwrap();
        }
        assert!(outbox.is_empty());
        assert_eq!((outbox.pending_bytes(), fds), (0, 20));
    }

    #[test]
    fn a_gone_reader_is_an_error_and_no_signal() {
        let (one, other) = descriptor::stream_pair().unwrap();
        drop(other);
        let error = send(&one, b"x", &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
