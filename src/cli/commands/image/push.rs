//! `image push`: images into registries.

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::images;
use crate::cli::images::transfer::{Loudness, Transfer};
use crate::cli::output;
use crate::image;
use crate::oci::Reference;

/// Flags of `image push`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Push all tags of an image to the repository
    #[arg(short = 'a', long)]
    all_tags: bool,
    /// Suppress verbose output
    #[arg(short = 'q', long)]
    quiet: bool,
    /// The images
    #[arg(value_name = "NAME[:TAG]", required = true)]
    images: Vec<String>,
}

impl Args {
    /// Pushes them and prints their digests.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if context.flags.offline {
            return Err(Failure::usage("--offline forbids pushing").into());
        }
        let root = context.store()?;
        let mut names: Vec<Reference> = Vec::new();
        for text in &self.images {
            let reference = images::parse(text)?;
            if reference.digest().is_some() {
                return Err(Failure::usage("cannot push a digest reference").into());
            }
            if self.all_tags {
                let all = image::list(root).map_err(images::transfer::failure)?;
                let all = all.into_iter().flat_map(|(_, names)| names);
                let tagged = all
                    .filter(|name| name.digest().is_none() && name.is_same_repository(&reference));
                names.extend(tagged);
            } else {
                names.push(reference);
            }
        }
        if context.settings.dry_run {
            return Ok(Exit::SUCCESS);
        }
        let transfer = Transfer::start(context, "push", Loudness::of_quiet(self.quiet));
        let results = transfer.push(context, root, &names)?;
        let mut errors = Vec::new();
        for (name, result) in names.iter().zip(results) {
            match result {
                Ok(_) if self.quiet => output::print(&format!("{name}\n"))?,
                Ok(pushed) => output::print(&format!(
                    "{}: digest: {} size: {}\n",
                    name.tag().unwrap_or_default(),
                    pushed.digest,
                    pushed.size_bytes
                ))?,
                Err(error) => errors.push(error),
            }
        }
        images::finish(errors)?;
        Ok(Exit::SUCCESS)
    }
}
