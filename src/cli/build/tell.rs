//! What is said once builds are over.

use serde_json::{Map, Value, json};

use crate::build::{BuildRequest, Context as Files, DockerfileSource, NamedSource};
use crate::cli::build::Outcome;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::cli::output::progress::Progress;
use crate::cli::settings::ProgressMode;
use crate::dockerfile::{NamedContext, NoCache, RunNetwork};
use crate::event::{Event, Progress as Told, ResourceKind, Status};
use crate::oci::Reference;

/// Says which images there are now, in docker compose's words.
pub(crate) fn tell_built(context: &Context, outcome: &Outcome, mode: ProgressMode) {
    tell_warnings(&outcome.warnings, mode);
    let progress = Progress::start(&context.settings, context.terminal, "build");
    for built in &outcome.built {
        let name = built.names.first();
        progress.event(&Event::Progress(Told {
            resource: ResourceKind::Image,
            name: name.map_or_else(|| built.build.clone(), shown),
            status: Status::Built,
            details: None,
            elapsed: None,
        }));
    }
    progress.finish();
}

/// A name as users wrote it: nobody writes `latest`.
fn shown(name: &Reference) -> String {
    let text = name.familiar();
    text.strip_suffix(":latest").unwrap_or(&text).to_owned()
}

/// Says what builds warned of, where it hasn't been said line by line.
pub(crate) fn tell_warnings(warnings: &[String], mode: ProgressMode) {
    let is_said = matches!(mode, ProgressMode::Json | ProgressMode::Quiet);
    let count = warnings.len();
    if count == 0 || is_said {
        return;
    }
    let word = if count == 1 { "warning" } else { "warnings" };
    output::notice(&format!("\n {count} {word} found:"));
    for warning in warnings {
        output::notice(&format!(" - {warning}"));
    }
}

/// Says what a check found; the exit code is 1 when it found something.
pub(crate) fn tell_check(outcome: &Outcome) -> anyhow::Result<Exit> {
    if outcome.warnings.is_empty() {
        output::print("Check complete, no warnings found.\n")?;
        return Ok(Exit::SUCCESS);
    }
    let count = outcome.warnings.len();
    let word = if count == 1 {
        "warning has"
    } else {
        "warnings have"
    };
    let mut text = format!("Check complete, {count} {word} been found!\n\n");
    for warning in &outcome.warnings {
        text.push_str(&format!("WARNING: {warning}\n"));
    }
    output::print(&text)?;
    Ok(Exit::FAILURE)
}

/// The requests as a bake file.
pub(crate) fn bake(requests: &[BuildRequest]) -> Value {
    let names: Vec<&str> = requests
        .iter()
        .map(|request| request.name.as_str())
        .collect();
    let targets: Map<String, Value> = requests
        .iter()
        .map(|request| (request.name.clone(), target(request)))
        .collect();
    json!({"group": {"default": {"targets": names}}, "target": targets})
}

fn target(request: &BuildRequest) -> Value {
    let mut target = Map::new();
    let options = &request.options;
    target.insert("context".to_owned(), files(&request.context).into());
    match &request.dockerfile {
        DockerfileSource::File(path) => {
            target.insert("dockerfile".to_owned(), path.display().to_string().into())
        }
        DockerfileSource::InContext(path) => {
            target.insert("dockerfile".to_owned(), path.clone().into())
        }
        DockerfileSource::Inline { text, .. } => {
            target.insert("dockerfile-inline".to_owned(), text.clone().into())
        }
    };
    let mut add = |key: &str, value: Value| {
        let is_empty = match &value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Bool(is) => !is,
            Value::Number(_) | Value::String(_) => false,
        };
        if !is_empty {
            target.insert(key.to_owned(), value);
        }
    };
    add("args", json!(options.build_args));
    add("labels", json!(options.labels));
    let tags: Vec<String> = request.names.iter().map(ToString::to_string).collect();
    add("tags", json!(tags));
    add("target", json!(options.target));
    let contexts: Map<String, Value> = request
        .contexts
        .iter()
        .map(|(name, source)| {
            (
                name.clone(),
                named(options.contexts.get(name), source).into(),
            )
        })
        .collect();
    add("contexts", Value::Object(contexts));
    let platforms: Vec<String> = match request.platforms.as_slice() {
        [] => vec![options.platform.to_string()],
        all => all.iter().map(ToString::to_string).collect(),
    };
    add("platforms", json!(platforms));
    add("no-cache", (options.no_cache == NoCache::All).into());
    if let NoCache::Stages(stages) = &options.no_cache {
        add("no-cache-filter", json!(stages));
    }
    add("pull", (request.pull == crate::build::Pull::Always).into());
    let ids: Vec<String> = request
        .secrets
        .keys()
        .map(|id| format!("id={id}"))
        .collect();
    add("secret", json!(ids));
    let agents: Vec<String> = request
        .ssh
        .iter()
        .map(|(id, socket)| format!("{id}={}", socket.display()))
        .collect();
    add("ssh", json!(agents));
    add(
        "network",
        match options.network {
            RunNetwork::Default => Value::Null,
            RunNetwork::None => "none".into(),
            RunNetwork::Host => "host".into(),
        },
    );
    Value::Object(target)
}

fn files(context: &Files) -> String {
    match context {
        Files::Folder(path) => path.display().to_string(),
        Files::Remote(address) => address.clone(),
        Files::Archive(_) | Files::Empty => "-".to_owned(),
    }
}

fn named(kind: Option<&NamedContext>, source: &NamedSource) -> String {
    match source {
        NamedSource::Tree(context) => files(context),
        NamedSource::Image => match kind {
            Some(NamedContext::Image(reference)) => format!("docker-image://{reference}"),
            Some(NamedContext::Tree | NamedContext::Other) | None => String::new(),
        },
        NamedSource::OciLayout { folder, tag } => {
            let tag = tag
                .as_ref()
                .map_or_else(String::new, |tag| format!(":{tag}"));
            format!("oci-layout://{}{tag}", folder.display())
        }
        NamedSource::Build(name) => format!("target:{name}"),
    }
}
