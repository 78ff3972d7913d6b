//! `test`: brings the project up, runs a command against it, and takes it down
//! again, however the command ends.
//!
//! The project gets a name of its own, so that a test never meets the
//! containers and volumes that somebody works with. It is leased to this
//! process: if we are killed, the supervisor takes it down.

use std::io::{self, BufWriter};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command as Process, ExitStatus};
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::commands::exec::random_id;
use crate::cli::commands::values;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Kind};
use crate::cli::follow::Follower;
use crate::cli::images::Choice;
use crate::cli::output::logs::{Dress, Printer};
use crate::cli::session;
use crate::cli::tethered::TETHERED;
use crate::cli::{bring_up, output, records};
use crate::logs::reader::Query;
use crate::model::{ProjectName, Signal as Number};
use crate::plan::{Command, DownOptions, UpOptions};
use crate::protocol::control::Lease;
use crate::sys;
use crate::view::harness::{self, Variables};

/// How long a test's containers get to end by themselves.
const GRACE: Duration = Duration::from_secs(2);

/// Flags of `test`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Build images before starting containers
    #[arg(long)]
    build: bool,
    /// Leave the project up when the command fails, to look at it
    #[arg(long)]
    keep_on_failure: bool,
    /// Lines of each container's log that are shown when the command fails, or "all"
    #[arg(long, default_value = "100", value_name = "N")]
    logs: String,
    /// Services to bring up; all when none is named
    #[arg(long = "service", value_name = "SERVICE")]
    services: Vec<String>,
    /// Maximum duration in seconds to wait for the project to be running|healthy
    #[arg(long, value_name = "SECONDS")]
    wait_timeout: Option<u64>,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Args {
    /// Runs the test; the exit code is the command's.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let tail = crate::cli::commands::values::tail(&self.logs).map_err(Failure::usage)?;
        let name = name(context)?;
        let own = context.called(&name)?;
        if context.settings.dry_run {
            bring_up::run(&own, self.options()?, &Choice::default(), "test")?;
            return Ok(Exit::SUCCESS);
        }
        let result = self.up(&own).and_then(|()| self.command(&own, &name));
        let is_good = matches!(result, Ok(Exit::SUCCESS));
        if !is_good && !is_interrupted(&result) {
            show_logs(&own, &name, tail)?;
        }
        if !is_good && self.keep_on_failure && own.store()?.project(&name).exists() {
            return keep(&own, &name).and(result);
        }
        down(&own, &name)?;
        result
    }

    fn options(&self) -> anyhow::Result<UpOptions> {
        Ok(UpOptions {
            services: values::service_names(&self.services)?,
            wait: true,
            wait_timeout: self.wait_timeout.map(Duration::from_secs),
            assume_yes: true,
            ..UpOptions::default()
        })
    }

    fn up(&self, context: &Context) -> anyhow::Result<()> {
        let owner = sys::process::own_identity().context("look-up of this process")?;
        let lease = Lease {
            owner,
            removes_volumes: true,
        };
        let choice = Choice::default();
        bring_up::run_for(context, self.options()?, &choice, "test", Some(lease))?;
        Ok(())
    }

    /// Runs the command with the variables of `rcompose env`.
    fn command(&self, context: &Context, name: &ProjectName) -> anyhow::Result<Exit> {
        let containers = records::containers(context.store()?, name)?;
        let variables = harness::variables(name, &containers);
        let child = start(&self.words, &variables)?;
        let status = session::block_on(until_ended(child, context.terminal.stdin))?;
        Ok(Exit::of_container(match (status.code(), status.signal()) {
            (Some(code), _) => code,
            (None, Some(signal)) => 128 + signal,
            (None, None) => 255,
        }))
    }
}

/// The name that was asked for, if nothing has it yet; else one of its own.
fn name(context: &Context) -> anyhow::Result<ProjectName> {
    if let Some(name) = context.named_project()? {
        if session::has_anything(context.store()?, &name)? {
            return Err(Failure::new(
                Kind::Project,
                format!("project {name} is there already, and a test takes its project down with its volumes"),
            )
            .with_hint("without -p and COMPOSE_PROJECT_NAME the test gets a project of its own")
            .into());
        }
        return Ok(name);
    }
    let base = context.project_name()?;
    let id = random_id()?;
    Ok(format!("{base}-test-{}", id.get(..6).unwrap_or(&id)).parse()?)
}

fn is_interrupted(result: &anyhow::Result<Exit>) -> bool {
    match result {
        Ok(exit) => *exit == Exit::INTERRUPTED,
        Err(error) => error
            .downcast_ref::<crate::cli::exit::Silent>()
            .is_some_and(|silent| silent.0 == Exit::INTERRUPTED),
    }
}

/// Starts the command through this program, which ties it to our life and
/// becomes it.
fn start(words: &[String], variables: &Variables) -> anyhow::Result<Child> {
    let binary = std::env::current_exe().context("look-up of this program")?;
    let mut process = Process::new(binary);
    process
        .arg(TETHERED)
        .arg(std::process::id().to_string())
        .args(words)
        .envs(variables);
    process
        .spawn()
        .with_context(|| format!("start of {}", words.join(" ")))
}

/// Waits for the command. What is sent to us is passed on, except for what a
/// terminal sends to the command itself. The second one kills.
async fn until_ended(mut child: Child, is_on_terminal: bool) -> anyhow::Result<ExitStatus> {
    let mut ended: Signal = signal(SignalKind::child()).context("listen for SIGCHLD")?;
    sys::interrupt::take_over();
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let pid = i32::try_from(child.id()).context("a process id")?;
    let process = sys::process::identity(pid).ok();
    let mut is_first = true;
    loop {
        if let Some(status) = child.try_wait().context("wait for the command")? {
            return Ok(status);
        }
        let number = tokio::select! {
            _ = ended.recv() => continue,
            _ = interrupt.recv() => (!is_on_terminal).then_some(Number::INT),
            _ = terminate.recv() => Some(Number::TERM),
        };
        let number = if is_first { number } else { Some(Number::KILL) };
        is_first = false;
        if let (Some(process), Some(number)) = (&process, number) {
            // One that has just ended needs none.
            let _ = sys::process::kill(process, number.number());
        }
    }
}

/// What every container wrote last, on stderr.
fn show_logs(context: &Context, name: &ProjectName, tail: Option<u64>) -> anyhow::Result<()> {
    let root = context.store()?;
    let dress = Dress {
        prefix: true,
        color: context.terminal.stderr && context.colors_on_stdout(),
        timestamps: false,
    };
    let query = Query {
        tail,
        ..Query::default()
    };
    let store = root.project(name);
    for container in records::containers(root, name)? {
        let record = &container.record;
        let short = records::short_name(&container);
        output::notice(&format!("--- {short} ({})", container.state.as_str()));
        let out = BufWriter::new(io::stderr());
        let mut follower = Follower::new(Printer::new(out, dress));
        let service = record.service_name().as_str();
        follower.add(
            &record.id,
            service,
            &short,
            &store.log_path(&record.id),
            &query,
        )?;
        follower.finish()?;
    }
    Ok(())
}

/// Takes everything down; a second interrupt leaves that to the supervisor,
/// which does it when we are gone.
fn down(context: &Context, name: &ProjectName) -> anyhow::Result<()> {
    if !session::has_anything(context.store()?, name)? {
        return Ok(());
    }
    let command = Command::Down(DownOptions {
        remove_orphans: true,
        volumes: true,
        timeout: Some(GRACE),
        ..DownOptions::default()
    });
    session::block_on(session::apply(context, name, None, command, "down"))
}

/// Gives the project free and says how it is reached.
fn keep(context: &Context, name: &ProjectName) -> anyhow::Result<()> {
    session::lease(context, name, None)?;
    output::notice(&format!(
        "project {name} stays up: `rcompose -p {name} down --volumes` takes it down"
    ));
    Ok(())
}
