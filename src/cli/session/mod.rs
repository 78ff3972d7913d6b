//! One command's conversation with the project's supervisor.
//!
//! It draws what happens, passes an interrupt on by closing the connection,
//! and turns the supervisor's word into an error that the surface prints.

mod failure;
mod verb;

use std::os::fd::OwnedFd;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Silent};
use crate::cli::output::progress::Progress;
use crate::event::{Event, HookLine};
use crate::model::{Project, ProjectName};
use crate::plan::Command;
use crate::protocol::control::{Apply, Lease, Request};
use crate::supervisor::client::{Answer, Client, Notice};
use crate::sys;

pub(crate) use failure::describe;
use failure::describe_process;
pub(crate) use verb::{has_anything, verb};

/// A client for a project's supervisor.
pub(crate) fn client(context: &Context, project: &ProjectName) -> anyhow::Result<Client> {
    let root = context.store()?.clone();
    if let Err(error) = crate::build::sweep_killed(&root) {
        // It is nothing of this command's, and the next one tries again.
        tracing::debug!(%error, "what a killed build has left stays");
    }
    Ok(Client::new(
        root,
        project.clone(),
        context.environment.variables(),
    ))
}

/// Runs a future on a runtime of its own thread.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start of the command's runtime")?;
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

/// Has a command that changes the project carried out, drawing its progress
/// under `title`. An interrupt withdraws it.
pub(crate) async fn apply(
    context: &Context,
    name: &ProjectName,
    project: Option<Project>,
    command: Command,
    title: &str,
) -> anyhow::Result<()> {
    let mut interrupts = Interrupts::listen()?;
    tokio::select! {
        result = carry(context, name, project, command, title) => result,
        () = interrupts.next() => Err(anyhow::Error::new(Silent(Exit::INTERRUPTED))),
    }
}

/// As [`apply`], leaving interrupts to the caller. Dropping it withdraws the
/// command.
pub(crate) async fn carry(
    context: &Context,
    name: &ProjectName,
    project: Option<Project>,
    command: Command,
    title: &str,
) -> anyhow::Result<()> {
    carry_showing(context, name, project, command, title, None).await
}

/// As [`carry`], with what hooks write going to `hooks`; the supervisor
/// bounds how much that is.
pub(crate) async fn carry_showing(
    context: &Context,
    name: &ProjectName,
    project: Option<Project>,
    command: Command,
    title: &str,
    hooks: Option<mpsc::UnboundedSender<HookLine>>,
) -> anyhow::Result<()> {
    let client = client(context, name)?;
    let progress = Progress::start(&context.settings, context.terminal, title);
    let shows_hooks = hooks.is_some();
    let result = {
        let mut show = |notice| match (notice, &hooks) {
            // Who doesn't listen any more misses it.
            (Notice::Event(Event::Hook(line)), Some(hooks)) => drop(hooks.send(line)),
            (Notice::Event(event), _) => show_event(&progress, &event),
            (Notice::Started { .. }, _) => {}
        };
        let (_keep, mut signals) = mpsc::channel(1);
        let request = Request::Apply(Box::new(Apply {
            project,
            command,
            parallel: context.settings.parallel,
            shows_hooks,
        }));
        client.send(request, &[], &mut show, &mut signals).await
    };
    progress.finish();
    result.map(|_| ()).map_err(describe)
}

/// Has a command carried out on what exists without a word about it.
pub(crate) fn silently(
    context: &Context,
    name: &ProjectName,
    command: Command,
) -> anyhow::Result<()> {
    let client = client(context, name)?;
    block_on(quietly(&client, command))
}

/// The same for who has a runtime, and perhaps several projects.
pub(crate) async fn quietly(client: &Client, command: Command) -> anyhow::Result<()> {
    let (_keep, mut signals) = mpsc::channel(1);
    let request = Request::Apply(Box::new(Apply {
        project: None,
        command,
        parallel: None,
        shows_hooks: false,
    }));
    let done = client.send(request, &[], &mut |_| {}, &mut signals).await;
    done.map(|_| ()).map_err(describe)
}

/// Draws an event; warnings go above the progress.
pub(crate) fn show_event(progress: &Progress, event: &Event) {
    progress.event(event);
}

/// Sends a `run` or `exec` request.
pub(crate) async fn converse(
    client: &Client,
    request: Request,
    descriptors: Vec<OwnedFd>,
    notice: &mut dyn FnMut(Notice),
    signals: &mut mpsc::Receiver<i32>,
) -> anyhow::Result<Answer> {
    client
        .send(request, &descriptors, notice, signals)
        .await
        .map_err(describe_process)
}

/// The user's Ctrl-C, or SIGTERM.
#[derive(Debug)]
pub(crate) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// Takes both signals from now on.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        sys::interrupt::take_over();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("listen for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("listen for SIGTERM")?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Ties a project to a process, or lets it live by itself again with None.
pub(crate) fn lease(
    context: &Context,
    name: &ProjectName,
    lease: Option<Lease>,
) -> anyhow::Result<()> {
    let client = client(context, name)?;
    block_on(async {
        let (_keep, mut signals) = mpsc::channel(1);
        let request = Request::Lease(lease);
        let sent = client.send(request, &[], &mut |_| {}, &mut signals).await;
        sent.map(|_| ()).map_err(describe)
    })
}
