//! An archive that comes once, in its own order: from a pipe, or compressed.
//!
//! What an entry is to be is only known at the end, since the list of contents
//! stands there. So what looks like a layer is unpacked as it comes, as in a
//! pull, and hashed; small entries are kept in memory, and what is neither goes
//! through a file without a name. Nothing is written twice, and a plain layer
//! that is named by its digest and in the store already isn't written at all.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive::{self, Fed, Limits, TarReader, Unsettled};
use crate::image::contents::{self, ENTRIES_MAX, Item, Part, Place};
use crate::image::ingest::Ingest;
use crate::image::layers::{self, Fresh};
use crate::image::{Error, Source};
use crate::oci::{Algorithm, Digest, LayerEncoding};
use crate::store::{Root, record};

/// Bytes of the largest entry that is kept in memory whatever it is.
const SMALL_BYTES_MAX: u64 = 1 << 20;
/// Bytes of all entries that are kept in memory.
const MEMORY_BYTES_MAX: u64 = 64 << 20;
/// Bytes by which an entry is known as a layer.
const HEAD_BYTES: u64 = 512;
/// Where a tar's header says what it is, and how.
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");
/// Bytes read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// What has come of an archive.
#[derive(Debug, Default)]
pub(super) struct Streamed {
    pub(super) items: HashMap<PathBuf, Item>,
    pub(super) memory: Vec<Arc<[u8]>>,
    pub(super) file: Option<File>,
    pub(super) layers: Vec<StreamedLayer>,
    /// Layers that were passed over, by the chain ids that they have here.
    pub(super) stored: Vec<Digest>,
}

/// An entry that looked like a layer.
#[derive(Debug)]
pub(super) struct StreamedLayer {
    /// Where it was unpacked.
    pub(super) fresh: Fresh,
    /// What it came to.
    pub(super) result: Result<(Unsettled, Fed), archive::Error>,
}

/// Reads an archive to its end.
pub(super) fn read(root: &Root, source: Source, ingest: &Ingest) -> Result<Streamed, Error> {
    let (_, plain) = archive::decoder(source.into_reader())
        .map_err(|error| Error::archive("image archive")(archive::Error::Read(error)))?;
    let limits = Limits {
        entries_max: ENTRIES_MAX,
        ..Limits::default()
    };
    let mut stream = Stream {
        tar: TarReader::new(BufReader::with_capacity(BUFFER_BYTES, plain), limits),
        root,
        known: None,
        ingest,
        memory_bytes: 0,
        spool: None,
        found: Streamed::default(),
    };
    stream.run().map_err(|stop| match stop {
        Stop::Archive(error) => Error::archive("image archive")(error),
        Stop::Store(error) => error,
    })?;
    let Stream {
        spool, mut found, ..
    } = stream;
    found.file = spool.map(|(file, _)| file);
    Ok(found)
}

struct Stream<'a, R> {
    tar: TarReader<R>,
    root: &'a Root,
    /// The store's layers whose tars can be made again, by diff id.
    known: Option<HashMap<Digest, Known>>,
    ingest: &'a Ingest,
    memory_bytes: u64,
    /// A file without a name, and how long it is.
    spool: Option<(File, u64)>,
    found: Streamed,
}

/// A layer of the store.
struct Known {
    chain_id: Digest,
    tar_bytes: u64,
}

/// Why it isn't read on.
enum Stop {
    Archive(archive::Error),
    Store(Error),
}

impl From<archive::Error> for Stop {
    fn from(error: archive::Error) -> Self {
        Self::Archive(error)
    }
}

impl<R: BufRead + Send> Stream<'_, R> {
    fn run(&mut self) -> Result<(), Stop> {
        while let Some(entry) = self.tar.next_entry()? {
            check_bytes(self.tar.offset().saturating_add(entry.size))?;
            let Some(name) = contents::name(&entry)? else {
                continue;
            };
            let link = contents::link(&name, &entry)?;
            let item = match link {
                Some(item) => item,
                None if entry.kind == archive::EntryKind::File => {
                    Item::Content(self.take(&name.path(), entry.size)?)
                }
                None => continue,
            };
            self.found.items.insert(name.path(), item);
        }
        // Whoever writes into the pipe isn't cut off, and what is compressed
        // has its sum at the end.
        self.tar.finish()?;
        Ok(())
    }

    fn take(&mut self, name: &Path, size: u64) -> Result<Part, Stop> {
        let has_room = self.memory_bytes.saturating_add(size) <= MEMORY_BYTES_MAX;
        if size <= SMALL_BYTES_MAX && has_room {
            return self.keep(Vec::new(), size);
        }
        let mut head = Vec::new();
        Content(&mut self.tar)
            .take(HEAD_BYTES)
            .read_to_end(&mut head)
            .map_err(archive::Error::Read)?;
        if is_tar(&head)
            && let Some(chain_id) = self.known(name, size)?
        {
            return self.pass_over(chain_id, size);
        }
        if is_layer(&head) {
            return self.unpack(name, head, size);
        }
        // No document is larger.
        if size <= contents::DOCUMENT_BYTES_MAX && has_room {
            return self.keep(head, size);
        }
        self.spool(&head, size)
    }

    fn keep(&mut self, mut bytes: Vec<u8>, size: u64) -> Result<Part, Stop> {
        Content(&mut self.tar)
            .read_to_end(&mut bytes)
            .map_err(archive::Error::Read)?;
        self.memory_bytes += size;
        self.found.memory.push(bytes.into());
        Ok(Part {
            place: Place::Memory(self.found.memory.len() - 1),
            size,
        })
    }

    /// The layer of the store that has the digest by which an entry is named.
    /// Should the entry be another, nobody ever looks at it.
    fn known(&mut self, name: &Path, size: u64) -> Result<Option<Digest>, Stop> {
        let hex = name
            .strip_prefix("blobs/sha256")
            .ok()
            .and_then(Path::to_str);
        let digest = hex.and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
        let Some(digest) = digest else {
            return Ok(None);
        };
        let known = match &mut self.known {
            Some(known) => known,
            empty => empty.insert(known(self.root).map_err(Stop::Store)?),
        };
        let found = known.get(&digest).filter(|known| known.tar_bytes == size);
        Ok(found.map(|known| known.chain_id.clone()))
    }

    fn pass_over(&mut self, chain_id: Digest, size: u64) -> Result<Part, Stop> {
        io::copy(&mut Content(&mut self.tar), &mut io::sink()).map_err(archive::Error::Read)?;
        self.found.stored.push(chain_id);
        Ok(Part {
            place: Place::Stored(self.found.stored.len() - 1),
            size,
        })
    }

    /// Unpacks what looks like a layer. That it is none only matters when an
    /// image has it as one.
    fn unpack(&mut self, name: &Path, head: Vec<u8>, size: u64) -> Result<Part, Stop> {
        let number = self.found.layers.len();
        let fresh = Fresh::make(self.ingest.path(&format!("streamed-{number}")));
        let fresh = fresh.map_err(Stop::Store)?;
        let is_of_sha512 = name.starts_with("blobs/sha512");
        let packed = if is_of_sha512 {
            Algorithm::Sha512
        } else {
            Algorithm::Sha256
        };
        let limits = Limits::default();
        let content = io::Cursor::new(head).chain(Content(&mut self.tar));
        let result = archive::feed(content, (packed, Algorithm::Sha256), &limits, |plain| {
            fresh.extract(plain, limits.clone())
        });
        self.found.layers.push(StreamedLayer { fresh, result });
        Ok(Part {
            place: Place::Unpacked(number),
            size,
        })
    }

    fn spool(&mut self, head: &[u8], size: u64) -> Result<Part, Stop> {
        let (file, bytes) = match &mut self.spool {
            Some(spool) => spool,
            empty => empty.insert((self.ingest.nameless().map_err(Stop::Store)?, 0)),
        };
        let begin = *bytes;
        let written = file
            .write_all(head)
            .and_then(|()| io::copy(&mut Content(&mut self.tar), file));
        let place = self.ingest.path("");
        written.map_err(|error| Stop::Store(Error::io("write", &place)(error)))?;
        *bytes += size;
        Ok(Part {
            place: Place::File(begin),
            size,
        })
    }
}

/// The current entry's content.
struct Content<'a, R>(&'a mut TarReader<R>);

impl<R: BufRead> Read for Content<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read_content(into).map_err(|error| match error {
            archive::Error::Read(error) => error,
            other => io::Error::other(other),
        })
    }
}

/// The store's layers whose tars can be made again. A damaged one is unknown.
fn known(root: &Root) -> Result<HashMap<Digest, Known>, Error> {
    let mut known = HashMap::new();
    for name in record::names(&root.layers_dir())? {
        let Ok(chain_id) = format!("sha256:{name}").parse::<Digest>() else {
            continue;
        };
        let Ok(Some(layer)) = layers::read(root, &chain_id) else {
            continue;
        };
        if layers::is_there(root, &chain_id) && layers::map_path(root, &chain_id).exists() {
            let tar_bytes = layer.tar_bytes;
            known.insert(
                layer.diff_id,
                Known {
                    chain_id,
                    tar_bytes,
                },
            );
        }
    }
    Ok(known)
}

/// Whether an entry's first bytes are a tar's.
fn is_tar(head: &[u8]) -> bool {
    let (at, magic) = TAR_MAGIC;
    head.get(at..).is_some_and(|rest| rest.starts_with(magic))
}

/// Whether an entry's first bytes are a tar's, or of what is compressed.
fn is_layer(head: &[u8]) -> bool {
    is_tar(head) || LayerEncoding::of(head) != LayerEncoding::Plain
}

fn check_bytes(bytes: u64) -> Result<(), archive::Error> {
    let limit = Limits::default().bytes_max;
    if bytes > limit {
        return Err(archive::Error::Limit {
            what: "bytes",
            limit,
        });
    }
    Ok(())
}
