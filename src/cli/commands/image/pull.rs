//! `image pull`: images from registries.

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::images;
use crate::cli::images::transfer::{Loudness, Transfer};
use crate::cli::output;
use crate::image::Wanted;

/// Flags of `image pull`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Pull for the given platform, as in linux/arm64
    #[arg(long, value_name = "PLATFORM", env = "DOCKER_DEFAULT_PLATFORM")]
    platform: Option<String>,
    /// Suppress verbose output
    #[arg(short = 'q', long)]
    quiet: bool,
    /// The images
    #[arg(value_name = "NAME[:TAG|@DIGEST]", required = true)]
    images: Vec<String>,
}

impl Args {
    /// Pulls them and prints their whole names.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if context.flags.offline {
            return Err(Failure::usage("--offline forbids pulling").into());
        }
        let platform = self.platform.as_ref().map(|text| text.parse());
        let platform = platform
            .transpose()
            .map_err(|error: crate::oci::Error| Failure::usage(error.to_string()))?;
        let mut wanted: Vec<Wanted> = Vec::new();
        for text in &self.images {
            let one = Wanted {
                reference: images::parse(text)?,
                platform: platform.clone(),
            };
            if !wanted.contains(&one) {
                wanted.push(one);
            }
        }
        let transfer = Transfer::start(context, "pull", Loudness::of_quiet(self.quiet));
        if context.settings.dry_run {
            transfer.pretend(&wanted);
            return Ok(Exit::SUCCESS);
        }
        let root = context.store()?;
        let results = transfer.pull(context, root, &wanted, &[])?;
        let mut errors = Vec::new();
        for (one, result) in wanted.iter().zip(results) {
            match result {
                Ok(_) => output::print(&format!("{}\n", one.reference))?,
                Err(error) => errors.push(error),
            }
        }
        images::finish(errors)?;
        Ok(Exit::SUCCESS)
    }
}
