//! `down`: stops and removes what `up` made.

use crate::cli::commands::values;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::images::removal;
use crate::cli::session;
use crate::plan::Command;
use crate::plan::DownOptions;

/// Flags of `down`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// Remove images used by services. "local" remove only images that don't have a custom tag ("local"|"all")
    #[arg(long, value_name = "WHICH")]
    pub(crate) rmi: Option<String>,
    /// Specify a shutdown timeout in seconds
    #[arg(short = 't', long, value_name = "SECONDS")]
    pub(crate) timeout: Option<i64>,
    /// Remove named volumes declared in the "volumes" section of the Compose file and anonymous volumes attached to containers
    #[arg(short = 'v', long)]
    pub(crate) volumes: bool,

    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
}

impl Args {
    /// Stops and removes them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let which = self.rmi.as_deref().map(str::parse).transpose()?;
        // What the project was is known only as long as it is there.
        let images = match which {
            Some(which) => removal::images(context, &self.services, which)?,
            None => Vec::new(),
        };
        let options = DownOptions {
            services: values::service_names(&self.services)?,
            remove_orphans: self.remove_orphans || context.settings.remove_orphans,
            volumes: self.volumes,
            timeout: values::timeout(self.timeout),
        };
        let exit = session::verb(context, Command::Down(options), "down")?;
        removal::remove(context, &images)?;
        Ok(exit)
    }
}
