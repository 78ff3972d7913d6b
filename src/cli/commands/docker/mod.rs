//! What the docker client has and neither Compose nor our nouns: answers for
//! programs that call it beside `docker compose`. Hidden: people have better
//! words.

mod events;
mod inspect;
mod version;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::flags::Flags;

/// Flags of `docker`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What the client has.
#[derive(Debug, Clone, Subcommand)]
#[command(defer = true)]
enum Command {
    /// Get real time events of every container
    Events(Flags<events::Args>),
    /// Return low-level information on containers, images, networks and volumes
    Inspect(Flags<inspect::Args>),
    /// Show the version information
    Version(Flags<version::Args>),
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Events(args) => args.0.run(context),
            Command::Inspect(args) => args.0.run(context),
            Command::Version(args) => args.0.run(),
        }
    }
}
