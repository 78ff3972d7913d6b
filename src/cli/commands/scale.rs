//! `scale`: changes how many containers services have.

use crate::cli::commands::values::{self, Scale};

use crate::cli::bring_up;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::images::Choice;
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
        let scale = values::scales(&self.scales)?;
        let options = UpOptions {
            services: scale.keys().cloned().collect(),
            no_deps: self.no_deps,
            orphans: values::orphans(context, false)?,
            scale,
            ..UpOptions::default()
        };
        bring_up::run(context, options, &Choice::default(), "scale")?;
        Ok(Exit::SUCCESS)
    }
}
