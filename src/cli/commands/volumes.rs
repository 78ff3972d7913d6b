//! `volumes`: the project's volumes, as `docker volume ls` shows them.

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::commands::values::check_services;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::output::listing::{Column, Format};
use crate::cli::output::table::Layout;
use crate::cli::{output, records};
use crate::model::{ObservedVolume, ProjectName};
use crate::store::Root;
use crate::view::labels_text;
use crate::volume;

const COLUMNS: [Column; 2] = [
    Column {
        heading: "DRIVER",
        field: "Driver",
    },
    Column {
        heading: "VOLUME NAME",
        field: "Name",
    },
];

/// Flags of `volumes`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go TEMPLATE
    #[arg(long, default_value = "table", value_name = "FORMAT")]
    format: String,
    /// Only display volume names
    #[arg(short = 'q', long)]
    quiet: bool,
    /// Services whose volumes are shown; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Args {
    /// Lists them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let name = context.project_name()?;
        let known = context.declared_services()?;
        check_services(known.as_deref(), &self.services)?;
        let root = context.store()?;
        let mut volumes = volume::list(root).context("read of the volumes")?;
        if self.services.is_empty() {
            volumes.retain(|volume| belongs(volume, &name));
        } else {
            let used = self.used(root, &name)?;
            volumes.retain(|volume| used.contains(&volume.name));
        }
        let text = if self.quiet {
            let names = volumes.iter().map(|volume| format!("{}\n", volume.name));
            names.collect()
        } else {
            let rows: Vec<Value> = volumes.iter().map(|volume| row(root, volume)).collect();
            Format::parse(&self.format)?.list(Layout::DOCKER, &COLUMNS, &rows)?
        };
        output::print(&text)?;
        Ok(Exit::SUCCESS)
    }

    /// Volumes that containers of the named services have.
    fn used(&self, root: &Root, name: &ProjectName) -> anyhow::Result<Vec<String>> {
        let containers = records::containers(root, name)?;
        let used = containers
            .iter()
            .filter(|container| {
                let service = container.record.service_name().as_str();
                self.services.iter().any(|name| name == service)
            })
            .flat_map(|container| &container.record.mounts)
            .filter_map(|mount| mount.volume.clone());
        Ok(used.collect())
    }
}

fn belongs(volume: &ObservedVolume, name: &ProjectName) -> bool {
    volume
        .owner
        .as_ref()
        .is_some_and(|(project, _)| project == name.as_str())
}

/// A volume in docker's shape; what only a swarm knows is `N/A`.
fn row(root: &Root, volume: &ObservedVolume) -> Value {
    let mut labels = volume
        .applied
        .as_ref()
        .map(|applied| applied.labels.clone())
        .unwrap_or_default();
    if let Some((project, key)) = &volume.owner {
        labels.insert("com.docker.compose.project".to_owned(), project.clone());
        labels.insert("com.docker.compose.volume".to_owned(), key.clone());
    }
    let driver = volume
        .applied
        .as_ref()
        .and_then(|applied| applied.driver.as_deref());
    json!({
        "Availability": "N/A",
        "Driver": driver.unwrap_or("local"),
        "Group": "N/A",
        "Labels": labels_text(&labels),
        "Links": "N/A",
        "Mountpoint": root.volumes_dir().join(&volume.name).join("_data"),
        "Name": volume.name,
        "Scope": "local",
        "Size": "N/A",
        "Status": "N/A",
    })
}
