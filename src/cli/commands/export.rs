//! `export`: a container's root file system as a tar archive.

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::archive;
use crate::cli::output::progress::Progress;
use crate::cli::target;
use crate::engine::files;
use crate::event::{self, Event, ResourceKind, Status};
use crate::model::ObservedContainer;

/// Flags of `export`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Index of the container if service has multiple replicas.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) index: u32,
    /// Write to a file, instead of STDOUT
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<String>,
    /// Service
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
}

impl Args {
    /// Exports it; nothing half-written stays.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let name = context.project_name()?;
        let container = target::any(context, &name, &self.service, self.index)?;
        self.run_on(context, &container)
    }

    /// The same with a container of any project.
    pub(crate) fn run_on(
        &self,
        context: &Context,
        container: &ObservedContainer,
    ) -> anyhow::Result<Exit> {
        let output = self.output.as_deref().filter(|output| !output.is_empty());
        if output.is_none() && context.terminal.stdout {
            return Err(
                Failure::usage("output option is required when exporting to terminal")
                    .with_hint("write it to a file with -o, or redirect stdout")
                    .into(),
            );
        }
        let progress = Progress::start(&context.settings, context.terminal, "export");
        let tell = |status| progress.event(&event(container, status));
        tell(Status::Exporting);
        let result = if context.settings.dry_run {
            Ok(())
        } else {
            write(context, container, output)
        };
        if result.is_ok() {
            tell(Status::Exported);
        }
        progress.finish();
        result.map(|()| Exit::SUCCESS)
    }
}

fn write(
    context: &Context,
    container: &ObservedContainer,
    output: Option<&str>,
) -> anyhow::Result<()> {
    let root = context.store()?;
    archive::write(context, output, |out| {
        files::export(root, container, out)?;
        Ok(())
    })
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
