//! Records: small versioned JSON files a person can read.
//!
//! A record is two parts: a header line with its kind, version and checksum,
//! then the body as indented JSON. Writing goes to a temporary file and ends
//! in a rename, so a reader sees the old record or the new one. The class
//! says what a crash of the *machine* may cost (a crash of ours costs nothing):
//!
//! * durable: fsynced with its folder before the call returns;
//! * atomic: renamed only; after a power cut it may be the old one, or
//!   damaged, which the checksum tells;
//! * volatile: like atomic, in the run tree, void after a reboot.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::store::Error;

/// Longest record read, in bytes.
pub const RECORD_BYTES_MAX: u64 = 64 << 20;

/// A value that is kept as a record.
pub trait Record: Serialize + DeserializeOwned {
    /// What it is, in its header.
    const KIND: &'static str;
    /// The version written. Version N-1 must still be readable by `N`'s
    /// deserializer (fields are added with defaults).
    const VERSION: u32;
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    rcompose: String,
    version: u32,
    checksum: String,
}

/// Writes a record and waits until the disk has it.
///
/// # Errors
/// [`Error::Io`]; nothing of it is left then.
pub fn write_durable<T: Record>(path: &Path, value: &T) -> Result<(), Error> {
    write(path, value, true)
}

/// Writes a record whose loss in a power cut can be healed.
///
/// # Errors
/// [`Error::Io`]; nothing of it is left then.
pub fn write_atomic<T: Record>(path: &Path, value: &T) -> Result<(), Error> {
    write(path, value, false)
}

/// As [`write_atomic`], unless the file says just that already.
///
/// # Errors
/// [`Error::Io`]; nothing of it is left then.
pub fn write_changed<T: Record>(path: &Path, value: &T) -> Result<(), Error> {
    let bytes = encode(path, value)?;
    if matches!(std::fs::read(path), Ok(there) if there == bytes) {
        return Ok(());
    }
    put(path, &bytes, false)
}

/// Writes a record of the run tree.
///
/// # Errors
/// [`Error::Io`]; nothing of it is left then.
pub fn write_volatile<T: Record>(path: &Path, value: &T) -> Result<(), Error> {
    write(path, value, false)
}

fn write<T: Record>(path: &Path, value: &T, durable: bool) -> Result<(), Error> {
    put(path, &encode(path, value)?, durable)
}

fn put(path: &Path, bytes: &[u8], durable: bool) -> Result<(), Error> {
    let temporary = temporary_beside(path);
    let written = write_file(&temporary, bytes, durable)
        .map_err(|source| Error::io("write", &temporary, source))
        .and_then(|()| {
            std::fs::rename(&temporary, path).map_err(|source| Error::io("write", path, source))
        });
    if let Err(error) = written {
        // The first failure is what matters; a leftover is swept by `gc`.
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    if durable {
        sync_folder(path)?;
    }
    Ok(())
}

fn encode<T: Record>(path: &Path, value: &T) -> Result<Vec<u8>, Error> {
    let damaged = |error: serde_json::Error| Error::Damaged {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let body = serde_json::to_vec_pretty(value).map_err(damaged)?;
    let header = Header {
        rcompose: T::KIND.to_owned(),
        version: T::VERSION,
        checksum: checksum(&body),
    };
    let mut bytes = serde_json::to_vec(&header).map_err(damaged)?;
    bytes.push(b'\n');
    bytes.extend_from_slice(&body);
    bytes.push(b'\n');
    Ok(bytes)
}

fn write_file(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    if durable {
        file.sync_all()?;
    }
    Ok(())
}

/// Makes the last rename in `path`'s folder safe against a power cut.
///
/// # Errors
/// [`Error::Io`] when the folder can't be opened or flushed.
pub fn sync_folder(path: &Path) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| Error::io("flush", folder, source))
}

/// Reads a record; None when there is none.
///
/// # Errors
/// [`Error::Damaged`] when the bytes aren't what was written, [`Error::Newer`]
/// when a later rcompose wrote it, [`Error::Io`] otherwise.
pub fn read<T: Record>(path: &Path) -> Result<Option<T>, Error> {
    use std::io::Read as _;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::io("read", path, source)),
    };
    // Most are smaller: one read takes them whole.
    let mut bytes = Vec::with_capacity(8 << 10);
    file.take(RECORD_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|source| Error::io("read", path, source))?;
    decode(path, &bytes).map(Some)
}

fn decode<T: Record>(path: &Path, bytes: &[u8]) -> Result<T, Error> {
    let damaged = |reason: &str| Error::Damaged {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let end = bytes
        .iter()
        .position(|&b| b == b'\n')
        .ok_or_else(|| damaged("it has no header"))?;
    let (header, body) = bytes.split_at(end);
    let body = body.trim_ascii();
    let header: Header =
        serde_json::from_slice(header).map_err(|_| damaged("its header is unreadable"))?;
    if header.rcompose != T::KIND {
        return Err(damaged(&format!(
            "it is a {} record, not {}",
            header.rcompose,
            T::KIND
        )));
    }
    if header.version > T::VERSION {
        return Err(Error::Newer {
            path: path.to_owned(),
            found: header.version,
            known: T::VERSION,
        });
    }
    if header.version + 1 < T::VERSION {
        return Err(damaged(&format!(
            "form {} is no longer read",
            header.version
        )));
    }
    if header.checksum != checksum(body) {
        return Err(damaged("its checksum is wrong"));
    }
    serde_json::from_slice(body).map_err(|error| damaged(&error.to_string()))
}

/// FNV-1a over the body: it tells torn and zeroed files, not forgeries.
fn checksum(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// A name for a temporary file in the same folder, used by nobody else.
pub(crate) fn temporary_beside(path: &Path) -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = format!(".tmp-{}-{number}", std::process::id());
    path.with_file_name(name)
}

/// Names in a folder, temporary files left out, unsorted; none when it isn't there.
///
/// # Errors
/// [`Error::Io`] when the folder can't be listed.
pub fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::io("list", folder, source)),
    };
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with(".tmp-"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Thing {
        text: String,
    }

    impl Record for Thing {
        const KIND: &'static str = "thing";
        const VERSION: u32 = 3;
    }

    fn written() -> (tempfile::TempDir, PathBuf, Thing) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let thing = Thing {
            text: "höhe\n\"x\"".to_owned(),
        };
        write_durable(&path, &thing).unwrap();
        (dir, path, thing)
    }

    #[test]
    fn a_record_comes_back() {
        let (dir, path, thing) = written();
        assert_eq!(read::<Thing>(&path).unwrap(), Some(thing));
        assert_eq!(names(dir.path()).unwrap(), ["a"]);
        assert_eq!(read::<Thing>(&dir.path().join("b")).unwrap(), None);
    }

    #[test]
    fn only_what_changed_is_written() {
        use std::os::unix::fs::MetadataExt as _;
        let (_dir, path, thing) = written();
        let file = || std::fs::metadata(&path).unwrap().ino();
        let first = file();
        write_changed(&path, &thing).unwrap();
        assert_eq!(file(), first, "the same again");
        let text = "another".to_owned();
        write_changed(&path, &Thing { text: text.clone() }).unwrap();
        assert_ne!(file(), first);
        assert_eq!(read::<Thing>(&path).unwrap(), Some(Thing { text }));
        std::fs::write(&path, "damaged").unwrap();
        write_changed(&path, &thing).unwrap();
        assert_eq!(read::<Thing>(&path).unwrap(), Some(thing));
    }

    #[test]
    fn every_truncation_and_every_zeroed_byte_is_told() {
        let (_dir, path, _) = written();
        let whole = std::fs::read(&path).unwrap();
        let last = whole.len() - 1;
        for cut in 0..last {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(
                matches!(read::<Thing>(&path), Err(Error::Damaged { .. })),
                "cut at {cut}"
            );
            let mut zeroed = whole.clone();
            zeroed[cut] = 0;
            std::fs::write(&path, &zeroed).unwrap();
            assert!(read::<Thing>(&path).is_err(), "zero at {cut}");
        }
    }

    #[test]
    fn a_newer_record_is_refused_by_name() {
        let (_dir, path, _) = written();
        let text = std::fs::read_to_string(&path)
            .unwrap()
            .replace("\"version\":3", "\"version\":4");
        std::fs::write(&path, text).unwrap();
        assert!(matches!(
            read::<Thing>(&path),
            Err(Error::Newer {
                found: 4,
                known: 3,
                ..
            })
        ));
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing").join("a");
        assert!(
            write_atomic(
                &path,
                &Thing {
                    text: String::new()
                }
            )
            .is_err()
        );
        assert_eq!(names(dir.path()).unwrap(), Vec::<String>::new());
    }
}
