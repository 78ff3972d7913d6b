//! `system prune`: everything that nobody uses.

use crate::cli::commands::{builder, container, image, network, nouns, volume};
use crate::cli::context::Context;
use crate::cli::exit::Exit;

/// Flags of `system prune`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Remove all unused images, not just dangling ones
    #[arg(short = 'a', long)]
    all: bool,
    /// Provide filter values (e.g. "label=KEY=VALUE")
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short = 'f', long)]
    force: bool,
    /// Prune anonymous volumes
    #[arg(long)]
    volumes: bool,
}

impl Args {
    /// Removes it, after asking once.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if !self.force && !context.settings.dry_run && !nouns::confirm(&self.warning()) {
            return Ok(Exit::SUCCESS);
        }
        // Containers first: they use all the rest.
        let labels: Vec<String> = self
            .filters
            .iter()
            .filter(|text| !text.starts_with("until="))
            .cloned()
            .collect();
        let mut exits = vec![
            container::prune::Args::forced(labels.clone()).run(context)?,
            network::rm::PruneArgs::forced(labels.clone()).run(context)?,
        ];
        if self.volumes {
            exits.push(volume::prune::Args::forced(labels).run(context)?);
        }
        let takes_builds = self.takes_builds();
        exits.push(image::prune::Args::forced(self.all, self.filters).run(context)?);
        if takes_builds {
            exits.push(builder::prune::Args::forced(self.all).run(context)?);
        }
        let failed = exits.into_iter().find(|exit| *exit != Exit::SUCCESS);
        Ok(failed.unwrap_or(Exit::SUCCESS))
    }

    /// What builds keep has no labels; a filter is for the rest.
    fn takes_builds(&self) -> bool {
        self.filters.is_empty()
    }

    fn warning(&self) -> String {
        let images = if self.all {
            "all images without at least one container associated to them"
        } else {
            "all dangling images"
        };
        let mut what = vec![
            "all stopped containers",
            "all networks not used by at least one container",
        ];
        if self.volumes {
            what.push("all anonymous volumes not used by at least one container");
        }
        what.push(images);
        if self.takes_builds() {
            what.push(match self.all {
                true => "all build cache",
                false => "all build cache that no image needs",
            });
        }
        let lines: Vec<String> = what.iter().map(|line| format!("  - {line}")).collect();
        format!("This will remove:\n{}", lines.join("\n"))
    }
}
