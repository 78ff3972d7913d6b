//! `volume prune`: volumes that no container has.

use crate::cli::commands::nouns;
use crate::cli::commands::volume::{mountpoint, remove, users};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::filters::Filters;
use crate::cli::{output, records};
use crate::sys::usage;
use crate::view::resource;
use crate::volume;

/// Flags of `volume prune`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Remove all unused volumes, not just anonymous ones
    #[arg(short = 'a', long)]
    all: bool,
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
            all: false,
            filters,
            force: true,
        }
    }

    /// Removes them, after asking.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let filters = Filters::parse(&self.filters, &["label", "label!", "all"])?;
        let all = self.all || filters.flag("all")?.unwrap_or(false);
        let kind = if all { "all" } else { "anonymous" };
        let warning =
            format!("This will remove {kind} local volumes not used by at least one container.");
        if !self.force && !context.settings.dry_run && !nouns::confirm(&warning) {
            return Ok(Exit::SUCCESS);
        }
        let root = context.store()?;
        let containers = records::every_container(root)?;
        let (mut removed, mut bytes) = (Vec::new(), 0);
        let mut exit = Exit::SUCCESS;
        for volume in volume::list(root)? {
            let goes = (all || resource::is_anonymous(&volume))
                && filters.labels(&resource::volume_labels(&volume))
                && users(&containers, &volume.name).is_empty();
            if !goes {
                continue;
            }
            let size = usage::folder_bytes(&mountpoint(root, &volume.name));
            if !context.settings.dry_run
                && let Err(error) = remove(root, &volume.name)
            {
                output::error(&error, None);
                exit = Exit::FAILURE;
                continue;
            }
            bytes += size;
            removed.push(volume.name);
        }
        output::print(&nouns::pruned("Volumes", &removed, Some(bytes)))?;
        Ok(exit)
    }
}
