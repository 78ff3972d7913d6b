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
mod table;
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

use table::commands;

commands! {
    /// A command.
    pub(crate) enum Command {
        /// Build or rebuild services
        Build(build::Args),
        /// Manage what builds keep
        Builder(builder::Args),
        /// Attach local standard input, output, and error streams to a service's running container
        Attach(attach::Args),
        /// Print the completion script of a shell
        Completion(completion::Args),
        /// Create a new image from a service container's changes
        Commit(commit::Args),
        /// Parse, resolve and render compose file in canonical format
        #[command(alias = "convert")]
        Config(config::Args),
        /// List images used by the created containers
        Images(images::Args),
        /// Manage images
        Image(image::Args),
        /// Copy files/folders between a service container and the local filesystem
        Cp(cp::Args),
        /// Manage containers of every project, and run one without a Compose file
        Container(container::Args),
        /// Creates containers for a service
        Create(create::Args),
        /// What only the docker client has, for programs that call it
        #[command(hide = true)]
        Docker(docker::Args),
        /// Stop and remove containers, networks
        Down(down::Args),
        /// Print where services are reached, as variables for a shell or a test
        Env(env::Args),
        /// Receive real time events from containers
        Events(events::Args),
        /// Execute a command in a running container
        Exec(exec::Args),
        /// Export a service container's filesystem as a tar archive
        Export(export::Args),
        /// Find and remove what crashes left
        Gc(gc::Args),
        /// Make this program known to the docker client, to shells and to man
        Install(install::Args),
        /// Force stop service containers
        Kill(kill::Args),
        /// Write down the digests of the project's images
        Lock(lock::Args),
        /// Log in to a registry
        Login(login::Args),
        /// Log out from a registry
        Logout(logout::Args),
        /// View output from containers
        Logs(logs::Args),
        /// List running compose projects
        Ls(ls::Args),
        /// Print a manual page
        Man(man::Args),
        /// Manage networks
        Network(network::Args),
        /// Show what up would do, and why, without doing it (exit code 2 when there is something to do)
        Plan(plan::Args),
        /// Pause services
        Pause(pause::Args),
        /// Print the public port for a port binding
        Port(port::Args),
        /// List containers
        Ps(ps::Args),
        /// Pull service images
        Pull(pull::Args),
        /// Push service images
        Push(push::Args),
        /// Publish compose application (refused: rcompose reads no projects from registries)
        Publish(publish::Args),
        /// Restart service containers
        Restart(restart::Args),
        /// Removes stopped service containers
        Rm(rm::Args),
        /// Run a one-off command on a service
        Run(run::Args),
        /// Scale services
        Scale(scale::Args),
        /// Start services
        Start(start::Args),
        /// Stop services
        Stop(stop::Args),
        /// Display a live stream of container(s) resource usage statistics
        Stats(stats::Args),
        /// Manage the engine
        System(system::Args),
        /// Bring the project up, run a command against it, and take it down again
        Test(test::Args),
        /// Display the running processes
        Top(top::Args),
        /// Unpause services
        Unpause(unpause::Args),
        /// Create and start containers
        Up(Box<up::Args>),
        /// Show the version information
        Version(version::Args),
        /// Manage volumes
        Volume(volume::Args),
        /// List volumes
        Volumes(volumes::Args),
        /// Block until containers of all (or specified) services stop
        Wait(wait::Args),
        /// Watch build context for service and rebuild/refresh containers when files are updated
        Watch(watch::Args),
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
        assert_eq!(exec.no_tty, Some(true));
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
