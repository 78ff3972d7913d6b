//! What an image archive contains, by name, without reading the contents.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive::{self, EntryKind, Limits, TarReader};
use crate::image::ingest::Ingest;
use crate::image::{Error, Source};
use crate::oci::{self, LayerEncoding};

/// Most entries of an image archive (not of its layers).
const ENTRIES_MAX: u64 = 100_000;
/// Most links between a name and its content.
const LINKS_MAX: u32 = 8;

/// An image archive, open.
#[derive(Debug)]
pub(super) struct Contents {
    file: Arc<File>,
    items: HashMap<PathBuf, Item>,
}

#[derive(Debug, Clone)]
enum Item {
    Content(Part),
    /// Another name of the archive: old archives link equal layers.
    Link(PathBuf),
}

/// A piece of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Part {
    offset: u64,
    pub(super) size: u64,
}

impl Contents {
    /// Finds out what an archive contains. One that can't be read at any
    /// place, or is compressed, goes through a file in `ingest`.
    pub(super) fn open(source: Source, ingest: &Ingest) -> Result<Self, Error> {
        let file = match source {
            Source::File(file) if is_plain(&file)? => file,
            other => spool(other, ingest)?,
        };
        let failed = Error::archive("image archive");
        match list(&file) {
            Ok(items) => Ok(Self {
                file: Arc::new(file),
                items,
            }),
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether there is something under a name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// The piece under a name, links followed inside the archive.
    pub(super) fn find(&self, name: &str) -> Result<Part, Error> {
        let missing = || Error::Missing(name.to_owned());
        let cleaned = oci::clean_name(name.as_bytes()).map_err(Error::document("image archive"))?;
        let mut path = cleaned.ok_or_else(missing)?.path();
        for _ in 0..=LINKS_MAX {
            match self.items.get(&path) {
                Some(Item::Content(part)) => return Ok(*part),
                Some(Item::Link(target)) => path.clone_from(target),
                None => return Err(missing()),
            }
        }
        Err(missing())
    }

    /// A document, whole.
    pub(super) fn read(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, Error> {
        let part = self.find(name)?;
        if part.size > bytes_max {
            let limit = archive::Error::Limit {
                what: "bytes in one of its documents",
                limit: bytes_max,
            };
            return Err(Error::archive(name)(limit));
        }
        let mut bytes = Vec::new();
        let read = self.reader(part).read_to_end(&mut bytes);
        read.map_err(|error| Error::archive(name)(archive::Error::Read(error)))?;
        Ok(bytes)
    }

    /// Reads a piece; many can be read at once.
    pub(super) fn reader(&self, part: Part) -> PartReader {
        PartReader {
            file: Arc::clone(&self.file),
            at: part.offset,
            left: part.size,
        }
    }
}

/// Reads one piece of a file at its place.
#[derive(Debug)]
pub(super) struct PartReader {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for PartReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(into.len());
        let Some(into) = into.get_mut(..wanted).filter(|into| !into.is_empty()) else {
            return Ok(0);
        };
        let count = self.file.read_at(into, self.at)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

fn is_plain(file: &File) -> Result<bool, Error> {
    let mut first = [0; LayerEncoding::MAGIC_BYTES];
    let count = file.read_at(&mut first, 0);
    let count =
        count.map_err(|error| Error::archive("image archive")(archive::Error::Read(error)))?;
    let first = first.get(..count).unwrap_or_default();
    Ok(LayerEncoding::of(first) == LayerEncoding::Plain)
}

/// Copies a stream, decompressed, into a file without a name.
fn spool(source: Source, ingest: &Ingest) -> Result<File, Error> {
    let read = |error| Error::archive("image archive")(archive::Error::Read(error));
    let (_, mut plain) = archive::decoder(source.into_reader()).map_err(read)?;
    let path = ingest.path("spool");
    let mut options = File::options();
    let opened = options.read(true).write(true).create_new(true).open(&path);
    let mut file = opened.map_err(Error::io("create", &path))?;
    std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    let bytes_max = Limits::default().bytes_max;
    let copied = io::copy(&mut (&mut plain).take(bytes_max + 1), &mut file).map_err(read)?;
    if copied > bytes_max {
        let limit = archive::Error::Limit {
            what: "bytes",
            limit: bytes_max,
        };
        return Err(Error::archive("image archive")(limit));
    }
    file.seek(SeekFrom::Start(0))
        .map_err(Error::io("read", &path))?;
    Ok(file)
}

fn list(file: &File) -> Result<HashMap<PathBuf, Item>, archive::Error> {
    let limits = Limits {
        entries_max: ENTRIES_MAX,
        ..Limits::default()
    };
    let length = file.metadata().map_err(archive::Error::Read)?.len();
    let mut reader = TarReader::new(BufReader::new(file), limits);
    let mut items = HashMap::new();
    while let Some(entry) = reader.next_entry()? {
        let offset = reader.offset();
        reader.seek_past()?;
        let end = offset.checked_add(entry.size);
        if end.is_none_or(|end| end > length) {
            return Err(archive::Error::Malformed {
                offset,
                reason: "it is cut short",
            });
        }
        let Some(name) = oci::clean_name(&entry.name)? else {
            continue;
        };
        let item = match entry.kind {
            EntryKind::File => Item::Content(Part {
                offset,
                size: entry.size,
            }),
            EntryKind::HardLink => match link_target(Path::new(""), &entry.link)? {
                Some(target) => Item::Link(target),
                None => continue,
            },
            EntryKind::Symlink => match link_target(&name.parent, &entry.link)? {
                Some(target) => Item::Link(target),
                None => continue,
            },
            EntryKind::Directory
            | EntryKind::CharDevice
            | EntryKind::BlockDevice
            | EntryKind::Fifo => continue,
        };
        items.insert(name.path(), item);
    }
    Ok(items)
}

/// Where a link of the archive leads, inside the archive.
fn link_target(from: &Path, link: &[u8]) -> Result<Option<PathBuf>, archive::Error> {
    use std::os::unix::ffi::OsStrExt as _;
    let target = from.join(std::ffi::OsStr::from_bytes(link));
    let cleaned = oci::clean_name(target.as_os_str().as_bytes())?;
    Ok(cleaned.map(|name| name.path()))
}
