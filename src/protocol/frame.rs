//! Framing: a little-endian `u32` length, then that many bytes of JSON.
//!
//! Descriptors that belong to a frame travel (SCM_RIGHTS) with its first byte.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest frame body that either side accepts, in bytes.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The length says more than [`FRAME_BYTES_MAX`].
    #[error("frame of {0} bytes is longer than {FRAME_BYTES_MAX}")]
    TooLong(usize),
    /// The body isn't what was expected.
    #[error("frame is not a valid message")]
    Malformed(#[source] serde_json::Error),
}

/// Turns a message into a frame.
///
/// # Errors
/// [`Error::TooLong`] when the body is over the limit; [`Error::Malformed`]
/// when it can't be serialized.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message).map_err(Error::Malformed)?;
    let length = bytes.len() - 4;
    let header = match u32::try_from(length) {
        Ok(header) if length <= FRAME_BYTES_MAX => header,
        Ok(_) | Err(_) => return Err(Error::TooLong(length)),
    };
    if let Some(slot) = bytes.get_mut(..4) {
        slot.copy_from_slice(&header.to_le_bytes());
    }
    Ok(bytes)
}

/// Collects bytes and gives whole messages.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
}

impl Decoder {
    /// Adds bytes as they were read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether nothing is waiting, not even part of a frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes the next whole message, or None when more bytes are needed.
    ///
    /// # Errors
    /// When the length is over the limit or the body isn't a `T`. The stream
    /// can't be used afterwards.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        let Some(header) = self.bytes.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_le_bytes(*header)).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX {
            return Err(Error::TooLong(length));
        }
        let Some(body) = self.bytes.get(4..4 + length) else {
            return Ok(None);
        };
        let message = serde_json::from_slice(body).map_err(Error::Malformed)?;
        self.bytes.drain(..4 + length);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_any_split() {
        let frame: Vec<u8> = [encode(&"one").unwrap(), encode(&"two").unwrap()].concat();
        for cut in 0..frame.len() {
            let mut decoder = Decoder::default();
            decoder.push(&frame[..cut]);
            let mut seen = Vec::new();
            while let Some(text) = decoder.take::<String>().unwrap() {
                seen.push(text);
            }
            decoder.push(&frame[cut..]);
            while let Some(text) = decoder.take::<String>().unwrap() {
                seen.push(text);
            }
            assert_eq!(seen, ["one", "two"], "cut at {cut}");
        }
    }

    #[test]
    fn a_lying_length_is_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_le_bytes());
        assert!(matches!(decoder.take::<String>(), Err(Error::TooLong(_))));
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            let _ = decoder.take::<serde_json::Value>();
        }
    }
}
