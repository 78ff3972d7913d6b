//! `volume rm`: volumes with their data.

use crate::cli::commands::nouns;
use crate::cli::commands::volume::remove;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::volume;

/// Flags of `volume rm`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Force the removal of one or more volumes: one that isn't there is no error
    #[arg(short = 'f', long)]
    force: bool,
    /// The volumes
    #[arg(value_name = "VOLUME", required = true)]
    volumes: Vec<String>,
}

impl Args {
    /// Removes them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let root = context.store()?;
        nouns::each(&self.volumes, |name| {
            if volume::get(root, name)?.is_none() && !self.force {
                return Err(Failure::project(format!("get {name}: no such volume")).into());
            }
            if !context.settings.dry_run {
                remove(root, name)?;
            }
            Ok(name.to_owned())
        })
    }
}
