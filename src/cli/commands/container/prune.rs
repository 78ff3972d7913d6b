//! `container prune`: containers that have stopped.

use crate::cli::commands::container::verbs;
use crate::cli::commands::nouns;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::filters::Filters;
use crate::cli::{output, records};
use crate::model::ContainerState;
use crate::sys::usage;

/// Flags of `container prune`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Provide filter values (e.g. "label=KEY=VALUE")
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short = 'f', long)]
    force: bool,
}

impl Args {
    /// As `--force` with these filters has it.
    pub(crate) fn forced(filters: Vec<String>) -> Self {
        Self {
            filters,
            force: true,
        }
    }

    /// Removes them, after asking.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let filters = Filters::parse(&self.filters, &["label", "label!"])?;
        let is_asked = !self.force && !context.settings.dry_run;
        if is_asked && !nouns::confirm("This will remove all stopped containers.") {
            return Ok(Exit::SUCCESS);
        }
        let root = context.store()?;
        let (mut removed, mut bytes, mut exit) = (Vec::new(), 0, Exit::SUCCESS);
        for container in records::every_container(root)? {
            let record = &container.record;
            let is_over = match container.state {
                ContainerState::Created | ContainerState::Exited { .. } => true,
                ContainerState::Running { .. }
                | ContainerState::Paused { .. }
                | ContainerState::Restarting { .. } => false,
            };
            if !is_over || !filters.labels(&record.labels) {
                continue;
            }
            let folder = root.project(&record.project).container_dir(&record.id);
            let size = usage::folder_bytes(&folder);
            match verbs::remove(context, &container, false) {
                Ok(()) => {
                    removed.push(record.id.to_string());
                    bytes += size;
                }
                Err(error) => {
                    output::error(&error, None);
                    exit = Exit::FAILURE;
                }
            }
        }
        output::print(&nouns::pruned("Containers", &removed, Some(bytes)))?;
        Ok(exit)
    }
}
