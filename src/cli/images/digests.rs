//! What references stand for in their registries.

use std::collections::BTreeMap;

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
