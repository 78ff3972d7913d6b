//! `wait`: waits until containers have ended and tells their codes.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;

use crate::cli::commands::values::check_services;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::{output, records, session};
use crate::model::{ContainerId, ContainerState, ObservedContainer};
use crate::plan::Command;
use crate::plan::DownOptions;
use crate::sys::poll;
use crate::sys::watch::Watch;

/// How often records are looked at when no file wakes us.
const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// Flags of `wait`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Drops project when the first container stops
    #[arg(long)]
    pub(crate) down_project: bool,
    /// Services
    #[arg(value_name = "SERVICE", required = true)]
    pub(crate) services: Vec<String>,
}

impl Args {
    /// Waits. The exit code is that of the container that ended last, or with
    /// `--down-project` of the first one, which takes the project down.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let exit = self.wait(context)?;
        if self.down_project {
            session::verb(context, Command::Down(DownOptions::default()), "down")?;
        }
        Ok(exit)
    }

    fn wait(&self, context: &Context) -> anyhow::Result<Exit> {
        if context.settings.dry_run {
            return Err(Failure::usage("wait is not supported in dry-run mode").into());
        }
        let name = context.project_name()?;
        let known = context.declared_services()?;
        check_services(known.as_deref(), &self.services)?;
        let root = context.store()?;
        let store = root.project(&name);
        let containers = || -> anyhow::Result<Vec<ObservedContainer>> {
            let mut containers = records::containers(root, &name)?;
            containers.retain(|container| {
                let service = container.record.service_name().as_str();
                self.services.iter().any(|name| name == service)
            });
            Ok(containers)
        };
        let watch = Watch::new().context("watch of the containers")?;
        let mut awaited: BTreeSet<ContainerId> = BTreeSet::new();
        // One that has ended already is told at once.
        let found = containers()?;
        let begun = |c: &&ObservedContainer| !matches!(c.state, ContainerState::Created);
        for container in found.iter().filter(begun) {
            // Its exit record appears in this folder; without a watch the
            // period finds it.
            let _ = watch.add(&store.container_dir(&container.record.id));
            awaited.insert(container.record.id.clone());
        }
        if awaited.is_empty() {
            let message = format!("no containers for project {:?}", name.as_str());
            return Err(Failure::project(message).into());
        }
        let mut exit = Exit::SUCCESS;
        loop {
            for (id, code) in ended(&mut awaited, &containers()?) {
                output::print(&format!(
                    "container {:?} exited with status code {code}\n",
                    id.as_str()
                ))?;
                exit = Exit::of_container(code);
                if self.down_project {
                    return Ok(exit);
                }
            }
            if awaited.is_empty() {
                return Ok(exit);
            }
            poll::wait_readable(&watch, Some(LOOK_PERIOD)).context("wait for the containers")?;
            watch.clear().context("wait for the containers")?;
        }
    }
}

/// Takes out those that have ended, with their codes, in the order of their
/// ends. One that is gone ended unseen.
fn ended(
    awaited: &mut BTreeSet<ContainerId>,
    containers: &[ObservedContainer],
) -> Vec<(ContainerId, i32)> {
    const UNSEEN: i32 = 255;
    let mut ends: Vec<(Option<Timestamp>, ContainerId, i32)> = awaited
        .iter()
        .filter_map(|id| {
            let container = containers.iter().find(|c| c.record.id == *id);
            let (at, code) = match container.map(|container| &container.state) {
                None => (None, UNSEEN),
                Some(ContainerState::Exited { outcome, at }) => (Some(*at), outcome.exit_code()),
                Some(ContainerState::Restarting { outcome, .. }) => (None, outcome.exit_code()),
                Some(
                    ContainerState::Created
                    | ContainerState::Running { .. }
                    | ContainerState::Paused { .. },
                ) => return None,
            };
            Some((at, id.clone(), code))
        })
        .collect();
    ends.sort();
    awaited.retain(|id| !ends.iter().any(|(_, ended, _)| ended == id));
    ends.into_iter().map(|(_, id, code)| (id, code)).collect()
}

#[cfg(test)]
mod tests {
    use crate::model::Outcome;
    use crate::view::testing;

    use super::*;

    #[test]
    fn each_end_is_told_once() {
        let running = testing::container(ContainerState::Running {
            process: testing::process(),
            since: testing::time("09:00:00"),
        });
        let exited = testing::container(ContainerState::Exited {
            outcome: Outcome::Signal(9),
            at: testing::time("09:00:01"),
        });
        let id = running.record.id.clone();
        let mut awaited = BTreeSet::from([id.clone()]);
        assert!(ended(&mut awaited, &[running]).is_empty());
        assert_eq!(
            ended(&mut awaited, std::slice::from_ref(&exited)),
            [(id.clone(), 137)]
        );
        assert!(ended(&mut awaited, std::slice::from_ref(&exited)).is_empty());
        let mut earlier = testing::container(ContainerState::Exited {
            outcome: Outcome::Code(4),
            at: testing::time("09:00:00"),
        });
        earlier.record.id = ContainerId::from_random([0xff; 32]);
        let mut both = BTreeSet::from([id.clone(), earlier.record.id.clone()]);
        let codes = ended(&mut both, &[exited.clone(), earlier]);
        assert_eq!(
            codes.iter().map(|(_, code)| *code).collect::<Vec<_>>(),
            [4, 137]
        );
        let mut gone = BTreeSet::from([id.clone()]);
        assert_eq!(ended(&mut gone, &[]), [(id, 255)]);
    }
}
