//! `start`: starts containers that exist.

use crate::cli::commands::values;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::session;
use crate::plan::Command;
use crate::plan::StartOptions;

/// Flags of `start`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Wait for services to be running|healthy. Implies detached mode.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Maximum duration in seconds to wait for the project to be running|healthy
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wait_timeout: Option<i64>,

    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
}

impl Args {
    /// Starts them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let options = StartOptions {
            services: values::service_names(&self.services)?,
            wait: self.wait,
            strict_wait: context.settings.compatibility,
            wait_timeout: self
                .wait_timeout
                .and_then(|seconds| values::timeout(Some(seconds))),
        };
        session::verb(context, Command::Start(options), "start")
    }
}
