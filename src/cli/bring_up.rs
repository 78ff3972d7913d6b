//! Brings a project up: loads it, sees to its images, asks what must be asked
//! first, and has the supervisor reconcile.

use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::images::lock::Lock;
use crate::cli::images::{self, Choice};
use crate::cli::output::prompt;
use crate::cli::{dry_run, session};
use crate::engine::observe;
use crate::image;
use crate::model::{Project, ServiceName};
use crate::plan::{self, Command, UpOptions};
use crate::protocol::control::Lease;

/// Loads the project and has it brought up; gives what was loaded.
pub(crate) fn run(
    context: &Context,
    options: UpOptions,
    choice: &Choice,
    title: &str,
) -> anyhow::Result<Project> {
    run_for(context, options, choice, title, None)
}

/// As [`run`], for a process that the project is tied to.
pub(crate) fn run_for(
    context: &Context,
    options: UpOptions,
    choice: &Choice,
    title: &str,
    owner: Option<Lease>,
) -> anyhow::Result<Project> {
    let prepared = prepare(context, options, choice, &|_| {})?;
    finish(context, prepared, title, owner)
}

/// As [`run`], with what `change` does to the loaded project.
pub(crate) fn run_changed(
    context: &Context,
    options: UpOptions,
    choice: &Choice,
    title: &str,
    change: &dyn Fn(&mut Project),
) -> anyhow::Result<Project> {
    let prepared = prepare(context, options, choice, change)?;
    finish(context, prepared, title, None)
}

fn finish(
    context: &Context,
    (project, options): (Project, UpOptions),
    title: &str,
    owner: Option<Lease>,
) -> anyhow::Result<Project> {
    if context.settings.dry_run {
        let command = Command::Up(options);
        dry_run::of_command(context, &project.name, Some(&project), &command, title)?;
        return Ok(project);
    }
    if owner.is_some() {
        session::lease(context, &project.name, owner)?;
    }
    session::block_on(session::apply(
        context,
        &project.name,
        Some(project.clone()),
        Command::Up(options),
        title,
    ))?;
    Ok(project)
}

/// What comes before an `up`: the project, its images, questions to the user.
pub(crate) fn prepare(
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
    let root = context.store()?;
    let needed: Vec<&ServiceName> = match (options.no_deps, options.services.is_empty()) {
        (true, false) => options.services.iter().collect(),
        _ => project.services.keys().collect(),
    };
    images::supply(context, &project, &needed, choice)?;
    if !context.settings.dry_run {
        images::require(root, &project, &needed)?;
    }
    image::pin_mounts(root, &mut project)?;
    if !options.assume_yes && !project.volumes.is_empty() {
        let observed = observe::observe(root, &project.name, Some(&project))?.observed;
        let images = image::of_services(root, &project)?;
        let plan = plan::reconcile(&project, &observed, &images, &options)
            .map_err(|error| Failure::project(error.to_string()))?;
        for question in plan.confirmations() {
            if !context.settings.dry_run && prompt::is_agreed(&question.question()) {
                options.confirmed.insert(question.clone());
            }
        }
    }
    Ok((project, options))
}
