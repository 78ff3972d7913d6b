//! `export`: a container's root file system as a tar archive.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::Context as _;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::progress::Progress;
use crate::cli::{session, target};
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
        let output = self.output.as_deref().filter(|output| !output.is_empty());
        if output.is_none() && context.terminal.stdout {
            return Err(
                Failure::usage("output option is required when exporting to terminal")
                    .with_hint("write it to a file with -o, or redirect stdout")
                    .into(),
            );
        }
        let progress = Progress::start(&context.settings, context.terminal, "export");
        let tell = |status| progress.event(&event(&container, status));
        tell(Status::Exporting);
        let result = if context.settings.dry_run {
            Ok(())
        } else {
            write(context, &container, output)
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
    let root = session::open_root(context)?;
    let Some(output) = output else {
        files::export(&root, container, BufWriter::new(std::io::stdout()))?;
        return Ok(());
    };
    let path = context.working_dir.join(output);
    if path.is_dir() {
        return Err(Failure::usage(format!("{} is a directory", path.display())).into());
    }
    let mut temporary = path.clone().into_os_string();
    temporary.push(".partial");
    let temporary = Path::new(&temporary);
    let failed = || format!("write of {}", path.display());
    let export = || {
        let file = File::create(temporary).with_context(failed)?;
        let out = files::export(&root, container, BufWriter::new(file))?;
        out.into_inner()
            .map_err(std::io::IntoInnerError::into_error)
            .with_context(failed)?;
        std::fs::rename(temporary, &path).with_context(failed)
    };
    export().inspect_err(|_| {
        // It may not even have been made.
        let _ = std::fs::remove_file(temporary);
    })
}

fn event(container: &ObservedContainer, status: Status) -> Event {
    Event::Progress(event::Progress {
        resource: ResourceKind::Container,
        name: container.record.name.to_string(),
        status,
        details: None,
        amount: None,
        elapsed: None,
    })
}
