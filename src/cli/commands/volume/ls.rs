//! `volume ls`: the volumes of this engine.

use serde_json::Value;

use crate::cli::commands::volume::{mountpoint, users};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::filters::Filters;
use crate::cli::output::listing::{Column, Format};
use crate::cli::output::table::Layout;
use crate::cli::{output, records};
use crate::view::resource;
use crate::volume;

pub(crate) const COLUMNS: [Column; 2] = [
    Column {
        heading: "DRIVER",
        field: "Driver",
    },
    Column {
        heading: "VOLUME NAME",
        field: "Name",
    },
];

/// Flags of `volume ls`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Provide filter values: dangling, driver, label, name
    #[arg(short = 'f', long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go TEMPLATE
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Only display volume names
    #[arg(short = 'q', long)]
    quiet: bool,
}

impl Args {
    /// Lists them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let known = ["dangling", "driver", "label", "label!", "name"];
        let filters = Filters::parse(&self.filters, &known)?;
        let root = context.store()?;
        let mut volumes = volume::list(root)?;
        if let Some(dangling) = filters.flag("dangling")? {
            let containers = records::every_container(root)?;
            volumes.retain(|volume| users(&containers, &volume.name).is_empty() == dangling);
        }
        let mut rows: Vec<Value> = Vec::new();
        for volume in &volumes {
            let is_meant = filters.names("name", &volume.name)?
                && filters.labels(&resource::volume_labels(volume))
                && filters.any("driver", |driver| driver == resource::volume_driver(volume));
            if is_meant {
                rows.push(resource::volume_row(
                    volume,
                    &mountpoint(root, &volume.name),
                ));
            }
        }
        let text = if self.quiet {
            let names = rows.iter().filter_map(|row| row.get("Name")?.as_str());
            names.map(|name| format!("{name}\n")).collect()
        } else {
            let typed = self.format.as_deref();
            let format = Format::chosen(typed, &context.environment, "volumesFormat")?;
            format.list(Layout::DOCKER, &COLUMNS, &rows)?
        };
        output::print(&text)?;
        Ok(Exit::SUCCESS)
    }
}
