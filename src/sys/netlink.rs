//! A netlink socket: bytes out, bytes in.
//!
//! It knows nothing of what the messages mean; `network::netlink` builds and
//! reads them. The socket belongs to the network namespace of the thread that
//! opened it, whoever uses it later.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

/// Which part of the kernel a socket speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Links, addresses, routes.
    Route,
    /// nftables and connection tracking.
    Netfilter,
}

/// A netlink socket, in the network namespace it was opened in.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

/// The largest datagram that the kernel builds for a dump is 32 KiB; an
/// acknowledgement with an error can echo a whole request.
const RECEIVE_BYTES: usize = 128 * 1024;

/// The kernel answers inside `send`, so an answer that isn't there after this
/// long won't come.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

impl Socket {
    /// Opens a socket in the calling thread's network namespace, with short
    /// acknowledgements and error texts where the kernel has them.
    ///
    /// # Errors
    /// When the kernel lacks the family or descriptors ran out.
    pub fn open(family: Family) -> io::Result<Self> {
        let protocol = match family {
            // NETLINK_ROUTE is 0, the default.
            Family::Route => None,
            Family::Netfilter => Some(netlink::NETFILTER),
        };
        let fd = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        set_flag(&fd, libc::NETLINK_CAP_ACK)?;
        set_flag(&fd, libc::NETLINK_EXT_ACK)?;
        sockopt::set_socket_timeout(&fd, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
        Ok(Self {
            fd,
            buffer: vec![0; RECEIVE_BYTES],
        })
    }

    /// Sends one datagram, which may hold many messages.
    ///
    /// # Errors
    /// When the kernel refuses the datagram as a whole.
    pub fn send(&self, datagram: &[u8]) -> io::Result<()> {
        // The send buffer's limit counts bookkeeping too, hence twice.
        let wanted = datagram.len().saturating_mul(2);
        if wanted > sockopt::socket_send_buffer_size(&self.fd)? {
            sockopt::set_socket_send_buffer_size_force(&self.fd, wanted)?;
        }
        // One acknowledgement takes about 800 bytes of the receive buffer and
        // the shortest message is 20 bytes long.
        let answers = datagram.len().saturating_mul(40);
        if answers > sockopt::socket_recv_buffer_size(&self.fd)? {
            sockopt::set_socket_recv_buffer_size_force(&self.fd, answers)?;
        }
        let sent = send(&self.fd, datagram, SendFlags::empty())?;
        if sent == datagram.len() {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::WriteZero))
        }
    }

    /// Waits for a datagram.
    ///
    /// # Errors
    /// When none comes in time or the kernel dropped answers.
    pub fn receive(&mut self) -> io::Result<&[u8]> {
        let length = self.receive_with(RecvFlags::empty())?;
        Ok(self.buffer.get(..length).unwrap_or_default())
    }

    /// Takes a datagram that is there already.
    ///
    /// # Errors
    /// When the kernel dropped answers.
    pub fn try_receive(&mut self) -> io::Result<Option<&[u8]>> {
        match self.receive_with(RecvFlags::DONTWAIT) {
            Ok(length) => Ok(self.buffer.get(..length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn receive_with(&mut self, flags: RecvFlags) -> io::Result<usize> {
        loop {
            match recv(
                &self.fd,
                self.buffer.as_mut_slice(),
                flags | RecvFlags::TRUNC,
            ) {
                Ok((_, length)) if length > self.buffer.len() => {
                    return Err(io::Error::from(io::ErrorKind::FileTooLarge));
                }
                Ok((_, length)) => return Ok(length),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Switches a netlink option on; neither rustix nor nix knows them.
fn set_flag(fd: &OwnedFd, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).expect("an int's size fits");
    // SAFETY: the descriptor is open, and the pointer and length describe `on`,
    // which outlives the call; the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const on).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_message_is_answered_with_an_error() {
        let mut socket = Socket::open(Family::Route).expect("open");
        // nlmsghdr: length 16, type 0x7fff, REQUEST | ACK, sequence 7, port 0.
        let mut message = Vec::new();
        message.extend_from_slice(&16u32.to_ne_bytes());
        message.extend_from_slice(&0x7fffu16.to_ne_bytes());
        message.extend_from_slice(&5u16.to_ne_bytes());
        message.extend_from_slice(&7u32.to_ne_bytes());
        message.extend_from_slice(&0u32.to_ne_bytes());
        socket.send(&message).expect("send");
        let answer = socket.receive().expect("receive").to_vec();
        assert_eq!(answer.get(4..6), Some(2u16.to_ne_bytes().as_slice()));
        assert_eq!(answer.get(8..12), Some(7u32.to_ne_bytes().as_slice()));
        assert!(socket.try_receive().expect("try").is_none());
    }
}
