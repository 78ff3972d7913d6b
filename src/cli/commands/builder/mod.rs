//! `builder`: what builds keep, and how it goes.

mod df;
pub(crate) mod prune;

use crate::build::{self, Usage, UsageKind};
use crate::cli::commands::table::commands;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Kind};

/// Flags of `builder`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

commands! {
    /// What to do with what builds keep.
    enum Command {
        /// Show what the build cache holds
        #[command(visible_alias = "du")]
        Df(df::Args),
        /// Remove build cache
        Prune(prune::Args),
    }
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        self.command.run(context)
    }
}

/// An error about the cache, with its causes.
fn failure(error: build::Error) -> anyhow::Error {
    let error = anyhow::Error::new(error);
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    Failure::new(Kind::Build, causes.join(": ")).into()
}

/// What something is, in a word of docker's.
fn kind(usage: &Usage) -> &'static str {
    match usage.kind {
        UsageKind::Step => "regular",
        UsageKind::CacheMount => "exec.cachemount",
    }
}
