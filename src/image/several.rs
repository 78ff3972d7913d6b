//! Names that stand for images of several platforms.
//!
//! The images are images like any other. Only the name's record lists them
//! all, with the one that this machine uses first in line: whoever doesn't ask
//! for a platform gets that one. An index exists only in registries and in
//! archives, where it is made of the manifests that were written there.

use std::collections::BTreeMap;

use crate::image::{Error, Image, Resolved, get, hold, records, resolve};
use crate::model::{ImageSource, Project, ServiceName};
use crate::oci::{Descriptor, Digest, Index, ManifestPlatform, MediaType, Platform, Reference};
use crate::store::Root;

/// Makes names stand for images of several platforms together. Gives the
/// names that belonged to other images, with their ids.
///
/// # Errors
/// [`Error::NotFound`] without images; [`Error::Store`] when a record can't be
/// written.
pub fn name_several(
    root: &Root,
    names: &[Reference],
    images: &[Image],
) -> Result<Vec<(Reference, Digest)>, Error> {
    let _guard = hold(root)?;
    let ids: Vec<Digest> = images.iter().map(|image| image.id.clone()).collect();
    for id in &ids {
        // Nothing had named it until here.
        get(root, id)?.ok_or_else(|| Error::NotFound(id.to_string()))?;
    }
    let first = used_here(images).ok_or_else(|| Error::NotFound("nothing".to_owned()))?;
    let mut renamed = Vec::new();
    for name in names {
        let before = records::read_name_record(root, name).ok().flatten();
        records::write_names(root, name, &first.id, &ids)?;
        let before = before.iter().flat_map(|before| before.ids());
        let gone = before.filter(|id| !ids.contains(id));
        renamed.extend(gone.map(|id| (name.clone(), id.clone())));
    }
    Ok(renamed)
}

/// The image that this machine uses: the one that runs here best, or the first.
#[must_use]
pub fn used_here(images: &[Image]) -> Option<&Image> {
    let host = Platform::host();
    let distance = |image: &&Image| host.distance(&image.config.platform()).unwrap_or(u32::MAX);
    images.iter().min_by_key(distance)
}

/// What a name stands for that an image of another platform has come to: the
/// one to use here, and all when there are several. Images that aren't whole
/// any more, and those for the new one's platform, make place.
pub(super) fn joined(
    root: &Root,
    id: &Digest,
    kin: &[Digest],
) -> Result<(Digest, Vec<Digest>), Error> {
    let mut all: Vec<Image> = get(root, id)?.into_iter().collect();
    let kin = kin.iter().filter(|other| *other != id);
    for other in kin.filter_map(|other| get(root, other).ok().flatten()) {
        let platform = other.config.platform();
        if all.iter().all(|known| known.config.platform() != platform) {
            all.push(other);
        }
    }
    let used = used_here(&all).map_or_else(|| id.clone(), |image| image.id.clone());
    Ok(match all.len() {
        0 | 1 => (id.clone(), Vec::new()),
        _ => (used, all.into_iter().map(|image| image.id).collect()),
    })
}

/// All images that a name stands for, one for each platform, in the order in
/// which they were named. Just one for most names, none for one that isn't there.
///
/// # Errors
/// As [`resolve`].
pub fn platforms_of(root: &Root, name: &Reference) -> Result<Vec<Image>, Error> {
    let Some(record) = records::read_name_record(root, name)? else {
        return Ok(Vec::new());
    };
    let mut images = Vec::new();
    for id in record.ids() {
        images.extend(get(root, id)?);
    }
    Ok(images)
}

/// Finds what a user calls an image, as [`resolve`] does, and of a name that
/// stands for several platforms the one that is wanted (`linux/arm64`). Where
/// there is none for it, this machine's. What is no name and begins several ids
/// is none of them.
///
/// # Errors
/// As [`resolve`], but for ambiguous beginnings of ids.
pub fn resolve_on(
    root: &Root,
    text: &str,
    platform: Option<&str>,
) -> Result<Option<Resolved>, Error> {
    let found = match resolve(root, text) {
        Err(Error::Ambiguous(_)) => return Ok(None),
        found => found?,
    };
    let (
        Some(platform),
        Some(Resolved {
            name: Some(name), ..
        }),
    ) = (platform, &found)
    else {
        return Ok(found);
    };
    let platform: Platform = platform.parse()?;
    let all = platforms_of(root, name)?;
    let fitting = all
        .into_iter()
        .filter_map(|image| Some((platform.distance(&image.config.platform())?, image)))
        .min_by_key(|(distance, _)| *distance);
    Ok(match fitting {
        Some((_, image)) => Some(Resolved {
            image,
            name: Some(name.clone()),
        }),
        None => found,
    })
}

/// A service's image that can't be looked up.
#[derive(Debug, thiserror::Error)]
#[error("image {reference}")]
pub struct Unreadable {
    /// As the service names it.
    pub reference: String,
    /// Why.
    pub source: Error,
}

/// The image of every service of a project that has one in the store, by id.
///
/// # Errors
/// [`Unreadable`], as from [`resolve`] and for a platform that can't be.
pub fn of_services(
    root: &Root,
    project: &Project,
) -> Result<BTreeMap<ServiceName, String>, Unreadable> {
    let mut images = BTreeMap::new();
    for (name, service) in &project.services {
        if matches!(service.image, ImageSource::Provider { .. }) {
            continue;
        }
        let reference = service.image.reference();
        let found = resolve_on(root, reference, service.platform.as_deref());
        let found = found.map_err(|source| Unreadable {
            reference: reference.to_owned(),
            source,
        })?;
        if let Some(found) = found {
            images.insert(name.clone(), found.image.id.to_string());
        }
    }
    Ok(images)
}

/// The index of manifests, each with the image that it is of.
pub(super) fn index(manifests: Vec<(Descriptor, &Image)>) -> Vec<u8> {
    let entry = |(manifest, image): (Descriptor, &Image)| Descriptor {
        platform: Some(ManifestPlatform {
            os: image.config.os.clone(),
            architecture: image.config.architecture.clone(),
            variant: image.config.variant.clone(),
        }),
        ..manifest
    };
    let index = Index {
        schema_version: 2,
        media_type: MediaType::OCI_INDEX.to_owned(),
        manifests: manifests.into_iter().map(entry).collect(),
    };
    serde_json::to_vec(&index).expect("strings and numbers always become JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::testing::{config, docker_archive, file, layers, load_bytes, scratch};
    use crate::image::{Removed, names, remove, save, tag};

    const OTHER: &str = "s390x";

    /// Two images, the first one for another platform than this machine's.
    fn images(root: &Root) -> Vec<Image> {
        let layers = layers();
        let make = |architecture: Option<&str>| {
            let config = config(&layers, |config| {
                let host = Platform::host();
                config.architecture = architecture.unwrap_or(host.architecture()).to_owned();
                config.os = "linux".to_owned();
            });
            let loaded = load_bytes(root, &docker_archive("", &config, &layers).tar());
            let id = loaded.unwrap().remove(0).id;
            get(root, &id).unwrap().unwrap()
        };
        vec![make(Some(OTHER)), make(None)]
    }

    #[test]
    fn a_name_gives_the_image_of_the_platform_that_is_asked_for() {
        let (_dir, root) = scratch();
        let images = images(&root);
        let name: Reference = "app:1".parse().unwrap();
        name_several(&root, std::slice::from_ref(&name), &images).unwrap();
        let id = |platform: Option<&str>| {
            let found = resolve_on(&root, "app:1", platform).unwrap().unwrap();
            found.image.id
        };
        assert_eq!(id(None), images[1].id);
        assert_eq!(id(Some("linux/s390x")), images[0].id);
        assert_eq!(id(Some("linux/riscv64")), images[1].id);
        assert_eq!(platforms_of(&root, &name).unwrap(), images);
        for image in &images {
            assert_eq!(
                names(&root, &image.id).unwrap(),
                std::slice::from_ref(&name)
            );
        }
    }

    #[test]
    fn the_beginning_of_several_ids_is_no_image_of_a_project() {
        let (_dir, root) = scratch();
        let layers = layers();
        let mut seen: Vec<char> = Vec::new();
        // Seventeen ids begin with sixteen digits.
        let shared = (0..17).find_map(|number| {
            let config = config(&layers, |config| {
                config.architecture = format!("cpu{number}")
            });
            let loaded = load_bytes(&root, &docker_archive("", &config, &layers).tar());
            let digit = loaded.unwrap().remove(0).id.hex().chars().next()?;
            let is_second = seen.contains(&digit);
            seen.push(digit);
            is_second.then(|| digit.to_string())
        });
        let shared = shared.unwrap();
        assert!(matches!(resolve(&root, &shared), Err(Error::Ambiguous(_))));
        assert_eq!(resolve_on(&root, &shared, None).unwrap(), None);
    }

    #[test]
    fn a_name_goes_with_all_its_images() {
        let (_dir, root) = scratch();
        let images = images(&root);
        let name: Reference = "app:1".parse().unwrap();
        name_several(&root, &[name], &images).unwrap();
        tag(&root, "app:1", &"app:2".parse().unwrap()).unwrap();
        assert_eq!(
            platforms_of(&root, &"app:2".parse().unwrap()).unwrap(),
            images
        );
        let removed = |text: &str| remove(&root, text, false, &|_| None).unwrap();
        assert_eq!(
            removed("app:1"),
            [Removed::Untagged("app:1".parse().unwrap())]
        );
        assert_eq!(
            removed("app:2"),
            [
                Removed::Untagged("app:2".parse().unwrap()),
                Removed::Deleted(images[1].id.clone()),
                Removed::Deleted(images[0].id.clone()),
            ]
        );
        assert!(crate::image::list(&root).unwrap().is_empty());
    }

    #[test]
    fn an_image_of_a_name_that_is_used_stays() {
        let (_dir, root) = scratch();
        let images = images(&root);
        name_several(&root, &["app:1".parse().unwrap()], &images).unwrap();
        let used = |id: &Digest| (*id == images[0].id).then(|| "a container".to_owned());
        assert!(matches!(
            remove(&root, "app:1", false, &used),
            Err(Error::InUse { .. })
        ));
        remove(&root, "app:1", true, &used).unwrap();
        let left = crate::image::list(&root).unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].0, images[0]);
    }

    #[test]
    fn a_later_image_takes_the_whole_name() {
        let (_dir, root) = scratch();
        let images = images(&root);
        let name: Reference = "app:1".parse().unwrap();
        name_several(&root, std::slice::from_ref(&name), &images).unwrap();
        tag(&root, &images[1].id.to_string(), &name).unwrap();
        assert_eq!(platforms_of(&root, &name).unwrap(), images[1..]);
        let renamed = name_several(&root, std::slice::from_ref(&name), &images[..1]).unwrap();
        assert_eq!(renamed, [(name, images[1].id.clone())]);
    }

    #[test]
    fn an_archive_has_all_platforms_under_one_name() {
        let (_dir, root) = scratch();
        let images = images(&root);
        name_several(&root, &["app:1".parse().unwrap()], &images).unwrap();
        let bytes = save(&root, &["app:1".to_owned()], Vec::new()).unwrap();
        for (number, platform) in [OTHER, Platform::host().architecture()].iter().enumerate() {
            let (_dir, other) = scratch();
            let platform: Platform = format!("linux/{platform}").parse().unwrap();
            let loaded = crate::image::load(&other, file(&bytes), &platform).unwrap();
            let loaded: Vec<&Digest> = loaded.iter().map(|loaded| &loaded.id).collect();
            assert_eq!(loaded, [&images[number].id]);
        }
    }
}
