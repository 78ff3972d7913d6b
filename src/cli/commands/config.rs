//! `config`: the project as it is understood.

use std::collections::BTreeMap;

use serde::Serialize as _;
use serde_json::Value;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::images::digests;
use crate::cli::output;
use crate::compose::{self, Canonical, LoadOptions, OriginKind, VariableUse};

/// Flags of `config`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Format the output. Values: [yaml | json]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Print the service config hash, one per line
    #[arg(long, value_name = "SERVICES")]
    hash: Option<String>,
    /// Print the image names, one per line
    #[arg(long)]
    images: bool,
    /// Produces an override file with image digests
    #[arg(long)]
    lock_image_digests: bool,
    /// Print the model names, one per line
    #[arg(long)]
    models: bool,
    /// Print the network names, one per line
    #[arg(long)]
    networks: bool,
    /// Don't check model consistency - warning: may produce invalid Compose output
    #[arg(long)]
    no_consistency: bool,
    /// Don't resolve service env files
    #[arg(long)]
    no_env_resolution: bool,
    /// Don't interpolate environment variables
    #[arg(long)]
    no_interpolate: bool,
    /// Don't normalize compose model
    #[arg(long)]
    no_normalize: bool,
    /// Don't resolve file paths
    #[arg(long)]
    no_path_resolution: bool,
    /// Save to file (default to stdout)
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<String>,
    /// Print the profile names, one per line
    #[arg(long)]
    profiles: bool,
    /// Only validate the configuration, don't print anything
    #[arg(short = 'q', long)]
    quiet: bool,
    /// Pin image tags to digests
    #[arg(long)]
    resolve_image_digests: bool,
    /// Print the service names, one per line
    #[arg(long)]
    services: bool,
    /// Print the volume names, one per line
    #[arg(long)]
    volumes: bool,
    /// Print environment used for interpolation
    #[arg(long)]
    environment: bool,
    /// Print model variables and default values
    #[arg(long)]
    variables: bool,
    /// Say where a variable or a path such as services.web.ports comes from
    #[arg(long, value_name = "VARIABLE|PATH")]
    explain: Option<String>,
    /// Services to keep, with what they depend on
    #[arg(value_name = "SERVICE")]
    names: Vec<String>,
}

impl Args {
    /// Prints it.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if let Some(format) = &self.format
            && !matches!(format.as_str(), "yaml" | "json")
        {
            return Err(Failure::usage(format!("unsupported format {format:?}")).into());
        }
        if self.no_interpolate && !self.names.is_empty() {
            output::notice(
                "warning: service filtering is not applied when --no-interpolate is set, the full model will be rendered",
            );
        }
        let mut options = context.discover()?.options;
        self.apply(&mut options, context);
        if self.asks_for_variables() {
            let found = context.variables(&options);
            return self.write(&variables(&found, self.format.as_deref())?);
        }
        if let Some(subject) = &self.explain {
            return self.explain(subject, options, context);
        }
        let loaded = context.load(&options)?;
        if self.pins() {
            return self.write(&self.pinned(context, &loaded.canonical)?);
        }
        let done = self.write(&self.text(&loaded.canonical)?)?;
        // The process ends here: taking thousands of nodes apart serves nobody.
        std::mem::forget(loaded);
        Ok(done)
    }

    /// What stands where can be told of a project with faults, too.
    fn explain(
        &self,
        subject: &str,
        mut options: LoadOptions,
        context: &Context,
    ) -> anyhow::Result<Exit> {
        options.keeps_layers = true;
        let loaded = context.load_silently(&options);
        match explain(&loaded.canonical, subject) {
            Ok(text) => self.write(&text)?,
            Err(error) => {
                context.tell_about(&loaded)?;
                return Err(error);
            }
        };
        context.tell_about(&loaded)?;
        Ok(Exit::SUCCESS)
    }

    /// Variables come after everything that is asked for by another flag.
    fn asks_for_variables(&self) -> bool {
        let other = self.services
            || self.volumes
            || self.networks
            || self.models
            || self.profiles
            || self.images
            || self.hash.is_some();
        self.variables && !other
    }

    fn write(&self, text: &str) -> anyhow::Result<Exit> {
        match (&self.output, self.quiet) {
            (_, true) => {}
            (Some(path), false) => std::fs::write(path, text).map_err(|error| {
                Failure::new(
                    crate::cli::exit::Kind::Environment,
                    format!("write of {path}: {error}"),
                )
            })?,
            (None, false) => output::print(text)?,
        }
        Ok(Exit::SUCCESS)
    }

    fn apply(&self, options: &mut LoadOptions, context: &Context) {
        options.all_resources = context.flags.all_resources;
        options.skip.interpolation = self.no_interpolate;
        options.skip.normalization = self.no_normalize || context.flags.compatibility;
        options.skip.paths = self.no_path_resolution;
        options.skip.consistency = self.no_consistency;
        options.skip.environment = self.no_env_resolution;
        let ignores_names = self.services
            || self.volumes
            || self.networks
            || self.models
            || self.profiles
            || self.hash.is_some();
        if !ignores_names && !self.no_interpolate {
            options.services.clone_from(&self.names);
        }
    }

    /// Digests are asked for when nothing else is.
    fn pins(&self) -> bool {
        let other = self.services
            || self.volumes
            || self.networks
            || self.models
            || self.hash.is_some()
            || self.profiles
            || self.images
            || self.explain.is_some()
            || self.environment;
        (self.resolve_image_digests || self.lock_image_digests) && !other
    }

    /// The project with digests in its images, or only these.
    fn pinned(&self, context: &Context, canonical: &Canonical) -> anyhow::Result<String> {
        let mut tree: Value = serde_json::from_str(&canonical.to_json())?;
        digests::pin(context, &mut tree)?;
        if self.lock_image_digests {
            tree = digests::only_images(&tree);
        }
        Ok(match self.format.as_deref() {
            Some("json") => format!("{tree:#}\n"),
            _ => {
                digests::drop_unset_commands(&mut tree);
                compose::to_yaml(&tree)
            }
        })
    }

    fn text(&self, canonical: &Canonical) -> anyhow::Result<String> {
        if self.services {
            return Ok(lines(canonical.services()));
        }
        for (asked, section) in [(self.volumes, "volumes"), (self.networks, "networks")] {
            if asked {
                return Ok(lines(canonical.keys(section)));
            }
        }
        if self.models {
            return Ok(lines(canonical.models()));
        }
        if let Some(names) = &self.hash {
            return hashes(canonical, names);
        }
        if self.profiles {
            return Ok(lines(canonical.profiles()));
        }
        if self.images {
            return Ok(lines(canonical.images()));
        }
        if self.environment {
            let pairs = canonical.environment().iter();
            return Ok(lines(pairs.map(|(name, value)| format!("{name}={value}"))));
        }
        Ok(match self.format.as_deref() {
            Some("json") => format!("{}\n", canonical.to_json()),
            _ => canonical.to_yaml(),
        })
    }
}

fn hashes(canonical: &Canonical, names: &str) -> anyhow::Result<String> {
    let mut wanted: Vec<&str> = if names == "*" {
        canonical.services().collect()
    } else {
        names.split(',').collect()
    };
    wanted.sort_unstable();
    let mut text = String::new();
    for name in wanted {
        let hash = canonical
            .hash(name)
            .ok_or_else(|| Failure::no_such_service(&name))?;
        text.push_str(&format!("{name} {hash}\n"));
    }
    Ok(text)
}

/// Where a variable's value or a path's parts come from.
fn explain(canonical: &Canonical, subject: &str) -> anyhow::Result<String> {
    let origins = canonical.environment().origins(subject);
    if !origins.is_empty() {
        let mut text = String::new();
        for (index, origin) in origins.iter().enumerate() {
            let place = match &origin.from {
                OriginKind::Process => "the environment".to_owned(),
                OriginKind::File { path, line } => format!("{}:{line}", path.display()),
                OriginKind::Loader => "rcompose".to_owned(),
            };
            let word = if index == 0 { "from" } else { "shadowed, from" };
            text.push_str(&format!("{subject}={}  {word} {place}\n", origin.value));
        }
        return Ok(text);
    }
    let Some(parts) = canonical.explain(subject) else {
        return Err(Failure::project(format!(
            "{subject} is neither a variable that is set nor a path of the project"
        ))
        .with_hint("paths are dotted, as in services.web.ports.0")
        .into());
    };
    Ok(lines(parts.iter().map(|part| {
        let place = part
            .span
            .as_ref()
            .map_or_else(|| "filled in".to_owned(), ToString::to_string);
        let word = if part.is_replaced {
            "replaced, from "
        } else {
            ""
        };
        format!("{}: {}  {word}{place}", part.path, part.value)
    })))
}

/// The table of variables, or its JSON or YAML.
fn variables(
    found: &BTreeMap<String, VariableUse>,
    format: Option<&str>,
) -> anyhow::Result<String> {
    let value = || {
        let entries = found.iter().map(|(name, found)| {
            let entry = serde_json::json!({
                "Name": name,
                "DefaultValue": found.default,
                "PresenceValue": found.alternate,
                "Required": found.is_required,
            });
            (name.clone(), entry)
        });
        serde_json::Value::Object(entries.collect())
    };
    match format {
        Some("json") => {
            let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
            let mut text = Vec::new();
            value().serialize(&mut serde_json::Serializer::with_formatter(
                &mut text, indent,
            ))?;
            text.push(b'\n');
            Ok(String::from_utf8(text)?)
        }
        Some(_) => Ok(compose::to_yaml(&value())),
        None => {
            let header = ["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"];
            let mut text = row(header.map(str::to_owned));
            for (name, found) in found {
                text.push_str(&row([
                    name.clone(),
                    found.is_required.to_string(),
                    found.default.clone(),
                    found.alternate.clone(),
                ]));
            }
            Ok(text)
        }
    }
}

/// Columns of at least twenty letters, as the reference's.
fn row([name, required, default, alternate]: [String; 4]) -> String {
    format!("{name:<19} {required:<19} {default:<19} {alternate}\n")
}

fn lines(items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    items.into_iter().fold(String::new(), |mut text, item| {
        text.push_str(item.as_ref());
        text.push('\n');
        text
    })
}
