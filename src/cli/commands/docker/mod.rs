//! What the docker client has and neither Compose nor our nouns: answers for
//! programs that call it beside `docker compose`. Hidden: people have better
//! words.

mod events;
mod inspect;
mod version;

use crate::cli::commands::table::commands;
use crate::cli::context::Context;
use crate::cli::exit::Exit;

/// Flags of `docker`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

commands! {
    /// What the client has.
    enum Command {
        /// Get real time events of every container
        Events(events::Args),
        /// Return low-level information on containers, images, networks and volumes
        Inspect(inspect::Args),
        /// Show the version information
        Version(version::Args),
    }
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        self.command.run(context)
    }
}
