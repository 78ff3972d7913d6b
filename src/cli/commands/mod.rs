//! One variant a command, one file each.
//!
//! A file has `Args` (the flags, as docker compose spells them) and `run`,
//! which asks the floors below and prints. A command makes a tokio runtime of
//! its own only when it talks to a supervisor.

pub(crate) mod version;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::exit::Exit;

/// A command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the version information
    Version(version::Args),
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, _context: &Context) -> anyhow::Result<Exit> {
        match self {
            Self::Version(args) => args.run(),
        }
    }
}
