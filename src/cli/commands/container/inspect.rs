//! `container inspect`: everything about a container, in docker's shape.

use serde_json::Value;

use crate::cli::commands::nouns;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::named;
use crate::store::Root;
use crate::view::inspect::{self, Surroundings};

/// Flags of `container inspect`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Format output: 'json' or a Go TEMPLATE
    #[arg(short = 'f', long, value_name = "FORMAT")]
    format: Option<String>,
    /// Display total file sizes (not measured: no effect)
    #[arg(short = 's', long)]
    size: bool,
    /// The containers, by name or id
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl Args {
    /// Shows them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let root = context.store()?;
        nouns::inspect(&self.containers, self.format.as_deref(), |word| {
            object(root, word)
        })
    }
}

/// A container as `inspect` shows it.
pub(crate) fn object(root: &Root, word: &str) -> anyhow::Result<Value> {
    let container = named::find(root, word)?;
    let store = root.project(&container.record.project);
    let id = &container.record.id;
    Ok(inspect::container(
        &container,
        Surroundings {
            folder: &store.container_dir(id),
            log: &store.log_path(id),
            exit: store.exit(id).as_ref(),
        },
    ))
}
