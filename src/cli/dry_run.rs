//! `--dry-run`: what a command would do, shown as if it were done, and then
//! the plan itself. Nothing is changed, and no supervisor is asked.

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::cli::output::progress::Progress;
use crate::engine::observe;
use crate::event::{self, Event};
use crate::image;
use crate::model::{Project, ProjectName};
use crate::plan::{self, Command, ImageIds, Model, Plan, RunOptions, Subject};

/// Shows what a command would do, and does nothing.
pub(crate) fn of_command(
    context: &Context,
    name: &ProjectName,
    project: Option<&Project>,
    command: &Command,
    title: &str,
) -> anyhow::Result<Exit> {
    let root = context.store()?;
    let applied = match project {
        Some(_) => None,
        None => root.project(name).model().ok().flatten(),
    };
    let model = Model::of(project, applied.as_ref());
    let observed = observe::observe(root, name, model.project())?.observed;
    let subject = Subject {
        name,
        model,
        observed: &observed,
    };
    let images = match (command, model.project()) {
        (Command::Up(_), Some(project)) => image::of_services(root, project)?,
        _ => ImageIds::new(),
    };
    let plan = plan::make(&subject, &images, command)
        .map_err(|error| Failure::project(error.to_string()))?;
    show_plan(context, &plan, title)
}

/// Shows what a `run` would do, and does nothing.
pub(crate) fn of_run(
    context: &Context,
    project: &Project,
    options: &RunOptions,
) -> anyhow::Result<Exit> {
    let root = context.store()?;
    let mut project = project.clone();
    image::pin_mounts(root, &mut project)?;
    let observed = observe::observe(root, &project.name, Some(&project))?.observed;
    let plan = plan::run(
        &project,
        &observed,
        &image::of_services(root, &project)?,
        options,
    )
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
