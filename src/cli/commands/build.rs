//! `build`: builds or rebuilds the images of services.

use crate::build::{Built, Goal};
use crate::cli::build::{self, Wishes};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::images::written::Written;
use crate::cli::output;
use crate::cli::settings::ProgressMode;
use crate::model::{ImageSource, Project, ServiceName};

/// Flags of `build`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Set build-time variables for services
    #[arg(long = "build-arg", value_name = "KEY=VALUE")]
    build_args: Vec<String>,
    /// Set builder to use: there is one
    #[arg(long, value_name = "NAME", hide = true)]
    builder: Option<String>,
    /// Check build configuration
    #[arg(long)]
    check: bool,
    /// Compress the build context: nothing is sent
    #[arg(long, hide = true)]
    compress: bool,
    /// Always remove intermediate containers: there are none
    #[arg(long, hide = true)]
    force_rm: bool,
    /// Set memory limit for the build container. Not supported by BuildKit, nor here.
    #[arg(short = 'm', long, value_name = "BYTES", hide = true)]
    memory: Option<String>,
    /// Do not use cache when building the image
    #[arg(long)]
    no_cache: bool,
    /// Do not remove intermediate containers: there are none
    #[arg(long, hide = true)]
    no_rm: bool,
    /// Build images in parallel, as always
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    parallel: Option<String>,
    /// Print what would be built as a bake file
    #[arg(long)]
    print: bool,
    /// Set type of UI output (auto, tty, plain, json, quiet)
    #[arg(long, value_name = "MODE", hide = true)]
    progress: Option<String>,
    /// Add a provenance attestation: none are made
    #[arg(long, value_name = "TEXT", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    provenance: Option<String>,
    /// Always attempt to pull a newer version of the image
    #[arg(long)]
    pull: bool,
    /// Push service images
    #[arg(long)]
    push: bool,
    /// Don't print anything to STDOUT
    #[arg(short = 'q', long)]
    quiet: bool,
    /// Add a SBOM attestation: none are made
    #[arg(long, value_name = "TEXT", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sbom: Option<String>,
    /// Set SSH authentications used when building service images (use 'default' for using your default SSH Agent)
    #[arg(long, value_name = "ID[=SOCKET]")]
    ssh: Vec<String>,
    /// Also build dependencies (transitively)
    #[arg(long)]
    with_dependencies: bool,

    /// Services; all that have a build section when none is named
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Args {
    /// Builds them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if self.memory.is_some() {
            output::warn("--memory has no effect on builds");
        }
        if [&self.provenance, &self.sbom]
            .into_iter()
            .flatten()
            .any(|text| text != "false")
        {
            output::warn("provenance and sbom: attestations aren't made");
        }
        let (project, tree) = context.load_tree(&self.services, None)?;
        let services = self.selected(&project)?;
        if services.is_empty() {
            output::warn("No services to build");
            return Ok(Exit::SUCCESS);
        }
        let wishes = Wishes {
            build_args: self.build_args.clone(),
            ssh: self.ssh.clone(),
            no_cache: self.no_cache,
            pull: self.pull,
            extent: build::Extent::All,
            goal: if self.check { Goal::Check } else { Goal::Image },
        };
        let requests = build::of_services(context, &project, &services, &wishes)?;
        if self.print || context.settings.dry_run {
            output::print(&format!("{:#}\n", build::bake(&requests)))?;
            return Ok(Exit::SUCCESS);
        }
        let mode = build::progress(self.progress.as_deref(), context.settings.progress)?;
        let mode = if self.quiet {
            ProgressMode::Quiet
        } else {
            mode
        };
        if self.push && !self.check {
            let names: Vec<_> = requests.iter().flat_map(|r| r.names.clone()).collect();
            build::check_push(context, &names)?;
        }
        let outcome = build::run(context, &requests, mode)?;
        if self.check {
            return build::tell_check(&outcome);
        }
        if !self.quiet {
            build::tell_built(context, &outcome, mode);
        }
        if self.push {
            // One without `image` has a name of ours, which is no registry's.
            let written = Written::of(&tree);
            let has_image = |built: &&Built| {
                let service: Option<ServiceName> = built.build.parse().ok();
                service.is_some_and(|service| written.has_image(&service))
            };
            let pushed = outcome.built.iter().filter(has_image);
            build::push(context, pushed, self.quiet)?;
        }
        Ok(Exit::SUCCESS)
    }

    /// The services to build: the named ones, with what they need when asked.
    fn selected(&self, project: &Project) -> anyhow::Result<Vec<ServiceName>> {
        let is_built = |name: &ServiceName| {
            let service = project.services.get(name);
            service.is_some_and(|service| matches!(service.image, ImageSource::Build { .. }))
        };
        if self.services.is_empty() || self.with_dependencies {
            // Loading has left out what nobody needs.
            return Ok(project
                .services
                .keys()
                .filter(|name| is_built(name))
                .cloned()
                .collect());
        }
        let mut services = Vec::new();
        for text in &self.services {
            let name: Option<ServiceName> = text.parse().ok();
            match name.filter(|name| project.services.contains_key(name)) {
                Some(name) if is_built(&name) => services.push(name),
                Some(_) => {}
                None => return Err(Failure::no_such_service(&text).into()),
            }
        }
        Ok(services)
    }
}
