//! `container exec`: a command in a running container of any project.

use crate::cli::commands::exec::{environment, random_id};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::process::{self, Wish};
use crate::cli::{flags, named, session};
use crate::protocol::control::{Exec, Request};

/// Flags of `container exec`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Detached mode: run command in the background
    #[arg(short = 'd', long)]
    detach: bool,
    /// Override the key sequence for detaching a container (no effect: nothing detaches)
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Set environment variables
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    environment: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long = "env-file", value_name = "FILE")]
    environment_files: Vec<String>,
    /// Keep STDIN open even if not attached
    #[arg(short = 'i', long)]
    interactive: bool,
    /// Give extended privileges to the command
    #[arg(long)]
    privileged: bool,
    /// Allocate a pseudo-TTY
    #[arg(short = 't', long)]
    tty: bool,
    /// Username or UID (format: "<name|uid>[:<group|gid>]")
    #[arg(short = 'u', long, value_name = "USER")]
    user: Option<String>,
    /// Working directory inside the container
    #[arg(short = 'w', long, value_name = "DIRECTORY")]
    workdir: Option<String>,
    /// Container, command and its arguments: from the container on, everything is the command's.
    #[arg(value_names = ["CONTAINER", "COMMAND"], required = true, num_args = 2.., trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Args {
    /// Runs it; the exit code is the command's.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (word, argv) = flags::first_and_rest(&self.words)?;
        let container = named::find_running(context.store()?, word)?;
        let wish = wish(context, self.detach, self.tty, self.interactive)?;
        let mut env = Vec::new();
        for file in &self.environment_files {
            env.extend(context.read_env_file(file)?);
        }
        env.extend(environment(&self.environment, context));
        let client = session::client(context, &container.record.project)?;
        let request = Request::Exec(Exec {
            id: format!("exec.{}", random_id()?),
            container: container.record.id,
            argv: argv.to_vec(),
            user: self.user.clone(),
            cwd: self.workdir.clone(),
            env,
            privileged: self.privileged,
            streams: wish.streams(),
        });
        session::block_on(process::converse(&client, request, wish, &mut Some))
    }
}

/// Which streams docker gives a process: a terminal only when asked for.
pub(crate) fn wish(
    context: &Context,
    detach: bool,
    tty: bool,
    with_stdin: bool,
) -> Result<Wish, Failure> {
    if detach {
        return Ok(Wish::Detached);
    }
    if tty && with_stdin && !context.terminal.stdin {
        return Err(Failure::usage("the input device is not a TTY"));
    }
    Ok(if tty {
        Wish::Terminal { with_stdin }
    } else {
        Wish::Pipes { with_stdin }
    })
}
