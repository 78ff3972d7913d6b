//! One container's way from its pipes to its log.
//!
//! ```text
//!   reading ──Ended──▶ draining ──all streams at their end, or time over──▶ recording ──▶ complete
//!      ▲ │                ▲ │                                                  ▲ │
//!      └─┴── blocked ─────┴─┴──────────── (a write failed; tried again) ───────┴─┘
//! ```
//!
//! While a write fails nothing is taken from the pipes, so the container
//! blocks when they are full, and nobody else does.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use crate::logs::entry::{self, Piece, Stamp, Stream};
use crate::logs::file::LogFile;
use crate::logs::journal::{Journal, Ledger, LedgerState, STREAMS_MAX, Taken};
use crate::logs::writer::tee::Tees;
use crate::model::ExitRecord;
use crate::protocol::keeper::LogTarget;
use crate::protocol::log_writer::StreamSource;
use crate::sys::{descriptor, time};

/// How long the end of a stream is waited for when the container has ended:
/// a process outside its pid namespace may hold the pipe open.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// Framed bytes written at once.
const WRITE_BYTES: usize = 256 << 10;

/// Memory that all spools use in turn.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    input: Vec<u8>,
    output: Vec<u8>,
    stamp: Stamp,
}

/// One container's streams, log and end.
#[derive(Debug)]
pub(crate) struct Spool {
    target: LogTarget,
    log: Option<LogFile>,
    ledger: Ledger,
    state: LedgerState,
    tracks: Vec<Track>,
    end: Option<End>,
    trouble: Option<Trouble>,
    tees: Tees,
}

/// One stream.
#[derive(Debug)]
struct Track {
    source: StreamSource,
    from: OwnedFd,
    is_at_end: bool,
    journal: Journal,
}

#[derive(Debug)]
struct End {
    record: ExitRecord,
    deadline: Duration,
    is_recorded: bool,
}

#[derive(Debug)]
struct Trouble {
    message: String,
    is_told: bool,
    delay: Duration,
    retry_at: Duration,
}

/// A stream as it comes from the keeper.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) source: StreamSource,
    pub(crate) from: OwnedFd,
    pub(crate) journal: OwnedFd,
}

impl Spool {
    /// Takes a container's streams over, whoever read them before.
    pub(crate) fn open(
        target: LogTarget,
        ledger: OwnedFd,
        streams: Vec<Incoming>,
    ) -> io::Result<Self> {
        let (ledger, state) = Ledger::resume(ledger);
        let mut tracks = Vec::new();
        for (stream, start) in streams.into_iter().take(STREAMS_MAX).zip(state.starts) {
            descriptor::set_nonblocking(&stream.from, true)?;
            tracks.push(Track {
                source: stream.source,
                from: stream.from,
                is_at_end: false,
                journal: Journal::resume(stream.journal, start)?,
            });
        }
        Ok(Self {
            target,
            log: None,
            ledger,
            state,
            tracks,
            end: None,
            trouble: None,
            tees: Tees::default(),
        })
    }

    /// Opens the log and writes what an earlier writer took and didn't write.
    pub(crate) fn recover(&mut self, scratch: &mut Scratch) {
        let result = self.write_all_pending(scratch);
        self.note(result);
    }

    /// Its streams' descriptors, each with whether it is to be waited for:
    /// not at its end, and not while writing fails.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&OwnedFd, bool)> {
        let is_well = self.trouble.is_none();
        self.tracks
            .iter()
            .map(move |track| (&track.from, is_well && !track.is_at_end))
    }

    /// Takes one batch of a stream and writes its whole lines; how many bytes
    /// it took.
    pub(crate) fn pump(&mut self, track: usize, scratch: &mut Scratch) -> usize {
        let count = self.take(track, scratch);
        self.write(track, count, scratch);
        count
    }

    /// Takes one batch of a stream into its journal; how many bytes it took.
    pub(crate) fn take(&mut self, track: usize, scratch: &mut Scratch) -> usize {
        if self.trouble.is_some() {
            return 0;
        }
        match self.take_from(track, scratch) {
            Ok(Taken::Bytes(count)) => count,
            Ok(Taken::Nothing | Taken::End) => 0,
            Err(error) => {
                self.note(Err(error));
                0
            }
        }
    }

    /// Copies the last `count` bytes that were taken to who is attached, and
    /// writes the whole lines that are pending.
    pub(crate) fn write(&mut self, track: usize, count: usize, scratch: &mut Scratch) {
        if self.trouble.is_some() {
            return;
        }
        let result = self
            .copy(track, count, scratch)
            .and_then(|()| self.write_pending(track, scratch));
        self.note(result);
    }

    fn take_from(&mut self, track: usize, scratch: &mut Scratch) -> io::Result<Taken> {
        let Some(stream) = self.tracks.get_mut(track) else {
            return Ok(Taken::Nothing);
        };
        if stream.is_at_end {
            return Ok(Taken::Nothing);
        }
        let taken = match stream.source {
            StreamSource::Stdout | StreamSource::Stderr => {
                stream.journal.take_from_pipe(&stream.from)?
            }
            StreamSource::Terminal => stream
                .journal
                .take_from_terminal(&stream.from, &mut scratch.input)?,
        };
        stream.is_at_end = taken == Taken::End;
        Ok(taken)
    }

    fn copy(&mut self, track: usize, count: usize, scratch: &mut Scratch) -> io::Result<()> {
        if let Some(stream) = self.tracks.get(track).filter(|_| count > 0)
            && !self.tees.is_empty()
        {
            stream.journal.latest(count, &mut scratch.input)?;
            self.tees.copy(stream.source, &scratch.input);
        }
        Ok(())
    }

    /// Copies what is taken from now on into two pipes as well.
    pub(crate) fn tee(&mut self, pipes: Vec<OwnedFd>) {
        self.tees.add(pipes);
    }

    /// The process has ended.
    pub(crate) fn end(&mut self, record: ExitRecord) {
        self.end.get_or_insert(End {
            record,
            deadline: time::since_boot() + DRAIN_LIMIT,
            is_recorded: false,
        });
    }

    /// Does what its time has come for; true when everything is written.
    pub(crate) fn settle(&mut self, scratch: &mut Scratch) -> bool {
        let now = time::since_boot();
        if let Some(trouble) = &self.trouble {
            if now < trouble.retry_at {
                return false;
            }
            let result = self.write_all_pending(scratch);
            self.note(result);
        }
        if self.end.as_ref().is_some_and(|end| now >= end.deadline) && self.trouble.is_none() {
            self.give_up_on_sources(scratch);
        }
        let is_drained = self.tracks.iter().all(|track| track.is_at_end);
        if is_drained && self.trouble.is_none() && self.end.is_some() {
            let result = self.write_record();
            self.note(result);
        }
        self.end.as_ref().is_some_and(|end| end.is_recorded)
    }

    /// Reads what is in the pipes once more, then no more.
    fn give_up_on_sources(&mut self, scratch: &mut Scratch) {
        for track in 0..self.tracks.len() {
            self.pump(track, scratch);
            if self.trouble.is_some() {
                return;
            }
            if let Some(stream) = self.tracks.get_mut(track) {
                stream.is_at_end = true;
            }
            let result = self.write_pending(track, scratch);
            self.note(result);
        }
    }

    /// When [`Spool::settle`] has something to do by the clock.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        match (&self.trouble, &self.end) {
            (Some(trouble), _) => Some(trouble.retry_at),
            (None, Some(end)) if !end.is_recorded => Some(end.deadline),
            (None, Some(_) | None) => None,
        }
    }

    /// What the keeper hasn't been told about trouble yet: a message, or that
    /// it is over.
    pub(crate) fn news(&mut self, was_told: bool) -> Option<Option<String>> {
        match &mut self.trouble {
            Some(trouble) if !trouble.is_told => {
                trouble.is_told = true;
                (!was_told).then(|| Some(trouble.message.clone()))
            }
            Some(_) => None,
            None => was_told.then_some(None),
        }
    }

    /// Gives the memory of idle journals back.
    pub(crate) fn release(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        for track in 0..self.tracks.len() {
            if self.tracks.get(track).is_some_and(|t| t.journal.is_idle()) {
                self.start_over(track, scratch)?;
                if let Some(stream) = self.tracks.get_mut(track) {
                    stream.journal.release()?;
                }
            }
        }
        Ok(())
    }

    fn write_all_pending(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        for track in 0..self.tracks.len() {
            self.write_pending(track, scratch)?;
        }
        Ok(())
    }

    /// Writes all whole lines that are pending, and the rest too at the end
    /// of the stream.
    fn write_pending(&mut self, track: usize, scratch: &mut Scratch) -> io::Result<()> {
        self.open_log()?;
        let Some(stream) = self.tracks.get(track) else {
            return Ok(());
        };
        if !stream.journal.has_pending() {
            return Ok(());
        }
        stream.journal.pending(&mut scratch.input)?;
        let input = std::mem::take(&mut scratch.input);
        let result = self.write_input(track, &input, scratch);
        scratch.input = input;
        result?;
        if self.tracks.get(track).is_some_and(|t| t.journal.is_long()) {
            self.start_over(track, scratch)?;
        }
        Ok(())
    }

    fn write_input(&mut self, track: usize, input: &[u8], scratch: &mut Scratch) -> io::Result<()> {
        let Some(stream) = self.tracks.get_mut(track) else {
            return Ok(());
        };
        let is_last = stream.is_at_end;
        let name = match stream.source {
            StreamSource::Stdout | StreamSource::Terminal => Stream::Stdout,
            StreamSource::Stderr => Stream::Stderr,
        };
        let mut rest = input;
        while !rest.is_empty() {
            let Some(log) = &mut self.log else {
                // Without a log the bytes are read and thrown away.
                return self.commit(track, rest.len());
            };
            if log.is_full(0) {
                log.rotate()?;
                self.commit(track, 0)?;
                continue;
            }
            scratch.output.clear();
            let mut consumed = 0;
            while let Some(left) = rest.get(consumed..)
                && scratch.output.len() < WRITE_BYTES
                && !log.is_full(scratch.output.len())
                && let Some(piece) = Piece::next(left, is_last)
            {
                let text = left.get(..piece.text).unwrap_or_default();
                let now = time::unix_nanoseconds();
                entry::encode(
                    &mut scratch.output,
                    text,
                    piece.has_newline,
                    name,
                    &mut scratch.stamp,
                    now,
                );
                consumed += piece.length();
            }
            if consumed == 0 {
                break;
            }
            log.append(&scratch.output)?;
            self.commit(track, consumed)?;
            rest = rest.get(consumed..).unwrap_or_default();
        }
        Ok(())
    }

    /// Tells the ledger that the log is right as it is, with so many more
    /// bytes of a stream in it.
    fn commit(&mut self, track: usize, consumed: usize) -> io::Result<()> {
        if let Some(stream) = self.tracks.get_mut(track) {
            stream.journal.consume(consumed);
            if let Some(start) = self.state.starts.get_mut(track) {
                *start = stream.journal.start();
            }
        }
        if let Some(log) = &self.log {
            self.state.log = log.identity();
            self.state.log_length = log.length();
        }
        self.ledger.write(&self.state)
    }

    fn start_over(&mut self, track: usize, scratch: &mut Scratch) -> io::Result<()> {
        if let Some(stream) = self.tracks.get_mut(track) {
            stream.journal.start_over(&mut scratch.input)?;
        }
        self.commit(track, 0)
    }

    fn open_log(&mut self) -> io::Result<()> {
        if self.log.is_some() || self.target.path.is_none() {
            return Ok(());
        }
        let Some(mut log) = LogFile::open(&self.target)? else {
            return Ok(());
        };
        if log.identity() == self.state.log {
            log.cut_to(self.state.log_length)?;
        } else {
            log.cut_torn_line()?;
        }
        self.log = Some(log);
        self.commit(0, 0)
    }

    fn write_record(&mut self) -> io::Result<()> {
        let Some(end) = &mut self.end else {
            return Ok(());
        };
        if end.is_recorded {
            return Ok(());
        }
        let bytes = serde_json::to_vec(&end.record).map_err(io::Error::other)?;
        replace(&self.target.exit_record, &bytes)?;
        end.is_recorded = true;
        Ok(())
    }

    fn note(&mut self, result: io::Result<()>) {
        let Err(error) = result else {
            self.trouble = None;
            return;
        };
        let delay = self
            .trouble
            .as_ref()
            .map_or(RETRY_FIRST, |old| (old.delay * 2).min(RETRY_MAX));
        let path = self
            .target
            .path
            .as_ref()
            .unwrap_or(&self.target.exit_record);
        self.trouble = Some(Trouble {
            message: format!("write to {}: {error}", path.display()),
            is_told: self.trouble.as_ref().is_some_and(|old| old.is_told),
            delay,
            retry_at: time::since_boot() + delay,
        });
        // A log that failed is opened and checked anew.
        self.log = None;
    }
}

/// Writes a file beside its place and renames it there.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(&temporary, path)
}
