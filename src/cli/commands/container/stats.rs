//! `container stats`: what containers of any project use.

use crate::cli::commands::stats::{self, Form};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::{named, records};

/// Flags of `container stats`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Show all containers (default shows just running)
    #[arg(short = 'a', long)]
    all: bool,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go TEMPLATE
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
    /// The containers, by name or id; all when none is named
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Args {
    /// Prints them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let root = context.store()?;
        let form = Form {
            format: self.format.clone(),
            no_stream: self.no_stream,
            no_trunc: self.no_trunc,
        };
        if self.containers.is_empty() {
            return stats::show(context, &form, &|| {
                let mut containers = records::every_container(root)?;
                containers.retain(|container| self.all || container.state.is_running());
                Ok(containers)
            });
        }
        stats::show(context, &form, &|| {
            let named = self.containers.iter();
            named.map(|word| named::find(root, word)).collect()
        })
    }
}
