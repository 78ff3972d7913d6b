//! `rm`: removes containers that have stopped.

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::{output, session};
use crate::plan::RmOptions;
use crate::protocol::control::Command;

/// Flags of `rm`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Don't ask to confirm removal
    #[arg(short = 'f', long)]
    pub(crate) force: bool,
    /// Stop the containers, if required, before removing
    #[arg(short = 's', long)]
    pub(crate) stop: bool,
    /// Remove any anonymous volumes attached to containers
    #[arg(short = 'v', long)]
    pub(crate) volumes: bool,
    /// Deprecated - no effect
    #[arg(short = 'a', long, hide = true)]
    pub(crate) all: bool,

    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
}

impl Args {
    /// Removes them, after asking.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let mut options = RmOptions {
            services: session::service_names(&self.services)?,
            stop: self.stop,
            volumes: self.volumes,
            force: self.force,
            timeout: None,
        };
        if context.settings.dry_run {
            options.force = true;
        }
        let asking = RmOptions {
            force: false,
            ..options.clone()
        };
        for question in session::rm_questions(context, &asking)? {
            if options.force {
                output::print(&format!("{}\n", question.question()))?;
            } else if !session::ask(&question.question()) {
                return Ok(Exit::SUCCESS);
            }
        }
        options.force = true;
        session::verb(context, Command::Remove(options), "rm")
    }
}
