//! Projects as rows of `ls`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{ContainerState, ObservedContainer};

/// The label that names a project's files.
pub const CONFIG_FILES_LABEL: &str = "com.docker.compose.project.config_files";

/// A project in compose's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Row {
    /// Its name.
    pub name: String,
    /// How many containers are in which state, as in `exited(1), running(2)`.
    pub status: String,
    /// Its Compose files.
    pub config_files: String,
}

/// Which projects are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Those with a container that has a process, frozen ones too.
    Running,
    /// Those with any container.
    All,
}

/// Containers of any projects as rows, a project a row, by name.
#[must_use]
pub fn rows<'a>(
    containers: impl IntoIterator<Item = &'a ObservedContainer>,
    listing: Listing,
) -> Vec<Row> {
    let mut projects: BTreeMap<String, Vec<&ObservedContainer>> = BTreeMap::new();
    for container in containers {
        let wanted = match (listing, &container.state) {
            (Listing::All, _)
            | (
                Listing::Running,
                ContainerState::Running { .. }
                | ContainerState::Paused { .. }
                | ContainerState::Restarting { .. },
            ) => true,
            (Listing::Running, ContainerState::Created | ContainerState::Exited { .. }) => false,
        };
        if wanted {
            projects
                .entry(container.record.project.to_string())
                .or_default()
                .push(container);
        }
    }
    projects
        .into_iter()
        .map(|(name, containers)| Row {
            name,
            status: combined(&containers),
            config_files: config_files(&containers),
        })
        .collect()
}

fn combined(containers: &[&ObservedContainer]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for container in containers {
        *counts.entry(container.state.as_str()).or_default() += 1;
    }
    let texts: Vec<String> = counts
        .iter()
        .map(|(state, count)| format!("{state}({count})"))
        .collect();
    texts.join(", ")
}

/// The files of all containers, each once; `N/A` when no container tells.
fn config_files(containers: &[&ObservedContainer]) -> String {
    let mut files: Vec<&str> = Vec::new();
    for container in containers {
        let label = container.record.labels.get(CONFIG_FILES_LABEL);
        for file in label.iter().flat_map(|label| label.split(',')) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    if files.is_empty() {
        return "N/A".to_owned();
    }
    files.join(",")
}

#[cfg(test)]
mod tests {
    use crate::model::Outcome;
    use crate::view::testing;

    use super::*;

    fn running() -> ObservedContainer {
        testing::container(ContainerState::Running {
            process: testing::process(),
            since: testing::time("09:59:57"),
        })
    }

    fn exited() -> ObservedContainer {
        testing::container(ContainerState::Exited {
            outcome: Outcome::Code(0),
            at: testing::time("09:59:00"),
        })
    }

    #[test]
    fn states_are_counted_by_name() {
        let containers = [running(), exited(), running()];
        assert_eq!(
            rows(&containers, Listing::All),
            [Row {
                name: "shop".into(),
                status: "exited(1), running(2)".into(),
                config_files: "/srv/shop/compose.yaml".into(),
            }]
        );
        let running_only = rows(&containers, Listing::Running);
        assert_eq!(running_only.first().unwrap().status, "running(2)");
    }

    #[test]
    fn a_stopped_project_shows_only_when_asked() {
        let mut container = exited();
        container.record.labels.clear();
        assert!(rows([&container], Listing::Running).is_empty());
        let rows = rows([&container], Listing::All);
        assert_eq!(rows.first().unwrap().config_files, "N/A");
    }
}
