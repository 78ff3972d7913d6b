//! `container commit`: an image of what a container of any project has written.

use crate::cli::commands::commit;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::named;

/// Flags of `container commit`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
    #[arg(short = 'a', long, value_name = "TEXT")]
    author: Option<String>,
    /// Apply Dockerfile instruction to the created image
    #[arg(short = 'c', long = "change", value_name = "INSTRUCTION")]
    changes: Vec<String>,
    /// Commit message
    #[arg(short = 'm', long, value_name = "TEXT")]
    message: Option<String>,
    /// Pause container during commit
    #[arg(short = 'p', long, default_value = "true", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::cli::flags::go_bool())]
    pause: bool,
    /// The container, by name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Name of the image
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
}

impl Args {
    /// Commits it and prints the image's id.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let container = named::find(context.store()?, &self.container)?;
        let commit = commit::Args {
            author: self.author,
            changes: self.changes,
            message: self.message,
            pause: self.pause,
            name: self.name,
            ..commit::Args::default()
        };
        commit.run_on(context, &container)
    }
}
