//! The supervisor's own log: JSON lines in the project's state folder.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

/// Size at which the log of earlier supervisors is put aside.
const LOG_BYTES_MAX: u64 = 4 << 20;
/// What is logged when `RCOMPOSE_LOG` says nothing.
const FILTER_DEFAULT: &str = "rcompose=info";

/// Sends what is traced to the log. Without a log, as on a full disk, the
/// supervisor does its work all the same.
pub(crate) fn open(path: &Path) {
    put_aside(path);
    let opened = File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path);
    let Ok(file) = opened else { return };
    let filter =
        EnvFilter::try_from_env("RCOMPOSE_LOG").unwrap_or_else(|_| EnvFilter::new(FILTER_DEFAULT));
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .with_writer(Mutex::new(file))
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

/// Keeps one older log.
fn put_aside(path: &Path) {
    let is_long = std::fs::metadata(path).is_ok_and(|file| file.len() > LOG_BYTES_MAX);
    if is_long {
        // Its place is wanted more than its past.
        let _ = std::fs::rename(path, path.with_extension("log.1"));
    }
}

/// Writes an error with its causes to standard error, for processes that
/// have no other place for it.
pub fn last_words(error: &dyn std::error::Error) {
    let chain = crate::supervisor::failure::chain(error);
    let _ = writeln!(std::io::stderr(), "{}", chain.join(": "));
}
