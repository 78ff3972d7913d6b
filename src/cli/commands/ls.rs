//! `ls`: the projects of this engine.

use regex_lite::Regex;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::table::{Layout, Table};
use crate::cli::{output, records};
use crate::view::project::{Listing, Row, rows};

/// Flags of `ls`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Show all stopped Compose projects
    #[arg(short = 'a', long)]
    all: bool,
    /// Filter output based on conditions provided
    #[arg(long = "filter", value_name = "name=REGEX")]
    filters: Vec<String>,
    /// Format the output. Values: [table | json]
    #[arg(long, default_value = "table", value_name = "FORMAT")]
    format: String,
    /// Only display project names
    #[arg(short = 'q', long)]
    quiet: bool,
}

impl Args {
    /// Lists them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let names = self.patterns()?;
        let root = context.store()?;
        let mut containers = Vec::new();
        for project in root.projects()? {
            // As with docker, a container of `container run` is no project.
            if root.project(&project).is_throw_away() {
                continue;
            }
            if names.is_empty() || names.iter().any(|name| name.is_match(project.as_str())) {
                containers.extend(records::containers(root, &project)?);
            }
        }
        let listing = if self.all {
            Listing::All
        } else {
            Listing::Running
        };
        output::print(&self.text(&rows(&containers, listing))?)?;
        Ok(Exit::SUCCESS)
    }

    fn text(&self, rows: &[Row]) -> anyhow::Result<String> {
        if self.quiet {
            return Ok(rows.iter().map(|row| format!("{}\n", row.name)).collect());
        }
        match self.format.as_str() {
            "table" | "pretty" | "" => {
                let mut table = Table::new(Layout::COMPOSE, &["NAME", "STATUS", "CONFIG FILES"]);
                for row in rows {
                    table.row(vec![
                        row.name.clone(),
                        row.status.clone(),
                        row.config_files.clone(),
                    ]);
                }
                Ok(table.text())
            }
            "json" => Ok(format!("{}\n", serde_json::to_string(rows)?)),
            other => {
                Err(Failure::usage(format!("format value {other:?} could not be parsed")).into())
            }
        }
    }

    fn patterns(&self) -> Result<Vec<Regex>, Failure> {
        self.filters
            .iter()
            .map(|filter| match filter.split_once('=') {
                Some(("name", pattern)) => Regex::new(pattern).map_err(|error| {
                    Failure::usage(format!("invalid filter name={pattern}: {error}"))
                }),
                Some((key, _)) => Err(Failure::usage(format!("invalid filter '{key}'"))),
                None => Err(Failure::usage(format!("invalid filter {filter:?}"))
                    .with_hint("write it as name=REGEX")),
            })
            .collect()
    }
}
