//! `kill`: sends a signal to containers.

use crate::cli::commands::values;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::session;
use crate::model::InvalidSignal;
use crate::plan::Command;
use crate::plan::KillOptions;

/// Flags of `kill`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// SIGNAL to send to the container
    #[arg(short = 's', long, default_value = "SIGKILL", value_name = "SIGNAL")]
    pub(crate) signal: String,

    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
}

impl Args {
    /// Sends it.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let options = KillOptions {
            services: values::service_names(&self.services)?,
            signal: self
                .signal
                .parse()
                .map_err(|error: InvalidSignal| Failure::usage(error.to_string()))?,
            orphans: self.remove_orphans,
        };
        session::verb(context, Command::Kill(options), "kill")
    }
}
