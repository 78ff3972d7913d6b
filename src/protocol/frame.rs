//! Framing: a little-endian `u32` length, then that many bytes of JSON.
//!
//! Descriptors that belong to a frame travel (SCM_RIGHTS) with its first byte.

use std::collections::VecDeque;

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

/// Collects bytes with the descriptors beside them, and gives whole messages
/// with the descriptors that are theirs.
///
/// A stream socket ends a read after the write that carried descriptors, and
/// a sender gives each frame with descriptors a write of its own. So what
/// comes with a read belongs to the last frame that begins in it.
///
/// What was taken is overwritten: requests carry environments.
#[derive(Debug)]
pub struct Assembler<D> {
    bytes: Vec<u8>,
    /// Bytes at the front that were taken.
    head: usize,
    /// Position in the whole stream of `bytes[head]`.
    position: usize,
    /// Descriptors by the position of their frame's first byte.
    descriptors: VecDeque<(usize, Vec<D>)>,
}

impl<D> Default for Assembler<D> {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            head: 0,
            position: 0,
            descriptors: VecDeque::new(),
        }
    }
}

impl<D> Assembler<D> {
    /// Adds what one read gave.
    pub fn push(&mut self, bytes: &[u8], descriptors: Vec<D>) {
        self.make_room(bytes.len());
        self.bytes.extend_from_slice(bytes);
        if !descriptors.is_empty() {
            let start = self.last_frame_start();
            self.descriptors.push_back((start, descriptors));
        }
    }

    /// Takes the next whole message with its descriptors, or None when more
    /// bytes are needed.
    ///
    /// # Errors
    /// When the length is over the limit or the body isn't a `T`. The stream
    /// can't be used afterwards.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<Option<(T, Vec<D>)>, Error> {
        let pending = self.bytes.get(self.head..).unwrap_or_default();
        let Some(length) = body_length(pending) else {
            return Ok(None);
        };
        if length > FRAME_BYTES_MAX {
            return Err(Error::TooLong(length));
        }
        let Some(body) = pending.get(4..4 + length) else {
            return Ok(None);
        };
        let message = serde_json::from_slice(body).map_err(Error::Malformed)?;
        let mut own = Vec::new();
        while let Some((start, _)) = self.descriptors.front()
            && *start <= self.position
        {
            own.extend(
                self.descriptors
                    .pop_front()
                    .into_iter()
                    .flat_map(|(_, d)| d),
            );
        }
        self.wipe_front(4 + length);
        Ok(Some((message, own)))
    }

    /// Bytes that wait for the rest of their frame.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.bytes.len() - self.head
    }

    fn last_frame_start(&self) -> usize {
        let mut at = self.head;
        while let Some(length) = self.bytes.get(at..).and_then(body_length)
            && let Some(next) = at.checked_add(4 + length)
            && next < self.bytes.len()
        {
            at = next;
        }
        self.position + (at - self.head)
    }

    fn wipe_front(&mut self, count: usize) {
        if let Some(done) = self.bytes.get_mut(self.head..self.head + count) {
            done.fill(0);
            std::hint::black_box(done);
        }
        self.head += count;
        self.position += count;
        if self.head == self.bytes.len() {
            self.bytes.clear();
            self.head = 0;
        }
    }

    /// Grows by hand, because a `Vec` that moves leaves its old bytes behind.
    fn make_room(&mut self, count: usize) {
        if self.bytes.capacity() - self.bytes.len() >= count {
            return;
        }
        let pending = self.bytes.get(self.head..).unwrap_or_default();
        let mut larger = Vec::with_capacity((pending.len() + count).next_power_of_two());
        larger.extend_from_slice(pending);
        self.bytes.fill(0);
        std::hint::black_box(&mut self.bytes);
        self.bytes = larger;
        self.head = 0;
    }
}

fn body_length(bytes: &[u8]) -> Option<usize> {
    let header = bytes.first_chunk::<4>()?;
    Some(usize::try_from(u32::from_le_bytes(*header)).unwrap_or(usize::MAX))
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

    #[test]
    fn descriptors_belong_to_the_last_frame_that_begins_in_the_read() {
        let (one, two, three) = (
            encode(&"one").unwrap(),
            encode(&"two").unwrap(),
            encode(&"three").unwrap(),
        );
        let mut assembler = Assembler::default();
        // "one" is glued in front; the tail of "two" comes with the next read.
        assembler.push(&[&one[..], &two[..5]].concat(), vec![2]);
        assert_eq!(
            assembler.take::<String>().unwrap(),
            Some(("one".to_owned(), vec![]))
        );
        assert_eq!(assembler.take::<String>().unwrap(), None);
        assembler.push(&two[5..], vec![]);
        assembler.push(&three[..2], vec![3, 4]);
        assert_eq!(
            assembler.take::<String>().unwrap(),
            Some(("two".to_owned(), vec![2]))
        );
        assembler.push(&three[2..], vec![]);
        assert_eq!(
            assembler.take::<String>().unwrap(),
            Some(("three".to_owned(), vec![3, 4]))
        );
        assert_eq!(assembler.pending_bytes(), 0);
    }

    #[test]
    fn what_was_taken_is_overwritten() {
        let mut assembler = Assembler::<()>::default();
        let frame = encode(&"secret").unwrap();
        assembler.push(&[&frame[..], &frame[..]].concat(), vec![]);
        assembler.take::<String>().unwrap();
        assert!(assembler.bytes[..frame.len()].iter().all(|byte| *byte == 0));
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            let _ = decoder.take::<serde_json::Value>();
            let mut assembler = Assembler::default();
            assembler.push(&bytes, vec![1]);
            let _ = assembler.take::<serde_json::Value>();
        }

        #[test]
        fn descriptors_stay_with_their_frames(
            frames in proptest::collection::vec(("[a-z]{0,40}", proptest::bool::ANY), 1..20),
            glue in proptest::collection::vec(1usize..60, 1..40),
        ) {
            // As the kernel does it: plain writes may be glued together and cut
            // anywhere, a read that meets descriptors ends inside their write.
            let mut assembler = Assembler::default();
            let mut seen = Vec::new();
            let mut plain = Vec::new();
            let mut cuts = glue.iter().cycle();
            for (number, (text, has_descriptor)) in frames.iter().enumerate() {
                let frame = encode(text).unwrap();
                if *has_descriptor {
                    let cut = (*cuts.next().unwrap()).min(frame.len());
                    plain.extend_from_slice(&frame[..cut]);
                    assembler.push(&plain, vec![number]);
                    plain = frame[cut..].to_vec();
                } else {
                    plain.extend_from_slice(&frame);
                }
                while plain.len() > 30 {
                    let cut = (*cuts.next().unwrap()).min(plain.len());
                    assembler.push(&plain[..cut], vec![]);
                    plain.drain(..cut);
                }
                while let Some(message) = assembler.take::<String>().unwrap() {
                    seen.push(message);
                }
            }
            assembler.push(&plain, vec![]);
            while let Some(message) = assembler.take::<String>().unwrap() {
                seen.push(message);
            }
            let expected: Vec<_> = frames
                .iter()
                .enumerate()
                .map(|(number, (text, has))| {
                    (text.clone(), if *has { vec![number] } else { vec![] })
                })
                .collect();
            proptest::prop_assert_eq!(seen, expected);
        }
    }
}
