//! `attach`: joins a running container's streams.
//!
//! The container doesn't notice who is attached: its output comes as a copy,
//! from now on, and its input is shared with everybody else.

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Kind};
use crate::cli::process::{self, forward_signals};
use crate::cli::session::{self, Interrupts};
use crate::cli::terminal::{DetachKeys, Outcome, Pipes, Relay};
use crate::cli::{docker_config, output, target};
use crate::model::ObservedContainer;
use crate::protocol::control::Request;
use crate::supervisor::client::{Answer, Client, Notice};
use crate::sys::descriptor;

/// Output that may wait for the user to look at it.
const PIPE_BYTES: usize = 1 << 20;
/// How long after the end of the output the container's end may be told.
const END_LIMIT: Duration = Duration::from_secs(2);

/// Flags of `attach`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Override the key sequence for detaching from a container.
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<String>,
    /// Index of the container if service has multiple replicas.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) index: u32,
    /// Do not attach STDIN
    #[arg(long)]
    pub(crate) no_stdin: bool,
    /// Proxy all received signals to the process
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::cli::flags::go_bool())]
    pub(crate) sig_proxy: bool,
    /// Service
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
}

impl Args {
    /// Attaches until the container ends or the user detaches; the exit code
    /// is the container's.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let name = context.project_name()?;
        let container = target::running(context, &name, &self.service, self.index)?;
        self.run_on(context, &container)
    }

    /// The same with a container of any project.
    pub(crate) fn run_on(
        &self,
        context: &Context,
        container: &ObservedContainer,
    ) -> anyhow::Result<Exit> {
        let detach = self.detach_keys(context)?;
        if context.settings.dry_run {
            return Ok(Exit::SUCCESS);
        }
        let client = session::client(context, &container.record.project)?;
        session::block_on(self.attached(&client, container, detach))
    }

    fn detach_keys(&self, context: &Context) -> anyhow::Result<DetachKeys> {
        let typed = self.detach_keys.clone().filter(|keys| !keys.is_empty());
        let wanted = typed.or_else(|| docker_config::text(&context.environment, "detachKeys"));
        let Some(text) = wanted else {
            return Ok(DetachKeys::standard());
        };
        let bad = |key| Failure::usage(format!("invalid detach keys ({text}): {key}"));
        Ok(DetachKeys::parse(&text).map_err(bad)?)
    }

    async fn attached(
        &self,
        client: &Client,
        container: &ObservedContainer,
        detach: DetachKeys,
    ) -> anyhow::Result<Exit> {
        let process = &container.record.service.process;
        let with_stdin = !self.no_stdin && process.stdin_open;
        let pipe = || descriptor::pipe().context("pipe for the container's output");
        let (stdout, stderr) = (pipe()?, pipe()?);
        descriptor::enlarge_pipe(&stdout.writer, PIPE_BYTES);
        descriptor::enlarge_pipe(&stderr.writer, PIPE_BYTES);
        let mut readers = Some((stdout.reader, stderr.reader));
        let (made, mut relays) = mpsc::unbounded_channel();
        let mut notice = |notice| {
            let Notice::Started { terminal, .. } = notice else {
                return;
            };
            if let Some(readers) = readers.take() {
                let relay = relay(readers, terminal, process.tty, with_stdin, detach.clone());
                // The loop below listens as long as this is called.
                let _ = made.send(relay);
            }
        };
        let (signals, mut taken) = mpsc::channel(16);
        let is_proxied = self.sig_proxy && !process.tty;
        let forward = is_proxied
            .then(|| forward_signals(signals.clone(), false, None))
            .transpose()?;
        let mut interrupts = Interrupts::listen()?;
        let request = Request::Attach(container.record.id.clone());
        let answer = session::converse(
            client,
            request,
            vec![stdout.writer, stderr.writer],
            &mut notice,
            &mut taken,
        );
        tokio::pin!(answer);
        let mut relay: Option<Relay> = None;
        let mut is_shown = false;
        let answer = loop {
            tokio::select! {
                answer = &mut answer => break answer,
                Some(made) = relays.recv() => {
                    relay = Some(made.context("relay of the container's streams")?);
                }
                outcome = ended(&mut relay), if !is_shown => match outcome {
                    Outcome::Detached => {
                        // It runs on, and the code says that this is not its end.
                        output::notice("read escape sequence");
                        return Ok(Exit::FAILURE);
                    }
                    Outcome::Drained | Outcome::TimedOut => is_shown = true,
                },
                () = tokio::time::sleep(END_LIMIT), if is_shown => return Err(cut_off()),
                () = interrupts.next(), if !is_proxied => return Ok(Exit::INTERRUPTED),
            }
        };
        if let Some(forward) = forward {
            forward.abort();
        }
        if let Some(relay) = relay {
            relay.finish(process::DRAIN).await;
        }
        Ok(match answer? {
            Answer::Finished => Exit::SUCCESS,
            Answer::Exited(outcome) => Exit::of_container(outcome.exit_code()),
        })
    }
}

/// The relay of a container that we are attached to.
fn relay(
    (stdout, stderr): (OwnedFd, OwnedFd),
    input: Option<OwnedFd>,
    is_terminal: bool,
    with_stdin: bool,
    detach: DetachKeys,
) -> std::io::Result<Relay> {
    let (master, stdin) = if is_terminal {
        let twin = input.as_ref().map(OwnedFd::try_clone).transpose()?;
        (input, twin)
    } else {
        (None, input)
    };
    let pipes = Pipes {
        stdin: stdin.filter(|_| with_stdin),
        stdout,
        stderr,
    };
    Relay::attached(pipes, master, detach)
}

/// Waits for the end of the output or the detach keys, once there is a relay.
async fn ended(relay: &mut Option<Relay>) -> Outcome {
    match relay {
        Some(relay) => relay.ended().await,
        None => std::future::pending().await,
    }
}

fn cut_off() -> anyhow::Error {
    Failure::new(
        Kind::Container,
        "the container's output came faster than it could be shown, or its log writer was replaced",
    )
    .with_hint("attach again; `logs` has all of it")
    .into()
}
