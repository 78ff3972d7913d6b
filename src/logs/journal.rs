//! What makes a killed log writer lose nothing and repeat nothing.
//!
//! Bytes leave a container's pipe by splice(2) into a file in memory, the
//! stream's *journal*, whose open file lies on the keeper's shelf too: its
//! position is the end of what was taken, and the kernel moves bytes and
//! position together. A second file in memory, the *ledger*, says how much of
//! each journal is in the log, and how long the log was then. So whoever
//! takes over cuts the log to that length and goes on from there.
//!
//! ```text
//!   pipe ─splice→ journal [done│pending│…] ─frame→ log [written│torn?]
//!                         start    end(position)        length
//!                           └──────── ledger ─────────────┘
//! ```
//!
//! A journal starts over when it has grown: its pending bytes are copied to
//! the front, the position is set behind them, and the ledger's start to 0,
//! in that order. A start behind the position therefore means 0.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

use crate::logs::file::FileIdentity;
use crate::sys::descriptor;

/// Most bytes taken from a stream at once. With the rest of a line before them
/// they are at most 64 KiB, which is what the death of every process of ours
/// costs a stream.
pub(crate) const BATCH_BYTES: usize = 48 << 10;
/// End from which a journal starts over.
const RESTART_AT: u64 = 64 << 10;
/// Streams of one spawn.
pub(crate) const STREAMS_MAX: usize = 2;

/// What one attempt to take bytes gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// This many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// Nothing ever more.
    End,
}

/// Bytes of one stream that were taken and perhaps not written yet.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    start: u64,
    end: u64,
}

impl Journal {
    /// Takes over a journal as the ledger tells it.
    pub(crate) fn resume(file: OwnedFd, start: u64) -> io::Result<Self> {
        let mut file = File::from(file);
        let end = file.stream_position()?;
        let start = if start > end { 0 } else { start };
        Ok(Self { file, start, end })
    }

    /// Takes what waits in a pipe, up to [`BATCH_BYTES`].
    pub(crate) fn take_from_pipe(&mut self, pipe: impl AsFd) -> io::Result<Taken> {
        match descriptor::splice(pipe, &self.file, BATCH_BYTES) {
            Ok(0) => Ok(Taken::End),
            Ok(count) => Ok(self.advance(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Taken::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Takes what a terminal shows. Bytes pass through our memory, because
    /// splice needs a pipe on one side.
    pub(crate) fn take_from_terminal(
        &mut self,
        terminal: impl AsFd,
        scratch: &mut Vec<u8>,
    ) -> io::Result<Taken> {
        scratch.resize(BATCH_BYTES, 0);
        match descriptor::read(terminal, scratch) {
            Ok(0) => Ok(Taken::End),
            Ok(count) => {
                self.file
                    .write_all(scratch.get(..count).unwrap_or_default())?;
                Ok(self.advance(count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Taken::Nothing),
            // What a master answers when the last slave is closed.
            Err(error) if error.raw_os_error() == Some(5) => Ok(Taken::End),
            Err(error) => Err(error),
        }
    }

    fn advance(&mut self, count: usize) -> Taken {
        self.end += u64::try_from(count).unwrap_or(0);
        Taken::Bytes(count)
    }

    /// Reads all pending bytes into the buffer, replacing its content.
    pub(crate) fn pending(&self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let count = usize::try_from(self.end - self.start).map_err(io::Error::other)?;
        buffer.resize(count, 0);
        self.file.read_exact_at(buffer, self.start)
    }

    /// Reads the last `count` bytes that were taken.
    pub(crate) fn latest(&self, count: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.resize(count, 0);
        let count = u64::try_from(count).map_err(io::Error::other)?;
        self.file
            .read_exact_at(buffer, self.end.saturating_sub(count))
    }

    pub(crate) fn has_pending(&self) -> bool {
        self.end > self.start
    }

    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Counts bytes at the front as written. The ledger has to hear of it.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += u64::try_from(count).unwrap_or(0);
        debug_assert!(self.start <= self.end);
    }

    /// Whether it is time to start over.
    pub(crate) fn is_long(&self) -> bool {
        self.end >= RESTART_AT && self.start > 0
    }

    /// Whether it holds memory for nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.end > 0 && self.start == self.end
    }

    /// Moves what is pending to the front. The ledger, which knows of
    /// everything consumed so far, has to hear of it before more is taken.
    pub(crate) fn start_over(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.pending(buffer)?;
        let count = self.end - self.start;
        if count > self.start {
            // The copy would run into its source; it is tried again later.
            return Ok(());
        }
        self.file.write_all_at(buffer, 0)?;
        self.file.seek(SeekFrom::Start(count))?;
        self.start = 0;
        self.end = count;
        Ok(())
    }

    /// Gives the memory of an idle journal back.
    pub(crate) fn release(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)
    }
}

/// How much of a spawn's journals is in its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LedgerState {
    pub(crate) log: FileIdentity,
    pub(crate) log_length: u64,
    pub(crate) starts: [u64; STREAMS_MAX],
}

/// The file in memory that holds a `LedgerState`.
#[derive(Debug)]
pub struct Ledger {
    file: File,
}

/// First eight bytes of a ledger that was written.
const MAGIC: u64 = 0x7263_6f6d_706c_6731;
const LEDGER_BYTES: usize = 48;

impl Ledger {
    /// Makes the descriptors of an empty ledger.
    ///
    /// # Errors
    /// memfd_create(2).
    pub fn create() -> io::Result<OwnedFd> {
        descriptor::memory_file("ledger")
    }

    /// Makes the descriptor of an empty journal.
    ///
    /// # Errors
    /// memfd_create(2).
    pub fn create_journal() -> io::Result<OwnedFd> {
        descriptor::memory_file("journal")
    }

    pub(crate) fn resume(file: OwnedFd) -> (Self, LedgerState) {
        let ledger = Self { file: file.into() };
        let state = ledger.read().unwrap_or_default();
        (ledger, state)
    }

    fn read(&self) -> Option<LedgerState> {
        let mut bytes = [0u8; LEDGER_BYTES];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        let mut words = bytes
            .chunks_exact(8)
            .map(|word| u64::from_le_bytes(word.first_chunk().copied().unwrap_or_default()));
        let mut word = || words.next();
        if word()? != MAGIC {
            return None;
        }
        Some(LedgerState {
            log: FileIdentity {
                device: word()?,
                inode: word()?,
            },
            log_length: word()?,
            starts: [word()?, word()?],
        })
    }

    /// Writes the state; one small write to memory, which a kill can't cut.
    pub(crate) fn write(&self, state: &LedgerState) -> io::Result<()> {
        let [first, second] = state.starts;
        let words = [
            MAGIC,
            state.log.device,
            state.log.inode,
            state.log_length,
            first,
            second,
        ];
        let mut bytes = [0u8; LEDGER_BYTES];
        for (slot, word) in bytes.chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        self.file.write_all_at(&bytes, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A journal and the descriptor that a successor would get.
    fn journal() -> (Journal, OwnedFd) {
        let file = Ledger::create_journal().unwrap();
        let shelved = descriptor::duplicate(&file).unwrap();
        (Journal::resume(file, 0).unwrap(), shelved)
    }

    fn pending(journal: &Journal) -> Vec<u8> {
        let mut buffer = Vec::new();
        journal.pending(&mut buffer).unwrap();
        buffer
    }

    #[test]
    fn a_successor_sees_what_was_taken() {
        let (mut journal, shelved) = journal();
        let pipe = descriptor::pipe().unwrap();
        assert_eq!(
            journal.take_from_pipe(&pipe.reader).unwrap(),
            Taken::Nothing
        );
        let mut writer = File::from(pipe.writer);
        writer.write_all(b"one\ntwo").unwrap();
        assert_eq!(
            journal.take_from_pipe(&pipe.reader).unwrap(),
            Taken::Bytes(7)
        );
        journal.consume(4);
        let start = journal.start();
        drop(journal);
        let mut next = Journal::resume(shelved, start).unwrap();
        assert_eq!(pending(&next), b"two");
        drop(writer);
        assert_eq!(next.take_from_pipe(&pipe.reader).unwrap(), Taken::End);
    }

    #[test]
    fn starting_over_is_safe_at_every_step() {
        let (mut journal, shelved) = journal();
        let pipe = descriptor::pipe().unwrap();
        let mut writer = File::from(pipe.writer);
        writer.write_all(&[b'x'; 40_000]).unwrap();
        journal.take_from_pipe(&pipe.reader).unwrap();
        writer.write_all(b"tail").unwrap();
        journal.take_from_pipe(&pipe.reader).unwrap();
        journal.consume(40_000);
        let told = journal.start();
        journal.start_over(&mut Vec::new()).unwrap();
        assert_eq!(pending(&journal), b"tail");
        // Killed before the ledger heard of it: the start is behind the end.
        let next = Journal::resume(shelved, told).unwrap();
        assert_eq!(pending(&next), b"tail");
    }

    #[test]
    fn pending_bytes_are_never_copied_over_themselves() {
        let (mut journal, _shelved) = journal();
        let pipe = descriptor::pipe().unwrap();
        File::from(pipe.writer).write_all(b"abcdef").unwrap();
        journal.take_from_pipe(&pipe.reader).unwrap();
        journal.consume(2);
        journal.start_over(&mut Vec::new()).unwrap();
        assert_eq!((journal.start(), pending(&journal)), (2, b"cdef".to_vec()));
    }

    #[test]
    fn a_ledger_keeps_its_state_and_an_empty_one_is_zero() {
        let file = Ledger::create().unwrap();
        let shelved = descriptor::duplicate(&file).unwrap();
        let (ledger, state) = Ledger::resume(file);
        assert_eq!(state, LedgerState::default());
        let written = LedgerState {
            log: FileIdentity {
                device: 1,
                inode: 2,
            },
            log_length: 3,
            starts: [4, 5],
        };
        ledger.write(&written).unwrap();
        assert_eq!(Ledger::resume(shelved).1, written);
    }
}
