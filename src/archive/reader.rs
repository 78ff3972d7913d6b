//! Reads a tar entry by entry, strictly: two readers must not see two
//! archives in the same bytes.

use std::io::{self, BufRead};
use std::path::Path;

use crate::archive::entry::{self, Entry};
use crate::archive::header::{self, BLOCK, Block, TypeFlag};
use crate::archive::map::Recorder;
use crate::archive::pax;
use crate::archive::{Error, Limits};

/// Longest extended header, in bytes.
const PAX_BYTES_MAX: u64 = 1 << 20;
/// Longest GNU long name, in bytes.
const LONG_NAME_BYTES_MAX: u64 = 64 << 10;

/// Reads entries from plain tar bytes.
#[derive(Debug)]
pub struct TarReader<R> {
    source: R,
    /// Bytes read so far.
    offset: u64,
    /// Bytes of the current entry's content that are not yet read.
    content: u64,
    /// Filler after that content.
    padding: u64,
    entries: u64,
    limits: Limits,
    is_at_end: bool,
    /// Keeps all bytes but those that the caller says are kept elsewhere.
    recorder: Option<Recorder>,
    /// Whether the current content is kept elsewhere.
    is_kept_elsewhere: bool,
}

impl<R: BufRead> TarReader<R> {
    /// Begins at the archive's first byte.
    #[must_use]
    pub fn new(source: R, limits: Limits) -> Self {
        Self {
            source,
            offset: 0,
            content: 0,
            padding: 0,
            entries: 0,
            limits,
            is_at_end: false,
            recorder: None,
            is_kept_elsewhere: false,
        }
    }

    /// Keeps what is read, so that the archive can be made again.
    pub(super) fn record_into(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// Says that the current entry's content is kept in a file of the tree.
    pub(super) fn keep_content_in(&mut self, path: &Path) {
        if let Some(recorder) = self.recorder.as_mut().filter(|_| self.content > 0) {
            recorder.content(path, self.content);
            self.is_kept_elsewhere = true;
        }
    }

    /// Reads what follows the last entry and ends the record.
    pub(super) fn finish_record(mut self) -> Result<(), Error> {
        self.finish()?;
        match self.recorder {
            Some(recorder) => recorder.finish().map_err(Error::write("write", "map")),
            None => Ok(()),
        }
    }

    /// Where the next unread byte is; after [`Self::next_entry`] that is where the
    /// entry's content begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes to the next entry, past what is left of the current one; None at
    /// the archive's end.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Malformed`], [`Error::Unsupported`] and
    /// [`Error::Limit`].
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        self.skip(self.content)?;
        self.content = 0;
        self.skip_padding()?;
        let mut pax = None;
        let (mut long_name, mut long_link) = (None, None);
        loop {
            let at = self.offset;
            let malformed = |reason| Error::Malformed { offset: at, reason };
            let Some(block) = self.header_block()? else {
                if pax.is_some() || long_name.is_some() || long_link.is_some() {
                    return Err(malformed("it ends after an extended header"));
                }
                return Ok(None);
            };
            let header = header::parse(&block, at)?;
            self.entries += 1;
            if self.entries > self.limits.entries_max {
                return Err(Error::Limit {
                    what: "entries",
                    limit: self.limits.entries_max,
                });
            }
            match header.flag {
                TypeFlag::Pax if pax.is_some() => {
                    return Err(malformed("two extended headers follow each other"));
                }
                TypeFlag::Pax => {
                    pax = Some(pax::parse(&self.meta(header.size, PAX_BYTES_MAX)?, at)?);
                }
                // Defaults for all entries: git writes its commit there.
                TypeFlag::PaxGlobal => {
                    self.meta(header.size, PAX_BYTES_MAX)?;
                }
                TypeFlag::LongName => {
                    long_name = Some(self.meta(header.size, LONG_NAME_BYTES_MAX)?);
                }
                TypeFlag::LongLink => {
                    long_link = Some(self.meta(header.size, LONG_NAME_BYTES_MAX)?);
                }
                TypeFlag::Entry(_) | TypeFlag::Old | TypeFlag::Unknown(_) => {
                    let pax = pax.unwrap_or_default();
                    let entry = entry::assemble(header, pax, long_name, long_link)?;
                    self.begin_content(entry.size);
                    return Ok(Some(entry));
                }
            }
        }
    }

    /// The next piece of the current entry's content; empty at its end.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Malformed`] when the archive ends before.
    pub fn content_piece<T>(
        &mut self,
        take: impl FnOnce(&[u8]) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        if self.content == 0 {
            return Ok(None);
        }
        let piece = self.source.fill_buf().map_err(Error::Read)?;
        let wanted = usize::try_from(self.content)
            .unwrap_or(usize::MAX)
            .min(piece.len());
        let Some(piece) = piece.get(..wanted).filter(|piece| !piece.is_empty()) else {
            return Err(self.cut_short());
        };
        let taken = take(piece);
        if let Some(recorder) = self.recorder.as_mut().filter(|_| !self.is_kept_elsewhere) {
            recorder.raw(piece);
        }
        self.source.consume(wanted);
        let count = wanted as u64;
        self.offset += count;
        self.content -= count;
        taken.map(Some)
    }

    /// Reads from the current entry's content; 0 at its end.
    ///
    /// # Errors
    /// Those of [`Self::content_piece`].
    pub fn read_content(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        if self.content == 0 || into.is_empty() {
            return Ok(0);
        }
        let piece = self.source.fill_buf().map_err(Error::Read)?;
        let left = usize::try_from(self.content).unwrap_or(usize::MAX);
        let count = left.min(piece.len()).min(into.len());
        let (Some(piece), Some(into)) = (piece.get(..count), into.get_mut(..count)) else {
            return Err(self.cut_short());
        };
        if piece.is_empty() {
            return Err(self.cut_short());
        }
        into.copy_from_slice(piece);
        let is_raw = !self.is_kept_elsewhere;
        if let Some(recorder) = self.recorder.as_mut().filter(|_| is_raw) {
            recorder.raw(piece);
        }
        self.source.consume(count);
        self.offset += count as u64;
        self.content -= count as u64;
        Ok(count)
    }

    /// Reads what follows the archive, to the source's end.
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::Limit`] when it is more than an archive may
    /// have.
    pub fn finish(&mut self) -> Result<(), Error> {
        loop {
            let count = self.source.fill_buf().map_err(Error::Read)?.len();
            if count == 0 {
                return Ok(());
            }
            self.consume(count)?;
            if self.offset > self.limits.bytes_max {
                return Err(Error::Limit {
                    what: "bytes",
                    limit: self.limits.bytes_max,
                });
            }
        }
    }

    /// All of the current entry's content, when it has at most `bytes_max`.
    ///
    /// # Errors
    /// [`Error::Limit`] when it has more; those of [`Self::content_piece`].
    pub fn content(&mut self, bytes_max: u64) -> Result<Vec<u8>, Error> {
        if self.content > bytes_max {
            return Err(Error::Limit {
                what: "bytes in one of its documents",
                limit: bytes_max,
            });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(self.content).unwrap_or_default());
        while self
            .content_piece(|piece| {
                bytes.extend_from_slice(piece);
                Ok(())
            })?
            .is_some()
        {}
        Ok(bytes)
    }

    /// Goes past bytes that are in the source's buffer.
    fn consume(&mut self, count: usize) -> Result<(), Error> {
        if let Some(recorder) = &mut self.recorder {
            let bytes = self.source.fill_buf().map_err(Error::Read)?;
            recorder.raw(bytes.get(..count).unwrap_or_default());
        }
        self.source.consume(count);
        self.offset += count as u64;
        Ok(())
    }

    fn begin_content(&mut self, size: u64) {
        self.is_kept_elsewhere = false;
        self.content = size;
        self.padding = padding(size);
    }

    /// A header's own content, such as a long name.
    fn meta(&mut self, size: u64, bytes_max: u64) -> Result<Vec<u8>, Error> {
        self.begin_content(size);
        let bytes = self.content(bytes_max)?;
        self.skip_padding()?;
        Ok(bytes)
    }

    /// The next header; None at the end, which is two zero blocks or simply
    /// where the bytes end.
    fn header_block(&mut self) -> Result<Option<Block>, Error> {
        if self.is_at_end {
            return Ok(None);
        }
        let Some(block) = self.block()? else {
            self.is_at_end = true;
            return Ok(None);
        };
        if !header::is_zero(&block) {
            return Ok(Some(block));
        }
        let at = self.offset;
        if self
            .block()?
            .is_some_and(|second| !header::is_zero(&second))
        {
            return Err(Error::Malformed {
                offset: at,
                reason: "a lone zero block stands between entries",
            });
        }
        self.is_at_end = true;
        Ok(None)
    }

    fn block(&mut self) -> Result<Option<Block>, Error> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.source.read(rest) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(self.cut_short()),
                Ok(count) => {
                    filled += count;
                    self.offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Read(error)),
            }
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.raw(&block);
        }
        Ok(Some(block))
    }

    fn skip_padding(&mut self) -> Result<(), Error> {
        let count = std::mem::take(&mut self.padding);
        self.skip(count)
    }

    fn skip(&mut self, mut count: u64) -> Result<(), Error> {
        while count > 0 {
            let available = self.source.fill_buf().map_err(Error::Read)?.len();
            if available == 0 {
                return Err(self.cut_short());
            }
            let step = usize::try_from(count).unwrap_or(usize::MAX).min(available);
            self.consume(step)?;
            count -= step as u64;
        }
        Ok(())
    }

    fn cut_short(&self) -> Error {
        Error::Malformed {
            offset: self.offset,
            reason: "it is cut short",
        }
    }
}

impl<R: BufRead + io::Seek> TarReader<R> {
    /// Goes past the current entry's content without reading it.
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::Malformed`] when no file can be that long.
    pub fn seek_past(&mut self) -> Result<(), Error> {
        // A header may claim more than any file has.
        let count = self.content.checked_add(self.padding);
        let count = count.ok_or_else(|| self.cut_short())?;
        let step = i64::try_from(count).map_err(|_| self.cut_short())?;
        self.source.seek_relative(step).map_err(Error::Read)?;
        (self.content, self.padding) = (0, 0);
        self.offset += count;
        Ok(())
    }
}

fn padding(size: u64) -> u64 {
    let block = BLOCK as u64;
    (block - size % block) % block
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, Error> {
        let mut reader = TarReader::new(bytes, Limits::default());
        let mut all = Vec::new();
        while let Some(entry) = reader.next_entry()? {
            let content = reader.content(1 << 20)?;
            all.push((entry, content));
        }
        Ok(all)
    }

    fn archive(make: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        make(&mut builder);
        builder.into_inner().unwrap()
    }

    fn add(builder: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]) {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content).unwrap();
    }

    #[test]
    fn entries_come_with_their_content() {
        let bytes = archive(|b| {
            add(b, "a", b"hello");
            add(b, "b", &[7; 1024]);
            add(b, "c", b"");
        });
        let all = read_all(&bytes).unwrap();
        let sizes: Vec<_> = all
            .iter()
            .map(|(e, c)| (e.name.as_slice(), c.len()))
            .collect();
        assert_eq!(sizes, [(&b"a"[..], 5), (b"b", 1024), (b"c", 0)]);
    }

    #[test]
    fn content_may_be_left_unread() {
        let bytes = archive(|b| {
            add(b, "a", &[1; 5000]);
            add(b, "b", b"x");
        });
        let mut reader = TarReader::new(io::Cursor::new(&bytes), Limits::default());
        assert_eq!(reader.next_entry().unwrap().unwrap().name, b"a");
        assert_eq!(reader.offset(), 512);
        reader.seek_past().unwrap();
        assert_eq!(reader.next_entry().unwrap().unwrap().name, b"b");
        assert_eq!(reader.next_entry().unwrap(), None);
        assert_eq!(reader.next_entry().unwrap(), None);
    }

    #[test]
    fn content_of_an_impossible_length_is_not_gone_past() {
        for size in [u64::MAX, u64::MAX - 511, 1 << 63] {
            let mut bytes = archive(|b| add(b, "a", b""));
            let mut header = tar::Header::from_byte_slice(&bytes[..512]).clone();
            header.set_size(size);
            header.set_cksum();
            bytes[..512].copy_from_slice(header.as_bytes());
            let mut reader = TarReader::new(io::Cursor::new(&bytes), Limits::default());
            assert_eq!(reader.next_entry().unwrap().unwrap().size, size);
            assert!(matches!(
                reader.seek_past(),
                Err(Error::Malformed {
                    reason: "it is cut short",
                    ..
                })
            ));
        }
    }

    #[test]
    fn long_names_come_in_both_forms() {
        let name = "n".repeat(200) + "/" + &"m".repeat(180);
        let mut gnu = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        gnu.append_data(&mut header, &name, &b""[..]).unwrap();
        assert_eq!(
            read_all(&gnu.into_inner().unwrap()).unwrap()[0].0.name,
            name.as_bytes()
        );
        let pax = archive(|b| {
            b.append_pax_extensions([("path", name.as_bytes())])
                .unwrap();
            add(b, "short", b"");
        });
        assert_eq!(read_all(&pax).unwrap()[0].0.name, name.as_bytes());
    }

    #[test]
    fn the_extended_size_is_the_size() {
        // A reader that trusted the header would take the content for headers.
        let inner = archive(|b| add(b, "smuggled", b"x"));
        let mut bytes = archive(|b| {
            b.append_pax_extensions([("size", inner.len().to_string().as_bytes())])
                .unwrap();
            add(b, "outer", b"");
        });
        bytes.truncate(bytes.len() - 1024);
        bytes.extend_from_slice(&inner);
        let names: Vec<_> = read_all(&bytes)
            .unwrap()
            .into_iter()
            .map(|(e, _)| e.name)
            .collect();
        assert_eq!(names, [b"outer".to_vec()]);
    }

    #[test]
    fn an_archive_cut_short_is_told() {
        let bytes = archive(|b| add(b, "a", &[1; 2000]));
        for cut in [1, 511, 513, 1000, 2511] {
            let error = read_all(&bytes[..cut]).unwrap_err();
            assert!(error.to_string().contains("cut short"), "{cut}: {error}");
        }
        // Without the closing blocks it is still whole.
        assert_eq!(read_all(&bytes[..512 + 2048]).unwrap().len(), 1);
        assert_eq!(read_all(b"").unwrap(), []);
    }

    #[test]
    fn a_lone_zero_block_hides_nothing() {
        let mut bytes = vec![0; 512];
        bytes.extend(archive(|b| add(b, "a", b"")));
        assert!(read_all(&bytes).is_err());
    }

    #[test]
    fn headers_are_bounded() {
        let long = vec![b'n'; usize::try_from(PAX_BYTES_MAX).unwrap()];
        let bytes = archive(|b| {
            b.append_pax_extensions([("comment", long.as_slice())])
                .unwrap();
            add(b, "a", b"");
        });
        assert!(matches!(read_all(&bytes), Err(Error::Limit { .. })));
        let many = archive(|b| (0..4).for_each(|_| add(b, "a", b"")));
        let limits = Limits {
            entries_max: 3,
            ..Limits::default()
        };
        let mut reader = TarReader::new(many.as_slice(), limits);
        assert!((0..3).all(|_| reader.next_entry().is_ok()));
        assert!(matches!(
            reader.next_entry(),
            Err(Error::Limit {
                what: "entries",
                limit: 3
            })
        ));
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let odd = |flag: u8| {
            archive(|b| {
                let mut header = tar::Header::new_ustar();
                header.set_size(0);
                header.set_entry_type(tar::EntryType::new(flag));
                b.append_data(&mut header, "odd", &b""[..]).unwrap();
            })
        };
        for flag in [b'S', b'D', b'M', b'V', b'Z'] {
            let error = read_all(&odd(flag)).unwrap_err().to_string();
            assert!(
                error.contains("odd") && error.contains("isn't supported"),
                "{error}"
            );
        }
        let dangling = archive(|b| b.append_pax_extensions([("path", &b"a"[..])]).unwrap());
        assert!(read_all(&dangling).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(noise in proptest::collection::vec((0_usize..4096, any::<u8>()), 0..40)) {
            let mut bytes = archive(|b| {
                b.append_pax_extensions([("path", &b"x/y"[..])]).unwrap();
                add(b, "a", &[1; 600]);
                add(b, "b", b"");
            });
            for (place, byte) in noise {
                let place = place % bytes.len();
                bytes[place] = byte;
            }
            let _ = read_all(&bytes);
        }
    }
}
