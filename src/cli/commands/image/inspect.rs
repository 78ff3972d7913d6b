//! `image inspect`: everything about an image, in docker's shape.

use serde_json::{Value, json};

use crate::cli::commands::image::{failure, resolve};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::cli::output::template::Template;
use crate::image::{self, Image};
use crate::oci::Reference;
use crate::store::Root;

/// Flags of `image inspect`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Format output: 'json' or a Go TEMPLATE
    #[arg(short = 'f', long, value_name = "FORMAT")]
    format: Option<String>,
    /// The images
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

impl Args {
    /// Shows them; those that aren't there are told and the rest is shown.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let root = context.store()?;
        let template = match self.format.as_deref() {
            None | Some("" | "json") => None,
            Some(text) => Some(Template::parse(text)?),
        };
        let mut objects = Vec::new();
        let mut exit = Exit::SUCCESS;
        for text in &self.images {
            match resolve(root, text).and_then(|found| object(root, &found.image)) {
                Ok(object) => objects.push(object),
                Err(error) => {
                    output::error(&error, None);
                    exit = Exit::FAILURE;
                }
            }
        }
        let text = match (&template, self.format.as_deref()) {
            (Some(template), _) => {
                let lines = objects
                    .iter()
                    .map(|object| Ok(format!("{}\n", template.render(object)?)));
                lines.collect::<anyhow::Result<String>>()?
            }
            (None, Some("json")) => objects.iter().map(|object| format!("{object}\n")).collect(),
            (None, _) => format!("{:#}\n", Value::Array(objects)),
        };
        output::print(&text)?;
        Ok(exit)
    }
}

/// An image as `inspect` shows it, by name or id.
pub(crate) fn object_of(root: &Root, word: &str) -> anyhow::Result<Value> {
    object(root, &resolve(root, word)?.image)
}

fn object(root: &Root, image: &Image) -> anyhow::Result<Value> {
    let bytes = image::config_bytes(root, &image.id)
        .map_err(failure)?
        .unwrap_or_default();
    // As it came, with what we don't read ourselves.
    let raw: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let field = |name: &str| raw.get(name).cloned().unwrap_or_default();
    let names = image::names(root, &image.id).map_err(failure)?;
    let mut pinned = Vec::new();
    for name in &names {
        let remote = image::remote_digest(root, name).map_err(failure)?;
        if let Some(digest) = remote.as_ref().or(image.digest.as_ref()) {
            pinned.push(format!("{}@{digest}", name.familiar_name()));
        }
    }
    pinned.sort();
    pinned.dedup();
    let tags = names.iter().filter(|name| name.digest().is_none());
    let tags: Vec<String> = tags.map(Reference::familiar).collect();
    let trees: Vec<String> = image
        .layers
        .iter()
        .map(|layer| image::layer_path(root, layer).display().to_string())
        .collect();
    let (upper, lower) = trees
        .split_first()
        .map_or((String::new(), String::new()), |(top, rest)| {
            (top.clone(), rest.join(":"))
        });
    let comment = image
        .config
        .history
        .last()
        .and_then(|step| step.comment.clone());
    Ok(json!({
        "Id": image.id.to_string(),
        "RepoTags": tags,
        "RepoDigests": pinned,
        "Parent": "",
        "Comment": comment.unwrap_or_default(),
        "Created": field("created"),
        "DockerVersion": "",
        "Author": image.config.author.clone().unwrap_or_default(),
        "Config": field("config"),
        "Architecture": image.config.architecture,
        "Variant": image.config.variant.clone().unwrap_or_default(),
        "Os": image.config.os,
        "Size": image.size_bytes,
        "GraphDriver": {"Data": {"LowerDir": lower, "UpperDir": upper}, "Name": "overlay2"},
        "RootFS": {"Type": "layers", "Layers": image.config.rootfs.diff_ids},
        "Metadata": {"LastTagTime": image.stored_at.to_string()},
    }))
}
