//! What registries have for the wanted images, and whether the store has it.

use std::sync::Mutex;

use crate::image::load::lock;
use crate::image::plan::{self, PlannedImage, PlannedLayer};
use crate::image::pull::{Placed, Pulled, Puller, Wanted, kept_as, runs_on};
use crate::image::records::{self, NameRecord};
use crate::image::{Error, get};
use crate::oci::{Descriptor, Digest, MediaType, Platform, Reference};
use crate::registry::{self, Remote};

/// Images whose manifests are asked for at once.
const MANIFESTS_AT_ONCE: usize = 4;

/// What the registry has for a reference.
pub(super) enum Found {
    /// What the store has already.
    Unchanged(Pulled),
    Planned(Box<Planned>),
}

/// An image to bring in.
pub(super) struct Planned {
    pub(super) remote: Remote,
    pub(super) image: PlannedImage<Descriptor>,
}

impl Puller<'_> {
    /// Pulls the wanted images at these places.
    pub(super) fn round(&self, places: &[usize]) -> Placed<Result<Pulled, Error>> {
        let (mut results, mut planned) = (Vec::new(), Vec::new());
        for (place, found) in self.find_all(places) {
            match found {
                Ok(Found::Unchanged(pulled)) => results.push((place, Ok(pulled))),
                Ok(Found::Planned(image)) => planned.push((place, *image)),
                Err(error) => results.push((place, Err(error))),
            }
        }
        if !planned.is_empty() {
            match self.bring_in(&planned) {
                Ok(brought) => results.extend(brought),
                Err(error) => {
                    // Nothing could begin; all share the reason.
                    let mut first = Some(error);
                    for (place, _) in planned {
                        let error = first
                            .take()
                            .unwrap_or_else(|| Error::NotFound(self.name(place)));
                        results.push((place, Err(error)));
                    }
                }
            }
        }
        results
    }

    pub(super) fn name(&self, place: usize) -> String {
        let wanted = self.wanted.get(place);
        wanted.map_or_else(String::new, |wanted| wanted.reference.familiar())
    }

    /// Asks the registries, several at a time.
    fn find_all(&self, places: &[usize]) -> Placed<Result<Found, Error>> {
        let queue = Mutex::new(places.iter().copied());
        let found = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..MANIFESTS_AT_ONCE.min(places.len()) {
                scope.spawn(|| {
                    loop {
                        let Some(place) = lock(&queue).next() else {
                            break;
                        };
                        let Some(wanted) = self.wanted.get(place) else {
                            continue;
                        };
                        let answer = self.find(wanted);
                        lock(&found).push((place, answer));
                    }
                });
            }
        });
        let mut found = found
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        found.sort_by_key(|(place, _)| *place);
        found
    }

    fn find(&self, wanted: &Wanted) -> Result<Found, Error> {
        let reference = &wanted.reference;
        let failed = |source| Error::Registry {
            what: format!("pull of image {}", reference.familiar()),
            source,
        };
        if let Some(pulled) = self.unchanged(wanted)? {
            return Ok(Found::Unchanged(pulled));
        }
        let platform = wanted.platform.clone().unwrap_or_else(Platform::host);
        let remote = self.client.image(reference, &platform).map_err(failed)?;
        let config_bytes = self.client.config(&remote).map_err(failed)?;
        let image = planned(reference, &remote, config_bytes)?;
        if let Some(platform) = &wanted.platform
            && !runs_on(&image.config, platform)
        {
            return Err(failed(registry::Error::NoPlatform {
                image: reference.familiar(),
                platform: platform.clone(),
            }));
        }
        Ok(Found::Planned(Box::new(Planned { remote, image })))
    }

    /// The image in the store, when the registry still means it. That costs
    /// one request without a body; none for a digest.
    fn unchanged(&self, wanted: &Wanted) -> Result<Option<Pulled>, Error> {
        let reference = &wanted.reference;
        let Some(name) = records::read_name_record(self.root, &kept_as(reference))
            .ok()
            .flatten()
        else {
            return Ok(None);
        };
        let Some(known) = name.digest.clone() else {
            return Ok(None);
        };
        // A damaged image is pulled again.
        let platform = wanted.platform.clone().unwrap_or_else(Platform::host);
        let is_whole = |id: &&Digest| {
            let image = get(self.root, id).ok().flatten();
            image.is_some_and(|image| runs_on(&image.config, &platform))
        };
        let Some(id) = name.ids().iter().find(is_whole).cloned() else {
            return Ok(None);
        };
        if reference.digest().is_none() {
            let now = self.client.digest(reference);
            let now = now.map_err(|source| Error::Registry {
                what: format!("pull of image {}", reference.familiar()),
                source,
            })?;
            if now.as_ref() != Some(&known) {
                return Ok(None);
            }
        }
        let checked = NameRecord {
            checked_at: Some(jiff::Timestamp::now()),
            ..name
        };
        records::write_name_record(self.root, &checked)?;
        Ok(Some(Pulled {
            id,
            digest: known,
            is_unchanged: true,
        }))
    }
}

/// Reads a manifest and config as an image of an archive.
fn planned(
    reference: &Reference,
    remote: &Remote,
    config_bytes: Vec<u8>,
) -> Result<PlannedImage<Descriptor>, Error> {
    let what = format!("image {}", reference.familiar());
    let mut layers = Vec::new();
    for layer in &remote.manifest.layers {
        if MediaType::of(&layer.media_type) == MediaType::Other {
            return Err(Error::Mismatch {
                what: format!("media type of layer {} of {what}", layer.digest.short()),
                expected: "a layer's: it may be no container image".to_owned(),
                found: if layer.media_type.is_empty() {
                    "missing".to_owned()
                } else {
                    layer.media_type.clone()
                },
            });
        }
        layers.push(PlannedLayer {
            place: layer.clone(),
            packed: Some(layer.digest.clone()),
        });
    }
    let manifest = (
        remote.manifest_digest.clone(),
        remote.manifest_bytes.clone(),
    );
    plan::finish(
        &what,
        Digest::of(&config_bytes),
        config_bytes,
        Some(manifest),
        layers,
        vec![kept_as(reference)],
    )
}
