//! `system`: this engine as a whole.

mod boot;
mod df;
mod info;
mod prune;

use clap::Subcommand;

use crate::cli::commands::gc;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::flags::Flags;

/// Flags of `system`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do with the engine.
#[derive(Debug, Clone, Subcommand)]
#[command(defer = true)]
enum Command {
    /// Show disk usage
    Df(Flags<df::Args>),
    /// Have `restart: always` and `unless-stopped` hold over a reboot no longer
    Disable(Flags<boot::DisableArgs>),
    /// Have `restart: always` and `unless-stopped` hold over a reboot (a systemd unit)
    Enable(Flags<boot::EnableArgs>),
    /// Remove what crashes left
    Gc(Flags<gc::Args>),
    /// Display engine-wide information
    Info(Flags<info::Args>),
    /// Remove unused data
    Prune(Flags<prune::Args>),
    /// Start what a reboot stopped, as restart policies say
    Resume(Flags<boot::ResumeArgs>),
    /// Stop all containers for the time of a reboot, each as `stop` does
    Suspend(Flags<boot::SuspendArgs>),
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Df(args) => args.0.run(context),
            Command::Disable(args) => args.0.run(context),
            Command::Enable(args) => args.0.run(context),
            Command::Gc(args) => args.0.run(context),
            Command::Info(args) => args.0.run(context),
            Command::Prune(args) => args.0.run(context),
            Command::Resume(args) => args.0.run(context),
            Command::Suspend(args) => args.0.run(context),
        }
    }
}
