//! What references stand for in their registries.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::cli::context::Context;
use crate::cli::exit::{Failure, Kind};
use crate::cli::images::parse;
use crate::cli::images::transfer::{client, failure, registry_failure};
use crate::image;
use crate::model::{ImageSource, Mount, Project};
use crate::oci::{Digest, Reference};
use crate::registry::Client;
use crate::store::Root;

/// The digests of all images that a project's services pull or mount, by
/// reference; images that are built have none.
pub(crate) fn of_project(
    context: &Context,
    project: &Project,
) -> anyhow::Result<BTreeMap<String, Digest>> {
    let mut references: Vec<Reference> = Vec::new();
    for service in project.services.values() {
        if let ImageSource::Pull { reference, .. } = &service.image {
            references.push(parse(reference)?);
        }
        for mount in &service.mounts {
            if let Mount::Image { reference, .. } = mount {
                references.push(parse(reference)?);
            }
        }
    }
    of(context, &references)
}

/// Puts digests into the images of a project's tree; services that are built
/// keep theirs.
pub(crate) fn pin(context: &Context, tree: &mut Value) -> anyhow::Result<()> {
    let mut references = Vec::new();
    for (_, service) in services(tree) {
        references.extend(pulled(service).map(parse).transpose()?);
    }
    let found = of(context, &references)?;
    let services = tree.get_mut("services").and_then(Value::as_object_mut);
    for service in services.into_iter().flat_map(Map::values_mut) {
        let Some(reference) = pulled(service).map(parse).transpose()? else {
            continue;
        };
        // The whole name, as docker compose prints it.
        if let Some(digest) = found.get(&reference.familiar())
            && let Some(service) = service.as_object_mut()
        {
            service.insert("image".to_owned(), format!("{reference}@{digest}").into());
        }
    }
    Ok(())
}

/// Takes out the commands that only JSON shows when they are unset.
pub(crate) fn drop_unset_commands(tree: &mut Value) {
    let services = tree.get_mut("services").and_then(Value::as_object_mut);
    for service in services.into_iter().flat_map(Map::values_mut) {
        if let Some(service) = service.as_object_mut() {
            let is_command = |key: &str| matches!(key, "command" | "entrypoint");
            service.retain(|key, value| !(is_command(key) && value.is_null()));
        }
    }
}

/// A project's tree with nothing but the images in it.
pub(crate) fn only_images(tree: &Value) -> Value {
    let images = services(tree).filter_map(|(name, service)| {
        let image = pulled(service)?;
        Some((name.clone(), json!({"image": image})))
    });
    json!({"services": Value::Object(images.collect())})
}

fn services(tree: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let services = tree.get("services").and_then(Value::as_object);
    services.into_iter().flatten()
}

/// The image of a service that isn't built.
fn pulled(service: &Value) -> Option<&str> {
    if service.get("build").is_some() {
        return None;
    }
    service.get("image").and_then(Value::as_str)
}

/// The digests of references that have none yet, as their registries say;
/// offline, as they were pulled. All that can't be told is told at once.
pub(crate) fn of(
    context: &Context,
    references: &[Reference],
) -> anyhow::Result<BTreeMap<String, Digest>> {
    let root = context.store()?;
    let client = if context.flags.offline {
        None
    } else {
        Some(client(context)?)
    };
    let mut found = BTreeMap::new();
    for reference in references {
        let name = reference.familiar();
        if reference.digest().is_some() || found.contains_key(&name) {
            continue;
        }
        let digest = match &client {
            Some(client) => ask(client, reference)?,
            None => known(root, reference)?,
        };
        found.insert(name, digest);
    }
    Ok(found)
}

fn ask(client: &Client, reference: &Reference) -> anyhow::Result<Digest> {
    let what = format!("look-up of image {}", reference.familiar());
    let failed = |error| registry_failure(&error, Some(&what));
    match client.digest(reference).map_err(failed)? {
        Some(digest) => Ok(digest),
        None => Ok(client.manifest(reference).map_err(failed)?.digest),
    }
}

fn known(root: &Root, reference: &Reference) -> anyhow::Result<Digest> {
    let digest = image::remote_digest(root, reference).map_err(failure)?;
    digest.ok_or_else(|| {
        let name = reference.familiar();
        Failure::new(Kind::Image, format!("the digest of {name} isn't known"))
            .with_hint("it was never pulled; leave --offline out")
            .into()
    })
}
