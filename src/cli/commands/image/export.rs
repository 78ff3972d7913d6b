//! `image export`: an image's merged root file system as a tar.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use anyhow::Context as _;

use crate::cli::commands::image::failure;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::image;
use crate::store::Root;

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
        let Some(name) = &self.output else {
            if context.terminal.stdout {
                return Err(Failure::usage("cowardly refusing to export to a terminal")
                    .with_hint("use -o FILE, or redirect it")
                    .into());
            }
            self.write(root, io::stdout().lock())?;
            return Ok(Exit::SUCCESS);
        };
        // Beside its final place, so that a failure leaves what was there.
        let path = context.working_dir.join(name);
        let mut partial = path.clone().into_os_string();
        partial.push(".partial");
        let file = File::create(&partial).with_context(|| format!("creation of {name}"))?;
        let written = self.write(root, file).and_then(|()| {
            std::fs::rename(&partial, &path).with_context(|| format!("creation of {name}"))
        });
        if written.is_err() {
            // The first failure is what matters.
            let _ = std::fs::remove_file(&partial);
        }
        written.map(|()| Exit::SUCCESS)
    }

    fn write(&self, root: &Root, out: impl Write) -> anyhow::Result<()> {
        let out = BufWriter::with_capacity(1 << 20, out);
        let mut out = image::export(root, &self.image, out).map_err(failure)?;
        out.flush().context("write of the archive")
    }
}
