//! `volumes`: the project's volumes, as `docker volume ls` shows them.

use anyhow::Context as _;
use serde_json::Value;

use crate::cli::commands::values::check_services;
use crate::cli::commands::volume::ls::COLUMNS;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::output::listing::Format;
use crate::cli::output::table::Layout;
use crate::cli::{output, records};
use crate::model::{ObservedVolume, ProjectName};
use crate::store::Root;
use crate::view::resource;
use crate::volume;

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
            let rows: Vec<Value> = volumes
                .iter()
                .map(|volume| {
                    let mountpoint = root.volumes_dir().join(&volume.name).join("_data");
                    resource::volume_row(volume, &mountpoint)
                })
                .collect();
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
