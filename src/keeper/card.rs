//! What a keeper must know of a container that an earlier keeper started,
//! kept in a file in memory on the shelf.
//!
//! Each change is appended as a line and the last whole line counts, so a
//! keeper that dies while writing leaves the one before.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

use serde::{Deserialize, Serialize};

use crate::model::{ExitRecord, ProcessIdentity};
use crate::protocol::keeper::LogTarget;
use crate::protocol::log_writer::StreamSource;
use crate::sys::descriptor;

/// One container's card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Card {
    /// Its first process.
    pub(crate) process: ProcessIdentity,
    /// Path of its control group.
    pub(crate) cgroup: String,
    /// Its log; None when its output isn't logged.
    pub(crate) log: Option<Log>,
    /// How it ended, once it has.
    pub(crate) end: Option<ExitRecord>,
    /// Whether its output and its exit record are complete.
    pub(crate) is_complete: bool,
}

/// A container's logged streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Log {
    pub(crate) target: LogTarget,
    pub(crate) streams: Vec<StreamSource>,
}

impl Card {
    /// Makes the file.
    pub(crate) fn create() -> io::Result<OwnedFd> {
        descriptor::memory_file("card")
    }

    /// Appends its present state.
    pub(crate) fn write(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        let mut line = serde_json::to_vec(self).map_err(io::Error::other)?;
        line.push(b'\n');
        File::from(descriptor::duplicate(file)?).write_all(&line)
    }

    /// The last state that was written whole.
    pub(crate) fn read(file: BorrowedFd<'_>) -> io::Result<Self> {
        let file = File::from(descriptor::duplicate(file)?);
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0)?;
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let last = lines.rfind(|line| line.ends_with(b"\n"));
        serde_json::from_slice(last.unwrap_or_default()).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn the_last_whole_line_counts() {
        let file = Card::create().unwrap();
        assert!(Card::read(file.as_fd()).is_err());
        let mut card = Card {
            process: ProcessIdentity {
                pid: 1,
                start_ticks: 2,
                boot_id: "b".to_owned(),
            },
            cgroup: "c".to_owned(),
            log: None,
            end: None,
            is_complete: false,
        };
        card.write(file.as_fd()).unwrap();
        card.is_complete = true;
        card.write(file.as_fd()).unwrap();
        File::from(file.try_clone().unwrap())
            .write_all(b"{\"proc")
            .unwrap();
        assert_eq!(Card::read(file.as_fd()).unwrap(), card);
    }
}
