//! `load`: an archive of images into the store.
//!
//! ```text
//! documents ▶ layers unpacked, two at a time ▶ settled in order ▶ one flush
//!           ▶ layers renamed into place ▶ config and manifest ▶ record ▶ names
//! ```
//! Until the last arrow nothing of a new image can be seen.

use std::collections::HashMap;
use std::io::Read;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::archive::{self, Fed, Limits, Merged, Unsettled};
use crate::image::contents::{Contents, Part, Place};
use crate::image::ingest::Ingest;
use crate::image::layers::{self, Fresh, LayerRecord};
use crate::image::plan::{self, PlannedImage, PlannedLayer};
use crate::image::records::{self, ImageRecord};
use crate::image::{Error, Image, Source, blob, hold, layer_path, save, shown};
use crate::oci::{Algorithm, Digest, Platform, Reference, chain_ids};
use crate::store::Root;
use crate::sys::tree;

/// Layers unpacked at once: each keeps two threads busy, one that reads and
/// hashes and one that writes.
const UNPACKERS: usize = 2;

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its id.
    pub id: Digest,
    /// The names that the archive gives it.
    pub names: Vec<Reference>,
    /// Names that belonged to other images, with their ids.
    pub renamed: Vec<(Reference, Digest)>,
}

/// Loads all images of a `docker save` or OCI archive, plain or compressed.
///
/// # Errors
/// See [`Error`]. Nothing of the archive is in the store then, except images
/// before the one that failed to be recorded.
pub fn load(root: &Root, source: Source, platform: &Platform) -> Result<Vec<Loaded>, Error> {
    // What is found in the store must still be there when it is recorded.
    let _guard = hold(root)?;
    let ingest = Ingest::new(root)?;
    let contents = Contents::open(root, source, &ingest)?;
    let images = plan::plan(&contents, platform)?;
    bring_in(root, &ingest, &contents, &images)?;
    images
        .iter()
        .map(|image| commit_image(root, image))
        .collect()
}

/// Puts the layers of one image of an OCI layout into the store, and nothing
/// else: the image that is given has no record. `tag` names it, or its digest
/// does; the only one needs no tag.
///
/// # Errors
/// [`Error::Missing`] when the layout has no such image; else as [`load`].
pub fn load_layout(
    root: &Root,
    folder: &Path,
    tag: Option<&str>,
    platform: &Platform,
) -> Result<Image, Error> {
    let _guard = hold(root)?;
    let ingest = Ingest::new(root)?;
    let contents = Contents::folder(folder)?;
    let planned = [plan::layout_one(&contents, tag, platform)?];
    bring_in(root, &ingest, &contents, &planned)?;
    let [planned] = planned;
    let mut layers = chain_ids(&planned.config.rootfs.diff_ids);
    layers.reverse();
    Ok(Image {
        id: planned.id,
        digest: planned.manifest.map(|(digest, _)| digest),
        config: planned.config,
        layers,
        size_bytes: 0,
        stored_at: jiff::Timestamp::now(),
    })
}

/// Puts the layers of images into the store.
fn bring_in(
    root: &Root,
    ingest: &Ingest,
    contents: &Contents,
    images: &[PlannedImage<Part>],
) -> Result<(), Error> {
    let mut jobs = jobs(root, ingest, &images.iter().collect::<Vec<_>>())?;
    let came = take_streamed(root, contents, ingest, &mut jobs)?;
    let unpacked = unpack(contents, &jobs, came)?;
    commit_layers(root, ingest, jobs.iter().zip(unpacked).collect())
}

/// A layer to unpack.
#[derive(Debug)]
pub(super) struct Job<P> {
    pub(super) chain_id: Digest,
    pub(super) diff_id: Digest,
    /// The layers below, topmost first.
    pub(super) below: Vec<Digest>,
    pub(super) layer: PlannedLayer<P>,
    pub(super) fresh: Fresh,
    /// For messages.
    pub(super) what: String,
}

/// The layers that the store doesn't have, each once, lower ones first.
pub(super) fn jobs<P: Clone>(
    root: &Root,
    ingest: &Ingest,
    images: &[&PlannedImage<P>],
) -> Result<Vec<Job<P>>, Error> {
    let mut jobs: Vec<Job<P>> = Vec::new();
    for image in images {
        let diff_ids = &image.config.rootfs.diff_ids;
        let chain = chain_ids(diff_ids);
        let parts = chain.iter().zip(diff_ids).zip(&image.layers).enumerate();
        for (place, ((chain_id, diff_id), layer)) in parts {
            let is_known = jobs.iter().any(|job| job.chain_id == *chain_id);
            if is_known || layers::is_there(root, chain_id) {
                continue;
            }
            let below = chain.iter().take(place).rev().cloned().collect();
            jobs.push(Job {
                chain_id: chain_id.clone(),
                diff_id: diff_id.clone(),
                below,
                layer: layer.clone(),
                fresh: Fresh::make(ingest.path(&format!("layer-{}", jobs.len())))?,
                what: format!("layer {} of {}", place + 1, shown(&image.names, &image.id)),
            });
        }
    }
    Ok(jobs)
}

/// A layer's tree and the bytes of its plain tar.
pub(super) type Unpacked = (Unsettled, u64);

/// Takes the layers that were unpacked as they came. One that stands upon
/// different layers is unpacked again for each further place, from the tar
/// that its tree and map make.
fn take_streamed(
    root: &Root,
    contents: &Contents,
    ingest: &Ingest,
    jobs: &mut [Job<Part>],
) -> Result<HashMap<usize, Unpacked>, Error> {
    let mut done = HashMap::new();
    let mut taken: HashMap<usize, (Fresh, Fed, HasMap)> = HashMap::new();
    for (number, job) in jobs.iter_mut().enumerate() {
        let layer = match job.layer.place.place {
            Place::Unpacked(layer) => layer,
            Place::Stored(layer) => {
                // The store has it upon other layers.
                let chain_id = contents.stored(layer);
                let chain_id = chain_id.ok_or_else(|| Error::Missing(job.what.clone()))?;
                let tar = save::stored(root, chain_id, ingest)?;
                job.layer.packed = None;
                done.insert(number, unpack_one(tar, job)?);
                continue;
            }
            Place::File(_) | Place::Memory(_) | Place::Opened(_) => continue,
        };
        if let Some(streamed) = contents.take_layer(layer) {
            let (unsettled, fed) = streamed.result.map_err(Error::archive(&job.what))?;
            let has_map = HasMap(unsettled.has_map());
            taken.insert(layer, (streamed.fresh.clone(), fed.clone(), has_map));
            if job.diff_id.algorithm() == fed.plain.algorithm() {
                job.fresh = streamed.fresh;
                let plain_bytes = fed.plain_bytes;
                check(job, fed)?;
                done.insert(number, (unsettled, plain_bytes));
                continue;
            }
        }
        if let Some((fresh, fed, HasMap(has_map))) = taken.get(&layer) {
            check_packed(job, fed)?;
            if !has_map {
                return Err(Error::Damaged {
                    image: job.what.clone(),
                    reason: "it has a name twice and stands at two places: load the archive from a plain file".to_owned(),
                });
            }
            let tar = save::remake(fresh, ingest)?;
            job.layer.packed = None;
            done.insert(number, unpack_one(tar, job)?);
        }
    }
    Ok(done)
}

/// Whether a layer's tar can be made again.
struct HasMap(bool);

fn unpack(
    contents: &Contents,
    jobs: &[Job<Part>],
    came: HashMap<usize, Unpacked>,
) -> Result<Vec<Unpacked>, Error> {
    let open: Vec<(usize, &Job<Part>)> = jobs
        .iter()
        .enumerate()
        .filter(|(number, _)| !came.contains_key(number))
        .collect();
    let unpackers = UNPACKERS.min(open.len());
    let queue = Mutex::new(open.into_iter());
    let came = came.into_iter().map(|(number, layer)| (number, Ok(layer)));
    let done: Mutex<HashMap<usize, Result<Unpacked, Error>>> = Mutex::new(came.collect());
    std::thread::scope(|scope| {
        for _ in 0..unpackers {
            scope.spawn(|| {
                loop {
                    let next = lock(&queue).next();
                    let Some((number, job)) = next else { break };
                    let unpacked = unpack_one(contents.reader(job.layer.place), job);
                    let failed = unpacked.is_err();
                    lock(&done).insert(number, unpacked);
                    if failed {
                        // Nobody needs the rest.
                        lock(&queue).by_ref().for_each(drop);
                    }
                }
            });
        }
    });
    let mut done = lock(&done);
    // The failed one is among those that were begun.
    let first_error = (0..jobs.len()).find(|n| matches!(done.get(n), Some(Err(_))));
    if let Some(Err(error)) = first_error.and_then(|number| done.remove(&number)) {
        return Err(error);
    }
    (0..jobs.len())
        .filter_map(|number| done.remove(&number))
        .collect()
}

/// A panic of another thread doesn't make the list wrong: entries are whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Unpacks a layer's bytes and checks what they are.
pub(super) fn unpack_one<P>(source: impl Read + Send, job: &Job<P>) -> Result<Unpacked, Error> {
    let packed = job.layer.packed.as_ref();
    let algorithms = (
        packed.map_or(Algorithm::Sha256, Digest::algorithm),
        job.diff_id.algorithm(),
    );
    let limits = Limits::default();
    let fed = archive::feed(source, algorithms, &limits, |plain| {
        job.fresh.extract(plain, limits.clone())
    });
    let (unsettled, fed) = fed.map_err(Error::archive(&job.what))?;
    let plain_bytes = fed.plain_bytes;
    check(job, fed)?;
    Ok((unsettled, plain_bytes))
}

/// Checks that a layer is what it was said to be.
fn check<P>(job: &Job<P>, fed: Fed) -> Result<(), Error> {
    check_packed(job, &fed)?;
    if fed.plain != job.diff_id {
        let what = format!("{} (diff id)", job.what);
        return Err(plan::mismatch(&what, &job.diff_id, &fed.plain));
    }
    Ok(())
}

fn check_packed<P>(job: &Job<P>, fed: &Fed) -> Result<(), Error> {
    let packed = job.layer.packed.as_ref();
    match packed.filter(|packed| **packed != fed.packed) {
        Some(packed) => Err(plan::mismatch(&job.what, packed, &fed.packed)),
        None => Ok(()),
    }
}

/// Settles layers in order and moves them into the store after one flush.
pub(super) fn commit_layers<P>(
    root: &Root,
    ingest: &Ingest,
    unpacked: Vec<(&Job<P>, Unpacked)>,
) -> Result<(), Error> {
    if unpacked.is_empty() {
        return Ok(());
    }
    let jobs: Vec<&Job<P>> = unpacked.iter().map(|(job, _)| *job).collect();
    let mut fresh: HashMap<&Digest, PathBuf> = HashMap::new();
    for (job, (unsettled, tar_bytes)) in unpacked {
        let place = |chain_id: &Digest| match fresh.get(chain_id) {
            Some(path) => path.clone(),
            None => layer_path(root, chain_id),
        };
        let below = Merged::open(job.below.iter().map(place));
        let below = below.map_err(Error::io("open", &root.layers_dir()))?;
        let content_bytes = unsettled.content_bytes();
        let record = LayerRecord {
            diff_id: job.diff_id.clone(),
            parent: job.below.first().cloned(),
            content_bytes,
            tar_bytes,
        };
        job.fresh.settle(unsettled, &below, &record, &job.what)?;
        fresh.insert(&job.chain_id, job.fresh.tree());
    }
    let place = ingest.path("");
    tree::open_root(&place)
        .and_then(|dir| tree::sync_file_system(dir.as_fd()))
        .map_err(Error::io("flush", &place))?;
    jobs.iter()
        .try_for_each(|job| job.fresh.commit(root, &job.chain_id))
}

/// Records an image whose layers are in the store, and its names.
pub(super) fn commit_image<P>(root: &Root, image: &PlannedImage<P>) -> Result<Loaded, Error> {
    blob::write(root, &image.id, &image.config_bytes)?;
    if let Some((digest, bytes)) = &image.manifest {
        blob::write(root, digest, bytes)?;
    }
    let manifest = image.manifest.as_ref().map(|(digest, _)| digest.clone());
    record(root, &image.id, manifest, &image.config.rootfs.diff_ids)?;
    let mut renamed = Vec::new();
    for name in &image.names {
        renamed.extend(rename(root, name, &image.id)?);
    }
    Ok(Loaded {
        id: image.id.clone(),
        names: image.names.clone(),
        renamed,
    })
}

/// Records an image whose layers and documents are in the store.
pub(super) fn record(
    root: &Root,
    id: &Digest,
    manifest: Option<Digest>,
    diff_ids: &[Digest],
) -> Result<(), Error> {
    let known = records::read_image(root, id).ok().flatten();
    if known
        .as_ref()
        .is_some_and(|known| manifest.is_none() || known.manifest == manifest)
    {
        return Ok(());
    }
    let mut size_bytes = 0;
    for chain_id in chain_ids(diff_ids) {
        size_bytes += layers::layer_size(root, &chain_id)?;
    }
    let stored_at = known.map_or_else(jiff::Timestamp::now, |known| known.stored_at);
    records::write_image(
        root,
        &ImageRecord {
            id: id.clone(),
            manifest,
            size_bytes,
            stored_at,
        },
    )
}

/// Gives an image a name, and says from which other image it was taken.
pub(super) fn rename(
    root: &Root,
    name: &Reference,
    id: &Digest,
) -> Result<Option<(Reference, Digest)>, Error> {
    let before = records::read_name_record(root, name).ok().flatten();
    if before
        .as_ref()
        .is_some_and(|before| before.ids() == [id.clone()])
    {
        records::touch_name(root, name);
        return Ok(None);
    }
    records::write_name(root, name, id)?;
    let other = before.filter(|before| before.id != *id);
    Ok(other.map(|before| (name.clone(), before.id)))
}
