//! The disk as the Compose loader sees it: regular files within a limit, and
//! standard input.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use crate::compose::{ReadError, Source};

/// How large a file may be.
pub(crate) const FILE_BYTES_MAX: u64 = 64 << 20;

/// Files of the disk. What gives its bytes only once, standard input and a
/// shell's `<(command)`, is kept: a command asks for it several times.
#[derive(Debug, Clone, Default)]
pub(crate) struct DiskSource {
    pipes: RefCell<BTreeMap<PathBuf, Result<Vec<u8>, ReadError>>>,
}

impl DiskSource {
    /// What a pipe gave when it was first read, which is now if never before.
    fn once(
        &self,
        path: &Path,
        read: impl FnOnce() -> Result<Vec<u8>, ReadError>,
    ) -> Result<Vec<u8>, ReadError> {
        let known = self.pipes.borrow().get(path).cloned();
        known.unwrap_or_else(|| {
            let bytes = read();
            let mut pipes = self.pipes.borrow_mut();
            pipes.insert(path.to_owned(), bytes.clone());
            bytes
        })
    }
}

impl Source for DiskSource {
    fn read(&self, path: &Path) -> Result<Vec<u8>, ReadError> {
        if path.as_os_str() == "-" {
            return self.once(path, || read_limited(io::stdin().lock()));
        }
        let kind = fs::metadata(path)
            .map_err(|error| refused(&error))?
            .file_type();
        if kind.is_dir() {
            return Err(ReadError::Folder);
        }
        let read = || read_limited(File::open(path).map_err(|error| refused(&error))?);
        // Somebody writes to a pipe that we were given; any other could keep us
        // waiting for ever.
        let is_given = path.starts_with("/dev/fd") || path == Path::new("/dev/stdin");
        if kind.is_fifo() && is_given {
            return self.once(path, read);
        }
        let is_null = path == Path::new("/dev/null");
        if !kind.is_file() && !is_null {
            return Err(ReadError::NotRegular);
        }
        read()
    }

    fn exists(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok()
    }

    fn resolve_links(&self, path: &Path) -> Option<PathBuf> {
        if path.is_absolute() {
            fs::canonicalize(path).ok()
        } else {
            None
        }
    }
}

fn read_limited(reader: impl io::Read) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::with_capacity(32 << 10);
    let mut limited = reader.take(FILE_BYTES_MAX + 1);
    limited
        .read_to_end(&mut bytes)
        .map_err(|error| refused(&error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err(ReadError::TooLarge {
            limit: FILE_BYTES_MAX,
        });
    }
    Ok(bytes)
}

fn refused(error: &io::Error) -> ReadError {
    match error.kind() {
        io::ErrorKind::NotFound => ReadError::NotFound,
        io::ErrorKind::PermissionDenied => ReadError::Refused {
            reason: "permission denied".to_owned(),
        },
        _ => ReadError::Refused {
            reason: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs::write(&file, "x").unwrap();
        let source = DiskSource::default();
        assert_eq!(source.read(&file), Ok(b"x".to_vec()));
        assert_eq!(source.read(folder.path()), Err(ReadError::Folder));
        assert_eq!(
            source.read(&folder.path().join("b")),
            Err(ReadError::NotFound)
        );
        assert_eq!(
            source.read(Path::new("/dev/zero")),
            Err(ReadError::NotRegular)
        );
        assert_eq!(source.read(Path::new("/dev/null")), Ok(Vec::new()));
        let socket = folder.path().join("s");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(source.read(&socket), Err(ReadError::NotRegular));
    }

    #[test]
    fn a_pipe_that_was_given_is_read_once_for_all() {
        let (reader, mut writer) = io::pipe().unwrap();
        io::Write::write_all(&mut writer, b"A=5").unwrap();
        drop(writer);
        let number = std::os::fd::AsRawFd::as_raw_fd(&reader);
        let path = PathBuf::from(format!("/dev/fd/{number}"));
        let source = DiskSource::default();
        for _ in 0..3 {
            assert_eq!(source.read(&path), Ok(b"A=5".to_vec()));
        }
        assert_eq!(source.clone().read(&path), Ok(b"A=5".to_vec()));
    }
}
