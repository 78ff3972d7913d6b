//! `image build`: builds an image from a Dockerfile, as `docker build` does.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde_json::json;

use crate::build::{BuildRequest, Goal};
use crate::cli::build;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Kind};
use crate::cli::output;
use crate::cli::settings::ProgressMode;
use crate::dockerfile::{NoCache, Options};
use crate::model::units;
use crate::oci::{Platform, Reference};

/// Flags of `image build`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Add a custom host-to-IP mapping (HOST:IP)
    #[arg(long = "add-host", value_name = "HOST:IP")]
    hosts: Vec<String>,
    /// Allow extra privileged entitlement (network.host, security.insecure)
    #[arg(long, value_name = "ENTITLEMENT")]
    allow: Vec<String>,
    /// Set build-time variables
    #[arg(long = "build-arg", value_name = "KEY=VALUE")]
    build_args: Vec<String>,
    /// Additional build contexts (NAME=PATH)
    #[arg(long = "build-context", value_name = "NAME=PATH")]
    contexts: Vec<String>,
    /// External cache sources (IMAGE, type=registry,ref=NAME or type=local,src=DIR)
    #[arg(long = "cache-from", value_name = "CACHE")]
    cache_from: Vec<String>,
    /// Cache export destinations (type=inline, type=registry,ref=NAME or type=local,dest=DIR; mode=max for all stages)
    #[arg(long = "cache-to", value_name = "CACHE")]
    cache_to: Vec<String>,
    /// Set builder: there is one
    #[arg(long, value_name = "NAME", hide = true)]
    builder: Option<String>,
    /// Set method for evaluating build (build, check)
    #[arg(long, value_name = "METHOD", value_parser = ["build", "check"], default_value = "build", hide_default_value = true)]
    call: String,
    /// Check the Dockerfile and build nothing
    #[arg(long)]
    check: bool,
    /// Name of the Dockerfile; - is STDIN
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<String>,
    /// Write the image's id to a file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Set metadata for an image (KEY=VALUE)
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Put the image into the store, as always
    #[arg(long, hide = true)]
    load: bool,
    /// Write what was built to a file, as JSON
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// Set the networking mode for RUN (default, none, host)
    #[arg(
        long,
        value_name = "MODE",
        default_value = "default",
        hide_default_value = true
    )]
    network: String,
    /// Do not use cache when building the image
    #[arg(long)]
    no_cache: bool,
    /// Do not cache specified stages
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
    /// Output destination (DIR, -, type=local|tar|oci|docker,dest=PATH or type=registry)
    #[arg(short = 'o', long = "output", value_name = "DESTINATION")]
    outputs: Vec<String>,
    /// Set target platforms for build, separated by commas
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// Set type of progress output (auto, plain, tty, rawjson, quiet)
    #[arg(long, value_name = "MODE")]
    progress: Option<String>,
    /// Add a provenance attestation: none are made
    #[arg(long, value_name = "TEXT", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    provenance: Option<String>,
    /// Always attempt to pull all referenced images
    #[arg(long)]
    pull: bool,
    /// Push the image to its registry once it is built
    #[arg(long)]
    push: bool,
    /// Suppress the build output and print image ID on success
    #[arg(short = 'q', long)]
    quiet: bool,
    /// Remove intermediate containers: there are none
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    rm: Option<String>,
    /// Add a SBOM attestation: none are made
    #[arg(long, value_name = "TEXT", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sbom: Option<String>,
    /// Secret to expose to the build (id=ID[,src=FILE|,env=NAME])
    #[arg(long = "secret", value_name = "SECRET")]
    secrets: Vec<String>,
    /// Shared memory size for build containers
    #[arg(long, value_name = "BYTES")]
    shm_size: Option<String>,
    /// SSH agent socket to expose to the build (default|ID[=SOCKET])
    #[arg(long, value_name = "ID[=SOCKET]")]
    ssh: Vec<String>,
    /// Image identifier (format: REPOSITORY:TAG)
    #[arg(short = 't', long = "tag", value_name = "NAME")]
    tags: Vec<String>,
    /// Set the target build stage to build
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Ulimit options
    #[arg(long = "ulimit", value_name = "NAME=SOFT[:HARD]")]
    ulimits: Vec<String>,
    /// The context: a folder, an address, or - for STDIN
    #[arg(value_name = "PATH|URL|-")]
    path: String,
}

impl Args {
    /// Builds it.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if [&self.provenance, &self.sbom]
            .into_iter()
            .flatten()
            .any(|text| text != "false")
        {
            output::warn("provenance and sbom: attestations aren't made");
        }
        let (request, is_pushed) = self.request(context)?;
        if is_pushed {
            build::check_push(context, &request.names)?;
        }
        let mode = build::progress(self.progress.as_deref(), context.settings.progress)?;
        let mode = if self.quiet {
            ProgressMode::Quiet
        } else {
            mode
        };
        let outcome = build::run(context, std::slice::from_ref(&request), mode)?;
        if self.is_check() {
            return build::tell_check(&outcome);
        }
        let Some(built) = outcome.built.first() else {
            return Err(Failure::new(Kind::Internal, "the build came to nothing").into());
        };
        let id = built.image.id.to_string();
        if let Some(path) = &self.iidfile {
            write(context, path, &id)?;
        }
        if let Some(path) = &self.metadata_file {
            let names: Vec<String> = built.names.iter().map(ToString::to_string).collect();
            let metadata = json!({
                "containerimage.config.digest": id,
                "containerimage.digest": built.image.digest.as_ref().map(ToString::to_string),
                "image.name": names.join(","),
            });
            write(context, path, &format!("{metadata:#}\n"))?;
        }
        if self.quiet {
            output::print(&format!("{id}\n"))?;
        } else {
            build::tell_warnings(&outcome.warnings, mode);
        }
        if is_pushed {
            build::push(context, [built], self.quiet)?;
        }
        Ok(Exit::SUCCESS)
    }

    /// What is to be built, and whether it is pushed.
    fn request(&self, context: &Context) -> anyhow::Result<(BuildRequest, bool)> {
        let folder = &context.working_dir;
        let is_stdin_file = self.file.as_deref() == Some("-");
        if is_stdin_file && self.path == "-" {
            return Err(Failure::usage(
                "invalid argument: can't use stdin for both build context and dockerfile",
            )
            .into());
        }
        let (files, alone) = match self.path.as_str() {
            "-" => build::context_of_stdin()?,
            path => (build::context(path, folder)?, None),
        };
        let dockerfile = match (alone, is_stdin_file) {
            (Some(alone), _) => alone,
            (None, true) => build::dockerfile_of_stdin()?,
            (None, false) => build::dockerfile(self.file.as_deref(), &files, folder, folder),
        };
        let mut options = self.options(context)?;
        let mut contexts = IndexMap::new();
        for text in &self.contexts {
            let (name, path) = text.split_once('=').ok_or_else(|| {
                Failure::usage(format!("invalid context value: {text}, expected key=value"))
            })?;
            let (kind, source) = build::named(path, folder)?;
            options.contexts.insert(name.to_owned(), kind);
            contexts.insert(name.to_owned(), source);
        }
        let mut texts = self.tags.clone();
        let (mut exports, mut is_pushed) = (Vec::new(), self.push);
        for text in &self.outputs {
            match build::output(text, folder)? {
                build::Destination::Export(export) => exports.push(export),
                build::Destination::Store { names } => texts.extend(names),
                build::Destination::Registry { names } => {
                    texts.extend(names);
                    is_pushed = true;
                }
            }
        }
        let names = names(&texts)?;
        let secret = |text: &String| build::secret(text, folder, &context.environment);
        let ssh = |text: &String| build::ssh(text, folder, &context.environment);
        let default = context.environment.non_empty("DOCKER_DEFAULT_PLATFORM");
        let platforms = self.platform.as_deref().or(default);
        let platforms = platforms.map_or_else(|| Ok(Vec::new()), build::of_flag)?;
        let name = names
            .first()
            .map_or_else(|| "image".to_owned(), Reference::familiar);
        let request = BuildRequest {
            name,
            context: files,
            dockerfile,
            options,
            platforms,
            contexts,
            secrets: self.secrets.iter().map(secret).collect::<Result<_, _>>()?,
            ssh: self.ssh.iter().map(ssh).collect::<Result<_, _>>()?,
            pull: build::pull(self.pull),
            names,
            exports,
            cache_from: build::caches(&self.cache_from, context, build::cache_from)?,
            cache_to: build::caches(&self.cache_to, context, build::cache_to)?,
            goal: if self.is_check() {
                Goal::Check
            } else {
                Goal::Image
            },
        };
        Ok((request, is_pushed && !self.is_check()))
    }

    fn is_check(&self) -> bool {
        self.check || self.call == "check"
    }

    fn options(&self, context: &Context) -> anyhow::Result<Options> {
        let mut options = Options::new(Platform::host());
        options.target.clone_from(&self.target);
        options.build_args = build::build_args(&self.build_args, context);
        build::add_proxies(&mut options, context);
        build::add_epoch(&mut options, context);
        for text in &self.labels {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            options.labels.insert(name.to_owned(), value.to_owned());
        }
        options.no_cache = match (self.no_cache, self.no_cache_filter.as_slice()) {
            (true, _) => NoCache::All,
            (false, []) => NoCache::Off,
            (false, names) => NoCache::Stages(names.to_vec()),
        };
        for text in &self.allow {
            options.entitlements.push(build::entitlement(text)?);
        }
        build::set_network(&mut options, &self.network)?;
        for text in &self.hosts {
            options.run.extra_hosts.push(build::host(text)?);
        }
        for text in &self.ulimits {
            let (name, limits) = build::ulimit(text)?;
            options.run.ulimits.insert(name, limits);
        }
        if let Some(text) = &self.shm_size {
            let bytes = units::parse_bytes(text).and_then(|bytes| u64::try_from(bytes).ok());
            options.run.shm_bytes = Some(bytes.ok_or_else(|| {
                Failure::usage(format!("invalid size {text:?}")).with_hint("write it as 64m or 1g")
            })?);
        }
        Ok(options)
    }
}

fn names(texts: &[String]) -> anyhow::Result<Vec<Reference>> {
    let mut names: Vec<Reference> = Vec::new();
    for text in texts {
        let name = text
            .parse()
            .map_err(|error| Failure::usage(format!("invalid tag {text:?}: {error}")))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn write(context: &Context, path: &std::path::Path, text: &str) -> anyhow::Result<()> {
    let path = context.working_dir.join(path);
    std::fs::write(&path, text).map_err(|error| {
        Failure::new(
            Kind::Environment,
            format!("write of {}: {error}", path.display()),
        )
    })?;
    Ok(())
}
