//! `container ls`: the containers of every project.

use serde_json::Value;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::filters::Filters;
use crate::cli::output::listing::{Column, Format};
use crate::cli::output::table::Layout;
use crate::cli::{output, records};
use crate::model::{ContainerState, ObservedContainer};
use crate::view::container::{Width, row};
use crate::view::inspect::health_word;

const COLUMNS: [Column; 7] = [
    column("CONTAINER ID", "ID"),
    column("IMAGE", "Image"),
    column("COMMAND", "Command"),
    column("CREATED", "RunningFor"),
    column("STATUS", "Status"),
    column("PORTS", "Ports"),
    column("NAMES", "Names"),
];

/// Keys of `--filter`.
const FILTERS: [&str; 12] = [
    "ancestor", "exited", "health", "id", "label", "label!", "name", "network", "project",
    "publish", "status", "volume",
];

const fn column(heading: &'static str, field: &'static str) -> Column {
    Column { heading, field }
}

/// Flags of `container ls`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Show all containers (default shows just running)
    #[arg(short = 'a', long)]
    all: bool,
    /// Filter output: ancestor, exited, health, id, label, name, network, project, publish, status, volume
    #[arg(short = 'f', long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go TEMPLATE
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show n last created containers (includes all states)
    #[arg(short = 'n', long, default_value_t = -1, value_name = "N")]
    last: i64,
    /// Show the latest created container (includes all states)
    #[arg(short = 'l', long)]
    latest: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display container IDs
    #[arg(short = 'q', long)]
    quiet: bool,
    /// Display total file sizes (not measured: no effect)
    #[arg(short = 's', long)]
    size: bool,
}

impl Args {
    /// Lists them, the youngest first.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let filters = Filters::parse(&self.filters, &FILTERS)?;
        let exited = self.exit_codes()?;
        let last = if self.latest { 1 } else { self.last };
        let shows_all = self.all || last > 0 || !exited.is_empty() || self.names_state();
        let mut containers = Vec::new();
        for container in records::every_container(context.store()?)? {
            let is_up = match &container.state {
                ContainerState::Running { .. }
                | ContainerState::Paused { .. }
                | ContainerState::Restarting { .. } => true,
                ContainerState::Created | ContainerState::Exited { .. } => false,
            };
            if (is_up || shows_all) && shows(&container, &filters, &exited)? {
                containers.push(container);
            }
        }
        containers.sort_by_key(|container| std::cmp::Reverse(container.record.created_at));
        if let Ok(count) = usize::try_from(last) {
            containers.truncate(count.max(1));
        }
        output::print(&self.text(context, &containers)?)?;
        Ok(Exit::SUCCESS)
    }

    fn names_state(&self) -> bool {
        self.filters
            .iter()
            .any(|filter| filter.starts_with("status="))
    }

    fn exit_codes(&self) -> Result<Vec<i32>, Failure> {
        let texts = self
            .filters
            .iter()
            .filter_map(|text| text.strip_prefix("exited="));
        texts
            .map(|text| {
                text.parse()
                    .map_err(|_| Failure::usage(format!("invalid filter 'exited={text}'")))
            })
            .collect()
    }

    fn text(&self, context: &Context, containers: &[ObservedContainer]) -> anyhow::Result<String> {
        let width = if self.no_trunc {
            Width::Full
        } else {
            Width::Cut
        };
        let moment = context.moment();
        let rows = containers
            .iter()
            .map(|container| serde_json::to_value(row(container, &moment, width)))
            .collect::<Result<Vec<Value>, _>>()?;
        if self.quiet {
            let ids = rows.iter().filter_map(|row| row.get("ID")?.as_str());
            return Ok(ids.map(|id| format!("{id}\n")).collect());
        }
        let typed = self.format.as_deref();
        let format = Format::chosen(typed, &context.environment, "psFormat")?;
        Ok(format.list(Layout::DOCKER, &COLUMNS, &rows)?)
    }
}

/// Whether a container meets every condition.
fn shows(
    container: &ObservedContainer,
    filters: &Filters,
    exited: &[i32],
) -> Result<bool, Failure> {
    let record = &container.record;
    let ended = match &container.state {
        ContainerState::Exited { outcome, .. } => Some(outcome.exit_code()),
        ContainerState::Created
        | ContainerState::Running { .. }
        | ContainerState::Paused { .. }
        | ContainerState::Restarting { .. } => None,
    };
    let image = record.service.image.reference();
    let is_of = |ancestor: &str| {
        let hex = record.image_id.strip_prefix("sha256:").unwrap_or_default();
        image == ancestor
            || image.strip_suffix(":latest") == Some(ancestor)
            || record.image_id == ancestor
            || (ancestor.len() >= 4 && hex.starts_with(ancestor))
    };
    let is_on = |network: &str| {
        let runtime = container.runtime.as_ref();
        runtime.is_some_and(|runtime| runtime.endpoints.contains_key(network))
    };
    let mounts = |wanted: &str| {
        record
            .mounts
            .iter()
            .any(|mount| mount.volume.as_deref() == Some(wanted) || mount.target == wanted)
    };
    let publishes = |wanted: &str| {
        let port = wanted
            .split('/')
            .next()
            .and_then(|text| text.parse::<u16>().ok());
        let mut bindings = container.runtime.iter().flat_map(|runtime| &runtime.ports);
        bindings.any(|binding| Some(binding.host_port) == port)
    };
    Ok(filters.names("name", record.name.as_str())?
        && filters.any("id", |id| record.id.as_str().starts_with(id))
        && filters.any("status", |state| state == container.state.as_str())
        && filters.any("health", |health| health == health_word(container))
        && filters.any("project", |project| project == record.project.as_str())
        && filters.any("ancestor", is_of)
        && filters.any("network", is_on)
        && filters.any("volume", mounts)
        && filters.any("publish", publishes)
        && filters.labels(&record.labels)
        && (exited.is_empty() || ended.is_some_and(|code| exited.contains(&code))))
}

#[cfg(test)]
mod tests {
    use crate::model::Outcome;
    use crate::view::testing;

    use super::*;

    fn shown(container: &ObservedContainer, filters: &[&str], exited: &[i32]) -> bool {
        let texts: Vec<String> = filters.iter().map(|&text| text.to_owned()).collect();
        shows(
            container,
            &Filters::parse(&texts, &FILTERS).unwrap(),
            exited,
        )
        .unwrap()
    }

    #[test]
    fn a_running_container_meets_conditions() {
        let container = testing::container(ContainerState::Running {
            process: testing::process(),
            since: testing::time("09:59:57"),
        });
        for met in [
            "name=web",
            "id=abab",
            "status=running",
            "health=none",
            "ancestor=nginx:1.27",
            "network=shop_default",
            "publish=8080",
            "label=com.docker.compose.project=shop",
            "project=shop",
        ] {
            assert!(shown(&container, &[met], &[]), "{met}");
        }
        for unmet in [
            "name=db",
            "id=cd",
            "network=other",
            "publish=80",
            "volume=data",
        ] {
            assert!(!shown(&container, &[unmet], &[]), "{unmet}");
        }
        assert!(!shown(&container, &[], &[0]));
    }

    #[test]
    fn exit_codes_are_those_of_ended_ones() {
        let container = testing::container(ContainerState::Exited {
            outcome: Outcome::Code(3),
            at: testing::time("09:59:00"),
        });
        assert!(shown(&container, &["status=exited"], &[3, 4]));
        assert!(!shown(&container, &[], &[0]));
    }
}
