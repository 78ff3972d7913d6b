//! What an image archive contains, by name, without reading the contents.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::archive::{self, Entry, EntryKind, Limits, TarReader};
use crate::image::ingest::Ingest;
use crate::image::load::lock;
use crate::image::streamed::{self, StreamedLayer};
use crate::image::{Error, Source};
use crate::oci::{self, Digest, EntryName, LayerEncoding};
use crate::store::Root;
use crate::sys::tree;

/// Most entries of an image archive (not of its layers).
pub(super) const ENTRIES_MAX: u64 = 100_000;
/// Longest document of an archive, in bytes.
pub(super) const DOCUMENT_BYTES_MAX: u64 = 16 << 20;
/// Most links between a name and its content.
const LINKS_MAX: u32 = 8;

/// An image archive, open.
#[derive(Debug)]
pub(super) struct Contents {
    /// The archive, or what of it had no other place.
    file: Option<Arc<File>>,
    /// Small entries of an archive that came once.
    memory: Vec<Arc<[u8]>>,
    /// Its layers, until they are taken.
    layers: Mutex<Vec<Option<StreamedLayer>>>,
    /// Those that the store has, by chain id.
    stored: Vec<Digest>,
    items: HashMap<PathBuf, Item>,
    /// A layout that lies unpacked in a folder.
    folder: Option<Folder>,
}

/// The folder of a layout. Its files are opened when somebody asks for them.
#[derive(Debug)]
struct Folder {
    place: OwnedFd,
    opened: Mutex<Vec<(PathBuf, Arc<File>)>>,
}

#[derive(Debug, Clone)]
pub(super) enum Item {
    Content(Part),
    /// Another name of the archive: old archives link equal layers.
    Link(PathBuf),
}

/// A piece of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Part {
    pub(super) place: Place,
    pub(super) size: u64,
}

/// Where a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// In the file, from this byte on.
    File(u64),
    /// Among what is kept in memory.
    Memory(usize),
    /// Among what was unpacked as it came.
    Unpacked(usize),
    /// Among the layers that the store has; it was passed over as it came.
    Stored(usize),
    /// Among the files of a folder.
    Opened(usize),
}

impl Contents {
    /// Finds out what an archive contains. One that can't be read at any
    /// place, or is compressed, is read to its end.
    pub(super) fn open(root: &Root, source: Source, ingest: &Ingest) -> Result<Self, Error> {
        match source {
            Source::File(file) if is_plain(&file)? => {
                let items = list(&file).map_err(Error::archive("image archive"))?;
                Ok(Self {
                    file: Some(Arc::new(file)),
                    memory: Vec::new(),
                    layers: Mutex::default(),
                    stored: Vec::new(),
                    items,
                    folder: None,
                })
            }
            other => {
                let read = streamed::read(root, other, ingest)?;
                Ok(Self {
                    file: read.file.map(Arc::new),
                    memory: read.memory,
                    layers: Mutex::new(read.layers.into_iter().map(Some).collect()),
                    stored: read.stored,
                    items: read.items,
                    folder: None,
                })
            }
        }
    }

    /// Takes the folder of an OCI layout for an archive.
    pub(super) fn folder(path: &Path) -> Result<Self, Error> {
        let place = tree::open_root(path).map_err(Error::io("open", path))?;
        Ok(Self {
            file: None,
            memory: Vec::new(),
            layers: Mutex::default(),
            stored: Vec::new(),
            items: HashMap::new(),
            folder: Some(Folder {
                place,
                opened: Mutex::default(),
            }),
        })
    }

    /// A layer that the store has, by chain id.
    pub(super) fn stored(&self, number: usize) -> Option<&Digest> {
        self.stored.get(number)
    }

    /// A layer that was unpacked as it came, once.
    pub(super) fn take_layer(&self, number: usize) -> Option<StreamedLayer> {
        lock(&self.layers).get_mut(number)?.take()
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
        if let Some(folder) = &self.folder {
            return folder.find(&path);
        }
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
        let bytes = match part.place {
            Place::File(_) => self.file.clone().map(Bytes::File),
            Place::Memory(number) => self.memory.get(number).cloned().map(Bytes::Memory),
            Place::Opened(number) => self.folder.as_ref().and_then(|f| f.file(number)),
            Place::Unpacked(_) | Place::Stored(_) => None,
        };
        PartReader {
            bytes,
            at: match part.place {
                Place::File(offset) => offset,
                Place::Memory(_) | Place::Unpacked(_) | Place::Stored(_) | Place::Opened(_) => 0,
            },
            left: part.size,
        }
    }
}

impl Folder {
    /// Opens a file of it; links lead nowhere outside.
    fn find(&self, path: &Path) -> Result<Part, Error> {
        let mut opened = lock(&self.opened);
        let known = opened.iter().position(|(other, _)| other == path);
        let number = match known {
            Some(number) => number,
            None => {
                let file = match tree::open_file_in_root(self.place.as_fd(), path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        return Err(Error::Missing(path.display().to_string()));
                    }
                    opened => opened.map_err(Error::io("open", path))?,
                };
                opened.push((path.to_owned(), Arc::new(file)));
                opened.len() - 1
            }
        };
        let missing = || Error::Missing(path.display().to_string());
        let (_, file) = opened.get(number).ok_or_else(missing)?;
        let metadata = file.metadata().map_err(Error::io("read", path))?;
        match metadata.is_file() {
            true => Ok(Part {
                place: Place::Opened(number),
                size: metadata.len(),
            }),
            false => Err(missing()),
        }
    }

    fn file(&self, number: usize) -> Option<Bytes> {
        let opened = lock(&self.opened);
        let (_, file) = opened.get(number)?;
        Some(Bytes::File(Arc::clone(file)))
    }
}

/// Reads one piece at its place.
#[derive(Debug)]
pub(super) struct PartReader {
    /// None for what was unpacked: it is a layer and nothing else.
    bytes: Option<Bytes>,
    at: u64,
    left: u64,
}

#[derive(Debug)]
enum Bytes {
    File(Arc<File>),
    Memory(Arc<[u8]>),
}

impl Read for PartReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(into.len());
        let Some(into) = into.get_mut(..wanted).filter(|into| !into.is_empty()) else {
            return Ok(0);
        };
        let count = match &self.bytes {
            Some(Bytes::File(file)) => file.read_at(into, self.at)?,
            Some(Bytes::Memory(bytes)) => {
                let at = usize::try_from(self.at).unwrap_or(usize::MAX);
                bytes.get(at..).unwrap_or_default().read(into)?
            }
            None => return Err(io::Error::other("it is a layer and no document")),
        };
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
        let Some(name) = name(&entry)? else {
            continue;
        };
        let item = match link(&name, &entry)? {
            Some(item) => item,
            None if entry.kind == EntryKind::File => Item::Content(Part {
                place: Place::File(offset),
                size: entry.size,
            }),
            None => continue,
        };
        items.insert(name.path(), item);
    }
    Ok(items)
}

/// An entry's name inside the archive; None for its root.
pub(super) fn name(entry: &Entry) -> Result<Option<EntryName>, archive::Error> {
    Ok(oci::clean_name(&entry.name)?)
}

/// What a link is; None for what is no link, or leads nowhere.
pub(super) fn link(name: &EntryName, entry: &Entry) -> Result<Option<Item>, archive::Error> {
    let target = match entry.kind {
        EntryKind::HardLink => link_target(Path::new(""), &entry.link)?,
        EntryKind::Symlink => link_target(&name.parent, &entry.link)?,
        EntryKind::File
        | EntryKind::Directory
        | EntryKind::CharDevice
        | EntryKind::BlockDevice
        | EntryKind::Fifo => None,
    };
    Ok(target.map(Item::Link))
}

/// Where a link of the archive leads, inside the archive.
fn link_target(from: &Path, link: &[u8]) -> Result<Option<PathBuf>, archive::Error> {
    use std::os::unix::ffi::OsStrExt as _;
    let target = from.join(std::ffi::OsStr::from_bytes(link));
    let cleaned = oci::clean_name(target.as_os_str().as_bytes())?;
    Ok(cleaned.map(|name| name.path()))
}
