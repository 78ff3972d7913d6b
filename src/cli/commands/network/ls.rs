//! `network ls`: the networks of this engine.

use serde_json::Value;

use crate::cli::commands::network::{list, view};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::filters::Filters;
use crate::cli::output;
use crate::cli::output::listing::{Column, Format};
use crate::cli::output::table::Layout;
use crate::engine::networks;
use crate::view::inspect::network_id;
use crate::view::resource;

const COLUMNS: [Column; 4] = [
    column("NETWORK ID", "ID"),
    column("NAME", "Name"),
    column("DRIVER", "Driver"),
    column("SCOPE", "Scope"),
];

const fn column(heading: &'static str, field: &'static str) -> Column {
    Column { heading, field }
}

/// Flags of `network ls`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Provide filter values: dangling, driver, id, label, name, scope
    #[arg(short = 'f', long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go TEMPLATE
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Do not truncate the output
    #[arg(long)]
    no_trunc: bool,
    /// Only display network IDs
    #[arg(short = 'q', long)]
    quiet: bool,
}

impl Args {
    /// Lists them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let known = [
            "dangling", "driver", "id", "label", "label!", "name", "scope", "type",
        ];
        let filters = Filters::parse(&self.filters, &known)?;
        let root = context.store()?;
        let moment = context.moment();
        let dangling = filters.flag("dangling")?;
        let mut rows: Vec<Value> = Vec::new();
        for record in list(root)? {
            let network = view(&record);
            let id = network_id(&record.name);
            let is_meant = filters.names("name", &record.name)?
                && filters.any("id", |wanted| id.starts_with(wanted))
                && filters.any("driver", |driver| driver == network.driver())
                && filters.any("scope", |scope| scope == "local")
                && filters.any("type", |kind| kind == "custom")
                && filters.labels(&resource::network_labels(&network))
                && match dangling {
                    Some(wanted) => networks::users(root, &record.name)?.is_empty() == wanted,
                    None => true,
                };
            if is_meant {
                rows.push(resource::network_row(&network, &moment, self.no_trunc));
            }
        }
        let text = if self.quiet {
            let ids = rows.iter().filter_map(|row| row.get("ID")?.as_str());
            ids.map(|id| format!("{id}\n")).collect()
        } else {
            let typed = self.format.as_deref();
            let format = Format::chosen(typed, &context.environment, "networksFormat")?;
            format.list(Layout::DOCKER, &COLUMNS, &rows)?
        };
        output::print(&text)?;
        Ok(Exit::SUCCESS)
    }
}
