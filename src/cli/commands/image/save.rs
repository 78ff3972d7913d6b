//! `image save`: images as an archive.

use crate::cli::commands::image::failure;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::archive;
use crate::image;

/// Flags of `image save`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Write to a file, instead of STDOUT
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<String>,
    /// The images
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

impl Args {
    /// Saves them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let root = context.store()?;
        if self.output.is_none() && context.terminal.stdout {
            return Err(Failure::usage("cowardly refusing to save to a terminal")
                .with_hint("use -o FILE, or redirect it")
                .into());
        }
        archive::write(context, self.output.as_deref(), |out| {
            image::save(root, &self.images, out).map_err(failure)?;
            Ok(())
        })?;
        Ok(Exit::SUCCESS)
    }
}
