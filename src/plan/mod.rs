//! Desired × observed → a plan: operations in an order, each with its cause.
//!
//! One function a verb: [`reconcile()`] for `up`, `create` and `scale`,
//! [`down()`] and its like for the rest, or [`make()`] for whichever a
//! [`Command`] holds. They read two values and return a
//! third; the engine carries it out and decides nothing. A plan can be printed
//! ([`explain()`]), scheduled ([`Schedule`]) and asked what it wants confirmed
//! ([`Plan::confirmations`]).

mod cause;
mod command;
mod contention;
mod dag;
mod diff;
mod emit;
mod error;
mod explain;
mod fate;
mod gates;
mod naming;
mod operation;
mod options;
mod progress;
mod reconcile;
mod resources;
mod revive;
mod run;
mod schedule;
mod subject;
mod teardown;

pub use cause::{Cause, Change, How};
pub use command::{Command, make};
pub use dag::{After, Confirmation, Node, OpId, Plan};
pub use diff::{network as diff_network, service as diff_service, volume as diff_volume};
pub use error::Error;
pub use explain::{describe, explain};
pub use naming::{container_name, hook_slug, is_hook_slug};
pub use operation::{
    AwaitGate, Container, ContainerRef, CreateContainer, CreateNetwork, CreateVolume,
    KillContainer, Operation, PauseContainer, RemoveContainer, RemoveNetwork, RemoveVolume,
    RenameContainer, Replica, RestartContainer, RunPreStart, StartContainer, StopContainer,
    UnpauseContainer, WhenUsed,
};
pub use options::{
    DownOptions, ImageIds, KillOptions, Orphans, PauseOptions, Recreate, RestartOptions, RmOptions,
    RunOptions, StartOptions, StopOptions, UpOptions,
};
pub use progress::{Words, reason, words};
pub use reconcile::reconcile;
pub use revive::{restart, start};
pub use run::run;
pub use schedule::{Completion, Progressed, Schedule, Undo};
pub use subject::{Model, Subject};
pub use teardown::{down, kill, pause, rm, stop, unpause};
