//! Doing what changes lead to: builds, copies, restarts, commands.
//!
//! Everything goes the way that the command of the same name goes. It blocks;
//! what fails leaves the containers as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::build::Built;
use crate::cli::build::{self, Wishes};
use crate::cli::commands::exec::random_id;
use crate::cli::commands::image::user_of;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Silent};
use crate::cli::process::{self, Wish};
use crate::cli::settings::ProgressMode;
use crate::cli::watch::rules::{Rule, Work};
use crate::cli::watch::{Gate, Manner, Word};
use crate::cli::{output, records, session};
use crate::engine::files::{self, Files};
use crate::image;
use crate::model::{Hook, ObservedContainer, Project, ServiceName};
use crate::oci::Digest;
use crate::plan::{Command, Orphans, Recreate, RestartOptions, UpOptions};
use crate::protocol::control::{Exec, Request};

/// What work is done with.
pub(crate) struct Act<'a> {
    context: &'a Context,
    project: &'a Project,
    rules: &'a [Rule],
    manner: Manner,
    say: &'a dyn Fn(Word),
    gate: &'a Gate,
}

impl<'a> Act<'a> {
    pub(crate) fn new(
        context: &'a Context,
        project: &'a Project,
        rules: &'a [Rule],
        manner: Manner,
        say: &'a dyn Fn(Word),
        gate: &'a Gate,
    ) -> Self {
        Self {
            context,
            project,
            rules,
            manner,
            say,
            gate,
        }
    }

    /// Tells the user.
    pub(crate) fn say(&self, line: &str) {
        (self.say)(Word::Line(line.to_owned()));
    }

    /// Does the copies that come before all changes.
    pub(crate) fn first(&self, work: &Work) -> anyhow::Result<()> {
        for (service, files) in &work.sync {
            self.sync(service, files)?;
        }
        Ok(())
    }

    /// Does it all; the first failure ends it. `again` gives the copies that
    /// services need which were made anew.
    pub(crate) fn all(&self, work: &Work, again: &dyn Fn() -> Work) -> anyhow::Result<()> {
        if !work.rebuild.is_empty() {
            self.rebuild(&work.rebuild)?;
            self.first(&again())?;
        }
        for (service, files) in &work.sync {
            self.say(&format!(
                "Syncing service {:?} after {} changes were detected",
                service.as_str(),
                files.len()
            ));
            self.sync(service, files)?;
        }
        if !work.restart.is_empty() {
            self.restart(&work.restart)?;
        }
        for rule in &work.exec {
            if let Some(rule) = self.rules.get(*rule)
                && let Some(hook) = &rule.exec
            {
                self.exec(&rule.service, hook)?;
            }
        }
        Ok(())
    }

    fn rebuild(&self, services: &BTreeSet<ServiceName>) -> anyhow::Result<()> {
        let names = quoted(services);
        self.say(&format!(
            "Rebuilding service(s) {names} after changes were detected..."
        ));
        let built = match self.build(services) {
            Ok(built) => built,
            Err(error) => {
                match error.downcast_ref::<Silent>() {
                    Some(_) => self.say("Build failed."),
                    None => self.say(&format!("Build failed. Error: {error:#}")),
                }
                return Err(error);
            }
        };
        self.say(&format!("service(s) {names} successfully built"));
        let options = UpOptions {
            services: services.iter().cloned().collect(),
            no_deps: true,
            recreate: Recreate::Force,
            recreate_dependencies: Recreate::Never,
            orphans: Orphans::Ignore,
            ..UpOptions::default()
        };
        self.apply(Some(self.project.clone()), Command::Up(options), "up")?;
        if self.manner.prune {
            self.prune(&built);
        }
        Ok(())
    }

    fn build(&self, services: &BTreeSet<ServiceName>) -> anyhow::Result<Vec<Built>> {
        let services: Vec<ServiceName> = services.iter().cloned().collect();
        let requests =
            build::of_services(self.context, self.project, &services, &Wishes::default())?;
        let mode = if self.manner.quiet {
            ProgressMode::Quiet
        } else {
            self.context.settings.progress
        };
        Ok(build::run(self.context, &requests, mode)?.built)
    }

    /// Removes the images that nothing has needed since these were built.
    fn prune(&self, built: &[Built]) {
        let Ok(root) = self.context.store() else {
            return;
        };
        let unknown = |error: anyhow::Error| Some(format!("perhaps a container ({error})"));
        let used_by = |id: &Digest| user_of(root, id).unwrap_or_else(unknown);
        for (_, id) in built.iter().flat_map(|built| &built.renamed) {
            let is_named = image::names(root, id).map_or(true, |names| !names.is_empty());
            if is_named {
                continue;
            }
            if let Err(error) = image::remove(root, &id.to_string(), false, &used_by) {
                tracing::debug!(%error, "a replaced image stays");
            }
        }
    }

    /// Makes paths in all containers of a service look like those of the host.
    fn sync(
        &self,
        service: &ServiceName,
        changes: &BTreeMap<PathBuf, PathBuf>,
    ) -> anyhow::Result<()> {
        let root = self.context.store()?;
        let mut failed = None;
        for container in self.containers(service)? {
            let rules = self.rules;
            let copied = files::visit(root, &container, |inside| {
                copy(rules, inside, &container, changes)
            });
            if let Err(error) = copied {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    fn restart(&self, services: &BTreeSet<ServiceName>) -> anyhow::Result<()> {
        let options = RestartOptions {
            services: services.iter().cloned().collect(),
            ..RestartOptions::default()
        };
        self.apply(None, Command::Restart(options), "restart")?;
        self.say(&format!("service(s) {} restarted", quoted(services)));
        Ok(())
    }

    /// Runs a command in all running containers of a service.
    fn exec(&self, service: &ServiceName, hook: &Hook) -> anyhow::Result<()> {
        let client = session::client(self.context, &self.project.name)?;
        let wish = Wish::Pipes { with_stdin: false };
        for container in self.containers(service)? {
            if !container.state.is_running() {
                continue;
            }
            let request = Request::Exec(Exec {
                id: format!("exec.{}", random_id()?),
                container: container.record.id,
                argv: hook.command.clone(),
                user: hook.user.clone(),
                cwd: hook.working_dir.clone(),
                env: hook
                    .environment
                    .iter()
                    .filter_map(|(key, value)| Some((key.clone(), value.clone()?)))
                    .collect(),
                privileged: hook.privileged,
                streams: wish.streams(),
            });
            let exit = session::block_on(process::converse(&client, request, wish, &mut Some))?;
            if exit.code() != 0 {
                output::warn(&format!(
                    "command of develop.watch in {} exited with code {}",
                    container.record.name,
                    exit.code()
                ));
            }
        }
        Ok(())
    }

    /// Has the supervisor carry something out that stops containers.
    fn apply(&self, project: Option<Project>, command: Command, title: &str) -> anyhow::Result<()> {
        (self.say)(Word::Reworking);
        let name = &self.project.name;
        let applied = self.gate.pass(|| {
            session::block_on(session::apply(self.context, name, project, command, title))
        });
        (self.say)(Word::Settled);
        applied.unwrap_or_else(|| Err(Silent(Exit::INTERRUPTED).into()))
    }

    fn containers(&self, service: &ServiceName) -> anyhow::Result<Vec<ObservedContainer>> {
        let root = self.context.store()?;
        let mut found = records::containers(root, &self.project.name)?;
        found.retain(|container| {
            !container.record.is_one_off() && container.record.service_name() == service
        });
        Ok(found)
    }
}

/// What is gone first, then folders before what is in them. One path that
/// fails keeps no other one back.
fn copy(
    rules: &[Rule],
    inside: &Files,
    container: &ObservedContainer,
    changes: &BTreeMap<PathBuf, PathBuf>,
) -> Result<(), files::Error> {
    let host = Files::of_host()?;
    let owner = inside.owner(&container.record)?;
    let (gone, there): (Vec<_>, Vec<_>) = changes.iter().partition(|(_, path)| is_gone(path));
    let mut failed = None;
    let mut note = |result: Result<(), files::Error>| {
        if let Err(error) = result {
            failed.get_or_insert(error);
        }
    };
    for (place, path) in gone {
        // A target holds more than what was copied to it.
        let is_whole = rules.iter().any(|rule| rule.path == *path);
        if !is_whole || inside.folder(place).is_err() {
            note(inside.remove(place));
        }
    }
    for (place, path) in there {
        note(match host.source(path, false) {
            Ok(source) => inside.mirror(&source, place, owner),
            // It went meanwhile, which is the next change.
            Err(files::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        });
    }
    failed.map_or(Ok(()), Err)
}

fn is_gone(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Names as docker compose lists them: `["web" "db"]`.
fn quoted(services: &BTreeSet<ServiceName>) -> String {
    let names: Vec<String> = services
        .iter()
        .map(|name| format!("{:?}", name.as_str()))
        .collect();
    format!("[{}]", names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_listed_as_docker_compose_does() {
        let services = ["web", "db"].map(|name| name.parse().unwrap());
        assert_eq!(quoted(&services.into()), "[\"db\" \"web\"]");
    }

    #[test]
    fn a_link_to_nowhere_is_there() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
        assert!(!is_gone(&dir.path().join("link")));
        assert!(is_gone(&dir.path().join("no")));
    }
}
