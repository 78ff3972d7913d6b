//! The supervisor's own log: JSON lines in the project's state folder.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

/// Size at which the log is put aside and begun anew.
const LOG_BYTES_MAX: u64 = 4 << 20;
/// What is logged when `RCOMPOSE_LOG` says nothing.
const FILTER_DEFAULT: &str = "rcompose=info";

/// The log's file. One that has become long is put aside, and one older is kept.
#[derive(Debug)]
struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Journal {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let mut journal = Self {
            path: path.to_owned(),
            bytes: file.metadata()?.len(),
            file,
        };
        journal.put_aside_if_long();
        Ok(journal)
    }

    /// Begins another file. Where that fails, as on a full disk, the lines go on
    /// in the old one.
    fn put_aside_if_long(&mut self) {
        if self.bytes <= LOG_BYTES_MAX {
            return;
        }
        let older = self.path.with_extension("log.1");
        if std::fs::rename(&self.path, older).is_ok()
            && let Ok(next) = Self::open(&self.path)
        {
            *self = next;
        }
    }
}

impl io::Write for Journal {
    /// Takes a whole line, as the subscriber gives it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put_aside_if_long();
        let count = self.file.write(line)?;
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Sends what is traced to the log. Without a log, as on a full disk, the
/// supervisor does its work all the same.
pub(crate) fn open(path: &Path) {
    let Ok(journal) = Journal::open(path) else {
        return;
    };
    let filter =
        EnvFilter::try_from_env("RCOMPOSE_LOG").unwrap_or_else(|_| EnvFilter::new(FILTER_DEFAULT));
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .with_writer(Mutex::new(journal))
        .finish();
    // Set once in a process.
    let _ = tracing::subscriber::set_global_default(subscriber);
    trace_panics();
}

/// Has panics in the log too, of tasks and threads that nobody waits for.
fn trace_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string);
        tracing::error!(message, place, "panic");
        usual(panic);
    }));
}

/// Writes an error with its causes to standard error, for processes that
/// have no other place for it.
pub fn last_words(error: &dyn std::error::Error) {
    let chain = crate::supervisor::failure::chain(error);
    let _ = writeln!(std::io::stderr(), "{}", chain.join(": "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_and_the_one_before_are_all_that_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("supervisor.log");
        let mut journal = Journal::open(&path).unwrap();
        let line = vec![b'x'; 1 << 20];
        for _ in 0..20 {
            journal.write_all(&line).unwrap();
        }
        journal.write_all(b"last\n").unwrap();
        let length = |path: &Path| std::fs::metadata(path).unwrap().len();
        let older = dir.path().join("supervisor.log.1");
        let most = LOG_BYTES_MAX + (2 << 20);
        assert!(length(&path) <= most && length(&older) <= most);
        assert!(std::fs::read(&path).unwrap().ends_with(b"last\n"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_supervisor_goes_on_in_the_log_of_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("supervisor.log");
        for line in ["one\n", "two\n"] {
            let mut journal = Journal::open(&path).unwrap();
            journal.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_folder_that_is_gone_stops_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&dir.path().join("supervisor.log")).unwrap();
        drop(dir);
        let line = vec![b'x'; 6 << 20];
        assert!(journal.write_all(&line).is_ok() && journal.write_all(&line).is_ok());
    }
}
