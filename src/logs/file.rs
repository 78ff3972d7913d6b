//! A json-file log that is written: appending whole entries, and rotation.
//!
//! The file is locked (flock) while it is open here, so a writer that hangs
//! in a write and the one that took over from it never write at once.

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::protocol::keeper::LogTarget;

/// An open log.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    length: u64,
    identity: FileIdentity,
    bytes_max: Option<u64>,
    files_max: u32,
}

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FileIdentity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl LogFile {
    /// Opens the log of a target, making it when missing; None when the
    /// target keeps no log.
    pub(crate) fn open(target: &LogTarget) -> io::Result<Option<Self>> {
        let Some(path) = &target.path else {
            return Ok(None);
        };
        let (file, length, identity) = open(path)?;
        Ok(Some(Self {
            path: path.clone(),
            file,
            length,
            identity,
            bytes_max: target.max_bytes,
            files_max: target.max_files,
        }))
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// Whether the next entry, behind `pending` bytes that aren't written
    /// yet, belongs into a new file.
    pub(crate) fn is_full(&self, pending: usize) -> bool {
        let length = self.length + u64::try_from(pending).unwrap_or(u64::MAX);
        self.bytes_max
            .is_some_and(|max| length > 0 && length >= max)
    }

    /// Appends whole entries, all or none.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            // No torn line stays behind; if this fails too, the next attempt
            // starts by cutting.
            let _ = self.cut_to(self.length);
            return Err(error);
        }
        self.length += u64::try_from(bytes.len()).unwrap_or(0);
        Ok(())
    }

    /// Cuts off what stands behind `length`.
    pub(crate) fn cut_to(&mut self, length: u64) -> io::Result<()> {
        if self.file.metadata()?.len() > length {
            self.file.set_len(length)?;
        }
        self.length = self.length.min(length);
        Ok(())
    }

    /// Cuts off a last line that has no end: its writer died, and nobody is
    /// left who knows the rest.
    pub(crate) fn cut_torn_line(&mut self) -> io::Result<()> {
        let end = self.file.metadata()?.len();
        let mut position = end;
        let mut chunk = vec![0u8; 64 << 10];
        while position > 0 {
            let count = usize::try_from(position)
                .unwrap_or(usize::MAX)
                .min(chunk.len());
            let start = position - u64::try_from(count).unwrap_or(0);
            let part = chunk.get_mut(..count).unwrap_or_default();
            self.file.read_exact_at(part, start)?;
            if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
                position = start + u64::try_from(at).unwrap_or(0) + 1;
                break;
            }
            position = start;
        }
        self.cut_to(position)
    }

    /// Moves the files up by one number, drops the oldest and starts afresh.
    pub(crate) fn rotate(&mut self) -> io::Result<()> {
        let numbers = self.files_max.saturating_sub(1);
        for number in (1..numbers).rev() {
            rename_if_there(
                &rotated(&self.path, number),
                &rotated(&self.path, number + 1),
            )?;
        }
        if numbers > 0 {
            rename_if_there(&self.path, &rotated(&self.path, 1))?;
        } else {
            remove_if_there(&self.path)?;
        }
        let (file, length, identity) = open(&self.path)?;
        self.file = file;
        self.length = length;
        self.identity = identity;
        Ok(())
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        // Closing it frees the lock, too, but not while a child has a copy.
        let _ = self.file.unlock();
    }
}

/// The path of a log's `number`-th rotated file; 1 is the newest.
pub(crate) fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn open(path: &Path) -> io::Result<(File, u64, FileIdentity)> {
    let file = File::options()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::ResourceBusy.into()),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let metadata = file.metadata()?;
    let identity = FileIdentity {
        device: metadata.dev(),
        inode: metadata.ino(),
    };
    Ok((file, metadata.len(), identity))
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    ignore_missing(std::fs::rename(from, to))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    ignore_missing(std::fs::remove_file(path))
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(dir: &Path, max_bytes: Option<u64>, max_files: u32) -> LogTarget {
        LogTarget {
            path: Some(dir.join("log")),
            max_bytes,
            max_files,
            exit_record: dir.join("exit"),
        }
    }

    fn names(dir: &Path) -> Vec<(String, String)> {
        let mut all: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                let text = std::fs::read_to_string(entry.path()).unwrap();
                (entry.file_name().into_string().unwrap(), text)
            })
            .collect();
        all.sort();
        all
    }

    #[test]
    fn rotation_keeps_the_newest_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(&target(dir.path(), Some(2), 3))
            .unwrap()
            .unwrap();
        for text in ["a\n", "b\n", "c\n", "d\n"] {
            if log.is_full(0) {
                log.rotate().unwrap();
            }
            log.append(text.as_bytes()).unwrap();
        }
        let expect = [("log", "d\n"), ("log.1", "c\n"), ("log.2", "b\n")];
        let expect: Vec<_> = expect.map(|(n, t)| (n.to_owned(), t.to_owned())).into();
        assert_eq!(names(dir.path()), expect);
    }

    #[test]
    fn a_single_file_starts_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(&target(dir.path(), Some(1), 1))
            .unwrap()
            .unwrap();
        let first = log.identity();
        assert!(!log.is_full(0) && log.is_full(1));
        log.append(b"a\n").unwrap();
        log.rotate().unwrap();
        log.append(b"b\n").unwrap();
        assert_ne!(log.identity(), first);
        assert_eq!(names(dir.path()), [("log".to_owned(), "b\n".to_owned())]);
    }

    #[test]
    fn two_writers_never_have_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let target = target(dir.path(), None, 1);
        let log = LogFile::open(&target).unwrap().unwrap();
        let error = LogFile::open(&target).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        drop(log);
        assert!(LogFile::open(&target).unwrap().is_some());
    }

    #[test]
    fn a_torn_line_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let long = "x".repeat(200_000);
        for (before, after) in [
            ("", ""),
            ("a\n", "a\n"),
            ("a\nb", "a\n"),
            (long.as_str(), ""),
        ] {
            std::fs::write(&path, before).unwrap();
            let mut log = LogFile::open(&target(dir.path(), None, 1))
                .unwrap()
                .unwrap();
            log.cut_torn_line().unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
            assert_eq!(log.length(), u64::try_from(after.len()).unwrap());
        }
    }

    #[test]
    fn cutting_never_makes_a_file_longer() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(&target(dir.path(), None, 1))
            .unwrap()
            .unwrap();
        log.append(b"one\ntwo\n").unwrap();
        log.cut_to(4).unwrap();
        assert_eq!(log.length(), 4);
        log.cut_to(100).unwrap();
        assert_eq!(log.length(), 4);
        assert_eq!(std::fs::read(dir.path().join("log")).unwrap(), b"one\n");
    }
}
