//! `docker inspect`: whatever a name or id means.

use serde_json::Value;

use crate::cli::commands::{container, image, network, nouns, volume};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::store::Root;

/// Flags of `docker inspect`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Format output: 'json' or a Go TEMPLATE
    #[arg(short = 'f', long, value_name = "FORMAT")]
    format: Option<String>,
    /// Display total file sizes (not measured: no effect)
    #[arg(short = 's', long)]
    size: bool,
    /// Only inspect objects of the given type (container, image, network, volume)
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Names and ids
    #[arg(value_name = "NAME|ID", required = true)]
    names: Vec<String>,
}

/// The look-ups by their words, in docker's order.
const KINDS: [&str; 4] = ["container", "image", "network", "volume"];

impl Args {
    /// Shows them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let root = context.store()?;
        let kinds: Vec<&str> = match self.kind.as_deref().filter(|kind| !kind.is_empty()) {
            None => KINDS.to_vec(),
            Some(kind) if KINDS.contains(&kind) => vec![kind],
            Some(kind) => {
                return Err(
                    Failure::usage(format!("{kind:?} is not a valid value for --type")).into(),
                );
            }
        };
        nouns::inspect(&self.names, self.format.as_deref(), |word| {
            let found = kinds.iter().find_map(|kind| look(root, kind, word).ok());
            found.ok_or_else(|| {
                let kind = self.kind.as_deref().unwrap_or("object");
                Failure::project(format!("No such {kind}: {word}")).into()
            })
        })
    }
}

fn look(root: &Root, kind: &str, word: &str) -> anyhow::Result<Value> {
    match kind {
        "container" => container::inspect::object(root, word),
        "image" => image::inspect::object_of(root, word),
        "network" => network::inspect::object(root, word),
        _ => volume::inspect::object(root, word),
    }
}
