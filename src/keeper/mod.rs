//! The keeper: the one single-threaded process of a project that clones every
//! container, is its parent and reaper, and holds the shelf.
//!
//! ```text
//!   command ──launch──▶ keeper ◀─socket─▶ supervisor     (started again by the keeper)
//!                        │  └──socket──▶ log writer      (started again by the keeper)
//!                        └── containers, processes in them
//! ```
//!
//! It never waits for anybody: not for its supervisor (states are kept and
//! sent when there is room), not for a disk (the log writer does), and for a
//! starting container only until a deadline. If it dies, its supervisor starts
//! another from the mirror of the shelf ([`Client::revive`]); if both die, the
//! next command starts a new pair ([`launch()`]) and the supervisor has it
//! adopt what lives. A tethered keeper ([`tether`]) has an owner instead of a
//! supervisor, and ends with it.
//!
//! [`run`], [`launch()`] and [`Client`] are the ways in. The protocol is in
//! `protocol::keeper`.

mod adoption;
mod birth;
mod card;
mod client;
mod launch;
mod link;
mod member;
mod orders;
mod requests;
mod service;
mod shelf;
mod spawn;
mod spawns;
mod streams;
mod succession;
mod supervisor;
mod writer;

use std::io;
use std::time::Duration;

pub use birth::{SupervisorBirth, run, supervisor_birth};
pub use client::Client;
pub use launch::{LaunchSpec, Launched, PAIR_GROUP, is_passed_on, launch, relaunch, tether};
pub use member::Life;
pub use shelf::{CONTROL as SHELF_CONTROL, LOCK as SHELF_LOCK, Shelf};

use crate::protocol::frame;

/// Why there is no keeper, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The keeper is gone.
    #[error("keeper is gone")]
    Gone,
    /// Its socket doesn't work.
    #[error("socket of the keeper")]
    Socket(#[source] io::Error),
    /// Something can't be said or understood.
    #[error("message of the keeper")]
    Message(#[from] frame::Error),
    /// Nothing came in time.
    #[error("keeper did not answer within {0:?}")]
    Silent(Duration),
    /// It couldn't be started or couldn't go on.
    #[error("keeper: {step}")]
    Step {
        /// What was attempted, with its subject.
        step: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// It was started and found that it can't live.
    #[error("keeper could not start: {message}")]
    Refused {
        /// In its words.
        message: String,
    },
}

/// Names the step that a system call failed in.
trait Step<T> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Step<T> for io::Result<T> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Step {
            step: step(),
            source,
        })
    }
}
