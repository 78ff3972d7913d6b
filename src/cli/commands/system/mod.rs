//! `system`: this engine as a whole.

mod boot;
mod df;
mod info;
mod prune;

use crate::cli::commands::gc;
use crate::cli::commands::table::commands;
use crate::cli::context::Context;
use crate::cli::exit::Exit;

/// Flags of `system`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

commands! {
    /// What to do with the engine.
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
        /// Stop all containers for the time of a reboot, each as `stop` does
        Suspend(boot::SuspendArgs),
    }
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        self.command.run(context)
    }
}
