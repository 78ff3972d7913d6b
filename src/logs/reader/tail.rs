//! Where the last lines of a file begin, found from its end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::logs::entry::RawEntry;

/// Bytes read at once, backwards.
const CHUNK_BYTES: u64 = 64 << 10;

/// Goes back over whole lines of the file while `left` lasts. Gives the
/// position behind the entry that no longer belongs, or None when the whole
/// file does and more may be before it.
///
/// An entry that ends a line begins the next one for who comes from behind;
/// so does the very last entry of the newest file.
pub(crate) fn start(file: &File, left: &mut u64, is_newest: bool) -> io::Result<Option<u64>> {
    let mut is_last = is_newest;
    let mut lines = Backwards::new(file)?;
    while let Some((line, end)) = lines.next()? {
        let ends_line = RawEntry::split(line).is_none_or(|raw| raw.ends_line());
        if ends_line || is_last {
            if *left == 0 {
                return Ok(Some(end));
            }
            *left -= 1;
        }
        is_last = false;
    }
    if *left == 0 && is_last {
        // An empty newest file, and nothing of what is before it is wanted.
        return Ok(Some(0));
    }
    Ok(None)
}

/// The whole lines of a file, the last first.
struct Backwards<'a> {
    file: &'a File,
    /// Position in the file of the buffer's first byte.
    position: u64,
    buffer: Vec<u8>,
    /// Length of the buffer's part that isn't used up; ends behind a newline.
    length: usize,
}

impl<'a> Backwards<'a> {
    fn new(file: &'a File) -> io::Result<Self> {
        let position = file.metadata()?.len();
        let mut lines = Self {
            file,
            position,
            buffer: Vec::new(),
            length: 0,
        };
        // A line that is being written has no end yet.
        loop {
            if let Some(end) = lines.buffer.iter().rposition(|byte| *byte == b'\n') {
                lines.length = end + 1;
                return Ok(lines);
            }
            if !lines.grow()? {
                return Ok(lines);
            }
            lines.length = lines.buffer.len();
        }
    }

    /// The next line without its newline, and the position behind it.
    fn next(&mut self) -> io::Result<Option<(&[u8], u64)>> {
        loop {
            let Some(body) = self.length.checked_sub(1) else {
                if self.grow()? {
                    continue;
                }
                return Ok(None);
            };
            let used = self.buffer.get(..body).unwrap_or_default();
            let start = used.iter().rposition(|byte| *byte == b'\n');
            if start.is_none() && self.grow()? {
                continue;
            }
            let start = start.map_or(0, |at| at + 1);
            let end = self.position + u64::try_from(self.length).unwrap_or(0);
            self.length = start;
            let is_terminated = self.buffer.get(body) == Some(&b'\n');
            let line = self.buffer.get(start..body).unwrap_or_default();
            // Without any newline in the file there is no line.
            return Ok(is_terminated.then_some((line, end)));
        }
    }

    /// Reads a chunk in front of the unused bytes; false at the file's start.
    fn grow(&mut self) -> io::Result<bool> {
        let count = self.position.min(CHUNK_BYTES);
        if count == 0 {
            return Ok(false);
        }
        let mut larger = vec![0; usize::try_from(count).map_err(io::Error::other)?];
        self.file
            .read_exact_at(&mut larger, self.position - count)?;
        let read = larger.len();
        larger.extend_from_slice(self.buffer.get(..self.length).unwrap_or_default());
        self.buffer = larger;
        self.length += read;
        self.position -= count;
        Ok(true)
    }
}
