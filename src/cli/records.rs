//! What exists, read from records and the kernel: no supervisor is asked.

use anyhow::Context as _;

use crate::model::{ContainerState, Intent, ObservedContainer, Outcome, ProjectName};
use crate::store::Root;
use crate::sys;

/// A project's containers by name. What can't be read is told and left out.
pub(crate) fn containers(
    root: &Root,
    project: &ProjectName,
) -> anyhow::Result<Vec<ObservedContainer>> {
    let store = root.project(project);
    let found = store
        .containers()
        .with_context(|| format!("read of the records of project {project}"))?;
    for (id, error) in &found.damaged {
        crate::cli::output::notice(&format!("warning: container {}: {error}", id.short()));
    }
    let mut containers: Vec<ObservedContainer> = found
        .records
        .into_iter()
        .map(|record| {
            let runtime = store.runtime(&record.id);
            let process = runtime.as_ref().and_then(|runtime| runtime.process.clone());
            let state = match process.filter(sys::process::is_alive) {
                Some(process) => ContainerState::Running {
                    process,
                    since: runtime.as_ref().map_or(record.created_at, |r| r.started_at),
                },
                None => match (store.exit(&record.id), record.intent) {
                    (Some(exit), _) => ContainerState::Exited {
                        outcome: exit.outcome,
                        at: exit.at,
                    },
                    (None, Intent::Created) => ContainerState::Created,
                    (None, Intent::Running | Intent::Stopped) => ContainerState::Exited {
                        outcome: Outcome::Unknown,
                        at: record.created_at,
                    },
                },
            };
            ObservedContainer {
                record,
                state,
                runtime,
            }
        })
        .collect();
    containers.sort_by(|one, other| one.record.name.cmp(&other.record.name));
    Ok(containers)
}

/// A container's name without its project, as log lines have it: `web-1`.
pub(crate) fn short_name(container: &ObservedContainer) -> String {
    let record = &container.record;
    let name = record.name.as_str();
    [
        format!("{}-", record.project),
        format!("{}_", record.project),
    ]
    .iter()
    .find_map(|prefix| name.strip_prefix(prefix.as_str()))
    .unwrap_or(name)
    .to_owned()
}
