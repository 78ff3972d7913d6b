//! `scale`: changes how many containers services have.

use crate::cli::commands::values::Scale;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::images::Choice;
use crate::cli::session;
use crate::plan::UpOptions;

/// Flags of `scale`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Don't start linked services
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// Services with their numbers
    #[arg(value_name = "SERVICE=NUM", required = true)]
    pub(crate) scales: Vec<Scale>,
}

impl Args {
    /// Changes it.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let scale = session::scales(&self.scales)?;
        let options = UpOptions {
            services: scale.keys().cloned().collect(),
            no_deps: self.no_deps,
            orphans: session::orphans(context, false)?,
            scale,
            ..UpOptions::default()
        };
        session::bring_up(context, options, &Choice::default(), "scale")?;
        Ok(Exit::SUCCESS)
    }
}
