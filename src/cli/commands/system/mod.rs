//! `system`: this engine as a whole.

mod df;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::exit::Exit;

/// Flags of `system`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do with the engine.
#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Show disk usage
    Df(df::Args),
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Df(args) => args.run(context),
        }
    }
}
