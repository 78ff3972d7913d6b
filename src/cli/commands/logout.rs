//! `logout`: forgets a registry's credentials.

use crate::cli::commands::login::registry;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::images::transfer::{registry_failure, settings};
use crate::cli::output;

/// Flags of `logout`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// The registry; Docker Hub when none is named
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

impl Args {
    /// Logs out.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        context.no_dry_run("logout")?;
        let registry = registry(self.server.as_deref());
        let forgotten = settings(context)?.credentials.forget(&registry);
        let was_there = forgotten.map_err(|error| registry_failure(&error, None))?;
        output::print(&if was_there {
            format!("Removing login credentials for {registry}\n")
        } else {
            format!("Not logged in to {registry}\n")
        })?;
        Ok(Exit::SUCCESS)
    }
}
