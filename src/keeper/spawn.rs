//! One spawned process, from its request to its end.
//!
//! ```text
//!   starting ──▶ running ──ended──▶ draining ──complete──▶ exited ──forgotten
//!      │                                  (not logged: at once)
//!      └──▶ failed ──forgotten
//! ```

use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::keeper::card::Log;
use crate::model::{ExitRecord, Outcome, ProcessIdentity};
use crate::protocol::keeper::{SpawnFailure, SpawnId, SpawnState};
use crate::runtime::{self, Starting};

/// A process that was asked for.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) kind: Kind,
    pub(crate) phase: Phase,
}

/// What it is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A container's first process.
    Container {
        /// Path of its control group.
        cgroup: String,
        /// Its log, when its output is logged.
        log: Option<Log>,
    },
    /// A further process in a container.
    Exec,
}

/// How far it is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Its init stage is at work.
    Starting(Box<Birth>),
    /// It lives.
    Running {
        /// It.
        process: ProcessIdentity,
        /// Polled for its end.
        pidfd: OwnedFd,
        token: u64,
        /// Whether this keeper is its parent.
        is_child: bool,
    },
    /// It ended, and its output is still being written.
    Draining {
        process: ProcessIdentity,
        record: ExitRecord,
        /// When its end is told all the same.
        deadline: Duration,
    },
    /// It ended.
    Exited {
        process: ProcessIdentity,
        record: ExitRecord,
    },
    /// It could not be started.
    Failed(SpawnFailure),
}

/// A process on its way.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) starting: Starting,
    pub(crate) token: u64,
    /// When it is given up.
    pub(crate) deadline: Duration,
    /// Requests that wait for it.
    pub(crate) waiters: Vec<u64>,
    /// What goes on the shelf when it runs.
    pub(crate) shelve: Vec<(String, OwnedFd)>,
    pub(crate) terminal: TerminalUse,
}

/// What a terminal's master is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TerminalUse {
    /// It goes back with the reply, or there is none.
    Returned,
    /// It is logged, and shelved for who attaches; input is taken or not.
    Logged { has_input: bool },
}

impl Spawned {
    /// What a supervisor is told of it; None while it starts and when it failed.
    pub(crate) fn state(&self) -> Option<SpawnState> {
        match &self.phase {
            Phase::Starting(_) | Phase::Failed(_) => None,
            Phase::Running { process, .. } | Phase::Draining { process, .. } => {
                Some(SpawnState::Running {
                    process: process.clone(),
                })
            }
            Phase::Exited { record, .. } => Some(SpawnState::Exited {
                outcome: record.outcome,
                at: record.at,
                oom_killed: record.oom_killed,
            }),
        }
    }

    /// Whether it is a container that has not ended for good.
    pub(crate) fn is_live_container(&self) -> bool {
        let is_live = match self.phase {
            Phase::Starting(_) | Phase::Running { .. } | Phase::Draining { .. } => true,
            Phase::Exited { .. } | Phase::Failed(_) => false,
        };
        is_live && matches!(self.kind, Kind::Container { .. })
    }

    /// Whether the out-of-memory killer was the end of a container.
    pub(crate) fn is_oom_killed(&self, outcome: Outcome) -> bool {
        match &self.kind {
            Kind::Container { cgroup, .. } => {
                !outcome.is_success() && !cgroup.is_empty() && runtime::cgroup::oom_killed(cgroup)
            }
            Kind::Exec => false,
        }
    }

    /// Whether it can be forgotten.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Exited { .. } | Phase::Failed(_))
    }

    /// When something has to be done about it by the clock.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Starting(birth) => Some(birth.deadline),
            Phase::Draining { deadline, .. } => Some(*deadline),
            Phase::Running { .. } | Phase::Exited { .. } | Phase::Failed(_) => None,
        }
    }

    pub(crate) fn log(&self) -> Option<&Log> {
        match &self.kind {
            Kind::Container { log, .. } => log.as_ref(),
            Kind::Exec => None,
        }
    }
}

/// A failure that isn't the runtime's.
pub(crate) fn failure(step: &str, reason: impl std::fmt::Display) -> SpawnFailure {
    SpawnFailure {
        step: step.to_owned(),
        message: format!("{step}: {reason}"),
        exit_code: 125,
    }
}

/// What a token of the poller stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A starting process's news.
    News(SpawnId),
    /// A running process's end.
    End(SpawnId),
}
