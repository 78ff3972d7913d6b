//! `rm`: removes containers that have stopped.

use crate::cli::commands::values;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, prompt};
use crate::cli::session;
use crate::engine::observe;
use crate::plan::{self, Command, Confirmation, Model, RmOptions, Subject};

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
            services: values::service_names(&self.services)?,
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
        for question in questions(context, &asking)? {
            if options.force {
                output::print(&format!("{}\n", question.question()))?;
            } else if !prompt::is_agreed(&question.question()) {
                return Ok(Exit::SUCCESS);
            }
        }
        options.force = true;
        session::verb(context, Command::Remove(options), "rm")
    }
}

/// What is asked first.
fn questions(context: &Context, options: &RmOptions) -> anyhow::Result<Vec<Confirmation>> {
    let name = context.project_name()?;
    let root = context.store()?;
    let files = context.project_of(&name)?;
    let applied = match &files {
        Some(_) => None,
        None => root.project(&name).model().ok().flatten(),
    };
    let model = Model::of(files.as_ref(), applied.as_ref());
    let observed = observe::observe(root, &name, model.project())?.observed;
    let subject = Subject {
        name: &name,
        model,
        observed: &observed,
    };
    let plan = plan::rm(&subject, options).map_err(|error| Failure::project(error.to_string()))?;
    Ok(plan.confirmations().to_vec())
}
