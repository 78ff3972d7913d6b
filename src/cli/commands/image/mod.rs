//! `image`: the images of this engine, in the docker client's words.

mod build;
mod export;
mod history;
mod import;
pub(crate) mod inspect;
mod load;
mod ls;
pub(crate) mod prune;
mod pull;
mod push;
mod rm;
mod save;
mod tag;

use crate::cli::commands::table::commands;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Kind};
use crate::image;
use crate::oci::Digest;
use crate::store::Root;

/// Flags of `image`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

commands! {
    /// What to do with images.
    enum Command {
        /// Build an image from a Dockerfile
        Build(Box<build::Args>),
        /// Export an image's merged root file system as a tar archive
        Export(export::Args),
        /// Show the history of an image
        History(history::Args),
        /// Import the contents from a tarball to create a filesystem image
        Import(import::Args),
        /// Display detailed information on one or more images
        Inspect(inspect::Args),
        /// Load an image from a tar archive or STDIN
        Load(load::Args),
        /// List images
        #[command(visible_alias = "list")]
        Ls(ls::Args),
        /// Remove unused images
        Prune(prune::Args),
        /// Download an image from a registry
        Pull(pull::Args),
        /// Upload an image to a registry
        Push(push::Args),
        /// Remove one or more images
        #[command(visible_alias = "remove")]
        Rm(rm::Args),
        /// Save one or more images to a tar archive (streamed to STDOUT by default)
        Save(save::Args),
        /// Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE
        Tag(tag::Args),
    }
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match &self.command {
            Command::Build(_) => context.no_dry_run("image build")?,
            Command::Import(_) => context.no_dry_run("image import")?,
            Command::Load(_) => context.no_dry_run("image load")?,
            Command::Rm(_) => context.no_dry_run("image rm")?,
            Command::Tag(_) => context.no_dry_run("image tag")?,
            // They change nothing, or ask by themselves.
            Command::Export(_)
            | Command::History(_)
            | Command::Inspect(_)
            | Command::Ls(_)
            | Command::Prune(_)
            | Command::Pull(_)
            | Command::Push(_)
            | Command::Save(_) => {}
        }
        self.command.run(context)
    }
}

/// An error about images, with its causes.
pub(crate) fn failure(error: impl Into<anyhow::Error>) -> anyhow::Error {
    let error = error.into();
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    Failure::new(Kind::Image, causes.join(": ")).into()
}

/// What the user calls an image, or that there is none.
fn resolve(root: &Root, text: &str) -> anyhow::Result<image::Resolved> {
    let found = image::resolve(root, text).map_err(failure)?;
    found.ok_or_else(|| failure(image::Error::NotFound(text.to_owned())))
}

/// The container that uses an image, in words.
pub(crate) fn user_of(root: &Root, image: &Digest) -> anyhow::Result<Option<String>> {
    let id = image.to_string();
    for project in root.projects()? {
        let found = root.project(&project).containers()?;
        if let Some(record) = found.records.iter().find(|record| record.image_id == id) {
            return Ok(Some(format!(
                "container {} of project {project}",
                record.id.short()
            )));
        }
    }
    Ok(None)
}
