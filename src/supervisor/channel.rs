//! Framed messages with descriptors over a Unix stream, for either side of
//! the control socket.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::protocol::frame::{self, Decoder};
use crate::sys::scm;

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
/// Descriptors that a peer may have in flight.
const DESCRIPTORS_MAX: usize = 16;

/// Why a message did not get through.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The other side is gone, in the middle of something.
    #[error("the other side closed the connection")]
    Closed,
    /// The system refused.
    #[error("control socket")]
    Io(#[source] io::Error),
    /// The bytes aren't a message.
    #[error("control socket")]
    Frame(#[source] frame::Error),
    /// More descriptors than any message has.
    #[error("the other side sent more than {DESCRIPTORS_MAX} descriptors")]
    Descriptors,
}

impl Error {
    /// Whether a new connection may help.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Closed | Self::Io(_))
    }
}

/// Takes messages from a stream.
#[derive(Debug)]
pub struct Reader {
    stream: Rc<UnixStream>,
    decoder: Decoder,
    descriptors: VecDeque<OwnedFd>,
}

/// Puts messages on a stream.
#[derive(Debug, Clone)]
pub struct Writer {
    stream: Rc<UnixStream>,
}

/// Splits a stream into its two directions.
#[must_use]
pub fn split(stream: UnixStream) -> (Reader, Writer) {
    let stream = Rc::new(stream);
    let reader = Reader {
        stream: Rc::clone(&stream),
        decoder: Decoder::default(),
        descriptors: VecDeque::new(),
    };
    (reader, Writer { stream })
}

impl Reader {
    /// The next message; None when the other side closed the connection
    /// between messages. Safe to cancel.
    ///
    /// # Errors
    /// [`Error`] when the stream can't be used any more.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        loop {
            if let Some(message) = self.decoder.take().map_err(Error::Frame)? {
                return Ok(Some(message));
            }
            self.stream.readable().await.map_err(Error::Io)?;
            let read = self.stream.try_io(Interest::READABLE, || {
                let mut buffer = vec![0; READ_BYTES];
                let received = scm::receive(&self.stream, &mut buffer)?;
                buffer.truncate(received.count);
                Ok((buffer, received.descriptors))
            });
            match read {
                Ok((bytes, _)) if bytes.is_empty() => {
                    return if self.decoder.is_empty() {
                        Ok(None)
                    } else {
                        Err(Error::Closed)
                    };
                }
                Ok((bytes, descriptors)) => {
                    self.decoder.push(&bytes);
                    self.descriptors.extend(descriptors);
                    if self.descriptors.len() > DESCRIPTORS_MAX {
                        return Err(Error::Descriptors);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(Error::Closed);
                }
                Err(error) => return Err(Error::Io(error)),
            }
        }
    }

    /// The descriptors that came so far and were not taken.
    pub fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        self.descriptors.drain(..).collect()
    }
}

impl Writer {
    /// Sends a message; descriptors travel with its first byte. Not safe to
    /// cancel: a half-sent message ends the connection.
    ///
    /// # Errors
    /// [`Error`] when the stream can't be used any more.
    pub async fn send<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), Error> {
        let bytes = frame::encode(message).map_err(Error::Frame)?;
        let mut rest = bytes.as_slice();
        let mut descriptors = descriptors;
        while !rest.is_empty() {
            self.stream.writable().await.map_err(Error::Io)?;
            let sent = self.stream.try_io(Interest::WRITABLE, || {
                scm::send(&self.stream, rest, descriptors)
            });
            match sent {
                Ok(count) => {
                    rest = rest.get(count..).unwrap_or_default();
                    descriptors = &[];
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                    ) =>
                {
                    return Err(Error::Closed);
                }
                Err(error) => return Err(Error::Io(error)),
            }
        }
        Ok(())
    }

    /// The user at the other end (SO_PEERCRED).
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn peer_uid(&self) -> Result<u32, Error> {
        self.stream
            .peer_cred()
            .map(|peer| peer.uid())
            .map_err(Error::Io)
    }
}
