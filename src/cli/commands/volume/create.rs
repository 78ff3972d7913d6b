//! `volume create`: a volume that no project owns.

use anyhow::Context as _;

use crate::cli::commands::nouns;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::model::{ContainerId, Volume};
use crate::{sys, volume};

/// Flags of `volume create`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Specify volume driver name
    #[arg(short = 'd', long, default_value = "local", value_name = "DRIVER")]
    driver: String,
    /// Set metadata for a volume
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Set driver specific options
    #[arg(short = 'o', long = "opt", value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// Specify volume name
    #[arg(long, hide = true, value_name = "NAME")]
    name: Option<String>,
    /// Its name; a random one when absent
    #[arg(value_name = "VOLUME")]
    volume: Option<String>,
}

impl Args {
    /// Makes it and prints its name. One that is there stays as it is.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if self.name.is_some() && self.volume.is_some() {
            return Err(Failure::usage(
                "conflicting options: cannot specify a volume-name through both --name and as a positional arg",
            )
            .into());
        }
        let name = match self.name.or(self.volume) {
            Some(name) => name,
            None => {
                let bytes = sys::random::bytes32().context("draw of random bytes")?;
                ContainerId::from_random(bytes).to_string()
            }
        };
        let wanted = Volume {
            name: name.clone(),
            driver: (self.driver != "local").then_some(self.driver),
            driver_opts: nouns::options(&self.options, "-o, --opt")?,
            labels: nouns::pairs(&self.labels),
        };
        if !context.settings.dry_run {
            volume::create(context.store()?, &wanted, None)?;
        }
        output::print(&format!("{name}\n"))?;
        Ok(Exit::SUCCESS)
    }
}
