//! `completion`: the script by which a shell asks us what may come next.

use crate::cli::complete::SCRIPTS;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;

/// Flags of `completion`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// bash, fish or zsh
    #[arg(value_name = "SHELL")]
    shell: String,
}

impl Args {
    /// Prints it.
    pub(crate) fn run(self, _: &Context) -> anyhow::Result<Exit> {
        let found = SCRIPTS.iter().find(|(shell, _)| *shell == self.shell);
        let (_, script) = found.ok_or_else(|| {
            Failure::usage(format!("no completion for shell {:?}", self.shell))
                .with_hint("use bash, fish or zsh")
        })?;
        output::print(script)?;
        Ok(Exit::SUCCESS)
    }
}
