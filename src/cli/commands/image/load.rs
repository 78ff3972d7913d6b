//! `image load`: images from an archive.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::Context as _;

use crate::cli::commands::image::failure;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::image::{self, Source};
use crate::oci::Platform;

/// Flags of `image load`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Read from tar archive file, instead of STDIN
    #[arg(short = 'i', long, value_name = "FILE")]
    input: Option<String>,
    /// Load only the given platform, as in linux/amd64
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// Suppress the load output
    #[arg(short = 'q', long)]
    quiet: bool,
}

impl Args {
    /// Loads them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let platform = match &self.platform {
            Some(text) => text
                .parse()
                .map_err(|error| failure(anyhow::Error::new::<crate::oci::Error>(error)))?,
            None => Platform::host(),
        };
        let source = match self.input.as_deref() {
            Some(path) if path != "-" => {
                Source::open(&context.working_dir.join(Path::new(path))).map_err(failure)?
            }
            Some(_) | None => stdin(context, "load")?,
        };
        let root = context.store()?;
        for loaded in image::load(root, source, &platform).map_err(failure)? {
            for (name, old) in &loaded.renamed {
                output::notice(&format!(
                    "The image {} already exists, renaming the old one with ID {old} to empty string",
                    name.familiar()
                ));
            }
            if loaded.names.is_empty() {
                output::print(&format!("Loaded image ID: {}\n", loaded.id))?;
            }
            for name in &loaded.names {
                output::print(&format!("Loaded image: {}\n", name.familiar()))?;
            }
        }
        Ok(Exit::SUCCESS)
    }
}

/// Standard input as an archive.
pub(super) fn stdin(context: &Context, verb: &str) -> anyhow::Result<Source> {
    if context.terminal.stdin {
        let message = format!("requested {verb} from stdin, but stdin is a terminal");
        return Err(Failure::usage(message)
            .with_hint("name a file, or pipe an archive into it")
            .into());
    }
    let stdin = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .context("read of stdin")?;
    Source::of(File::from(stdin)).context("read of stdin")
}
