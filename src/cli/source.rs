//! The disk as the Compose loader sees it: regular files within a limit, and
//! standard input.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use crate::compose::{ReadError, Source};

/// How large a file may be.
pub(crate) const FILE_BYTES_MAX: u64 = 64 << 20;

/// Files of the disk. Standard input is read once and kept: a load asks for
/// it several times.
#[derive(Debug, Clone, Default)]
pub(crate) struct DiskSource {
    stdin: std::cell::OnceCell<Result<Vec<u8>, ReadError>>,
}

impl Source for DiskSource {
    fn read(&self, path: &Path) -> Result<Vec<u8>, ReadError> {
        if path.as_os_str() == "-" {
            let read = || read_limited(io::stdin().lock());
            return self.stdin.get_or_init(read).clone();
        }
        let kind = fs::metadata(path)
            .map_err(|error| refused(&error))?
            .file_type();
        if kind.is_dir() {
            return Err(ReadError::Folder);
        }
        // A shell's `<(command)` is a pipe that somebody writes to; any other
        // pipe could keep us waiting for ever.
        let is_substitution = kind.is_fifo() && path.starts_with("/dev/fd");
        let is_null = path == Path::new("/dev/null");
        if !kind.is_file() && !is_substitution && !is_null {
            return Err(ReadError::NotRegular);
        }
        read_limited(File::open(path).map_err(|error| refused(&error))?)
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
}
