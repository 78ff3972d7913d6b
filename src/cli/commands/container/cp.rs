//! `container cp`: copies files between a container of any project and the host.

use crate::cli::commands::cp;
use crate::cli::context::Context;
use crate::cli::exit::Exit;

/// Flags of `container cp`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Archive mode (copy all uid/gid information)
    #[arg(short = 'a', long)]
    archive: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Suppress progress output during copy (there is none on a pipe)
    #[arg(short = 'q', long, hide = true)]
    quiet: bool,
    /// CONTAINER:PATH, a path of this host, or - for a tar archive on stdin
    #[arg(value_name = "SOURCE")]
    source: String,
    /// CONTAINER:PATH, a path of this host, or - for a tar archive on stdout
    #[arg(value_name = "DESTINATION", allow_hyphen_values = true)]
    destination: String,
}

impl Args {
    /// Copies.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let copy = cp::Args {
            archive: self.archive,
            follow_link: self.follow_link,
            source: self.source,
            destination: self.destination,
            of_any_project: true,
            ..cp::Args::default()
        };
        copy.run(context)
    }
}
