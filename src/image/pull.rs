//! `pull`: images of registries into the store.
//!
//! ```text
//! references ▶ manifests and configs ▶ layers that lack, three at a time:
//!   download ▶ hash ▶ inflate ▶ hash ▶ untar        (one stream each)
//! ▶ an image whose layers are all there: settle, flush, rename, record, name
//! ```
//! A layer that several images share comes once. What was downloaded of a
//! layer that isn't in the store yet is kept in a file, so that the next pull
//! goes on where this one was killed.

mod bring;
mod download;
mod find;

use crate::image::records;
use crate::image::{Error, Image};
use crate::oci::{Digest, ImageConfig, Platform, Reference};
use crate::registry::Client;
use crate::store::Root;

/// How often a pull begins anew, when what it found was removed meanwhile or
/// what an earlier pull has left was wrong.
const ROUNDS_MAX: u32 = 3;

/// An image to pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub reference: Reference,
    /// For which platform; this machine's when absent.
    pub platform: Option<Platform>,
}

/// An image that was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Its id.
    pub id: Digest,
    /// What the name stands for in the registry.
    pub digest: Digest,
    /// Whether the store had exactly this before.
    pub is_unchanged: bool,
}

/// What happens to one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerStep {
    /// It will be downloaded.
    Begun {
        /// Its packed bytes.
        total_bytes: u64,
    },
    /// Others are downloaded before it.
    Waiting,
    /// It is being downloaded and unpacked.
    Downloading {
        /// Packed bytes so far.
        done_bytes: u64,
        /// All of them.
        total_bytes: u64,
    },
    /// All of it has come, and most of it is unpacked.
    Downloaded,
    /// It is unpacked.
    Done,
    /// The store had it.
    Existing,
}

/// What a pull tells while it is under way.
#[derive(Debug, Clone, Copy)]
pub enum PullEvent<'a> {
    /// A layer of an image.
    Layer {
        /// The image's place among the wanted ones.
        image: usize,
        /// The layer's digest in the registry.
        digest: &'a Digest,
        /// What happens to it.
        step: LayerStep,
    },
    /// An image is in the store, or can't be had.
    Ended {
        /// The image's place among the wanted ones.
        image: usize,
        /// Which it is.
        result: &'a Result<Pulled, Error>,
    },
}

/// Who is told.
pub type Listener<'a> = &'a (dyn Fn(PullEvent<'_>) + Sync);

/// Pulls images, each whole or not at all. The results are in the order of
/// what was wanted; one that fails doesn't keep the others.
///
/// It blocks: call it outside of any runtime.
pub fn pull(
    root: &Root,
    client: &Client,
    wanted: &[Wanted],
    listener: Listener<'_>,
) -> Vec<Result<Pulled, Error>> {
    let puller = Puller {
        root,
        client,
        wanted,
        listener,
    };
    let mut results: Vec<Option<Result<Pulled, Error>>> = wanted.iter().map(|_| None).collect();
    for round in 1..=ROUNDS_MAX {
        let open: Vec<usize> = results
            .iter()
            .enumerate()
            .filter_map(|(place, result)| result.is_none().then_some(place))
            .collect();
        if open.is_empty() {
            break;
        }
        for (place, result) in puller.round(&open) {
            let is_lost = matches!(&result, Err(Error::Vanished(_) | Error::Stale(_)));
            if is_lost && round < ROUNDS_MAX {
                continue;
            }
            listener(PullEvent::Ended {
                image: place,
                result: &result,
            });
            if let Some(slot) = results.get_mut(place) {
                *slot = Some(result);
            }
        }
    }
    let never = || Err(Error::NotFound("what was wanted".to_owned()));
    results
        .into_iter()
        .map(|result| result.unwrap_or_else(never))
        .collect()
}

/// Things with the places among the wanted images that they belong to.
type Placed<T> = Vec<(usize, T)>;

struct Puller<'a> {
    root: &'a Root,
    client: &'a Client,
    wanted: &'a [Wanted],
    listener: Listener<'a>,
}

impl Puller<'_> {
    /// Tells what happens to a layer to all images that have it.
    fn tell(&self, images: &[usize], digest: &Digest, step: LayerStep) {
        for image in images {
            (self.listener)(PullEvent::Layer {
                image: *image,
                digest,
                step,
            });
        }
    }
}

/// When the registry was last asked about a name; None when it never was.
///
/// # Errors
/// [`Error::Store`] when the record can't be read.
pub fn checked_at(root: &Root, reference: &Reference) -> Result<Option<jiff::Timestamp>, Error> {
    let record = records::read_name_record(root, &kept_as(reference))?;
    Ok(record.and_then(|record| record.checked_at))
}

/// What a name stood for in its registry when it was pulled; None for names
/// that never were in one.
///
/// # Errors
/// [`Error::Store`] when the record can't be read.
pub fn remote_digest(root: &Root, reference: &Reference) -> Result<Option<Digest>, Error> {
    let record = records::read_name_record(root, &kept_as(reference))?;
    Ok(record.and_then(|record| record.digest))
}

/// Whether an image may be used for a platform.
#[must_use]
pub fn is_for(image: &Image, platform: &Platform) -> bool {
    runs_on(&image.config, platform)
}

/// The name that an image is kept under: where there is a digest, a tag says
/// nothing.
fn kept_as(reference: &Reference) -> Reference {
    match reference.digest() {
        Some(digest) => reference.pinned(digest.clone()),
        None => reference.clone(),
    }
}

/// Whether an image is for a platform, or for one that runs there.
fn runs_on(config: &ImageConfig, platform: &Platform) -> bool {
    if config.architecture.is_empty() || config.os.is_empty() {
        return true;
    }
    let image = Platform::new(&config.os, &config.architecture, config.variant.as_deref());
    platform.distance(&image).is_some()
}
