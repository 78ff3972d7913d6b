//! `container export`: the root file system of a container of any project as a
//! tar archive.

use crate::cli::commands::export;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::named;

/// Flags of `container export`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Write to a file, instead of STDOUT
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<String>,
    /// The container, by name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Args {
    /// Exports it; nothing half-written stays.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let container = named::find(context.store()?, &self.container)?;
        let export = export::Args {
            output: self.output,
            ..export::Args::default()
        };
        export.run_on(context, &container)
    }
}
