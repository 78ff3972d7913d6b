//! What scenarios are written in.

mod check;
mod command;
mod image;
mod leftovers;
mod machine;
#[path = "../../support/patience.rs"]
mod patience;
mod scenario;
mod world;

pub(crate) use check::{
    Check, answers, eventually, exits, fails, file, inside, prints, prints_exactly, prints_no,
    processes, says, shell_says, state, traps_term,
};
pub(crate) use command::{
    Command, HEARS_INT, background, cut_short, interrupt, join, kill, kill_some, look, rcompose,
    shell, shell_in_world,
};
pub(crate) use leftovers::Snapshot;
pub(crate) use scenario::{Scenario, scenario, scenario_needing};
pub(crate) use world::serve_name;
