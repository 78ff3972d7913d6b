//! Runs builds: draws their progress, cuts them off on Ctrl-C, and tells what
//! failed whole.

use std::path::Path;
use std::sync::Mutex;

use crate::build::{self, BuildRequest, Built, Cancel, Error, Failure, Goal, Pull, Surroundings};
use crate::cli::build::bases::Bases;
use crate::cli::build::tell_warnings;
use crate::cli::context::Context;
use crate::cli::exit::{self, Exit, Kind, Silent};
use crate::cli::output::build::{BuildProgress, clean_line};
use crate::cli::output::{self, diagnostics};
use crate::cli::session::{self, Interrupts};
use crate::cli::settings::ProgressMode;
use crate::event::BuildEvent;
use crate::oci::{Platform, Reference};

/// Steps that work at once when `--parallel` doesn't say.
const JOBS: usize = 4;
/// Lines of the Dockerfile shown around the one that failed.
const EXCERPT_LINES: usize = 3;

/// What a run of builds came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The images, in the order of the requests.
    pub(crate) built: Vec<Built>,
    /// What the builds warned of.
    pub(crate) warnings: Vec<String>,
}

/// Runs requests; what fails is told, with its output and the line of its
/// Dockerfile.
pub(crate) fn run(
    context: &Context,
    requests: &[BuildRequest],
    mode: ProgressMode,
) -> anyhow::Result<Outcome> {
    let root = context.store()?;
    let cancel = Cancel::default();
    let progress = BuildProgress::start(&context.settings, mode, context.terminal, requests.len());
    let warnings = Mutex::new(Vec::new());
    let events = |event: BuildEvent| {
        if let (BuildEvent::Warning { text, .. }, Ok(mut warnings)) = (&event, warnings.lock()) {
            warnings.push(text.clone());
        }
        progress.event(event);
    };
    let bases = Bases::new(context, root);
    let fetch = |reference: &Reference, platform: &Platform, pull: Pull| {
        bases.fetch(reference, platform, pull)
    };
    let registry = || bases.registry();
    let around = Surroundings {
        root,
        events: &events,
        fetch: &fetch,
        registry: &registry,
        cancel: &cancel,
        jobs: context.settings.parallel.unwrap_or(JOBS),
        environment: context
            .environment
            .variables()
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    };
    let results = interruptible(&cancel, || build::run(requests, &around))?;
    progress.finish();
    if cancel.is_set() && results.iter().all(was_cut_off) && !is_check(requests) {
        return Err(Silent(Exit::INTERRUPTED).into());
    }
    let warnings = warnings.into_inner().unwrap_or_default();
    let (built, failures) = sorted(results);
    let failures: Vec<Failure> = match is_check(requests) {
        // A check ends before the first step.
        true => failures
            .into_iter()
            .filter(|f| !f.error.is_cancelled())
            .collect(),
        false => failures,
    };
    if !failures.is_empty() && !is_check(requests) {
        // They may say why.
        tell_warnings(&warnings, mode);
    }
    match told(&failures) {
        Some(error) => Err(error),
        None => Ok(Outcome { built, warnings }),
    }
}

fn is_check(requests: &[BuildRequest]) -> bool {
    requests.iter().any(|request| request.goal == Goal::Check)
}

fn was_cut_off(result: &Result<Built, Failure>) -> bool {
    result
        .as_ref()
        .err()
        .is_none_or(|failure| failure.error.is_cancelled())
}

fn sorted(results: Vec<Result<Built, Failure>>) -> (Vec<Built>, Vec<Failure>) {
    let mut all = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(built) => all.0.push(built),
            Err(failure) => all.1.push(failure),
        }
    }
    all
}

/// Does the work on this thread while another one listens for interrupts,
/// which set `cancel`; the work is waited for all the same.
fn interruptible<T>(cancel: &Cancel, work: impl FnOnce() -> T) -> anyhow::Result<T> {
    let (done, ended) = tokio::sync::oneshot::channel::<()>();
    std::thread::scope(|scope| {
        let listener = scope.spawn(move || {
            session::block_on(async {
                let mut interrupts = Interrupts::listen()?;
                let mut ended = ended;
                loop {
                    tokio::select! {
                        _ = &mut ended => return Ok(()),
                        () = interrupts.next() => cancel.set(),
                    }
                }
            })
        });
        let result = work();
        drop(done);
        match listener.join() {
            Ok(listened) => listened.map(|()| result),
            Err(_) => Ok(result),
        }
    })
}

/// Tells every failure that isn't only the consequence of another one.
fn told(failures: &[Failure]) -> Option<anyhow::Error> {
    let own = |failure: &&Failure| {
        !failure.error.is_cancelled() && !matches!(failure.error, Error::Dependency(_))
    };
    let mut own: Vec<&Failure> = failures.iter().filter(own).collect();
    if own.is_empty() {
        own.extend(failures.first());
    }
    let (last, before) = own.split_last()?;
    for failure in before {
        let error = error_of(failure);
        // Some have told all that there is to tell.
        if !error.is::<Silent>() {
            output::error(&error, None);
        }
    }
    Some(error_of(last))
}

/// Shows where it failed and gives the error itself.
fn error_of(failure: &Failure) -> anyhow::Error {
    if let Some(step) = &failure.step {
        let mut text = format!("------\n > {}:\n", clean_line(step.name.as_bytes()));
        for line in step
            .output
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            text.push_str(&clean_line(line));
            text.push('\n');
        }
        text.push_str("------");
        output::notice(&text);
        if let Some(dockerfile) = &failure.dockerfile {
            let name = step.span.file.display().to_string();
            output::notice(&excerpt(
                &name,
                dockerfile,
                step.span.line,
                step.span.length,
                step.span.offset,
            ));
        }
    }
    if let Error::Diagnostics(problems) = &failure.error {
        let source = |_: &Path| failure.dockerfile.as_ref().map(ToString::to_string);
        output::notice(diagnostics::render(problems, &source).trim_end());
        return Silent(Exit::FAILURE).into();
    }
    let mut causes = vec![failure.error.to_string()];
    let mut source = std::error::Error::source(&failure.error);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    let message = format!("failed to solve: {}", causes.join(": "));
    let told = exit::Failure::new(Kind::Build, message);
    match &failure.error {
        Error::NoImage(_) | Error::Fetch { .. } => told
            .with_hint("pull it with `rcompose image pull`, or load it with `rcompose image load`")
            .into(),
        _ => told.into(),
    }
}

/// The lines around an instruction, its own marked.
fn excerpt(name: &str, text: &str, line: u32, length: usize, offset: usize) -> String {
    let first = usize::try_from(line).unwrap_or(1).max(1);
    let own = text.get(offset..offset + length).unwrap_or("");
    let last = first + own.trim_end().matches('\n').count();
    let rule = "-".repeat(20);
    let mut shown = format!("{name}:{first}\n{rule}\n");
    let from = first.saturating_sub(EXCERPT_LINES).max(1);
    for (number, line) in text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
    {
        if (from..=last + EXCERPT_LINES).contains(&number) {
            let mark = if (first..=last).contains(&number) {
                ">>>"
            } else {
                "   "
            };
            let line = clean_line(line.as_bytes());
            shown.push_str(format!("{number:4} | {mark} {line}").trim_end());
            shown.push('\n');
        }
    }
    shown + &rule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failing_instruction_is_marked_whole() {
        let text = "FROM a\nRUN x \\\n  y\nCMD z\n";
        let offset = text.find("RUN").unwrap();
        let shown = excerpt("Dockerfile", text, 2, "RUN x \\\n  y".len(), offset);
        assert_eq!(
            shown,
            "Dockerfile:2\n--------------------\n   1 |     FROM a\n   2 | >>> RUN x \\\n   3 | >>>   y\n   4 |     CMD z\n--------------------"
        );
    }
}
