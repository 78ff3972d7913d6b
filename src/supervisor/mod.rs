//! The one background process of a running project.
//!
//! It is crash-only: everything that must outlive it lies in records or on
//! the keeper's shelf, and a start adopts what it finds there. Its parts:
//!
//! ```text
//!  server ── requests ──> apply, oneoff ── operations ──> host (start, stop, sandbox, …)
//!                                                           │            ▲
//!  link <──────────────── spawn, signal, shelf ─────────────┘            │
//!    └──── states of spawned processes ────> driver ── exits, restarts ──┘
//! ```
//!
//! Everything runs on one thread. The table of containers is the one owner of
//! their state; no borrow of it is held across an await.

pub mod channel;
pub mod client;

mod adopt;
mod apply;
mod attach;
mod create;
mod driver;
mod error;
mod events;
mod failure;
mod files;
mod gates;
mod health;
mod held_root;
mod hook_output;
mod host;
mod journal;
mod lease;
mod link;
mod live;
mod logging;
mod namespaces;
mod neighbours;
mod networks;
mod oneoff;
mod pre_start;
mod remove;
mod retire;
mod sandbox;
mod scope;
mod server;
mod single;
mod spare;
mod spawn_name;
mod start;
mod stop;
mod turn;
mod zone;

pub use error::Error;
pub use journal::last_words;
pub use retire::{Fatal, run};
