//! `unpause`: thaws containers.

use crate::cli::commands::values;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::session;
use crate::plan::Command;
use crate::plan::PauseOptions;

/// Flags of `unpause`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
}

impl Args {
    /// Thaws them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let options = PauseOptions {
            services: values::service_names(&self.services)?,
        };
        session::verb(context, Command::Unpause(options), "unpause")
    }
}
