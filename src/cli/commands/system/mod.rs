//! `system`: this engine as a whole.

mod boot;
mod df;
mod info;
mod prune;

use clap::Subcommand;

use crate::cli::commands::gc;
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
    /// Have `restart: always` and `unless-stopped` hold over a reboot no longer
    Disable(boot::DisableArgs),
    /// Have `restart: always` and `unless-stopped` hold over a reboot (a systemd unit)
    Enable(boot::EnableArgs),
    /// Remove what crashes left
    Gc(gc::Args),
    /// Display engine-wide information
    Info(info::Args),
    /// Remove unused data
    Prune(prune::Args),
    /// Start what a reboot stopped, as restart policies say
    Resume(boot::ResumeArgs),
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Df(args) => args.run(context),
            Command::Disable(args) => args.run(context),
            Command::Enable(args) => args.run(context),
            Command::Gc(args) => args.run(context),
            Command::Info(args) => args.run(context),
            Command::Prune(args) => args.run(context),
            Command::Resume(args) => args.run(context),
        }
    }
}
