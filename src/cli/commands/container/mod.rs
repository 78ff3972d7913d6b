//! `container`: containers of every project, in the docker client's words.

mod attach;
mod commit;
mod cp;
mod exec;
mod export;
pub(crate) mod inspect;
mod logs;
mod ls;
pub(crate) mod prune;
mod run;
mod stats;
mod top;
pub(crate) mod verbs;
mod wait;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::flags::Flags;

/// Flags of `container`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do with containers.
#[derive(Debug, Clone, Subcommand)]
#[command(defer = true)]
enum Command {
    /// Attach local standard input, output, and error streams to a running container
    Attach(Flags<attach::Args>),
    /// Create a new image from a container's changes
    Commit(Flags<commit::Args>),
    /// Copy files/folders between a container and the local filesystem
    Cp(Flags<cp::Args>),
    /// Execute a command in a running container
    Exec(Flags<exec::Args>),
    /// Export a container's filesystem as a tar archive
    Export(Flags<export::Args>),
    /// Display detailed information on one or more containers
    Inspect(Flags<inspect::Args>),
    /// Kill one or more running containers
    Kill(Flags<verbs::KillArgs>),
    /// Fetch the logs of a container
    Logs(Flags<logs::Args>),
    /// List containers
    #[command(visible_aliases = ["list", "ps"])]
    Ls(Flags<ls::Args>),
    /// Pause all processes within one or more containers
    Pause(Flags<verbs::PauseArgs>),
    /// List port mappings or a specific mapping for the container
    Port(Flags<verbs::PortArgs>),
    /// Remove all stopped containers
    Prune(Flags<prune::Args>),
    /// Restart one or more containers
    Restart(Flags<verbs::RestartArgs>),
    /// Remove one or more containers
    #[command(visible_alias = "remove")]
    Rm(Flags<verbs::RmArgs>),
    /// Create and run a new container from an image
    Run(Flags<Box<run::Args>>),
    /// Start one or more stopped containers
    Start(Flags<verbs::StartArgs>),
    /// Display a live stream of container(s) resource usage statistics
    Stats(Flags<stats::Args>),
    /// Stop one or more running containers
    Stop(Flags<verbs::StopArgs>),
    /// Display the running processes of a container
    Top(Flags<top::Args>),
    /// Unpause all processes within one or more containers
    Unpause(Flags<verbs::PauseArgs>),
    /// Block until one or more containers stop, then print their exit codes
    Wait(Flags<wait::Args>),
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Attach(args) => args.0.run(context),
            Command::Commit(args) => args.0.run(context),
            Command::Cp(args) => args.0.run(context),
            Command::Exec(args) => args.0.run(context),
            Command::Export(args) => args.0.run(context),
            Command::Inspect(args) => args.0.run(context),
            Command::Kill(args) => args.0.run(context),
            Command::Logs(args) => args.0.run(context),
            Command::Ls(args) => args.0.run(context),
            Command::Pause(args) => args.0.pause(context),
            Command::Port(args) => args.0.run(context),
            Command::Prune(args) => args.0.run(context),
            Command::Restart(args) => args.0.run(context),
            Command::Rm(args) => args.0.run(context),
            Command::Run(args) => args.0.run(context),
            Command::Start(args) => args.0.run(context),
            Command::Stats(args) => args.0.run(context),
            Command::Stop(args) => args.0.run(context),
            Command::Top(args) => args.0.run(context),
            Command::Unpause(args) => args.0.unpause(context),
            Command::Wait(args) => args.0.run(context),
        }
    }
}
