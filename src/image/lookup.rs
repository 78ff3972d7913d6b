//! Finding images: by name, by id, all of them.

use std::collections::HashMap;

use crate::image::load::rename;
use crate::image::{Error, Image, blob, hold, layers, records};
use crate::model::{Mount, Project};
use crate::oci::{Digest, ImageConfig, ImageQuery, Reference, chain_ids};
use crate::store::Root;

/// An image and the name that it was found by.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The image.
    pub image: Image,
    /// The name, when it was found by one.
    pub name: Option<Reference>,
}

/// Finds what a user calls an image: a name, an id or the beginning of one.
///
/// To put the image to use, take a guard with [`hold`] first and keep it
/// until the record that refers to the image is written.
///
/// # Errors
/// [`Error::Text`] for text that can't be an image, [`Error::Ambiguous`],
/// [`Error::Damaged`] when the store lacks a part of it.
pub fn resolve(root: &Root, text: &str) -> Result<Option<Resolved>, Error> {
    match text.parse::<ImageQuery>()? {
        ImageQuery::Id(id) => match get(root, &id)? {
            Some(image) => Ok(Some(Resolved { image, name: None })),
            None => by_manifest(root, &id),
        },
        ImageQuery::Name {
            reference,
            id_prefix,
        } => {
            if let Some(reference) = reference
                && let Some(found) = by_name(root, &reference)?
            {
                return Ok(Some(found));
            }
            let Some(prefix) = id_prefix else {
                return Ok(None);
            };
            let mut ids = records::ids(root)?;
            ids.retain(|id| id.hex().starts_with(&prefix));
            match ids.as_slice() {
                [] => Ok(None),
                [id] => Ok(get(root, id)?.map(|image| Resolved { image, name: None })),
                _ => Err(Error::Ambiguous(text.to_owned())),
            }
        }
    }
}

/// Writes down which images a project's services mount, so that a changed one
/// is seen. One that isn't there stays open.
///
/// # Errors
/// As [`resolve`].
pub fn pin_mounts(root: &Root, project: &mut Project) -> Result<(), Error> {
    let mounts = project
        .services
        .values_mut()
        .flat_map(|service| &mut service.mounts);
    for mount in mounts {
        if let Mount::Image {
            reference,
            image_id,
            ..
        } = mount
        {
            *image_id = resolve(root, reference)?.map(|found| found.image.id.to_string());
        }
    }
    Ok(())
}

fn by_name(root: &Root, reference: &Reference) -> Result<Option<Resolved>, Error> {
    if let Some(id) = records::read_name(root, reference)? {
        return Ok(get(root, &id)?.map(|image| Resolved {
            image,
            name: Some(reference.clone()),
        }));
    }
    // A digest counts, whatever tag stands before it.
    let Some(digest) = reference.digest() else {
        return Ok(None);
    };
    let named = |id: &Digest| -> Result<Option<Resolved>, Error> {
        let image = get(root, id)?;
        Ok(image.map(|image| Resolved {
            image,
            name: Some(reference.clone()),
        }))
    };
    if let Some(id) = records::read_name(root, &reference.pinned(digest.clone()))? {
        return named(&id);
    }
    // An index's digest is known by the name that it was pulled by.
    let is_meant = |record: &records::NameRecord| {
        record.digest.as_ref() == Some(digest) && record.name.is_same_repository(reference)
    };
    if let Some(record) = records::all_names(root)?.into_iter().find(is_meant) {
        return named(&record.id);
    }
    let has_name = |found: &Resolved| -> Result<bool, Error> {
        let names = names(root, &found.image.id)?;
        let same = |name: &Reference| name.familiar_name() == reference.familiar_name();
        Ok(names.iter().any(same))
    };
    match by_manifest(root, digest)? {
        Some(found) if has_name(&found)? => Ok(Some(Resolved {
            name: Some(reference.clone()),
            ..found
        })),
        Some(_) | None => Ok(None),
    }
}

/// The image that came with a manifest of this digest.
fn by_manifest(root: &Root, digest: &Digest) -> Result<Option<Resolved>, Error> {
    for id in records::ids(root)? {
        let record = records::read_image(root, &id)?;
        if record.is_some_and(|record| record.manifest.as_ref() == Some(digest)) {
            return Ok(get(root, &id)?.map(|image| Resolved { image, name: None }));
        }
    }
    Ok(None)
}

/// The image of an id; None when the store doesn't have it.
///
/// # Errors
/// [`Error::Damaged`] when the store lacks a part of it.
pub fn get(root: &Root, id: &Digest) -> Result<Option<Image>, Error> {
    let Some(record) = records::read_image(root, id)? else {
        return Ok(None);
    };
    let damaged = |reason: String| Error::Damaged {
        image: id.short().to_owned(),
        reason,
    };
    let bytes = blob::read(root, id)?.ok_or_else(|| damaged("its config is gone".to_owned()))?;
    let config = ImageConfig::parse(&bytes).map_err(|error| damaged(error.to_string()))?;
    let mut layers = chain_ids(&config.rootfs.diff_ids);
    layers.reverse();
    if let Some(gone) = layers.iter().find(|id| !layers::is_there(root, id)) {
        return Err(damaged(format!("its layer {} is gone", gone.short())));
    }
    Ok(Some(Image {
        id: id.clone(),
        digest: record.manifest,
        config,
        layers,
        size_bytes: record.size_bytes,
        stored_at: record.stored_at,
    }))
}

/// The bytes of an image's config, as it came; None when it isn't there.
///
/// # Errors
/// [`Error::Mismatch`] when they aren't what was stored.
pub fn config_bytes(root: &Root, id: &Digest) -> Result<Option<Vec<u8>>, Error> {
    blob::read(root, id)
}

/// All names of an image, sorted.
///
/// # Errors
/// [`Error::Store`] when the records can't be read.
pub fn names(root: &Root, id: &Digest) -> Result<Vec<Reference>, Error> {
    let all = records::all_names(root)?;
    Ok(all
        .into_iter()
        .filter(|record| record.ids().contains(id))
        .map(|record| record.name)
        .collect())
}

/// All images with their names, the newest first.
///
/// # Errors
/// [`Error::Store`] when the records can't be read. Damaged images are left out.
pub fn list(root: &Root) -> Result<Vec<(Image, Vec<Reference>)>, Error> {
    let mut names: HashMap<Digest, Vec<Reference>> = HashMap::new();
    for record in records::all_names(root)? {
        for id in record.ids() {
            names
                .entry(id.clone())
                .or_default()
                .push(record.name.clone());
        }
    }
    let mut images = Vec::new();
    for id in records::ids(root)? {
        match get(root, &id) {
            Ok(Some(image)) => images.push((image, names.remove(&id).unwrap_or_default())),
            Ok(None)
            | Err(Error::Damaged { .. } | Error::Mismatch { .. })
            | Err(Error::Store(crate::store::Error::Damaged { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    images.sort_by(|(a, _), (b, _)| b.config.created.cmp(&a.config.created));
    Ok(images)
}

/// Gives an image a further name.
///
/// # Errors
/// [`Error::NotFound`] when there is no such image.
pub fn tag(root: &Root, source: &str, name: &Reference) -> Result<(), Error> {
    let _guard = hold(root)?;
    let found = resolve(root, source)?.ok_or_else(|| Error::NotFound(source.to_owned()))?;
    let record = found
        .name
        .as_ref()
        .map(|name| records::read_name_record(root, name));
    match record.transpose()?.flatten() {
        Some(record) if record.ids().len() > 1 => {
            records::write_names(root, name, &record.id, record.ids())
        }
        Some(_) | None => rename(root, name, &found.image.id).map(drop),
    }
}

/// When a name was last given to an image, by a build, a load or a pull; None
/// when nothing has it.
#[must_use]
pub fn named_at(root: &Root, name: &Reference) -> Option<std::time::SystemTime> {
    records::named_at(root, name)
}
