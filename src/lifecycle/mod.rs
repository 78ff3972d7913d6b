//! What happens to a container over time: pure machines.
//!
//! Each takes an event and the moment and answers with actions; whoever
//! drives it carries these out and wakes it when it asked for that. No machine
//! reads a clock. A machine has one timer: each [`WakeAt`](health::Action)
//! replaces the one before, and waking too early or too often is harmless.

pub mod container;
pub mod gate;
pub mod health;
pub mod restart;
pub mod stop;

use std::time::Duration;

use jiff::Timestamp;

/// A moment, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Time since a fixed moment of this boot; what waits are counted by.
    pub monotonic: Duration,
    /// Wall time; what records show.
    pub wall: Timestamp,
}
