//! One variant a command, one file each.
//!
//! A file has `Args` (the flags, as docker compose spells them) and `run`,
//! which asks the floors below and prints. A command makes a tokio runtime of
//! its own only when it talks to a supervisor.

pub(crate) mod attach;
pub(crate) mod build;
pub(crate) mod builder;
pub(crate) mod commit;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod container;
pub(crate) mod cp;
pub(crate) mod create;
pub(crate) mod docker;
pub(crate) mod down;
pub(crate) mod env;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod export;
pub(crate) mod gc;
pub(crate) mod image;
pub(crate) mod images;
pub(crate) mod install;
pub(crate) mod kill;
pub(crate) mod lock;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod network;
pub(crate) mod nouns;
pub(crate) mod pause;
pub(crate) mod plan;
pub(crate) mod port;
pub(crate) mod ps;
pub(crate) mod publish;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod restart;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod scale;
pub(crate) mod start;
pub(crate) mod stats;
pub(crate) mod stop;
pub(crate) mod system;
pub(crate) mod test;
pub(crate) mod top;
pub(crate) mod unpause;
pub(crate) mod up;
pub(crate) mod values;
pub(crate) mod version;
pub(crate) mod volume;
pub(crate) mod volumes;
pub(crate) mod wait;
pub(crate) mod watch;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::flags::Flags;

/// A command.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Command {
    /// Build or rebuild services
    Build(Flags<build::Args>),
    /// Manage what builds keep
    Builder(Flags<builder::Args>),
    /// Attach local standard input, output, and error streams to a service's running container
    Attach(Flags<attach::Args>),
    /// Print the completion script of a shell
    Completion(Flags<completion::Args>),
    /// Create a new image from a service container's changes
    Commit(Flags<commit::Args>),
    /// Parse, resolve and render compose file in canonical format
    #[command(alias = "convert")]
    Config(Flags<config::Args>),
    /// List images used by the created containers
    Images(Flags<images::Args>),
    /// Manage images
    Image(Flags<image::Args>),
    /// Copy files/folders between a service container and the local filesystem
    Cp(Flags<cp::Args>),
    /// Manage containers of every project, and run one without a Compose file
    Container(Flags<container::Args>),
    /// Creates containers for a service
    Create(Flags<create::Args>),
    /// What only the docker client has, for programs that call it
    #[command(hide = true)]
    Docker(Flags<docker::Args>),
    /// Stop and remove containers, networks
    Down(Flags<down::Args>),
    /// Print where services are reached, as variables for a shell or a test
    Env(Flags<env::Args>),
    /// Receive real time events from containers
    Events(Flags<events::Args>),
    /// Execute a command in a running container
    Exec(Flags<exec::Args>),
    /// Export a service container's filesystem as a tar archive
    Export(Flags<export::Args>),
    /// Find and remove what crashes left
    Gc(Flags<gc::Args>),
    /// Make this program known to the docker client, to shells and to man
    Install(Flags<install::Args>),
    /// Force stop service containers
    Kill(Flags<kill::Args>),
    /// Write down the digests of the project's images
    Lock(Flags<lock::Args>),
    /// Log in to a registry
    Login(Flags<login::Args>),
    /// Log out from a registry
    Logout(Flags<logout::Args>),
    /// View output from containers
    Logs(Flags<logs::Args>),
    /// List running compose projects
    Ls(Flags<ls::Args>),
    /// Print a manual page
    Man(Flags<man::Args>),
    /// Manage networks
    Network(Flags<network::Args>),
    /// Show what up would do, and why, without doing it (exit code 2 when there is something to do)
    Plan(Flags<plan::Args>),
    /// Pause services
    Pause(Flags<pause::Args>),
    /// Print the public port for a port binding
    Port(Flags<port::Args>),
    /// List containers
    Ps(Flags<ps::Args>),
    /// Pull service images
    Pull(Flags<pull::Args>),
    /// Push service images
    Push(Flags<push::Args>),
    /// Publish compose application (refused: rcompose reads no projects from registries)
    Publish(Flags<publish::Args>),
    /// Restart service containers
    Restart(Flags<restart::Args>),
    /// Removes stopped service containers
    Rm(Flags<rm::Args>),
    /// Run a one-off command on a service
    Run(Flags<run::Args>),
    /// Scale services
    Scale(Flags<scale::Args>),
    /// Start services
    Start(Flags<start::Args>),
    /// Stop services
    Stop(Flags<stop::Args>),
    /// Display a live stream of container(s) resource usage statistics
    Stats(Flags<stats::Args>),
    /// Manage the engine
    System(Flags<system::Args>),
    /// Bring the project up, run a command against it, and take it down again
    Test(Flags<test::Args>),
    /// Display the running processes
    Top(Flags<top::Args>),
    /// Unpause services
    Unpause(Flags<unpause::Args>),
    /// Create and start containers
    Up(Flags<Box<up::Args>>),
    /// Show the version information
    Version(Flags<version::Args>),
    /// Manage volumes
    Volume(Flags<volume::Args>),
    /// List volumes
    Volumes(Flags<volumes::Args>),
    /// Block until containers of all (or specified) services stop
    Wait(Flags<wait::Args>),
    /// Watch build context for service and rebuild/refresh containers when files are updated
    Watch(Flags<watch::Args>),
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self {
            Self::Build(args) => args.0.run(context),
            Self::Builder(args) => args.0.run(context),
            Self::Attach(args) => args.0.run(context),
            Self::Commit(args) => args.0.run(context),
            Self::Config(args) => args.0.run(context),
            Self::Images(args) => args.0.run(context),
            Self::Image(args) => args.0.run(context),
            Self::Cp(args) => args.0.run(context),
            Self::Completion(args) => args.0.run(),
            Self::Container(args) => args.0.run(context),
            Self::Create(args) => args.0.run(context),
            Self::Docker(args) => args.0.run(context),
            Self::Down(args) => args.0.run(context),
            Self::Env(args) => args.0.run(context),
            Self::Events(args) => args.0.run(context),
            Self::Exec(args) => args.0.run(context),
            Self::Export(args) => args.0.run(context),
            Self::Gc(args) => args.0.run(context),
            Self::Install(args) => args.0.run(context),
            Self::Kill(args) => args.0.run(context),
            Self::Lock(args) => args.0.run(context),
            Self::Login(args) => args.0.run(context),
            Self::Logout(args) => args.0.run(context),
            Self::Logs(args) => args.0.run(context),
            Self::Ls(args) => args.0.run(context),
            Self::Man(args) => args.0.run(),
            Self::Network(args) => args.0.run(context),
            Self::Plan(args) => args.0.run(context),
            Self::Pause(args) => args.0.run(context),
            Self::Port(args) => args.0.run(context),
            Self::Ps(args) => args.0.run(context),
            Self::Pull(args) => args.0.run(context),
            Self::Push(args) => args.0.run(context),
            Self::Publish(args) => args.0.run(context),
            Self::Restart(args) => args.0.run(context),
            Self::Rm(args) => args.0.run(context),
            Self::Run(args) => args.0.run(context),
            Self::Scale(args) => args.0.run(context),
            Self::Start(args) => args.0.run(context),
            Self::Stop(args) => args.0.run(context),
            Self::Stats(args) => args.0.run(context),
            Self::System(args) => args.0.run(context),
            Self::Test(args) => args.0.run(context),
            Self::Top(args) => args.0.run(context),
            Self::Unpause(args) => args.0.run(context),
            Self::Up(args) => args.0.run(context),
            Self::Version(args) => args.0.run(),
            Self::Volume(args) => args.0.run(context),
            Self::Volumes(args) => args.0.run(context),
            Self::Wait(args) => args.0.run(context),
            Self::Watch(args) => args.0.run(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only<T: clap::Args> {
        #[command(flatten)]
        args: T,
    }

    fn parse<T: clap::Args>(words: &[&str]) -> Result<T, clap::Error> {
        let words = std::iter::once(&"rcompose").chain(words);
        Only::try_parse_from(words).map(|only| only.args)
    }

    #[test]
    fn from_the_service_on_everything_is_the_command_s() {
        let exec: exec::Args = parse(&["-T", "web", "ls", "-T", "--help"]).unwrap();
        assert!(exec.no_tty);
        assert_eq!(exec.words, ["web", "ls", "-T", "--help"]);
        let run: run::Args = parse(&["--rm", "web", "--rm", "-e"]).unwrap();
        assert!(run.rm && run.environment.is_empty());
        assert_eq!(run.words, ["web", "--rm", "-e"]);
        assert!(parse::<exec::Args>(&["web"]).is_err());
    }

    #[test]
    fn input_is_passed_on_unless_refused() {
        assert!(parse::<exec::Args>(&["web", "ls"]).unwrap().interactive);
        assert!(
            !parse::<exec::Args>(&["--interactive=false", "web", "ls"])
                .unwrap()
                .interactive
        );
        assert!(parse::<run::Args>(&["web"]).unwrap().interactive);
    }

    #[test]
    fn what_excludes_each_other_is_refused() {
        for words in [
            ["--build", "--no-build"],
            ["--force-recreate", "--no-recreate"],
            ["--abort-on-container-exit", "--detach"],
            ["--watch", "-d"],
        ] {
            assert!(parse::<up::Args>(&words).is_err(), "{words:?}");
        }
        assert!(parse::<up::Args>(&["-d", "--wait", "web", "db"]).is_ok());
    }
}
