//! `builder`: what builds keep, and how it goes.

mod df;
pub(crate) mod prune;

use clap::Subcommand;

use crate::build::{self, Usage, UsageKind};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Kind};
use crate::cli::flags::Flags;

/// Flags of `builder`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do with what builds keep.
#[derive(Debug, Clone, Subcommand)]
#[command(defer = true)]
enum Command {
    /// Show what the build cache holds
    #[command(visible_alias = "du")]
    Df(Flags<df::Args>),
    /// Remove build cache
    Prune(Flags<prune::Args>),
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Df(args) => args.0.run(context),
            Command::Prune(args) => args.0.run(context),
        }
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
