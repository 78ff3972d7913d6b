//! `container diff`: what a container has written, by path.

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::{named, output};
use crate::engine::files::{self, Change};

/// Flags of `container diff`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// The container, by name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Args {
    /// Prints a letter and a path a line: added, changed, deleted.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let root = context.store()?;
        let container = named::find(root, &self.container)?;
        let mut text = String::new();
        for (path, change) in files::diff(root, &container.record)? {
            let letter = match change {
                Change::Added => 'A',
                Change::Changed => 'C',
                Change::Deleted => 'D',
            };
            // A file's name is the container's: it is no word to a terminal.
            let path = path.to_string_lossy().replace(char::is_control, "?");
            text.push_str(&format!("{letter} {path}\n"));
        }
        output::print(&text)?;
        Ok(Exit::SUCCESS)
    }
}
