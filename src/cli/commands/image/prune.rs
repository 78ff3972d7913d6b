//! `image prune`: images that nothing needs.

use crate::cli::commands::image::{failure, user_of};
use crate::cli::commands::nouns;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::filters::Filters;
use crate::cli::output;
use crate::image::{self, Image, Removed};
use crate::oci::{Digest, Reference};
use crate::store::Root;
use crate::view::units::human_size;

/// Flags of `image prune`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Remove all unused images, not just dangling ones
    #[arg(short = 'a', long)]
    all: bool,
    /// Provide filter values (e.g. "until=24h", "label=KEY=VALUE")
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short = 'f', long)]
    force: bool,
}

impl Args {
    /// As `--force` with these filters has it.
    pub(crate) fn forced(all: bool, filters: Vec<String>) -> Self {
        Self {
            all,
            filters,
            force: true,
        }
    }

    /// Removes them, after asking.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let filters = Filters::parse(&self.filters, &["label", "label!", "until", "dangling"])?;
        let all = self.all || filters.flag("dangling")? == Some(false);
        let warning = if all {
            "This will remove all images without at least one container associated to them."
        } else {
            "This will remove all dangling images."
        };
        if !self.force && !context.settings.dry_run && !nouns::confirm(warning) {
            return Ok(Exit::SUCCESS);
        }
        let root = context.store()?;
        let which = Which { all, filters };
        let pruned = prune(context, root, &which)?;
        output::print(&pruned.text())?;
        Ok(Exit::SUCCESS)
    }
}

/// Which images go.
pub(crate) struct Which {
    /// Those with names, too.
    pub(crate) all: bool,
    /// What they must be besides.
    pub(crate) filters: Filters,
}

/// What is gone.
#[derive(Debug, Default)]
pub(crate) struct Pruned {
    lines: Vec<String>,
    /// Bytes of layers that nobody has any more.
    pub(crate) bytes: u64,
}

impl Pruned {
    /// As docker prints it, without the sum.
    pub(crate) fn list(&self) -> String {
        if self.lines.is_empty() {
            return String::new();
        }
        format!("Deleted Images:\n{}\n\n", self.lines.join("\n"))
    }

    fn text(&self) -> String {
        format!(
            "{}Total reclaimed space: {}\n",
            self.list(),
            human_size(self.bytes)
        )
    }
}

/// Removes unused images; goes on after a failure.
pub(crate) fn prune(context: &Context, root: &Root, which: &Which) -> anyhow::Result<Pruned> {
    let before = image::layer_bytes(root).map_err(failure)?;
    let mut pruned = Pruned::default();
    let unknown = |error: anyhow::Error| Some(format!("perhaps a container ({error})"));
    let used_by = |id: &Digest| user_of(root, id).unwrap_or_else(unknown);
    for (image, names) in image::list(root).map_err(failure)? {
        if !goes(context, which, &image, &names)? || used_by(&image.id).is_some() {
            continue;
        }
        if context.settings.dry_run {
            pruned.lines.push(format!("deleted: {}", image.id));
            continue;
        }
        // By its id an image with names in several repositories stays.
        let texts: Vec<String> = if names.is_empty() {
            vec![image.id.to_string()]
        } else {
            names.iter().map(ToString::to_string).collect()
        };
        for text in texts {
            match image::remove(root, &text, false, &used_by) {
                Ok(removed) => pruned.lines.extend(removed.iter().map(|step| match step {
                    Removed::Untagged(name) => format!("untagged: {}", name.familiar()),
                    Removed::Deleted(id) => format!("deleted: {id}"),
                })),
                Err(image::Error::NotFound(_)) => {}
                Err(error) => output::error(&failure(error), None),
            }
        }
    }
    if !context.settings.dry_run {
        image::prune(root).map_err(failure)?;
        let after = image::layer_bytes(root).map_err(failure)?;
        pruned.bytes = before.saturating_sub(after);
    }
    Ok(pruned)
}

fn goes(
    context: &Context,
    which: &Which,
    image: &Image,
    names: &[Reference],
) -> anyhow::Result<bool> {
    let is_old = which.filters.until(image.stored_at, &context.moment())?;
    Ok((which.all || names.is_empty()) && is_old && which.filters.labels(&image.config.run.labels))
}
