//! `volume inspect`: everything about a volume, in docker's shape.

use serde_json::Value;

use crate::cli::commands::nouns;
use crate::cli::commands::volume::mountpoint;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::store::Root;
use crate::view::resource;
use crate::volume;

/// Flags of `volume inspect`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Format output: 'json' or a Go TEMPLATE
    #[arg(short = 'f', long, value_name = "FORMAT")]
    format: Option<String>,
    /// The volumes
    #[arg(value_name = "VOLUME", required = true)]
    volumes: Vec<String>,
}

impl Args {
    /// Shows them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let root = context.store()?;
        nouns::inspect(&self.volumes, self.format.as_deref(), |name| {
            object(root, name)
        })
    }
}

/// A volume as `inspect` shows it.
pub(crate) fn object(root: &Root, name: &str) -> anyhow::Result<Value> {
    let missing = || Failure::project(format!("get {name}: no such volume"));
    let found = match volume::get(root, name) {
        Ok(found) => found,
        // A name that none can have names none.
        Err(volume::Error::Name(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let found = found.ok_or_else(missing)?;
    Ok(resource::volume(&found, &mountpoint(root, name)))
}
