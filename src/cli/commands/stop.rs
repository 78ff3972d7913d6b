//! `stop`: stops containers and keeps them.

use crate::cli::commands::values;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::session;
use crate::plan::Command;
use crate::plan::StopOptions;

/// Flags of `stop`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Specify a shutdown timeout in seconds
    #[arg(short = 't', long, value_name = "SECONDS")]
    pub(crate) timeout: Option<i64>,

    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
}

impl Args {
    /// Stops them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let options = StopOptions {
            services: values::service_names(&self.services)?,
            timeout: values::timeout(self.timeout),
        };
        session::verb(context, Command::Stop(options), "stop")
    }
}
