//! The channel between a starter and its init stage: whole messages, each with
//! at most one descriptor, over a Unix socket pair that closes on exec.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// Longest message; what is longer is cut when it is received.
pub const MESSAGE_BYTES_MAX: usize = 8192;

/// What came out of the channel.
#[derive(Debug)]
pub enum Received {
    /// A message, with the descriptor that came along.
    Message(Vec<u8>, Option<OwnedFd>),
    /// Nothing yet.
    Empty,
    /// The other side is gone.
    Closed,
}

/// Makes a channel.
pub fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends one message. The receiver's absence is an error, never a signal.
pub fn send(channel: BorrowedFd<'_>, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds = fd.map(|fd| [fd]);
    if let Some(fds) = &fds
        && !ancillary.push(SendAncillaryMessage::ScmRights(fds))
    {
        return Err(io::Error::other("no room for a descriptor"));
    }
    rustix::net::sendmsg(
        channel,
        &[IoSlice::new(bytes)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Takes the next message without waiting.
pub fn receive(channel: BorrowedFd<'_>) -> io::Result<Received> {
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let result = rustix::net::recvmsg(
        channel,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut ancillary,
        RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
    );
    let received = match result {
        Ok(received) => received.bytes,
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(Received::Empty),
        Err(rustix::io::Errno::CONNRESET) => return Ok(Received::Closed),
        Err(error) => return Err(error.into()),
    };
    let mut fd = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message {
            fd = fds.next();
        }
    }
    if received == 0 && fd.is_none() {
        return Ok(Received::Closed);
    }
    bytes.truncate(received);
    Ok(Received::Message(bytes, fd))
}

/// Whether the other side is gone.
pub fn is_closed(channel: impl AsFd) -> bool {
    let mut fds = [rustix::event::PollFd::new(
        &channel,
        rustix::event::PollFlags::empty(),
    )];
    let now = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    rustix::event::poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_bounds_and_descriptors() {
        let (here, there) = channel().unwrap();
        assert!(matches!(receive(here.as_fd()).unwrap(), Received::Empty));
        let null = std::fs::File::open("/dev/null").unwrap();
        send(there.as_fd(), b"one", Some(null.as_fd())).unwrap();
        send(there.as_fd(), b"two", None).unwrap();
        let Received::Message(bytes, Some(_)) = receive(here.as_fd()).unwrap() else {
            panic!("expected a message with a descriptor");
        };
        assert_eq!(bytes, b"one");
        let Received::Message(bytes, None) = receive(here.as_fd()).unwrap() else {
            panic!("expected a message alone");
        };
        assert_eq!(bytes, b"two");
        assert!(!is_closed(&here));
        drop(there);
        assert!(is_closed(&here));
        assert!(matches!(receive(here.as_fd()).unwrap(), Received::Closed));
        assert!(send(here.as_fd(), b"late", None).is_err());
    }
}
