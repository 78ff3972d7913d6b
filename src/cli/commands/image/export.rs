//! `image export`: an image's merged root file system as a tar.

use crate::cli::commands::image::failure;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::archive;
use crate::image;

/// Flags of `image export`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Write to a file, instead of STDOUT
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<String>,
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
}

impl Args {
    /// Writes it.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let root = context.store()?;
        if self.output.is_none() && context.terminal.stdout {
            return Err(Failure::usage("cowardly refusing to export to a terminal")
                .with_hint("use -o FILE, or redirect it")
                .into());
        }
        archive::write(context, self.output.as_deref(), |out| {
            image::export(root, &self.image, out).map_err(failure)?;
            Ok(())
        })?;
        Ok(Exit::SUCCESS)
    }
}
