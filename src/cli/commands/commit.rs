//! `commit`: an image of what a container has written.

use crate::cli::commands::image::failure;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, progress::Progress};
use crate::cli::{session, target};
use crate::engine::files;
use crate::event::{self, Event, ResourceKind, Status};
use crate::image::{self, Commit};
use crate::model::{ContainerState, ObservedContainer};
use crate::oci::{self, Change, Reference};
use crate::plan::Command;
use crate::plan::PauseOptions;

/// Flags of `commit`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
    #[arg(short = 'a', long, value_name = "TEXT")]
    pub(crate) author: Option<String>,
    /// Apply Dockerfile instruction to the created image
    #[arg(short = 'c', long = "change", value_name = "INSTRUCTION")]
    pub(crate) changes: Vec<String>,
    /// Index of the container if service has multiple replicas.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) index: u32,
    /// Commit message
    #[arg(short = 'm', long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Pause the service's containers during commit
    #[arg(short = 'p', long, default_value = "true", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::cli::flags::go_bool())]
    pub(crate) pause: bool,
    /// Service
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
    /// Name of the image
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub(crate) name: Option<String>,
}

impl Args {
    /// Commits it and prints the image's id.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let project = context.project_name()?;
        let container = target::any(context, &project, &self.service, self.index)?;
        self.run_on(context, &container)
    }

    /// The same with a container of any project.
    pub(crate) fn run_on(
        &self,
        context: &Context,
        container: &ObservedContainer,
    ) -> anyhow::Result<Exit> {
        let text = |error: oci::Error| failure(error);
        let name: Option<Reference> = self
            .name
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(text)?;
        let changes: Vec<Change> = self
            .changes
            .iter()
            .map(|change| change.parse())
            .collect::<Result<_, _>>()
            .map_err(text)?;
        let progress = Progress::start(&context.settings, context.terminal, "commit");
        progress.event(&event(container, Status::Committing));
        if context.settings.dry_run {
            progress.event(&event(container, Status::Committed));
            progress.finish();
            return Ok(Exit::SUCCESS);
        }
        let is_running = matches!(container.state, ContainerState::Running { .. });
        let freezes = self.pause && is_running;
        if freezes {
            self.freeze(context, container, Command::Pause)?;
        }
        let made = self.commit(context, container, changes, name);
        if freezes {
            self.freeze(context, container, Command::Unpause)?;
        }
        if made.is_ok() {
            progress.event(&event(container, Status::Committed));
        }
        progress.finish();
        output::print(&format!("{}\n", made?))?;
        Ok(Exit::SUCCESS)
    }

    /// Gives the new image's id.
    fn commit(
        &self,
        context: &Context,
        container: &ObservedContainer,
        changes: Vec<Change>,
        name: Option<Reference>,
    ) -> anyhow::Result<String> {
        let root = context.store()?;
        let record = &container.record;
        let base = image::resolve(root, &record.image_id)?
            .ok_or_else(|| Failure::project(format!("No such image: {}", record.image_id)))?;
        let created = image::commit(
            root,
            &Commit {
                base: &base.image,
                upper: &files::writes(root, record),
                changes,
                author: self.author.clone(),
                message: self.message.clone(),
                created_by: Some(record.argv.join(" ")),
                name,
            },
        )?;
        Ok(created.image.id.to_string())
    }

    /// Freezes the service's containers, or lets them go on, without a word.
    fn freeze(
        &self,
        context: &Context,
        container: &ObservedContainer,
        command: impl Fn(PauseOptions) -> Command,
    ) -> anyhow::Result<()> {
        let options = PauseOptions {
            services: vec![container.record.service_name().clone()],
        };
        session::silently(context, &container.record.project, command(options))
    }
}

fn event(container: &ObservedContainer, status: Status) -> Event {
    Event::Progress(event::Progress {
        resource: ResourceKind::Container,
        name: container.record.name.to_string(),
        status,
        details: None,
        elapsed: None,
    })
}
