//! Keeper ↔ log writer. Not frozen: a keeper starts its log writer from its
//! own binary, so both are always of one build.

use serde::{Deserialize, Serialize};

use crate::model::ExitRecord;
use crate::protocol::keeper::{LogTarget, SpawnId};

/// What a keeper tells its log writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToWriter {
    /// Reads these streams from here on. The ledger comes along, then for
    /// each stream its source and its journal (`logs::journal`).
    Open {
        /// Whose.
        spawn: SpawnId,
        /// Where they are written.
        target: LogTarget,
        /// Which they are.
        streams: Vec<StreamSource>,
    },
    /// The process has ended: read to the end, write the record, and say so.
    Ended {
        /// The record, as it is to be written.
        record: ExitRecord,
    },
    /// Copies what is read from now on into two pipes that come along, for
    /// stdout and stderr.
    Tee {
        /// Whose.
        spawn: SpawnId,
    },
    /// Stops reading and forgets; for a spawn that failed to start.
    Close {
        /// Whose.
        spawn: SpawnId,
    },
}

/// A stream and what it is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamSource {
    /// Standard output, from a pipe.
    Stdout,
    /// Standard error, from a pipe.
    Stderr,
    /// Both, from a terminal's master; logged as standard output.
    Terminal,
}

/// What a log writer tells its keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromWriter {
    /// The last line and the exit record are written.
    Complete {
        /// Whose.
        spawn: SpawnId,
    },
    /// Writing fails and is tried again, with the container blocked; or, with
    /// no message, it works again.
    Trouble {
        /// Whose.
        spawn: SpawnId,
        /// The path and the reason.
        message: Option<String>,
    },
}
