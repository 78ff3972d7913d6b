//! `network inspect`: a network with who is on it, in docker's shape.

use crate::cli::commands::network::{find, view};
use crate::cli::commands::nouns;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::records;
use crate::view::resource;

/// Flags of `network inspect`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Format output: 'json' or a Go TEMPLATE
    #[arg(short = 'f', long, value_name = "FORMAT")]
    format: Option<String>,
    /// Verbose output for diagnostics (no effect: nothing is left out)
    #[arg(short = 'v', long)]
    verbose: bool,
    /// The networks
    #[arg(value_name = "NETWORK", required = true)]
    networks: Vec<String>,
}

impl Args {
    /// Shows them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let root = context.store()?;
        let containers = records::every_container(root)?;
        nouns::inspect(&self.networks, self.format.as_deref(), |word| {
            Ok(resource::network(&view(&find(root, word)?), &containers))
        })
    }
}
