//! `network rm` and `network prune`: networks that nobody is attached to.

use crate::cli::commands::network::{failure, find, list, view};
use crate::cli::commands::nouns;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::filters::Filters;
use crate::cli::output;
use crate::engine::networks;
use crate::model::ProjectName;
use crate::store::{NetworkRecord, Root};
use crate::view::resource;

/// Flags of `network rm`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Do not error if the network does not exist
    #[arg(short = 'f', long)]
    force: bool,
    /// The networks
    #[arg(value_name = "NETWORK", required = true)]
    networks: Vec<String>,
}

impl Args {
    /// Removes them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let root = context.store()?;
        nouns::each(&self.networks, |word| {
            let record = match find(root, word) {
                Err(_) if self.force => return Ok(word.to_owned()),
                found => found?,
            };
            if let Some(project) = living_owner(root, &record) {
                return Err(Failure::project(format!(
                    "network {} belongs to project {project}, which is up",
                    record.name
                ))
                .with_hint(format!("`rcompose -p {project} down` takes it away"))
                .into());
            }
            if !context.settings.dry_run {
                networks::remove(root, &record.name).map_err(failure)?;
            }
            Ok(word.to_owned())
        })
    }
}

/// The project that a network belongs to, if that still has containers: a
/// stopped one has no address on it and needs it at its next start.
fn living_owner(root: &Root, record: &NetworkRecord) -> Option<ProjectName> {
    let (project, _) = record.owner.as_ref()?;
    let project: ProjectName = project.parse().ok()?;
    let containers = root.project(&project).container_ids().ok()?;
    (!containers.is_empty()).then_some(project)
}

/// Flags of `network prune`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PruneArgs {
    /// Provide filter values (e.g. "label=KEY=VALUE")
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short = 'f', long)]
    force: bool,
}

impl PruneArgs {
    /// As `--force` with these filters has it.
    pub(crate) fn forced(filters: Vec<String>) -> Self {
        Self {
            filters,
            force: true,
        }
    }

    /// Removes them, after asking.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let filters = Filters::parse(&self.filters, &["label", "label!"])?;
        let warning = "This will remove all custom networks not used by at least one container.";
        if !self.force && !context.settings.dry_run && !nouns::confirm(warning) {
            return Ok(Exit::SUCCESS);
        }
        let root = context.store()?;
        let (mut removed, mut exit) = (Vec::new(), Exit::SUCCESS);
        for record in list(root)? {
            let goes = filters.labels(&resource::network_labels(&view(&record)))
                && living_owner(root, &record).is_none()
                && networks::users(root, &record.name)?.is_empty();
            if !goes {
                continue;
            }
            let done = if context.settings.dry_run {
                Ok(())
            } else {
                networks::remove(root, &record.name)
            };
            match done {
                Ok(()) => removed.push(record.name),
                // Somebody came in between.
                Err(networks::Error::InUse { .. } | networks::Error::NotFound(_)) => {}
                Err(error) => {
                    output::error(&failure(error), None);
                    exit = Exit::FAILURE;
                }
            }
        }
        output::print(&nouns::pruned("Networks", &removed, None))?;
        Ok(exit)
    }
}
