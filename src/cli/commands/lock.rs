//! `lock`: writes down which digests the project's images have.

use std::collections::BTreeMap;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::images::digests;
use crate::cli::images::lock::Lock;
use crate::cli::output;

/// Flags of `lock`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Only check that the file is up to date; exit 1 when it isn't
    #[arg(long)]
    check: bool,
}

impl Args {
    /// Writes or checks `rcompose.lock`.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let project = context.load_project(&[])?;
        let found: BTreeMap<_, _> = digests::of_project(context, &project)?;
        let lock = Lock::new(found);
        let folder = &project.working_dir;
        if self.check {
            return if Lock::read(folder)? == lock {
                Ok(Exit::SUCCESS)
            } else {
                Err(Failure::project("rcompose.lock is out of date")
                    .with_hint("bring it up to date with `rcompose lock`")
                    .into())
            };
        }
        if context.settings.dry_run {
            return Ok(Exit::SUCCESS);
        }
        let path = lock.write(folder)?;
        output::print(&format!("{}\n", path.display()))?;
        Ok(Exit::SUCCESS)
    }
}
