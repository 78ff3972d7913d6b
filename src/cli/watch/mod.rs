//! `watch` and `up --watch`: what changes in a project's folders reaches its
//! containers while they run.
//!
//! ```text
//! lookout: which paths changed ▶ rules: what follows from it
//!        ▶ act: build and recreate, copy, restart, run a command
//! ```
//!
//! It blocks, and so has a thread of its own beside a command that follows
//! output. What it says goes to whoever shows it.

mod act;
mod gate;
mod lookout;
mod rules;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::cli::build;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Silent};
use crate::cli::output;
use crate::cli::watch::act::Act;
use crate::cli::watch::lookout::Lookout;
use crate::cli::watch::rules::Rule;
use crate::model::{ImageSource, Mount, Project, Service, WatchAction, WatchRule};
use crate::sys::descriptor;
use crate::sys::poll::{self, Interest, Poller};

/// How long nothing must happen before what happened is looked at: an editor
/// that saves all its files, or a branch that is checked out, is one change.
const QUIET: Duration = Duration::from_millis(100);
/// How long it is waited for that quiet at most.
const UNQUIET_MAX: Duration = Duration::from_secs(2);
/// From how many changes on it is said that there are many.
const MANY: usize = 1000;

const WATCH: u64 = 0;
const STOP: u64 = 1;

pub(crate) use gate::Gate;

/// What a watch tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    /// A line for the user.
    Line(String),
    /// Containers will be stopped and come back.
    Reworking,
    /// They are back, or won't come.
    Settled,
}

/// How a watch works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Images that a build replaced are removed.
    pub(crate) prune: bool,
    /// Builds show nothing.
    pub(crate) quiet: bool,
}

/// A watch that runs on a thread of its own.
#[derive(Debug)]
pub(crate) struct Watching {
    stop: Option<OwnedFd>,
    thread: JoinHandle<anyhow::Result<()>>,
}

/// Whether anything of a project is to be watched.
pub(crate) fn is_configured(project: &Project) -> bool {
    let mut services = project.services.values();
    services.any(|service| !service.watch.is_empty())
}

/// The rules of a project's services.
///
/// # Errors
/// A rule that can't be followed.
pub(crate) fn rules(project: &Project) -> anyhow::Result<Vec<Rule>> {
    let mut ready = Vec::new();
    for service in project.services.values() {
        for rule in &service.watch {
            if rule.action.copies() && is_mounted(service, &rule.path) {
                output::warn(&format!(
                    "path '{}' also declared by a bind mount volume, this path won't be monitored!",
                    rule.path.display()
                ));
                continue;
            }
            ready.push(self::rule(project, service, rule)?);
        }
    }
    if ready.is_empty() {
        return Err(Failure::project(
            "none of the selected services is configured for watch, consider setting a 'develop' section",
        )
        .into());
    }
    Ok(ready)
}

fn rule(project: &Project, service: &Service, rule: &WatchRule) -> anyhow::Result<Rule> {
    let context = match &service.image {
        ImageSource::Build { spec, .. } => build::ignored(project, spec),
        ImageSource::Pull { .. } | ImageSource::Provider { .. }
            if rule.action == WatchAction::Rebuild =>
        {
            return Err(Failure::project(format!(
                "can't watch service {:?} with action rebuild without a build context",
                service.name.as_str()
            ))
            .into());
        }
        ImageSource::Pull { .. } | ImageSource::Provider { .. } => None,
    };
    Rule::new(&service.name, rule, context).map_err(|problem| {
        let message = format!("service {}: develop.watch: {problem}", service.name);
        Failure::project(message).into()
    })
}

/// Whether the container sees the path itself.
fn is_mounted(service: &Service, path: &Path) -> bool {
    service.mounts.iter().any(|mount| match mount {
        Mount::Bind(bind) => path.starts_with(&bind.source),
        Mount::Volume(_) | Mount::Tmpfs { .. } | Mount::Image { .. } => false,
    })
}

impl Watching {
    /// Begins on a thread of its own. `say` is called from there. Once `gate` is
    /// closed it starts no container any more.
    ///
    /// # Errors
    /// When the thread can't be had.
    pub(crate) fn start(
        context: &Context,
        project: &Project,
        rules: Vec<Rule>,
        manner: Manner,
        say: Box<dyn Fn(Word) + Send>,
        gate: Gate,
    ) -> anyhow::Result<Self> {
        let context = context.called(&project.name)?;
        let project = project.clone();
        let pipe = descriptor::pipe().context("pipe to a watch")?;
        let stop = pipe.reader;
        let thread = std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                let act = Act::new(&context, &project, &rules, manner, &*say, &gate);
                watch(&rules, &act, &stop)
            })
            .context("start of a watch")?;
        Ok(Self {
            stop: Some(pipe.writer),
            thread,
        })
    }

    /// Tells it to end when it is done with what it is at.
    pub(crate) fn stop(&mut self) {
        self.stop = None;
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What ended it, if nobody stopped it.
    pub(crate) fn join(self) -> anyhow::Result<()> {
        drop(self.stop);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(anyhow::anyhow!("the watch ended by a fault of its own")))
    }
}

/// Watches until it is told to stop.
fn watch(rules: &[Rule], act: &Act<'_>, stop: &OwnedFd) -> anyhow::Result<()> {
    let passes_over = |folder: &Path| rules.iter().all(|rule| rule.passes_over(folder));
    let roots: Vec<PathBuf> = rules.iter().map(|rule| rule.path.clone()).collect();
    let mut lookout = Lookout::new(roots, &passes_over).map_err(too_many)?;
    act.first(&rules::first_work(rules, &lookout.present()))?;
    act.say("Watch enabled");
    let mut poller = Poller::new().context("wait for changes")?;
    poller
        .add(&lookout, WATCH, Interest::Read)
        .and_then(|()| poller.add(stop, STOP, Interest::Read))
        .context("wait for changes")?;
    loop {
        let events = poller.wait(None).context("wait for changes")?;
        if events.iter().any(|event| event.token == STOP) {
            act.say("Watch disabled");
            return Ok(());
        }
        if events.is_empty() {
            continue;
        }
        let mut changed = lookout.changed(&passes_over).map_err(too_many)?;
        let began = Instant::now();
        while began.elapsed() < UNQUIET_MAX
            && poll::wait_readable(&lookout, Some(QUIET)).context("wait for changes")?
        {
            changed.extend(lookout.changed(&passes_over).map_err(too_many)?);
        }
        if changed.len() > MANY {
            act.say(
                "Large batch of file changes detected. If you just switched branches, this is expected.",
            );
        }
        let work = rules::work(rules, &changed);
        // What is made anew lacks what was copied into what it replaces.
        let again = || rules::first_work(rules, &lookout.present()).of(&work.rebuild);
        handle(act, &work, &again);
    }
}

/// What fails is told; the next change may mend it.
fn handle(act: &Act<'_>, work: &rules::Work, again: &dyn Fn() -> rules::Work) {
    let Err(error) = act.all(work, again) else {
        return;
    };
    match error.downcast_ref::<Silent>() {
        Some(Silent(Exit::INTERRUPTED)) => {}
        Some(_) => output::warn("Error handling changed files"),
        None => output::warn(&format!("Error handling changed files: {error:#}")),
    }
}

/// Says what to do about the kernel's limits.
fn too_many(error: lookout::Error) -> anyhow::Error {
    let refused = match &error {
        lookout::Error::Watch { source, .. } => source.kind(),
        lookout::Error::TooMany => std::io::ErrorKind::StorageFull,
    };
    let failure = match refused {
        std::io::ErrorKind::StorageFull => Failure::project(error.to_string()).with_hint(
            "leave folders out with `ignore:`, or raise the limit: sysctl fs.inotify.max_user_watches=1048576",
        ),
        _ => return error.into(),
    };
    anyhow::Error::new(error).context(failure)
}
