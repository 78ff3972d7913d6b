//! CLI ↔ supervisor, over the project's control socket.
//!
//! The client sends [`ClientFrame::Hello`] and is answered with
//! [`ServerFrame::Hello`]; then it sends one [`ClientFrame::Request`] and
//! gets [`ServerFrame`]s until `Finished` or `Failed`. Closing the connection
//! withdraws the request: nothing new is begun for it. Requests may be sent
//! again after a lost connection: reconciling is idempotent, and `Run` and
//! `Exec` carry an id that starts one process only.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::model::{ContainerId, ContainerName, Outcome, ProcessIdentity, Project, Updates};
use crate::plan::{Command, RunOptions};

/// The version's one place. It is looked up when the program runs, so that a
/// copy of the program with another number here is one of another version.
#[used]
static VERSION: [u8; 40] = *b"rcompose control protocol version 000003";

/// Version of this protocol. Programs of one version understand each other;
/// of two versions, each understands the other's `Hello`, and the older one
/// [`ClientFrame::ReplaceSupervisor`].
#[must_use]
pub fn version() -> u32 {
    let text = std::hint::black_box(&VERSION);
    let digits = text.iter().filter(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
}

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientFrame {
    /// Opens the conversation.
    Hello {
        /// [`version`] of the client.
        version: u32,
        /// Build id of the client.
        build: String,
    },
    /// The one request of this connection.
    Request(Box<Request>),
    /// A signal for the process that the request started.
    Signal(i32),
    /// In place of a request, from a client of a later version: the next
    /// supervisor starts from the binary whose descriptor comes along. Answered
    /// by this supervisor's end. Frozen: every version understands it.
    ReplaceSupervisor,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Reconcile: up, create, down, start, stop, restart, kill, rm, scale.
    Apply(Box<Apply>),
    /// A one-off container of a service.
    Run(Box<Run>),
    /// A process in a running container.
    Exec(Exec),
    /// The streams of a running container. Two pipes' write ends come along,
    /// for its output; what is written to it goes into the one descriptor that
    /// comes back with `Started`: its terminal's master or its stdin.
    Attach(ContainerId),
    /// Something about one container, whatever service it is of.
    Container(OneContainer),
    /// The project lives as long as a process from now on, or by itself again.
    Lease(Option<Lease>),
    /// Project events: past ones if a time is told, as far as they are
    /// remembered, then those that come.
    Events(Period),
    /// Ends the supervisor and its keeper if nothing of the project lives.
    Retire,
}

/// Which project events are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// From then on; only those that come when absent.
    pub since: Option<Timestamp>,
    /// Up to then, after which the request is done; without end when absent.
    pub until: Option<Timestamp>,
}

/// A plan to make and carry out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Apply {
    /// The desired project; the one applied last when absent.
    pub project: Option<Project>,
    /// What to do.
    pub command: Command,
    /// How many operations may be under way at once; any number when absent.
    #[serde(default)]
    pub parallel: Option<usize>,
    /// Whether the client shows what hooks write.
    #[serde(default)]
    pub shows_hooks: bool,
}

/// `rcompose run`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The desired project with the service changed as the command line says.
    pub project: Project,
    /// What to run.
    pub options: RunOptions,
    /// Whether the service's name resolves to it.
    pub use_aliases: bool,
    /// Where its streams go.
    pub streams: Streams,
    /// Whether the project is made for this container alone and goes with it.
    #[serde(default)]
    pub throw_away: bool,
}

/// `rcompose exec`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exec {
    /// Id of the process, chosen by the client.
    pub id: String,
    /// The container.
    pub container: ContainerId,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// User instead of the container's.
    pub user: Option<String>,
    /// Working folder instead of the container's.
    pub cwd: Option<String>,
    /// Environment over the container's.
    pub env: Vec<(String, String)>,
    /// Whether it has every capability.
    pub privileged: bool,
    /// Where its streams go.
    pub streams: Streams,
}

/// What is asked of one container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OneContainer {
    /// The container.
    pub container: ContainerId,
    /// What is to be done.
    pub action: ContainerAction,
}

/// What can be done to one container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerAction {
    /// Start it; one that runs is left alone.
    Start,
    /// Stop it; one that has ended is left alone.
    Stop {
        /// Time before SIGKILL instead of the container's own.
        timeout: Option<Duration>,
    },
    /// Stop and start it.
    Restart {
        /// Time before SIGKILL instead of the container's own.
        timeout: Option<Duration>,
    },
    /// Freeze it.
    Pause,
    /// Let it go on.
    Unpause,
    /// Send a signal to its first process.
    Kill {
        /// The signal's number.
        signal: i32,
    },
    /// Remove it.
    Remove {
        /// Also while it runs.
        force: bool,
        /// Anonymous volumes go too.
        volumes: bool,
    },
    /// Give it another name.
    Rename {
        /// The name.
        to: ContainerName,
    },
    /// Change limits and its restart policy, at once if it runs.
    Update(Box<Updates>),
}

/// Whom the project lives for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The process; the project goes down when it ends, however it does.
    pub owner: ProcessIdentity,
    /// Whether named volumes go with the project then.
    pub removes_volumes: bool,
}

/// Where the streams of a `run` or `exec` go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Streams {
    /// Three pipes come along: stdin's read end, stdout's and stderr's write ends.
    Pipes,
    /// A terminal, whose master comes back with `Started`.
    Terminal {
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// The log (`run -d`), or nothing (`exec -d`).
    Detached,
}

/// What a supervisor sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerFrame {
    /// Who answers.
    Hello {
        /// [`version`] of the supervisor.
        version: u32,
        /// Build id of the supervisor.
        build: String,
    },
    /// Something happened.
    Event(Event),
    /// The process of a `Run` or `Exec` lives; with [`Streams::Terminal`] the
    /// terminal's master comes along.
    Started {
        /// The container's id.
        container: ContainerId,
        /// Its name.
        name: String,
    },
    /// That process ended and all its output was written.
    Exited {
        /// How.
        outcome: Outcome,
    },
    /// Done.
    Finished,
    /// Not done.
    Failed(Failure),
}

/// Why a request failed, as the surface prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which kind, for the exit code.
    pub kind: FailureKind,
    /// What went wrong, then its causes, outermost first.
    pub chain: Vec<String>,
    /// Further failures of the same request, each as a chain.
    pub others: Vec<Vec<String>>,
    /// What to do.
    pub hint: Option<String>,
    /// Evidence: the last probe's output, the last log lines.
    pub evidence: Vec<String>,
    /// Docker's exit code where the request has one (`run`, `exec`).
    pub exit_code: Option<u8>,
}

/// The kinds of failure that a user can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The command doesn't fit the project.
    Usage,
    /// The host lacks something: rights, space, an address, a port.
    Environment,
    /// An image isn't there or isn't usable.
    Image,
    /// A container failed.
    Container,
    /// A fault of ours.
    Internal,
}
