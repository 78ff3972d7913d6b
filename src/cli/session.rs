//! One command's conversation with the project's supervisor.
//!
//! It draws what happens, passes an interrupt on by closing the connection,
//! and turns the supervisor's word into an error that the surface prints.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli::commands::values::Scale;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Kind, Silent};
use crate::cli::images::lock::Lock;
use crate::cli::images::{self, Choice};
use crate::cli::output::progress::Progress;
use crate::cli::output::{self, prompt};
use crate::engine::observe;
use crate::event::{self, Event, HookLine};
use crate::image;
use crate::model::{ImageSource, Project, ProjectName, ServiceName};
use crate::plan::{
    self, Confirmation, ImageIds, Orphans, Plan, Recreate, RmOptions, RunOptions, Source, Subject,
    UpOptions,
};
use crate::protocol::control::{self, Apply, Command, FailureKind, Lease, Request};
use crate::store::Root;
use crate::supervisor::client::{Answer, Client, Error, Notice};
use crate::sys;

/// Opens the engine's folders.
pub(crate) fn open_root(context: &Context) -> anyhow::Result<Root> {
    Ok(context.store()?.clone())
}

/// A client for a project's supervisor.
pub(crate) fn client(context: &Context, project: &ProjectName) -> anyhow::Result<Client> {
    let root = open_root(context)?;
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

/// A client's error in the surface's form.
pub(crate) fn describe(error: Error) -> anyhow::Error {
    match error {
        Error::Failed(failure) => describe_failure(control::Failure {
            exit_code: None,
            ..*failure
        }),
        error => anyhow::Error::new(error),
    }
}

/// As [`describe`], ending with the exit code that Docker gives a process
/// that could not be started.
fn describe_process(error: Error) -> anyhow::Error {
    match error {
        Error::Failed(failure) => describe_failure(*failure),
        error => describe(error),
    }
}

fn describe_failure(failure: control::Failure) -> anyhow::Error {
    for other in &failure.others {
        output::notice(&format!("error: {}", output::tame(&other.join(": "))));
    }
    for line in &failure.evidence {
        output::notice(&output::tame_lines(line));
    }
    let kind = match failure.kind {
        FailureKind::Usage => Kind::Project,
        FailureKind::Environment => Kind::Environment,
        FailureKind::Image => Kind::Image,
        FailureKind::Container => Kind::Container,
        FailureKind::Internal => Kind::Internal,
    };
    let mut chain = failure.chain.into_iter();
    let message = chain
        .next()
        .unwrap_or_else(|| "the request failed".to_owned());
    let mut described = Failure::new(kind, message);
    if let Some(hint) = failure.hint {
        described = described.with_hint(hint);
    }
    if let Some(code) = failure.exit_code {
        described = described.with_exit(Exit::of_container(i32::from(code)));
    }
    let causes: Vec<String> = chain.collect();
    if causes.is_empty() {
        anyhow::Error::new(described)
    } else {
        let cause = causes
            .into_iter()
            .rev()
            .fold(None, |inner: Option<anyhow::Error>, text| {
                Some(match inner {
                    None => anyhow::Error::msg(text),
                    Some(inner) => inner.context(text),
                })
            });
        match cause {
            Some(cause) => cause.context(described),
            None => anyhow::Error::new(described),
        }
    }
}

/// Names of services as typed.
pub(crate) fn service_names(texts: &[String]) -> anyhow::Result<Vec<ServiceName>> {
    texts
        .iter()
        .map(|text| {
            text.parse()
                .map_err(|_| Failure::no_such_service(&text).into())
        })
        .collect()
}

/// `--timeout` in seconds; a negative one waits for ever, as docker compose has it.
pub(crate) fn timeout(seconds: Option<i64>) -> Option<Duration> {
    seconds.map(|seconds| u64::try_from(seconds).map_or(Duration::MAX, Duration::from_secs))
}

/// Whether there is anything of a project on this host.
pub(crate) fn has_anything(root: &Root, name: &ProjectName) -> anyhow::Result<bool> {
    let observation = observe::observe(root, name, None)?;
    for damaged in &observation.damaged {
        output::notice(&format!("warning: {damaged}"));
    }
    let observed = observation.observed;
    Ok(root.project(name).exists()
        || !observed.containers.is_empty()
        || !observed.networks.is_empty()
        || !observed.volumes.is_empty())
}

/// Has a verb that needs no Compose file carried out on what exists.
pub(crate) fn verb(context: &Context, command: Command, title: &str) -> anyhow::Result<Exit> {
    let name = context.project_name()?;
    let root = open_root(context)?;
    let project = context.project_of(&name)?;
    if context.settings.dry_run {
        return dry_run(context, &root, &name, project.as_ref(), &command, title);
    }
    if has_anything(&root, &name)? {
        block_on(apply(context, &name, project, command, title))?;
    } else {
        nothing_there(&command, &name, project.as_ref())?;
    }
    Ok(Exit::SUCCESS)
}

/// docker compose's words for a project of which nothing exists: most verbs
/// have nothing to do then, which is no failure.
fn nothing_there(
    command: &Command,
    name: &ProjectName,
    project: Option<&Project>,
) -> anyhow::Result<()> {
    let no_containers = || {
        Failure::project(format!(
            "no container found for project {:?}: not found",
            name.as_str()
        ))
    };
    let (services, what) = match command {
        Command::Down(options) if project.is_some() => (&options.services, None),
        Command::Down(options) => {
            let nothing = format!(
                "Warning: No resource found to remove for project {:?}.",
                name.as_str()
            );
            (&options.services, Some(nothing))
        }
        Command::Remove(options) => (&options.services, Some("No stopped containers".into())),
        Command::Kill(options) => (&options.services, Some("No container to kill".into())),
        Command::Stop(options) | Command::Suspend(options) => (&options.services, None),
        Command::Restart(options) => (&options.services, None),
        Command::Pause(options) | Command::Unpause(options) => (&options.services, None),
        Command::Start(options) => {
            known_to(project, &options.services)?;
            return Err(match options.services.first() {
                Some(service) => Failure::project(format!(
                    "service {:?} has no container to start",
                    service.as_str()
                )),
                None => no_containers(),
            }
            .into());
        }
        Command::Up(_) => return Err(no_containers().into()),
    };
    known_to(project, services)?;
    if let Some(what) = what {
        output::notice(&what);
    }
    Ok(())
}

/// Fails on a service that the files, when there are any, don't declare.
fn known_to(project: Option<&Project>, services: &[ServiceName]) -> anyhow::Result<()> {
    let Some(project) = project else {
        return Ok(());
    };
    let is_unknown = |name: &&ServiceName| {
        !project.services.contains_key(*name) && !project.disabled_services.contains(name)
    };
    match services.iter().find(is_unknown) {
        Some(name) => Err(Failure::no_such_service(name).into()),
        None => Ok(()),
    }
}

/// Shows what a command would do, and does nothing.
pub(crate) fn dry_run(
    context: &Context,
    root: &Root,
    name: &ProjectName,
    project: Option<&Project>,
    command: &Command,
    title: &str,
) -> anyhow::Result<Exit> {
    let applied;
    let source = if project.is_some() {
        Source::Files
    } else {
        Source::Record
    };
    let project = if project.is_some() {
        project
    } else {
        applied = root.project(name).model().ok().flatten();
        applied.as_ref()
    };
    let observed = observe::observe(root, name, project)?.observed;
    let subject = Subject {
        name,
        project,
        source,
        observed: &observed,
    };
    let plan = match command {
        Command::Up(options) => {
            let mut project = project.context("a project to bring up")?.clone();
            image::pin_mounts(root, &mut project)?;
            plan::reconcile(&project, &observed, &image_ids(root, &project)?, options)
        }
        Command::Down(options) => plan::down(&subject, options),
        Command::Start(options) => plan::start(&subject, options),
        Command::Stop(options) | Command::Suspend(options) => plan::stop(&subject, options),
        Command::Restart(options) => plan::restart(&subject, options),
        Command::Kill(options) => plan::kill(&subject, options),
        Command::Remove(options) => plan::rm(&subject, options),
        Command::Pause(options) => plan::pause(&subject, options),
        Command::Unpause(options) => plan::unpause(&subject, options),
    }
    .map_err(|error| Failure::project(error.to_string()))?;
    show_plan(context, &plan, title)
}

/// Shows what a `run` would do, and does nothing.
pub(crate) fn dry_run_of_one(
    context: &Context,
    project: &Project,
    options: &RunOptions,
) -> anyhow::Result<Exit> {
    let root = open_root(context)?;
    let mut project = project.clone();
    image::pin_mounts(&root, &mut project)?;
    let observed = observe::observe(&root, &project.name, Some(&project))?.observed;
    let plan = plan::run(&project, &observed, &image_ids(&root, &project)?, options)
        .map_err(|error| Failure::project(error.to_string()))?;
    show_plan(context, &plan, "run")
}

/// Shows a plan as if it were carried out, and then the plan itself.
fn show_plan(context: &Context, plan: &Plan, title: &str) -> anyhow::Result<Exit> {
    let progress = Progress::start(&context.settings, context.terminal, title);
    for warning in plan.warnings() {
        progress.event(&Event::Warning(warning.clone()));
    }
    for note in plan.notes() {
        progress.event(&Event::Progress(note.clone()));
    }
    for node in plan.operations() {
        let words = plan::words(node);
        for status in [words.begin, words.done].into_iter().flatten() {
            let details = plan::reason(node).filter(|_| Some(status) == words.begin);
            for name in &words.names {
                progress.event(&Event::Progress(event::Progress {
                    resource: words.resource,
                    name: name.clone(),
                    status,
                    details: details.clone(),
                    elapsed: None,
                }));
            }
        }
    }
    progress.finish();
    output::print(&plan::explain(plan))?;
    Ok(Exit::SUCCESS)
}

/// The image of every service that has one in the store.
pub(crate) fn image_ids(root: &Root, project: &Project) -> anyhow::Result<ImageIds> {
    let mut images = ImageIds::new();
    for (name, service) in &project.services {
        if matches!(service.image, ImageSource::Provider { .. }) {
            continue;
        }
        if let Some(found) =
            image::resolve_on(root, service.image.reference(), service.platform.as_deref())?
        {
            images.insert(name.clone(), found.image.id.to_string());
        }
    }
    Ok(images)
}

/// Fails with every image at once that a project's services need and the
/// store lacks.
pub(crate) fn require_images(
    root: &Root,
    project: &Project,
    services: &[&ServiceName],
) -> anyhow::Result<()> {
    let images = image_ids(root, project)?;
    let mut missing: Vec<String> = Vec::new();
    let mut builds = false;
    for name in services {
        let Some(service) = project.services.get(*name) else {
            continue;
        };
        let is_provided = matches!(service.image, ImageSource::Provider { .. });
        if is_provided || images.contains_key(*name) || service.scale == 0 {
            continue;
        }
        builds |= matches!(service.image, ImageSource::Build { .. });
        missing.push(format!("{} (service {name})", service.image.reference()));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let hint = if builds {
        "build it with `rcompose build`, or leave --no-build out"
    } else {
        "pull it with `rcompose pull`, load an archive with `rcompose image load -i ARCHIVE`, or import a root file system with `rcompose image import`"
    };
    Err(Failure::new(
        Kind::Image,
        format!("No such image: {}", missing.join(", ")),
    )
    .with_hint(hint)
    .into())
}

/// What becomes of existing containers, by two flags that exclude each other.
pub(crate) fn recreate(force: bool, never: bool) -> Recreate {
    match (force, never) {
        (true, _) => Recreate::Force,
        (false, true) => Recreate::Never,
        (false, false) => Recreate::Diverged,
    }
}

/// Replicas as typed.
pub(crate) fn scales(scales: &[Scale]) -> anyhow::Result<BTreeMap<ServiceName, u32>> {
    scales
        .iter()
        .map(|scale| {
            let name = scale
                .service
                .parse()
                .map_err(|_| Failure::no_such_service(&scale.service))?;
            Ok((name, scale.number))
        })
        .collect()
}

/// What becomes of containers of unknown services.
pub(crate) fn orphans(context: &Context, remove: bool) -> anyhow::Result<Orphans> {
    let remove = remove || context.settings.remove_orphans;
    let ignore = context.settings.ignore_orphans;
    match (remove, ignore) {
        (true, true) => {
            Err(Failure::usage("cannot combine COMPOSE_IGNORE_ORPHANS and --remove-orphans").into())
        }
        (true, false) => Ok(Orphans::Remove),
        (false, true) => Ok(Orphans::Ignore),
        (false, false) => Ok(Orphans::Warn),
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

/// Loads the project and has it brought up; gives what was loaded.
pub(crate) fn bring_up(
    context: &Context,
    options: UpOptions,
    choice: &Choice,
    title: &str,
) -> anyhow::Result<Project> {
    bring_up_for(context, options, choice, title, None)
}

/// As [`bring_up`], for a process that the project is tied to.
pub(crate) fn bring_up_for(
    context: &Context,
    options: UpOptions,
    choice: &Choice,
    title: &str,
    owner: Option<Lease>,
) -> anyhow::Result<Project> {
    let prepared = prepare_up(context, options, choice, &|_| {})?;
    finish_up(context, prepared, title, owner)
}

/// As [`bring_up`], with what `change` does to the loaded project.
pub(crate) fn bring_up_changed(
    context: &Context,
    options: UpOptions,
    choice: &Choice,
    title: &str,
    change: &dyn Fn(&mut Project),
) -> anyhow::Result<Project> {
    let prepared = prepare_up(context, options, choice, change)?;
    finish_up(context, prepared, title, None)
}

fn finish_up(
    context: &Context,
    (project, options): (Project, UpOptions),
    title: &str,
    owner: Option<Lease>,
) -> anyhow::Result<Project> {
    if context.settings.dry_run {
        let root = open_root(context)?;
        let command = Command::Up(options);
        dry_run(
            context,
            &root,
            &project.name,
            Some(&project),
            &command,
            title,
        )?;
        return Ok(project);
    }
    if owner.is_some() {
        lease(context, &project.name, owner)?;
    }
    block_on(apply(
        context,
        &project.name,
        Some(project.clone()),
        Command::Up(options),
        title,
    ))?;
    Ok(project)
}

/// What comes before an `up`: the project, its images, questions to the user.
pub(crate) fn prepare_up(
    context: &Context,
    mut options: UpOptions,
    choice: &Choice,
    change: &dyn Fn(&mut Project),
) -> anyhow::Result<(Project, UpOptions)> {
    let names: Vec<String> = options.services.iter().map(ToString::to_string).collect();
    let mut project = context.load_project(&names)?;
    change(&mut project);
    if choice.frozen {
        Lock::read(&project.working_dir)?.pin(&mut project)?;
    }
    let root = open_root(context)?;
    let needed: Vec<&ServiceName> = match (options.no_deps, options.services.is_empty()) {
        (true, false) => options.services.iter().collect(),
        _ => project.services.keys().collect(),
    };
    images::supply(context, &project, &needed, choice)?;
    if !context.settings.dry_run {
        require_images(&root, &project, &needed)?;
    }
    image::pin_mounts(&root, &mut project)?;
    if !options.assume_yes && !project.volumes.is_empty() {
        let observed = observe::observe(&root, &project.name, Some(&project))?.observed;
        let images = image_ids(&root, &project)?;
        let plan = plan::reconcile(&project, &observed, &images, &options)
            .map_err(|error| Failure::project(error.to_string()))?;
        for question in plan.confirmations() {
            if !context.settings.dry_run && ask(&question.question()) {
                options.confirmed.insert(question.clone());
            }
        }
    }
    Ok((project, options))
}

/// What `rm` asks first.
pub(crate) fn rm_questions(
    context: &Context,
    options: &RmOptions,
) -> anyhow::Result<Vec<Confirmation>> {
    let name = context.project_name()?;
    let root = open_root(context)?;
    let found = context.project_of(&name)?;
    let (project, source) = match found {
        Some(project) => (Some(project), Source::Files),
        None => (root.project(&name).model().ok().flatten(), Source::Record),
    };
    let observed = observe::observe(&root, &name, project.as_ref())?.observed;
    let subject = Subject {
        name: &name,
        project: project.as_ref(),
        source,
        observed: &observed,
    };
    let plan = plan::rm(&subject, options).map_err(|error| Failure::project(error.to_string()))?;
    Ok(plan.confirmations().to_vec())
}

/// Asks a question on the terminal; no answer, or none that says yes, is no.
pub(crate) fn ask(question: &str) -> bool {
    // Nobody to ask: the answer is no.
    prompt::confirm(question).unwrap_or(false)
}
