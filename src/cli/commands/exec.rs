//! `exec`: runs a command in a running container.

use anyhow::Context as _;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::process::{self, Wish};
use crate::cli::{flags, output, session, target};
use crate::model::ContainerId;
use crate::protocol::control::{Exec, Request};
use crate::sys;

/// Flags of `exec`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Detached mode: Run command in the background
    #[arg(short = 'd', long)]
    pub(crate) detach: bool,
    /// Set environment variables
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    pub(crate) environment: Vec<String>,
    /// Index of the container if service has multiple replicas
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) index: u32,
    /// Keep STDIN open even if not attached
    #[arg(short = 'i', long, hide = true, default_value = "true", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::cli::flags::go_bool())]
    pub(crate) interactive: bool,
    /// Allocate a pseudo-TTY
    #[arg(short = 't', long, hide = true)]
    pub(crate) tty: bool,
    /// Disable pseudo-TTY allocation. By default one is allocated when stdin and stdout are terminals
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::cli::flags::go_bool())]
    pub(crate) no_tty: Option<bool>,
    /// Give extended privileges to the process
    #[arg(long)]
    pub(crate) privileged: bool,
    /// Run the command as this user
    #[arg(short = 'u', long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Path to workdir directory for this command
    #[arg(short = 'w', long, value_name = "DIRECTORY")]
    pub(crate) workdir: Option<String>,
    /// Service, command and its arguments: from the service on, everything is the command's.
    #[arg(value_names = ["SERVICE", "COMMAND"], required = true, num_args = 2.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
}

impl Args {
    /// Runs it; the exit code is the command's.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (service, argv) = flags::first_and_rest(&self.words)?;
        let name = context.project_name()?;
        let container = target::running(context, &name, service, self.index)?;
        let wish = if self.detach {
            Wish::Detached
        } else {
            // As in docker compose, `-t` asks for what a terminal gets anyway.
            Wish::settle(context.terminal, false, self.no_tty, self.interactive)?
        };
        if context.settings.dry_run {
            output::notice(&format!(
                " DRY-RUN MODE -  exec in {}: {}",
                container.record.name,
                argv.join(" ")
            ));
            return Ok(Exit::SUCCESS);
        }
        let client = session::client(context, &name)?;
        let request = Request::Exec(Exec {
            id: format!("exec.{}", random_id()?),
            container: container.record.id,
            argv: argv.to_vec(),
            user: self.user.clone(),
            cwd: self.workdir.clone(),
            env: environment(&self.environment, context),
            privileged: self.privileged,
            streams: wish.streams(),
        });
        session::block_on(process::converse(&client, request, wish, &mut Some))
    }
}

/// `-e KEY=VALUE`, or `-e KEY` with the caller's value.
pub(crate) fn environment(typed: &[String], context: &Context) -> Vec<(String, String)> {
    typed
        .iter()
        .filter_map(|text| match text.split_once('=') {
            Some((key, value)) => Some((key.to_owned(), value.to_owned())),
            None => Some((text.clone(), context.environment.get(text)?.to_owned())),
        })
        .collect()
}

/// Twelve random hexadecimal digits.
pub(crate) fn random_id() -> anyhow::Result<String> {
    let bytes = sys::random::bytes32().context("draw of random bytes")?;
    Ok(ContainerId::from_random(bytes).short().to_owned())
}
