//! `container`: containers of every project, in the docker client's words.

mod attach;
mod commit;
mod cp;
mod diff;
mod exec;
mod export;
pub(crate) mod inspect;
mod logs;
mod ls;
pub(crate) mod prune;
mod run;
mod stats;
mod top;
mod update;
pub(crate) mod verbs;
mod wait;

use crate::cli::commands::table::commands;
use crate::cli::context::Context;
use crate::cli::exit::Exit;

/// Flags of `container`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

commands! {
    /// What to do with containers.
    enum Command {
        /// Attach local standard input, output, and error streams to a running container
        Attach(attach::Args),
        /// Create a new image from a container's changes
        Commit(commit::Args),
        /// Copy files/folders between a container and the local filesystem
        Cp(cp::Args),
        /// Inspect changes to files or directories on a container's filesystem
        Diff(diff::Args),
        /// Execute a command in a running container
        Exec(exec::Args),
        /// Export a container's filesystem as a tar archive
        Export(export::Args),
        /// Display detailed information on one or more containers
        Inspect(inspect::Args),
        /// Kill one or more running containers
        Kill(verbs::KillArgs),
        /// Fetch the logs of a container
        Logs(logs::Args),
        /// List containers
        #[command(visible_aliases = ["list", "ps"])]
        Ls(ls::Args),
        /// Pause all processes within one or more containers
        Pause(verbs::PauseArgs) => pause,
        /// List port mappings or a specific mapping for the container
        Port(verbs::PortArgs),
        /// Remove all stopped containers
        Prune(prune::Args),
        /// Rename a container
        Rename(verbs::RenameArgs),
        /// Restart one or more containers
        Restart(verbs::RestartArgs),
        /// Remove one or more containers
        #[command(visible_alias = "remove")]
        Rm(verbs::RmArgs),
        /// Create and run a new container from an image
        Run(Box<run::Args>),
        /// Start one or more stopped containers
        Start(verbs::StartArgs),
        /// Display a live stream of container(s) resource usage statistics
        Stats(stats::Args),
        /// Stop one or more running containers
        Stop(verbs::StopArgs),
        /// Display the running processes of a container
        Top(top::Args),
        /// Unpause all processes within one or more containers
        Unpause(verbs::PauseArgs) => unpause,
        /// Update configuration of one or more containers
        Update(update::Args),
        /// Block until one or more containers stop, then print their exit codes
        Wait(wait::Args),
    }
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        self.command.run(context)
    }
}
