//! From services and flags to build requests.

use std::path::Path;

use indexmap::{IndexMap, IndexSet};

use crate::build::{BuildRequest, DockerfileSource, Goal, NamedSource, Pull, Secret};
use crate::cli::build::platforms::{self, Extent};
use crate::cli::build::section::{SecretUse, Section};
use crate::cli::build::{cache, source, values};
use crate::cli::context::Context;
use crate::cli::docker_config;
use crate::cli::exit::{Failure, Kind};
use crate::cli::output;
use crate::dockerfile::{Entitlement, NoCache, Options, RunNetwork};
use crate::model::{
    BuildSpec, FileSource, ImageSource, Project, Resource, ResourceKey, ServiceName,
};
use crate::oci::{Platform, Reference};

/// What a command says about all of its builds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    /// `KEY=value`, or `KEY` for the value of the environment.
    pub(crate) build_args: Vec<String>,
    /// Agents, over those of the file.
    pub(crate) ssh: Vec<String>,
    pub(crate) no_cache: bool,
    pub(crate) pull: bool,
    pub(crate) goal: Goal,
    /// For which of their platforms.
    pub(crate) extent: Extent,
}

/// The requests for `services` and, before them, for those whose results
/// they are built from.
pub(crate) fn of_services(
    context: &Context,
    project: &Project,
    services: &[ServiceName],
    wishes: &Wishes,
) -> anyhow::Result<Vec<BuildRequest>> {
    let mut wanted: IndexSet<ServiceName> = services.iter().cloned().collect();
    let mut requests: IndexMap<ServiceName, BuildRequest> = IndexMap::new();
    let mut next = 0;
    while let Some(name) = wanted.get_index(next).cloned() {
        next += 1;
        // A service that only a build needs isn't among the chosen ones.
        let loaded = match project.services.contains_key(&name) {
            true => None,
            false => Some(context.load_project(&[name.to_string()])?),
        };
        let request = of_service(context, loaded.as_ref().unwrap_or(project), &name, wishes)?;
        for source in request.contexts.values() {
            if let NamedSource::Build(other) = source {
                wanted.insert(other.parse().map_err(|_| {
                    Failure::project(format!("service {name}: no such service: {other}"))
                })?);
            }
        }
        requests.insert(name, request);
    }
    Ok(requests.into_values().rev().collect())
}

/// The names that the image of a `build:` section gets: the service's own and
/// all of its `tags`.
///
/// # Errors
/// When one of them is no name.
pub(crate) fn names(spec: &BuildSpec, tag: &str) -> anyhow::Result<Vec<Reference>> {
    names_of(tag, &Section::of(spec)?)
}

fn names_of(tag: &str, section: &Section) -> anyhow::Result<Vec<Reference>> {
    let texts = std::iter::once(tag).chain(section.tags.iter().map(String::as_str));
    let mut names: Vec<Reference> = Vec::new();
    for text in texts {
        let name = text
            .parse()
            .map_err(|error| Failure::new(Kind::Build, format!("{error}")))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn of_service(
    context: &Context,
    project: &Project,
    name: &ServiceName,
    wishes: &Wishes,
) -> anyhow::Result<BuildRequest> {
    let service = project.services.get(name);
    let image = service.map(|service| &service.image);
    let Some(ImageSource::Build { spec, tag, .. }) = image else {
        return Err(Failure::project(format!("service {name} has no build section")).into());
    };
    let section = Section::of(spec)?;
    let names = names_of(tag, &section)?;
    let platforms = platforms::of_service(
        name,
        &platforms::Said {
            service: service.and_then(|s| s.platform.as_deref()),
            default: context.environment.non_empty("DOCKER_DEFAULT_PLATFORM"),
            build: &section.platforms,
        },
        wishes.extent,
    )?;
    let mut options = Options::new(Platform::host());
    fill_options(&mut options, context, &section, wishes)?;
    label(&mut options, project, name);
    let folder = &project.working_dir;
    let files = source::context(&section.context, folder)?;
    let mut contexts = IndexMap::new();
    for (name, text) in &section.additional_contexts {
        let (kind, source) = source::named(text, folder)?;
        options.contexts.insert(name.clone(), kind);
        contexts.insert(name.clone(), source);
    }
    let ssh = section.ssh.iter().chain(&wishes.ssh);
    let ssh = ssh.map(|text| values::ssh(text, folder, &context.environment));
    let base = match &files {
        crate::build::Context::Folder(path) => path.clone(),
        _ => folder.clone(),
    };
    let (cache_from, cache_to) = (
        caches(&section.cache_from, context, cache::cache_from)?,
        caches(&section.cache_to, context, cache::cache_to)?,
    );
    Ok(BuildRequest {
        name: name.to_string(),
        dockerfile: dockerfile(spec, &section, &files, &base, &context.working_dir),
        context: files,
        secrets: secrets(project, name, &section)?,
        ssh: ssh.collect::<Result<_, _>>()?,
        pull: pull(wishes.pull || section.pull),
        exports: Vec::new(),
        goal: wishes.goal,
        options,
        platforms,
        contexts,
        names,
        cache_from,
        cache_to,
    })
}

fn dockerfile(
    spec: &BuildSpec,
    section: &Section,
    files: &crate::build::Context,
    base: &std::path::Path,
    here: &std::path::Path,
) -> DockerfileSource {
    match &spec.dockerfile_inline {
        Some(text) => DockerfileSource::Inline {
            text: text.clone(),
            name: "dockerfile_inline".into(),
        },
        None => source::dockerfile(section.dockerfile.as_deref(), files, base, here),
    }
}

/// What Compose writes into every image that it builds.
fn label(options: &mut Options, project: &Project, service: &ServiceName) {
    for (key, value) in [
        ("project", project.name.to_string()),
        ("service", service.to_string()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ] {
        let name = format!("com.docker.compose.{key}");
        options.labels.insert(name, value);
    }
}

/// When base images are asked for.
pub(crate) fn pull(is_always: bool) -> Pull {
    if is_always {
        Pull::Always
    } else {
        Pull::Missing
    }
}

/// The caches that texts name; kinds without use here are told.
pub(crate) fn caches<T>(
    texts: &[String],
    context: &Context,
    read: impl Fn(&str, &Path) -> Result<cache::Read<T>, Failure>,
) -> Result<Vec<T>, Failure> {
    let mut found = Vec::new();
    for text in texts {
        match read(text, &context.working_dir)? {
            cache::Read::Cache(cache) => found.push(cache),
            cache::Read::Useless(why) => output::warn(&why),
        }
    }
    Ok(found)
}

fn fill_options(
    options: &mut Options,
    context: &Context,
    section: &Section,
    wishes: &Wishes,
) -> anyhow::Result<()> {
    options.target.clone_from(&section.target);
    options.labels.clone_from(&section.labels);
    let set = |(name, value): (&String, &Option<String>)| Some((name.clone(), value.clone()?));
    options.build_args = section.args.iter().filter_map(set).collect();
    options
        .build_args
        .extend(build_args(&wishes.build_args, context));
    add_proxies(options, context);
    add_epoch(options, context);
    options.no_cache = match (
        wishes.no_cache || section.no_cache,
        section.no_cache_filter.as_slice(),
    ) {
        (true, _) => NoCache::All,
        (false, []) => NoCache::Off,
        (false, names) => NoCache::Stages(names.to_vec()),
    };
    options.run.shm_bytes = section.shm_size;
    options.run.ulimits = section
        .ulimits
        .iter()
        .map(|(name, limit)| (name.clone(), limit.pair()))
        .collect();
    for text in &section.extra_hosts {
        options.run.extra_hosts.push(values::host(text)?);
    }
    for text in &section.entitlements {
        options.entitlements.push(entitlement(text)?);
    }
    if section.privileged {
        options.entitlements.push(Entitlement::SecurityInsecure);
    }
    if let Some(text) = &section.network {
        set_network(options, text)?;
    }
    let is_on = |text: &Option<String>| text.as_deref().is_some_and(|text| text != "false");
    if is_on(&section.provenance) || is_on(&section.sbom) {
        output::warn("provenance and sbom: attestations aren't made");
    }
    Ok(())
}

/// What RUN may be allowed beyond the usual.
pub(crate) fn entitlement(text: &str) -> Result<Entitlement, Failure> {
    text.parse()
        .map_err(|error: crate::dockerfile::UnknownEntitlement| Failure::usage(error.to_string()))
}

/// `--network` and `network:`; asking for the host's says that it is allowed.
pub(crate) fn set_network(options: &mut Options, text: &str) -> Result<(), Failure> {
    options.network = match text {
        "" | "default" | "bridge" => RunNetwork::Default,
        "none" => RunNetwork::None,
        "host" => {
            options.entitlements.push(Entitlement::NetworkHost);
            RunNetwork::Host
        }
        other => {
            return Err(Failure::usage(format!(
                "network mode {other:?} isn't supported by builds"
            ))
            .with_hint("use default, none or host"));
        }
    };
    Ok(())
}

/// Arguments with their values; those without one in the environment stay unset.
pub(crate) fn build_args(texts: &[String], context: &Context) -> IndexMap<String, String> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((text.clone(), context.environment.get(text)?.to_owned())),
    };
    texts.iter().filter_map(pair).collect()
}

/// The proxies of docker's configuration are arguments, unless said otherwise.
pub(crate) fn add_proxies(options: &mut Options, context: &Context) {
    for (name, value) in docker_config::proxies(&context.environment) {
        options.build_args.entry(name).or_insert(value);
    }
}

/// The time of everything that is made is taken from our environment too.
pub(crate) fn add_epoch(options: &mut Options, context: &Context) {
    let name = "SOURCE_DATE_EPOCH";
    if let Some(value) = context.environment.non_empty(name)
        && !options.build_args.contains_key(name)
    {
        options.build_args.insert(name.to_owned(), value.to_owned());
    }
}

fn secrets(
    project: &Project,
    service: &ServiceName,
    section: &Section,
) -> anyhow::Result<IndexMap<String, Secret>> {
    let mut secrets = IndexMap::new();
    if section.secrets.iter().any(SecretUse::has_owner_or_mode) {
        output::warn(&format!(
            "service {service}: uid, gid and mode of build secrets have no effect: say them in the Dockerfile, as in RUN --mount=type=secret,uid=1000"
        ));
    }
    for used in &section.secrets {
        let key: Option<ResourceKey> = used.source.parse().ok();
        let refuse = |why: &str| {
            Failure::project(format!(
                "service {service}: build secret {}: {why}",
                used.source
            ))
        };
        let value = match key.and_then(|key| project.secrets.get(&key)) {
            None => return Err(refuse("it isn't defined").into()),
            Some(Resource::External { .. }) => {
                return Err(refuse("external secrets aren't supported").into());
            }
            Some(Resource::Managed(resource)) => match &resource.source {
                FileSource::File(path) => Secret::File(path.clone()),
                FileSource::Content(text) => Secret::Value(text.as_bytes().to_vec()),
                FileSource::Environment { variable, value } => match value {
                    Some(value) => Secret::Value(value.as_bytes().to_vec()),
                    None => {
                        return Err(refuse(&format!("the variable {variable} isn't set")).into());
                    }
                },
            },
        };
        secrets.insert(
            used.target.clone().unwrap_or_else(|| used.source.clone()),
            value,
        );
    }
    Ok(secrets)
}
