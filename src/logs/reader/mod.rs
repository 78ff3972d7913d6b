//! Reading a container's log back: from the oldest rotated file to the
//! newest line, a part of it, and on as it grows.
//!
//! [`Reader::next_entry`] never waits: None means "nothing more for now", and who
//! follows asks again when the [`Watch`] of the log's folder wakes. Needs no
//! log writer and no lock; a line that is half written is left for later.

mod tail;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

use crate::logs::entry::{RawEntry, Stream};
use crate::logs::file::{FileIdentity, rotated};
use crate::sys::watch::Watch;

/// Why a log can't be read.
#[derive(Debug, thiserror::Error)]
#[error("{call} of log {}", path.display())]
pub struct Error {
    /// What was attempted.
    call: &'static str,
    /// The log.
    path: PathBuf,
    /// Why it failed.
    #[source]
    source: io::Error,
}

/// Which part of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Only the last lines, so many; counted before the times are looked at.
    pub tail: Option<u64>,
    /// Nothing older.
    pub since: Option<Timestamp>,
    /// Nothing newer.
    pub until: Option<Timestamp>,
}

/// One entry: a line, or a piece of at most 16 KiB of a longer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What the container wrote; ends in a newline unless it is a piece.
    pub text: &'a [u8],
    /// Which stream it wrote to.
    pub stream: Stream,
    /// When, as RFC 3339 text.
    pub time: &'a str,
}

impl Entry<'_> {
    /// When it was written; None when the text isn't a time.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.time.parse().ok()
    }
}

/// Bytes read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Most rotated files that are looked for.
const FILES_MAX: u32 = 10_000;
/// How far a log may shrink and still be the same: a log writer that took
/// over cuts what its predecessor didn't finish, and writes it again.
const CUT_BYTES_MAX: u64 = 1 << 20;

/// A log being read.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    /// Newer files than the current one, the newest last.
    newer: VecDeque<File>,
    current: Option<Current>,
    buffer: Vec<u8>,
    /// The part of the buffer that isn't used up.
    unread: std::ops::Range<usize>,
    text: Vec<u8>,
    time: String,
    since: Option<Bound>,
    until: Option<Bound>,
    is_past_end: bool,
}

#[derive(Debug)]
struct Current {
    file: File,
    identity: FileIdentity,
    /// Where the next read goes.
    position: u64,
}

/// A point in time, also in the form in which times stand in our logs.
#[derive(Debug)]
struct Bound {
    time: Timestamp,
    text: String,
}

impl Bound {
    fn new(time: Timestamp) -> Self {
        let text = time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string();
        Self { time, text }
    }

    /// How an entry's time compares; an unreadable one counts as equal.
    fn compare(&self, time: &str) -> std::cmp::Ordering {
        if time.len() == self.text.len() {
            return time.cmp(&self.text);
        }
        time.parse::<Timestamp>()
            .map_or(std::cmp::Ordering::Equal, |time| time.cmp(&self.time))
    }
}

impl Reader {
    /// Opens a log. One that doesn't exist (yet) is empty.
    ///
    /// # Errors
    /// When a file of it can't be opened or read.
    pub fn open(path: &Path, query: &Query) -> Result<Self, Error> {
        let mut reader = Self {
            path: path.to_owned(),
            newer: VecDeque::new(),
            current: None,
            buffer: Vec::new(),
            unread: 0..0,
            text: Vec::new(),
            time: String::new(),
            since: query.since.map(Bound::new),
            until: query.until.map(Bound::new),
            is_past_end: false,
        };
        let files = reader.files_after(None)?;
        match query.tail {
            None => reader.newer = files,
            Some(count) => reader.start_at_tail(files, count)?,
        }
        Ok(reader)
    }

    /// A watch that wakes when the log may have grown.
    ///
    /// # Errors
    /// When the folder isn't there or can't be watched.
    pub fn watch(&self) -> Result<Watch, Error> {
        let watch = Watch::new().map_err(self.failed("watch"))?;
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        watch.add(folder).map_err(self.failed("watch"))?;
        Ok(watch)
    }

    /// The next entry, or None when there is no more for now (or ever: see
    /// [`Reader::is_past_end`]).
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, Error> {
        loop {
            if self.is_past_end {
                return Ok(None);
            }
            let Some(line) = self.next_line()? else {
                return Ok(None);
            };
            let bytes = self.buffer.get(line).unwrap_or_default();
            let Some(stream) = decode(bytes, &mut self.text, &mut self.time) else {
                continue;
            };
            if self
                .since
                .as_ref()
                .is_some_and(|b| b.compare(&self.time).is_lt())
            {
                continue;
            }
            if self
                .until
                .as_ref()
                .is_some_and(|b| b.compare(&self.time).is_gt())
            {
                self.is_past_end = true;
                continue;
            }
            return Ok(Some(Entry {
                text: &self.text,
                stream,
                time: &self.time,
            }));
        }
    }

    /// Whether an entry newer than `until` was met: nothing more will come.
    #[must_use]
    pub fn is_past_end(&self) -> bool {
        self.is_past_end
    }

    /// The place in the buffer of the next whole line, without its newline.
    fn next_line(&mut self) -> Result<Option<std::ops::Range<usize>>, Error> {
        let mut searched = 0;
        loop {
            let unread = self.buffer.get(self.unread.clone()).unwrap_or_default();
            let fresh = unread.get(searched..).unwrap_or_default();
            if let Some(length) = newline(fresh) {
                let start = self.unread.start;
                let end = start + searched + length;
                self.unread.start = end + 1;
                return Ok(Some(start..end));
            }
            searched = unread.len();
            if !self.read_more()? {
                return Ok(None);
            }
        }
    }

    /// Reads behind what is unread; false when nothing more is there.
    fn read_more(&mut self) -> Result<bool, Error> {
        loop {
            let count = self.read_current()?;
            if count > 0 {
                return Ok(true);
            }
            if self.newer.is_empty() && !self.has_rotated()? {
                return Ok(false);
            }
            // What was written between the last read and the rotation.
            if self.read_current()? > 0 {
                return Ok(true);
            }
            if self.newer.is_empty() {
                let identity = self.current.as_ref().map(|current| current.identity);
                self.newer = self.files_after(identity)?;
            }
            let Some(file) = self.newer.pop_front() else {
                return Ok(false);
            };
            self.move_to(file, 0)?;
        }
    }

    fn move_to(&mut self, file: File, position: u64) -> Result<(), Error> {
        let identity = identity(&file).map_err(self.failed("read"))?;
        // A line torn by a crash of the machine doesn't run into the next file.
        self.unread = 0..0;
        self.current = Some(Current {
            file,
            identity,
            position,
        });
        Ok(())
    }

    fn read_current(&mut self) -> Result<usize, Error> {
        let Some(current) = &mut self.current else {
            return Ok(0);
        };
        let result = fill(current, &mut self.buffer, &mut self.unread);
        result.map_err(self.failed("read"))
    }

    /// Whether the current file isn't the newest any more.
    fn has_rotated(&self) -> Result<bool, Error> {
        let now = match std::fs::metadata(&self.path) {
            Ok(metadata) => FileIdentity {
                device: metadata.dev(),
                inode: metadata.ino(),
            },
            // Not made yet, or in the middle of a rotation.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(self.failed("read")(error)),
        };
        Ok(self
            .current
            .as_ref()
            .is_none_or(|current| current.identity != now))
    }

    /// All files newer than the given one, the newest last; all there are
    /// when it isn't among them. Opened from the newest on, so that a rotation
    /// meanwhile shows a file twice and never hides one.
    fn files_after(&self, last: Option<FileIdentity>) -> Result<VecDeque<File>, Error> {
        let mut files = VecDeque::new();
        let mut seen = Vec::new();
        for number in 0..FILES_MAX {
            let path = match number {
                0 => self.path.clone(),
                _ => rotated(&self.path, number),
            };
            let file = match File::open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound && number == 0 => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(self.failed("open")(error)),
            };
            let identity = identity(&file).map_err(self.failed("open"))?;
            if Some(identity) == last {
                break;
            }
            if !seen.contains(&identity) {
                seen.push(identity);
                files.push_front(file);
            }
        }
        Ok(files)
    }

    /// Moves to where the last `count` lines begin.
    fn start_at_tail(&mut self, mut files: VecDeque<File>, count: u64) -> Result<(), Error> {
        let mut left = count;
        let mut is_newest = true;
        let mut newer = VecDeque::new();
        while let Some(file) = files.pop_back() {
            let found = tail::start(&file, &mut left, is_newest).map_err(self.failed("read"))?;
            is_newest = false;
            match found {
                Some(position) => {
                    self.newer = newer;
                    return self.move_to(file, position);
                }
                None => newer.push_front(file),
            }
        }
        self.newer = newer;
        Ok(())
    }

    fn failed(&self, call: &'static str) -> impl Fn(io::Error) -> Error + use<> {
        let path = self.path.clone();
        move |source| Error {
            call,
            path: path.clone(),
            source,
        }
    }
}

fn identity(file: &File) -> io::Result<FileIdentity> {
    let metadata = file.metadata()?;
    Ok(FileIdentity {
        device: metadata.dev(),
        inode: metadata.ino(),
    })
}

/// Reads a chunk behind the unread bytes, which move to the front.
fn fill(
    current: &mut Current,
    buffer: &mut Vec<u8>,
    unread: &mut std::ops::Range<usize>,
) -> io::Result<usize> {
    if unread.end + CHUNK_BYTES > buffer.len() {
        buffer.copy_within(unread.clone(), 0);
        *unread = 0..unread.len();
        let size = (unread.end + CHUNK_BYTES).next_power_of_two();
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
    }
    let room = buffer.get_mut(unread.end..).unwrap_or_default();
    current.file.seek(SeekFrom::Start(current.position))?;
    let count = current.file.read(room)?;
    unread.end += count;
    current.position += u64::try_from(count).unwrap_or(0);
    if count == 0 {
        let length = current.file.metadata()?.len();
        if length == 0 || length + CUT_BYTES_MAX < current.position {
            // Somebody emptied it.
            *unread = 0..0;
            current.position = 0;
        }
    }
    Ok(count)
}

fn newline(bytes: &[u8]) -> Option<usize> {
    crate::logs::entry::position(bytes, |byte| byte == b'\n')
}

/// A line of another writer of the same format.
#[derive(Deserialize)]
struct Foreign<'a> {
    log: String,
    #[serde(default)]
    stream: &'a str,
    time: String,
}

/// Takes a line apart; None when it isn't an entry at all.
fn decode(line: &[u8], text: &mut Vec<u8>, time: &mut String) -> Option<Stream> {
    text.clear();
    time.clear();
    if let Some(raw) = RawEntry::split(line) {
        raw.unescape(text);
        time.push_str(raw.time);
        return Some(raw.stream);
    }
    let foreign: Foreign<'_> = serde_json::from_slice(line).ok()?;
    text.extend_from_slice(foreign.log.as_bytes());
    time.push_str(&foreign.time);
    Some(if foreign.stream == Stream::Stderr.as_str() {
        Stream::Stderr
    } else {
        Stream::Stdout
    })
}

#[cfg(test)]
mod tests;
