//! Netlink messages: building batches, reading answers and dumps.
//!
//! It knows the framing that all netlink families share (netlink(7)) and
//! nothing of what messages mean. A batch goes out as one datagram: the kernel
//! works through it inside `send` and has queued every answer when it returns.

use std::io;

use crate::network::error::Error;
use crate::sys::netlink::Socket;

/// Flags of a request.
pub(super) mod flag {
    pub(in crate::network) const REQUEST: u16 = 0x1;
    pub(in crate::network) const ACK: u16 = 0x4;
    pub(in crate::network) const DUMP: u16 = 0x300;
    pub(in crate::network) const EXCLUSIVE: u16 = 0x200;
    pub(in crate::network) const CREATE: u16 = 0x400;
    pub(in crate::network) const APPEND: u16 = 0x800;
}

const HEADER_BYTES: usize = 16;
const TYPE_ERROR: u16 = 2;
const TYPE_DONE: u16 = 3;
const FLAG_DUMP_INTERRUPTED: u16 = 0x10;
const FLAG_CAPPED: u16 = 0x100;
const FLAG_HAS_ATTRIBUTES: u16 = 0x200;
const ATTRIBUTE_TEXT: u16 = 1;
const NESTED: u16 = 0x8000;
const KIND_MASK: u16 = 0x3fff;

/// How often a dump that other changes ran into is begun anew.
const DUMP_TRIES: usize = 10;

/// The type and body of each message that a query found.
type Found = Vec<(u16, Vec<u8>)>;

/// Messages to send together. Each that asks for an acknowledgement carries
/// what it is about, for errors.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    subjects: Vec<String>,
    acknowledged: usize,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds a message: the family's own header, then attributes.
    pub(super) fn push(
        &mut self,
        subject: impl Into<String>,
        kind: u16,
        flags: u16,
        header: &[u8],
        attributes: impl FnOnce(&mut Attributes<'_>),
    ) {
        self.subjects.push(subject.into());
        let sequence = u32::try_from(self.subjects.len()).unwrap_or(u32::MAX);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes
            .extend_from_slice(&(flags | flag::REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(header);
        pad(&mut self.bytes);
        attributes(&mut Attributes {
            bytes: &mut self.bytes,
        });
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        overwrite(&mut self.bytes, start, &length.to_ne_bytes());
        if flags & flag::ACK != 0 {
            self.acknowledged += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// Sends the batch and waits for its acknowledgements. The kernel goes on
    /// after an error; the first one is returned.
    pub(super) fn send(self, socket: &mut Socket) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        let first = || self.subjects.first().cloned().unwrap_or_default();
        let kernel = |source| Error::Kernel {
            subject: first(),
            text: None,
            source,
        };
        socket.send(&self.bytes).map_err(kernel)?;
        let mut outstanding = self.acknowledged;
        let mut failure: Option<Error> = None;
        while outstanding > 0 {
            // An error of a whole batch answers for all of it.
            let datagram = if failure.is_none() {
                Some(socket.receive().map_err(kernel)?)
            } else {
                socket.try_receive().map_err(kernel)?
            };
            let Some(datagram) = datagram else { break };
            for message in Messages(datagram) {
                if message.kind != TYPE_ERROR {
                    continue;
                }
                outstanding = outstanding.saturating_sub(1);
                if let Some(refusal) = refusal(&message) {
                    let index = usize::try_from(message.sequence).unwrap_or(0);
                    let subject = index.checked_sub(1).and_then(|i| self.subjects.get(i));
                    failure.get_or_insert_with(|| Error::Kernel {
                        subject: subject.cloned().unwrap_or_else(first),
                        text: refusal.text,
                        source: refusal.source,
                    });
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Sends the batch's only message and gathers what it asks for, whole
    /// dumps included: the type and body of each message that comes.
    pub(super) fn query(self, socket: &mut Socket) -> Result<Found, Error> {
        let subject = self.subjects.first().cloned().unwrap_or_default();
        for _ in 0..DUMP_TRIES {
            if let Some(found) = self.query_once(socket, &subject)? {
                return Ok(found);
            }
        }
        Err(Error::Kernel {
            subject,
            text: None,
            source: io::Error::from(io::ErrorKind::Interrupted),
        })
    }

    fn query_once(&self, socket: &mut Socket, subject: &str) -> Result<Option<Found>, Error> {
        let kernel = |source, text| Error::Kernel {
            subject: subject.to_owned(),
            text,
            source,
        };
        socket
            .send(&self.bytes)
            .map_err(|source| kernel(source, None))?;
        let mut found = Vec::new();
        let mut is_interrupted = false;
        loop {
            let datagram = socket.receive().map_err(|source| kernel(source, None))?;
            for message in Messages(datagram) {
                is_interrupted |= message.flags & FLAG_DUMP_INTERRUPTED != 0;
                match message.kind {
                    TYPE_ERROR => {
                        if let Some(refusal) = refusal(&message) {
                            return Err(kernel(refusal.source, refusal.text));
                        }
                        return Ok(Some(found));
                    }
                    TYPE_DONE => return Ok((!is_interrupted).then_some(found)),
                    kind => found.push((kind, message.body.to_vec())),
                }
            }
        }
    }
}

/// Attributes being added to a message.
#[derive(Debug)]
pub(super) struct Attributes<'a> {
    bytes: &'a mut Vec<u8>,
}

impl Attributes<'_> {
    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.finish(start);
    }

    pub(super) fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    pub(super) fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// A number in network order, as netfilter wants all of them.
    pub(super) fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// A text with its terminating zero.
    pub(super) fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes);
    }

    pub(super) fn nested(&mut self, kind: u16, inner: impl FnOnce(&mut Attributes<'_>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        inner(&mut Attributes { bytes: self.bytes });
        self.finish(start);
    }

    /// Bytes without an attribute around them, for headers inside attributes.
    pub(super) fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        pad(self.bytes);
    }

    fn finish(&mut self, start: usize) {
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        overwrite(self.bytes, start, &length.to_ne_bytes());
        pad(self.bytes);
    }
}

fn overwrite(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[derive(Debug)]
struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

/// The messages of a datagram.
#[derive(Debug)]
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = usize::try_from(u32_at(self.0, 0)?).ok()?;
        let message = Message {
            kind: u16_at(self.0, 4)?,
            flags: u16_at(self.0, 6)?,
            sequence: u32_at(self.0, 8)?,
            body: self.0.get(HEADER_BYTES..length)?,
        };
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    }
}

/// What an acknowledgement says when it says no.
#[derive(Debug)]
struct Refusal {
    source: io::Error,
    text: Option<String>,
}

fn refusal(message: &Message<'_>) -> Option<Refusal> {
    let code = i32::from_ne_bytes(u32_at(message.body, 0)?.to_ne_bytes());
    if code == 0 {
        return None;
    }
    let echoed = if message.flags & FLAG_CAPPED != 0 {
        HEADER_BYTES
    } else {
        u32_at(message.body, 4)
            .and_then(|length| usize::try_from(length).ok())
            .unwrap_or(HEADER_BYTES)
            .next_multiple_of(4)
    };
    let text = (message.flags & FLAG_HAS_ATTRIBUTES != 0)
        .then(|| message.body.get(4 + echoed..))
        .flatten()
        .and_then(|attributes| find(attributes, ATTRIBUTE_TEXT))
        .map(text_of);
    Some(Refusal {
        source: io::Error::from_raw_os_error(code.saturating_neg()),
        text,
    })
}

/// The attributes in `bytes`, kind and value.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & KIND_MASK;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The first attribute of a kind.
pub(super) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes)
        .find(|(found, _)| *found == kind)
        .map(|(_, value)| value)
}

/// A text without its terminating zero.
pub(super) fn text_of(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0);
    let text = value.get(..end.unwrap_or(value.len())).unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    bytes.try_into().ok().map(u16::from_ne_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn attributes_nest_and_pad() {
        let mut batch = Batch::new();
        batch.push("it", 16, flag::ACK, &[1, 2, 3], |message| {
            message.text(3, "eth0");
            message.nested(18, |inner| {
                inner.u8(1, 7);
                inner.be32(2, 1);
            });
        });
        let message = Messages(&batch.bytes).next().expect("one");
        assert_eq!((message.kind, message.sequence), (16, 1));
        let body = message.body.get(4..).expect("a padded header");
        assert_eq!(find(body, 3).map(text_of), Some("eth0".to_owned()));
        let inner = find(body, 18).expect("nested");
        assert_eq!(find(inner, 1), Some([7].as_slice()));
        assert_eq!(find(inner, 2), Some([0, 0, 0, 1].as_slice()));
        assert_eq!(batch.bytes.len() % 4, 0);
    }

    #[test]
    fn a_refusal_carries_the_kernels_words() {
        let mut body = (-17i32).to_ne_bytes().to_vec();
        body.extend_from_slice(&[0; HEADER_BYTES]);
        Attributes { bytes: &mut body }.text(ATTRIBUTE_TEXT, "no");
        let message = Message {
            kind: TYPE_ERROR,
            flags: FLAG_CAPPED | FLAG_HAS_ATTRIBUTES,
            sequence: 1,
            body: &body,
        };
        let refusal = refusal(&message).expect("refused");
        assert_eq!(refusal.source.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(refusal.text.as_deref(), Some("no"));
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for message in Messages(&bytes).take(100) {
                let _ = refusal(&message);
            }
            let _ = attributes(&bytes).count();
        }
    }
}
