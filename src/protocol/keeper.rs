//! Supervisor ↔ keeper. Frozen: variants and fields are only ever appended,
//! each new field with a default, because a keeper outlives the binary that
//! started it.
//!
//! The supervisor sends [`Request`]s over a stream socket, each with an id; the
//! keeper answers each with one [`Message::Reply`] and sends
//! [`Message::State`] whenever a spawned process changes. States may be
//! dropped under back-pressure and are then sent again when the socket takes
//! bytes; the last one sent for a spawn is always the truth.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Bundle, Outcome, ProcessIdentity, ProcessSpec};

/// Version of this protocol.
pub const VERSION: u32 = 1;

/// A spawn's id, chosen by the supervisor, so that a request sent twice after
/// a lost connection is one spawn.
pub type SpawnId = String;

/// One request frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Comes back in the reply.
    pub id: u64,
    /// What is asked.
    pub body: RequestBody,
}

/// What a supervisor asks of its keeper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestBody {
    /// Opens the conversation; answered by [`ReplyBody::Hello`].
    Hello {
        /// [`VERSION`] of the supervisor.
        version: u32,
        /// Build id of the supervisor.
        build: String,
    },
    /// Starts a container; answered by `Spawned` or `SpawnFailed`. The same id
    /// again answers with the same result and starts nothing.
    Spawn(Box<Spawn>),
    /// Starts a process in a running container; answered as `Spawn`.
    Exec(Box<Exec>),
    /// Sends a signal to a spawned process; `Done`, also when it has ended.
    Signal {
        /// Which.
        spawn: SpawnId,
        /// Signal number.
        signal: i32,
    },
    /// Puts the one descriptor that comes along on the shelf, replacing one of that name.
    Put {
        /// Its name.
        name: String,
    },
    /// Takes descriptors off the shelf and closes them; unknown names are fine.
    Drop {
        /// Their names.
        names: Vec<String>,
    },
    /// Asks for everything on the shelf: answered by as many `Shelf` replies
    /// as batches are needed, the last one with `more: false`.
    Shelf,
    /// Forgets an ended spawn; its state is sent no more.
    Forget {
        /// Which.
        spawn: SpawnId,
    },
    /// The next supervisor is started from the binary whose descriptor comes
    /// along, when this one has ended.
    ReplaceSupervisor,
    /// Ends the keeper and the log writer, after what was read is written.
    /// Refused (`Failed`) while a spawned container process lives.
    Shutdown,
    /// Takes over a container whose keeper, log writer and supervisor all
    /// died: its pipes are reopened from its first process. Answered by
    /// `Spawned`, or by `Done` when it has ended: then its exit is unknown,
    /// and its state follows as for every other.
    Adopt(Box<Adopt>),
    /// Writes a copy of a logged container's output, from now on, into the
    /// pipes whose write ends come along: stdout's, then stderr's. A pipe that
    /// is full or closed gets no more. `Done` or `Failed`.
    Tee {
        /// Whose output.
        spawn: SpawnId,
    },
}

/// A container to start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spawn {
    /// Its id.
    pub id: SpawnId,
    /// The container.
    pub bundle: Bundle,
    /// Where its streams go.
    pub stdio: Stdio,
    /// What the descriptors that come along are, in their order.
    pub descriptors: Vec<DescriptorRole>,
}

/// A process to start in a running container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exec {
    /// Its id.
    pub id: SpawnId,
    /// The container's first process.
    pub target: ProcessIdentity,
    /// The program.
    pub process: ProcessSpec,
    /// Path of the container's control group, as in its bundle.
    pub cgroup: String,
    /// Where its streams go; never `Logged`.
    pub stdio: Stdio,
    /// What the descriptors that come along are, in their order.
    pub descriptors: Vec<DescriptorRole>,
}

/// A running container to take over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adopt {
    /// The id it was spawned with.
    pub id: SpawnId,
    /// Its first process.
    pub process: ProcessIdentity,
    /// Path of its control group, as in its bundle.
    pub cgroup: String,
    /// Where its output goes.
    pub log: LogTarget,
}

/// What a descriptor that travels with a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DescriptorRole {
    /// A network namespace to enter.
    NetworkNamespace,
    /// A process whose pid namespace is joined (pidfd).
    PidNamespaceOf,
    /// A process whose IPC namespace and `/dev/shm` are joined (pidfd).
    IpcNamespaceOf,
    /// A process whose UTS namespace is joined (pidfd).
    UtsNamespaceOf,
    /// A pipe's read end for stdin.
    Stdin,
    /// A pipe's write end for stdout.
    Stdout,
    /// A pipe's write end for stderr.
    Stderr,
}

/// Where a process's streams go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdio {
    /// stdout and stderr (or the terminal) go to the log writer; the keeper
    /// makes the pipes and shelves them.
    Logged {
        /// Where and how it writes.
        log: LogTarget,
        /// Whether stdin is a pipe whose write end is shelved as
        /// `stdin/<spawn>`; else it is `/dev/null`.
        stdin: bool,
    },
    /// The pipes that come along; a stream that has none is `/dev/null`.
    Pipes,
    /// A terminal, whose master goes back with the reply.
    Terminal {
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// Nothing: `/dev/null` three times.
    Null,
}

/// A log file and its exit record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTarget {
    /// The json-file log; rotated files stand beside it as `.1`, `.2` …
    /// None: `logging.driver: none`, the stream is read and thrown away.
    pub path: Option<PathBuf>,
    /// Size at which it is rotated; never when absent.
    pub max_bytes: Option<u64>,
    /// How many files are kept, the current one included.
    pub max_files: u32,
    /// Written (temporary file, rename) after the last line is in the log.
    pub exit_record: PathBuf,
}

/// What a keeper sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// Answers a request.
    Reply {
        /// The request's id.
        id: u64,
        /// The answer.
        body: ReplyBody,
    },
    /// A spawned process is in this state.
    State {
        /// Which.
        spawn: SpawnId,
        /// Its state.
        state: SpawnState,
    },
    /// The keeper itself put these on the shelf; they come along in this
    /// order, so that they outlive the keeper.
    Shelved {
        /// Their names.
        names: Vec<String>,
    },
    /// A container's log can't be written, and the container is blocked when
    /// its pipe is full; or, with no message, it can be written again.
    LogTrouble {
        /// Whose.
        spawn: SpawnId,
        /// The path and the reason.
        message: Option<String>,
    },
}

/// A keeper's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyBody {
    /// Who answers.
    Hello {
        /// [`VERSION`] of the keeper.
        version: u32,
        /// Build id of the keeper.
        build: String,
        /// Every spawn that isn't forgotten, with its state.
        spawns: Vec<(SpawnId, SpawnState)>,
        /// Why earlier supervisors ended, newest last, at most five.
        deaths: Vec<String>,
    },
    /// It runs. A pidfd comes along, then the terminal's master for
    /// [`Stdio::Terminal`].
    Spawned {
        /// Its process.
        process: ProcessIdentity,
    },
    /// It could not be started; nothing of it is left.
    SpawnFailed(SpawnFailure),
    /// A batch of shelved descriptors, which come along in this order.
    Shelf {
        /// Their names.
        names: Vec<String>,
        /// Whether another batch follows.
        more: bool,
    },
    /// Done.
    Done,
    /// Not done, and why.
    Failed {
        /// In words.
        message: String,
    },
}

/// Why a process could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct SpawnFailure {
    /// What was being done, as in `mount /data` or `exec`.
    pub step: String,
    /// In words, with the path and the system's reason.
    pub message: String,
    /// Docker's code for it: 126 not executable, 127 not found, 125 the rest.
    pub exit_code: u8,
}

/// A spawned process's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpawnState {
    /// It lives.
    Running {
        /// Its process.
        process: ProcessIdentity,
    },
    /// It ended, its output is complete and its exit record is written.
    Exited {
        /// How.
        outcome: Outcome,
        /// When.
        at: Timestamp,
        /// Whether the out-of-memory killer ended it.
        oom_killed: bool,
    },
}
