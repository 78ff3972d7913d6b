//! `network inspect`: a network with who is on it, in docker's shape.

use serde_json::Value;

use crate::cli::commands::network::{find, view};
use crate::cli::commands::nouns;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::records;
use crate::store::Root;
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
        nouns::inspect(&self.networks, self.format.as_deref(), |word| {
            object(root, word)
        })
    }
}

/// A network as `inspect` shows it, by name or id.
pub(crate) fn object(root: &Root, word: &str) -> anyhow::Result<Value> {
    let record = find(root, word)?;
    let containers = records::every_container(root)?;
    Ok(resource::network(&view(&record), &containers))
}
