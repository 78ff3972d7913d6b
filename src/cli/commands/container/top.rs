//! `container top`: the processes of a container of any project.

use crate::cli::commands::top;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::{named, output};

/// Flags of `container top`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// The container, by name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Options of ps(1): the columns are those of `ps -ef`, whatever stands here
    #[arg(
        value_name = "OPTION",
        hide = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    options: Vec<String>,
}

impl Args {
    /// Prints them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let container = named::find_running(context.store()?, &self.container)?;
        if !self.options.is_empty() {
            output::warn("options of ps have no effect: the columns are those of `ps -ef`");
        }
        output::print(&top::of_container(context, &container)?)?;
        Ok(Exit::SUCCESS)
    }
}
