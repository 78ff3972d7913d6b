//! `restart`: stops and starts containers.

use crate::cli::commands::values;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::session;
use crate::plan::Command;
use crate::plan::RestartOptions;

/// Flags of `restart`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Don't restart dependent services
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// Specify a shutdown timeout in seconds
    #[arg(short = 't', long, value_name = "SECONDS")]
    pub(crate) timeout: Option<i64>,

    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
}

impl Args {
    /// Restarts them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let options = RestartOptions {
            services: values::service_names(&self.services)?,
            no_deps: self.no_deps,
            timeout: values::timeout(self.timeout),
        };
        session::verb(context, Command::Restart(options), "restart")
    }
}
