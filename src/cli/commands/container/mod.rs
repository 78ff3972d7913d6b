//! `container`: containers of every project, in the docker client's words.

mod exec;
pub(crate) mod inspect;
mod logs;
mod ls;
pub(crate) mod prune;
mod run;
mod stats;
pub(crate) mod verbs;
mod wait;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::exit::Exit;

/// Flags of `container`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do with containers.
#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Execute a command in a running container
    Exec(exec::Args),
    /// Display detailed information on one or more containers
    Inspect(inspect::Args),
    /// Kill one or more running containers
    Kill(verbs::KillArgs),
    /// Fetch the logs of a container
    Logs(logs::Args),
    /// List containers
    #[command(visible_aliases = ["list", "ps"])]
    Ls(ls::Args),
    /// List port mappings or a specific mapping for the container
    Port(verbs::PortArgs),
    /// Remove all stopped containers
    Prune(prune::Args),
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
    /// Block until one or more containers stop, then print their exit codes
    Wait(wait::Args),
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Exec(args) => args.run(context),
            Command::Inspect(args) => args.run(context),
            Command::Kill(args) => args.run(context),
            Command::Logs(args) => args.run(context),
            Command::Ls(args) => args.run(context),
            Command::Port(args) => args.run(context),
            Command::Prune(args) => args.run(context),
            Command::Restart(args) => args.run(context),
            Command::Rm(args) => args.run(context),
            Command::Run(args) => args.run(context),
            Command::Start(args) => args.run(context),
            Command::Stats(args) => args.run(context),
            Command::Stop(args) => args.run(context),
            Command::Wait(args) => args.run(context),
        }
    }
}
