//! `builder prune`: removes what builds keep.

use std::time::Duration;

use crate::build::{self, PruneFilter};
use crate::cli::commands::builder::failure;
use crate::cli::commands::nouns;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::model::units;
use crate::view::units::human_size;

/// Flags of `builder prune`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Remove all build cache, not just what no image needs
    #[arg(short = 'a', long)]
    all: bool,
    /// Provide filter values (until=24h, unused-for=24h)
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short = 'f', long)]
    force: bool,
    /// Amount of disk space to keep for cache
    #[arg(
        long,
        alias = "reserved-space",
        alias = "max-used-space",
        value_name = "BYTES"
    )]
    keep_storage: Option<String>,
}

impl Args {
    /// What `system prune` asks for, which has asked the user already.
    pub(crate) fn forced(all: bool) -> Self {
        Self {
            all,
            filter: Vec::new(),
            force: true,
            keep_storage: None,
        }
    }

    /// Removes it.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let filter = PruneFilter {
            dry_run: context.settings.dry_run,
            ..self.prune_filter()?
        };
        let warning = match self.all {
            true => "This will remove all build cache.",
            false => "This will remove all build cache that no image needs.",
        };
        if !self.force && !filter.dry_run && !nouns::confirm(warning) {
            return Ok(Exit::SUCCESS);
        }
        let pruned = build::prune(context.store()?, &filter).map_err(failure)?;
        let mut text = String::new();
        for id in &pruned.removed {
            text.push_str(id);
            text.push('\n');
        }
        text.push_str(&format!("Total:\t{}\n", human_size(pruned.bytes)));
        output::print(&text)?;
        Ok(Exit::SUCCESS)
    }

    fn prune_filter(&self) -> anyhow::Result<PruneFilter> {
        let mut filter = PruneFilter {
            all: self.all,
            ..PruneFilter::default()
        };
        if let Some(text) = &self.keep_storage {
            let bytes = units::parse_bytes(text).and_then(|bytes| u64::try_from(bytes).ok());
            filter.keep_bytes = Some(bytes.ok_or_else(|| {
                Failure::usage(format!("invalid size {text:?}"))
                    .with_hint("write it as 512m or 10g")
            })?);
        }
        for text in &self.filter {
            let refuse = || {
                Failure::usage(format!("invalid filter {text:?}")).with_hint(
                    "the filters are until=DURATION and unused-for=DURATION, as in until=24h",
                )
            };
            let (key, value) = text.split_once('=').ok_or_else(refuse)?;
            if !matches!(key, "until" | "unused-for") {
                return Err(refuse().into());
            }
            let time: Duration = units::duration(value).ok_or_else(refuse)?;
            filter.unused_for = Some(time);
        }
        Ok(filter)
    }
}
