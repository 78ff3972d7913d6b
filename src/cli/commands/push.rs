//! `push`: the images of services that are built here, into their registries.

use indexmap::IndexSet;

use crate::cli::build;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::images;
use crate::cli::images::transfer::{self, Loudness, Transfer};
use crate::cli::images::written::Written;
use crate::model::ImageSource;
use crate::oci::Reference;

/// Flags of `push`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Push what it can and ignores images with push failures
    #[arg(long)]
    ignore_push_failures: bool,
    /// Also push images of services declared as dependencies
    #[arg(long)]
    include_deps: bool,
    /// Push without printing progress information
    #[arg(short = 'q', long)]
    quiet: bool,
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Args {
    /// Pushes them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (project, tree) = context.load_tree(&self.services, None)?;
        let written = Written::of(&tree);
        let root = context.store()?;
        let transfer = Transfer::start(context, "push", Loudness::of_quiet(self.quiet));
        let mut names: IndexSet<Reference> = IndexSet::new();
        for (name, service) in &project.services {
            let is_named = self.services.is_empty() || self.services.contains(&name.to_string());
            if !is_named && !self.include_deps {
                continue;
            }
            match &service.image {
                ImageSource::Build { spec, tag, .. } if written.has_image(name) => {
                    names.extend(build::names(spec, tag)?);
                }
                ImageSource::Build { .. }
                | ImageSource::Pull { .. }
                | ImageSource::Provider { .. } => transfer.skip(service.image.reference(), ""),
            }
        }
        if !names.is_empty() && context.flags.offline {
            transfer.finish();
            return Err(Failure::usage("--offline forbids pushing").into());
        }
        if names.is_empty() || context.settings.dry_run {
            transfer.finish();
            return Ok(Exit::SUCCESS);
        }
        let names: Vec<Reference> = names.into_iter().collect();
        let results = transfer.push(context, root, &names)?;
        let errors: Vec<_> = results.into_iter().filter_map(Result::err).collect();
        if self.ignore_push_failures {
            for error in errors {
                transfer::warn(error);
            }
            return Ok(Exit::SUCCESS);
        }
        images::finish(errors)?;
        Ok(Exit::SUCCESS)
    }
}
