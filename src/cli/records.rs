//! What exists, read from records and the kernel: no supervisor is asked.

use anyhow::Context as _;

use crate::engine::observe;
use crate::model::{ObservedContainer, ProjectName};
use crate::store::Root;

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
            let exit = store.exit(&record.id);
            let state = observe::state(&record, runtime.as_ref(), exit.as_ref(), &|| {
                store.has_pair()
            });
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

/// The containers of every project by name.
pub(crate) fn every_container(root: &Root) -> anyhow::Result<Vec<ObservedContainer>> {
    let mut all = Vec::new();
    for project in root.projects()? {
        all.extend(containers(root, &project)?);
    }
    all.sort_by(|one, other| one.record.name.cmp(&other.record.name));
    Ok(all)
}

/// A container's name without its project, as log lines have it: `web-1`.
pub(crate) fn short_name(container: &ObservedContainer) -> String {
    let record = &container.record;
    without_project(&record.project, record.name.as_str())
}

/// A container's name without its project's.
pub(crate) fn without_project(project: &ProjectName, name: &str) -> String {
    [format!("{project}-"), format!("{project}_")]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix.as_str()))
        .unwrap_or(name)
        .to_owned()
}
