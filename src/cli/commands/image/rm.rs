//! `image rm`: names and images away.

use crate::cli::commands::image::{failure, user_of};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::image::{self, Removed};
use crate::oci::Digest;
use crate::store::Root;

/// Flags of `image rm`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Force removal of the image
    #[arg(short = 'f', long)]
    force: bool,
    /// Do not delete untagged parents (there are none here)
    #[arg(long, hide = true)]
    no_prune: bool,
    /// The images
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

impl Args {
    /// Removes them; goes on after a failure.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let root = context.store()?;
        let mut exit = Exit::SUCCESS;
        for text in &self.images {
            match self.remove(root, text) {
                Ok(removed) => {
                    for step in removed {
                        output::print(&match step {
                            Removed::Untagged(name) => format!("Untagged: {}\n", name.familiar()),
                            Removed::Deleted(id) => format!("Deleted: {id}\n"),
                        })?;
                    }
                }
                Err(image::Error::NotFound(name)) if self.force => {
                    output::notice(&format!("Error: No such image: {name}"));
                }
                Err(error) => {
                    output::error(&failure(error), None);
                    exit = Exit::FAILURE;
                }
            }
        }
        Ok(exit)
    }

    fn remove(&self, root: &Root, text: &str) -> Result<Vec<Removed>, image::Error> {
        // Records that can't be read might be those of a user.
        let unknown = |error: anyhow::Error| Some(format!("perhaps a container ({error})"));
        let used_by = |id: &Digest| user_of(root, id).unwrap_or_else(unknown);
        image::remove(root, text, self.force, &used_by)
    }
}
