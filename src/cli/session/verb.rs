//! Verbs that need no Compose file: they are carried out on what exists, and
//! say docker compose's words where there is nothing.

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::session::{apply, block_on};
use crate::cli::{dry_run, output};
use crate::engine::observe;
use crate::model::{Project, ProjectName, ServiceName};
use crate::plan::Command;
use crate::store::Root;

/// Has a verb that needs no Compose file carried out on what exists.
pub(crate) fn verb(context: &Context, command: Command, title: &str) -> anyhow::Result<Exit> {
    let name = context.project_name()?;
    let root = context.store()?;
    let project = context.project_of(&name)?;
    if context.settings.dry_run {
        return dry_run::of_command(context, &name, project.as_ref(), &command, title);
    }
    if has_anything(root, &name)? {
        block_on(apply(context, &name, project, command, title))?;
    } else {
        nothing_there(&command, &name, project.as_ref())?;
    }
    Ok(Exit::SUCCESS)
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
