//! `image import`: a root file system as an image.

use std::path::Path;

use anyhow::Context as _;

use crate::cli::commands::image::{failure, load};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::image::{self, Import, Source};
use crate::oci::{Change, RunConfig};

/// Flags of `image import`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Apply Dockerfile instruction to the created image
    #[arg(short = 'c', long = "change", value_name = "INSTRUCTION")]
    changes: Vec<String>,
    /// Read what its containers run from a JSON file (Cmd, Entrypoint, Env …)
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// Set commit message for imported image
    #[arg(short = 'm', long, value_name = "TEXT")]
    message: Option<String>,
    /// Set platform, as in linux/amd64
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// The tar of a root file system; - is STDIN
    #[arg(value_name = "FILE")]
    file: String,
    /// Name of the image
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
}

impl Args {
    /// Imports it.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let text = |error: crate::oci::Error| failure(error);
        let import = Import {
            name: self
                .name
                .as_deref()
                .map(str::parse)
                .transpose()
                .map_err(text)?,
            run: match &self.config {
                Some(path) => run_config(&context.working_dir.join(path))?,
                None => RunConfig::default(),
            },
            changes: self
                .changes
                .iter()
                .map(|change| change.parse::<Change>())
                .collect::<Result<_, _>>()
                .map_err(text)?,
            message: self.message,
            platform: self
                .platform
                .as_deref()
                .map(str::parse)
                .transpose()
                .map_err(text)?,
        };
        let source = match self.file.as_str() {
            "-" => load::stdin(context, "import")?,
            path => Source::open(&context.working_dir.join(path)).map_err(failure)?,
        };
        let image = image::import(context.store()?, source, &import).map_err(failure)?;
        output::print(&format!("{}\n", image.id))?;
        Ok(Exit::SUCCESS)
    }
}

/// Reads a file that is either what containers run or a whole image config.
fn run_config(path: &Path) -> anyhow::Result<RunConfig> {
    let shown = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("read of {shown}"))?;
    let mut value: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::usage(format!("{shown} isn't JSON: {error}")))?;
    let inner = value.get_mut("config").map(serde_json::Value::take);
    let config = serde_json::from_value(inner.unwrap_or(value));
    Ok(
        config
            .map_err(|error| Failure::usage(format!("{shown} isn't an image config: {error}")))?,
    )
}
