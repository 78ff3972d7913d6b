//! `builder df`: what builds keep, the largest and the oldest of it.

use serde_json::json;

use crate::build;
use crate::cli::commands::builder::{failure, kind};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::cli::output::table::{Layout, Table};
use crate::view::units::human_size;

/// Characters of an instruction that are shown.
const DESCRIPTION_CHARS: usize = 60;

/// Flags of `builder df`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Format the output: table or json
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json"])]
    format: String,
    /// Provide a more verbose output
    #[arg(long)]
    verbose: bool,
}

impl Args {
    /// Shows it.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let all = build::usage(context.store()?).map_err(failure)?;
        if self.format == "json" {
            for usage in &all {
                let object = json!({
                    "ID": usage.id,
                    "Type": kind(usage),
                    "Size": human_size(usage.bytes),
                    "SizeBytes": usage.bytes,
                    "InUse": usage.is_in_use,
                    "LastUsedAt": usage.used.map(|used| used.to_string()),
                    "Description": usage.description,
                });
                output::print(&format!("{object}\n"))?;
            }
            return Ok(Exit::SUCCESS);
        }
        let moment = context.moment();
        let mut table = Table::new(
            Layout::DOCKER,
            &[
                "ID",
                "TYPE",
                "SIZE",
                "RECLAIMABLE",
                "LAST USED",
                "DESCRIPTION",
            ],
        );
        for usage in &all {
            let id = match self.verbose {
                true => usage.id.clone(),
                false => usage.id.chars().take(12).collect(),
            };
            let description: String = match self.verbose {
                true => usage.description.clone(),
                false => usage.description.chars().take(DESCRIPTION_CHARS).collect(),
            };
            table.row(vec![
                id,
                kind(usage).to_owned(),
                human_size(usage.bytes),
                (!usage.is_in_use).to_string(),
                usage
                    .used
                    .map_or_else(String::new, |used| format!("{} ago", moment.age(used))),
                description.replace('\n', " "),
            ]);
        }
        output::print(&table.text())?;
        let sum = |is: &dyn Fn(&build::Usage) -> bool| -> u64 {
            all.iter()
                .filter(|usage| is(usage))
                .map(|usage| usage.bytes)
                .sum()
        };
        output::print(&format!(
            "Reclaimable:\t{}\nTotal:\t\t{}\n",
            human_size(sum(&|usage| !usage.is_in_use)),
            human_size(sum(&|_| true)),
        ))?;
        Ok(Exit::SUCCESS)
    }
}
