//! The keeper's end of a conversation: frames with descriptors over a socket
//! that never makes it wait.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::frame::{self, Assembler};
use crate::sys::descriptor;
use crate::sys::poll::{Interest, Poller};
use crate::sys::scm::{self, Outbox};

/// Bytes that wait from which on states are kept back: they are sent as they
/// are then, once the other side reads again.
const CROWDED_BYTES: usize = 64 << 10;

/// A conversation.
#[derive(Debug)]
pub(crate) struct Link {
    socket: OwnedFd,
    incoming: Assembler<OwnedFd>,
    outbox: Outbox,
    token: u64,
    is_writing: bool,
}

/// Why a conversation ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("other side is gone")]
    Gone,
    #[error("socket")]
    System(#[from] io::Error),
    #[error("message")]
    Message(#[from] frame::Error),
}

impl Link {
    /// Begins a conversation whose readiness has this token.
    pub(crate) fn new(socket: OwnedFd, token: u64, poller: &Poller) -> io::Result<Self> {
        descriptor::set_nonblocking(&socket, true)?;
        poller.add(&socket, token, Interest::Read)?;
        Ok(Self {
            socket,
            incoming: Assembler::default(),
            outbox: Outbox::default(),
            token,
            is_writing: false,
        })
    }

    /// Reads everything that has come.
    pub(crate) fn fill(&mut self) -> Result<(), Error> {
        let mut buffer = [0u8; 16 << 10];
        loop {
            match scm::receive(&self.socket, &mut buffer) {
                Ok(got) if got.count == 0 => return Err(Error::Gone),
                Ok(got) => {
                    let bytes = buffer.get_mut(..got.count).unwrap_or_default();
                    self.incoming.push(bytes, got.descriptors);
                    // Environments go by here.
                    scm::wipe(bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(Error::Gone);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next whole message.
    pub(crate) fn take<T: DeserializeOwned>(&mut self) -> Result<Option<(T, Vec<OwnedFd>)>, Error> {
        Ok(self.incoming.take()?)
    }

    /// Adds a message to what is sent.
    pub(crate) fn push<T: Serialize>(&mut self, message: &T, descriptors: Vec<OwnedFd>) {
        // Our own messages are far below the limit and always serializable.
        if let Ok(bytes) = frame::encode(message) {
            self.outbox.push(bytes, descriptors);
        }
    }

    /// Whether the other side has fallen behind in reading.
    pub(crate) fn is_crowded(&self) -> bool {
        self.outbox.pending_bytes() > CROWDED_BYTES
    }

    /// Sends what the socket takes. A side that is gone shows in reading.
    pub(crate) fn flush(&mut self, poller: &Poller) -> io::Result<()> {
        let is_writing = !self.outbox.flush(&self.socket).unwrap_or(true);
        if is_writing != self.is_writing {
            self.is_writing = is_writing;
            poller.modify(&self.socket, self.token, Interest::read_and(is_writing))?;
        }
        Ok(())
    }

    /// Ends the conversation.
    pub(crate) fn close(self, poller: &Poller) {
        let _ = poller.remove(&self.socket);
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
