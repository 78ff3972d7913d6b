//! `pull`: the images of services from their registries.

use std::collections::BTreeSet;

use indexmap::IndexMap;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::images::decide::Presence;
use crate::cli::images::transfer::{Loudness, Transfer};
use crate::cli::images::written::Written;
use crate::cli::images::{self, Choice};
use crate::cli::output;
use crate::image::Wanted;
use crate::model::{ImageSource, Project, PullPolicy, ServiceName};
use crate::store::Root;

/// Flags of `pull`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Ignore images that can be built
    #[arg(long)]
    ignore_buildable: bool,
    /// Pull what it can and ignores images with pull failures
    #[arg(long)]
    ignore_pull_failures: bool,
    /// Also pull services declared as dependencies
    #[arg(long)]
    include_deps: bool,
    /// Apply pull policy ("missing"|"always")
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    /// Pull without printing progress information
    #[arg(short = 'q', long)]
    quiet: bool,
    /// DEPRECATED: images are always pulled in parallel
    #[arg(long, hide = true)]
    parallel: bool,
    /// DEPRECATED: images are always pulled in parallel
    #[arg(long, hide = true)]
    no_parallel: bool,
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// An image, and the services that it is for.
struct Entry {
    wanted: Wanted,
    services: Vec<ServiceName>,
    can_be_built: bool,
}

impl Args {
    /// Pulls them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let policy = self.policy()?;
        let (project, tree) = context.load_tree(&self.services, None)?;
        let written = Written::of(&tree);
        let root = context.store()?;
        let transfer = Transfer::start(context, "pull", Loudness::of_quiet(self.quiet));
        let entries = self.entries(root, &project, &written, policy.as_ref(), &transfer)?;
        let wanted: Vec<Wanted> = entries.iter().map(|entry| entry.wanted.clone()).collect();
        if wanted.is_empty() {
            transfer.finish();
            return Ok(Exit::SUCCESS);
        }
        if context.flags.offline {
            transfer.finish();
            return Err(Failure::usage("--offline forbids pulling").into());
        }
        if context.settings.dry_run {
            transfer.pretend(&wanted);
            return Ok(Exit::SUCCESS);
        }
        let forgiven: Vec<bool> = entries.iter().map(|entry| entry.can_be_built).collect();
        let results = transfer.pull(context, root, &wanted, &forgiven)?;
        let (mut errors, mut to_build) = (Vec::new(), BTreeSet::new());
        for (entry, result) in entries.iter().zip(results) {
            match result {
                Ok(_) => {}
                Err(_) if entry.can_be_built => {
                    to_build.extend(entry.services.iter().map(ToString::to_string));
                }
                Err(error) => errors.push(error),
            }
        }
        if !to_build.is_empty() {
            let names: Vec<String> = to_build.into_iter().collect();
            output::notice(&format!(
                "WARNING: Some service image(s) must be built from source by running:\n    rcompose build {}",
                names.join(" ")
            ));
        }
        if self.ignore_pull_failures {
            for error in errors {
                images::transfer::warn(error);
            }
            return Ok(Exit::SUCCESS);
        }
        images::finish(errors)?;
        Ok(Exit::SUCCESS)
    }

    fn policy(&self) -> Result<Option<PullPolicy>, Failure> {
        match self.policy.as_deref() {
            None | Some("") => Ok(None),
            Some("always" | "missing") => Ok(Choice::new(self.policy.as_deref(), false)?.pull),
            Some(other) => Err(Failure::usage(format!("invalid --policy option {other:?}"))
                .with_hint("write always or missing")),
        }
    }

    /// Every image once; what isn't pulled is told.
    fn entries(
        &self,
        root: &Root,
        project: &Project,
        written: &Written,
        policy: Option<&PullPolicy>,
        transfer: &Transfer,
    ) -> anyhow::Result<Vec<Entry>> {
        let mut entries: IndexMap<(String, Option<String>), Entry> = IndexMap::new();
        for (name, service) in &project.services {
            let is_named = self.services.is_empty() || self.services.contains(&name.to_string());
            if !is_named && !self.include_deps {
                continue;
            }
            let text = service.image.reference();
            let can_be_built = matches!(service.image, ImageSource::Build { .. });
            let own = match &service.image {
                ImageSource::Pull { policy, .. } | ImageSource::Build { policy, .. } => policy,
                ImageSource::Provider { .. } => continue,
            };
            if can_be_built && (self.ignore_buildable || !written.has_image(name)) {
                transfer.skip(text, "Image can be built");
                continue;
            }
            if policy.is_none() && matches!(own, PullPolicy::Never | PullPolicy::Build) {
                transfer.skip(text, "No image to be pulled");
                continue;
            }
            let reference = images::parse(text)?;
            let platform = service.platform.as_ref().map(|text| text.parse());
            let platform = platform
                .transpose()
                .map_err(|error: crate::oci::Error| Failure::project(error.to_string()))?;
            // Without a word from anybody, `pull` pulls.
            let skips_present = match policy {
                Some(policy) => *policy == PullPolicy::Missing,
                None => written.is_missing(name) && reference.tag() != Some("latest"),
            };
            if skips_present
                && images::presence(root, &reference, platform.as_ref())? != Presence::Absent
            {
                transfer.skip(text, "Image is already present locally");
                continue;
            }
            let key = (reference.to_string(), service.platform.clone());
            let entry = entries.entry(key).or_insert_with(|| Entry {
                wanted: Wanted {
                    reference,
                    platform,
                },
                services: Vec::new(),
                can_be_built: true,
            });
            entry.services.push(name.clone());
            entry.can_be_built &= can_be_built;
        }
        Ok(entries.into_values().collect())
    }
}
