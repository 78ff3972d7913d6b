//! `image tag`: a further name.

use crate::cli::commands::image::failure;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::image;
use crate::oci;

/// Flags of `image tag`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// The image
    #[arg(value_name = "SOURCE_IMAGE[:TAG]")]
    source: String,
    /// Its further name
    #[arg(value_name = "TARGET_IMAGE[:TAG]")]
    target: String,
}

impl Args {
    /// Names it.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let name: oci::Reference = self.target.parse().map_err(|e: oci::Error| failure(e))?;
        image::tag(context.store()?, &self.source, &name).map_err(failure)?;
        Ok(Exit::SUCCESS)
    }
}
