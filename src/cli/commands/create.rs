//! `create`: creates what the project asks for and starts nothing.

use crate::cli::commands::values::{self, Scale};

use crate::cli::bring_up;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::images::Choice;
use crate::cli::images::decide::BuildWish;
use crate::plan::UpOptions;

/// Flags of `create`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Build images before starting containers
    #[arg(long, conflicts_with = "no_build")]
    pub(crate) build: bool,
    /// Don't build an image, even if it's policy
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Recreate containers even if their configuration and image haven't changed
    #[arg(long, conflicts_with = "no_recreate")]
    pub(crate) force_recreate: bool,
    /// If containers already exist, don't recreate them. Incompatible with --force-recreate.
    #[arg(long)]
    pub(crate) no_recreate: bool,
    /// Pull image before running ("always"|"missing"|"never"|"build")
    #[arg(long, value_name = "POLICY")]
    pub(crate) pull: Option<String>,
    /// Pull without printing progress information
    #[arg(long)]
    pub(crate) quiet_pull: bool,
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// Scale SERVICE to NUM instances. Overrides the scale setting in the Compose file if present.
    #[arg(long, value_name = "SERVICE=NUM")]
    pub(crate) scale: Vec<Scale>,
    /// Assume "yes" as answer to all prompts and run non-interactively
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,

    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
}

impl Args {
    /// Creates them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let recreate = values::recreate(self.force_recreate, self.no_recreate);
        let options = UpOptions {
            services: values::service_names(&self.services)?,
            recreate,
            recreate_dependencies: values::recreate(false, self.no_recreate),
            scale: values::scales(&self.scale)?,
            orphans: values::orphans(context, self.remove_orphans)?,
            no_start: true,
            all_resources: context.flags.all_resources,
            assume_yes: self.yes,
            ..UpOptions::default()
        };
        let choice = Choice::new(self.pull.as_deref(), self.quiet_pull)?
            .with_build(BuildWish::of_flags(self.build, self.no_build), false);
        bring_up::run(context, options, &choice, "create")?;
        Ok(Exit::SUCCESS)
    }
}
