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

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::archive;
use crate::image::ingest::Ingest;
use crate::image::load::{self, Job, Unpacked, commit_image, commit_layers, lock};
use crate::image::partial::Partial;
use crate::image::plan::{self, PlannedImage, PlannedLayer};
use crate::image::records::{self, NameRecord};
use crate::image::{Error, Image, get, hold, layers};
use crate::oci::{Descriptor, Digest, ImageConfig, MediaType, Platform, Reference, chain_ids};
use crate::registry::{self, Client, Remote};
use crate::store::Root;

/// Layers under way at once, over all images; Docker's number.
const LAYERS_AT_ONCE: usize = 3;
/// Images whose manifests are asked for at once.
const MANIFESTS_AT_ONCE: usize = 4;
/// Between two words about the same download.
const WORD_PERIOD: Duration = Duration::from_millis(100);
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
    /// It is being downloaded and unpacked.
    Downloading {
        /// Packed bytes so far.
        done_bytes: u64,
        /// All of them.
        total_bytes: u64,
    },
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

/// What the registry has for a reference.
enum Found {
    /// What the store has already.
    Unchanged(Pulled),
    Planned(Box<Planned>),
}

/// An image to bring in.
struct Planned {
    remote: Remote,
    image: PlannedImage<Descriptor>,
}

/// What is shared by the threads of a round.
struct Work {
    /// Next job to begin.
    next: usize,
    /// What became of each job: not ended, unpacked, in the store, failed.
    jobs: Vec<State>,
}

enum State {
    Open,
    Unpacked(Unpacked),
    Stored,
    Failed(Option<Error>),
}

impl Puller<'_> {
    /// Pulls the wanted images at these places.
    fn round(&self, places: &[usize]) -> Placed<Result<Pulled, Error>> {
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

    fn name(&self, place: usize) -> String {
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
        let Some(name) = records::read_name_record(self.root, reference)
            .ok()
            .flatten()
        else {
            return Ok(None);
        };
        let Some(known) = name.digest.clone() else {
            return Ok(None);
        };
        // A damaged image is pulled again.
        let image = get(self.root, &name.id).ok().flatten();
        let platform = wanted.platform.clone().unwrap_or_else(Platform::host);
        if !image.is_some_and(|image| runs_on(&image.config, &platform)) {
            return Ok(None);
        }
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
        let id = name.id.clone();
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

    fn bring_in(
        &self,
        planned: &[(usize, Planned)],
    ) -> Result<Placed<Result<Pulled, Error>>, Error> {
        let ingest = Ingest::new(self.root)?;
        let images: Vec<&PlannedImage<Descriptor>> =
            planned.iter().map(|(_, planned)| &planned.image).collect();
        let jobs = load::jobs(self.root, &ingest, &images)?;
        let owners = self.tell_begin(planned, &jobs);
        let partials: Vec<Mutex<Option<Partial>>> = jobs.iter().map(|_| Mutex::default()).collect();
        let round = Round {
            puller: self,
            ingest: &ingest,
            planned,
            jobs: &jobs,
            owners: &owners,
            partials: &partials,
            work: Mutex::new(Work {
                next: 0,
                jobs: jobs.iter().map(|_| State::Open).collect(),
            }),
            results: Mutex::new(HashMap::new()),
        };
        round.run();
        Ok(round.finish())
    }

    /// Tells which layers come and which are there; gives the image that each
    /// job is told of.
    fn tell_begin(&self, planned: &[(usize, Planned)], jobs: &[Job<Descriptor>]) -> Vec<usize> {
        let mut owners = vec![0; jobs.len()];
        let mut is_told = vec![false; jobs.len()];
        for (place, planned) in planned {
            let chain = chain_ids(&planned.image.config.rootfs.diff_ids);
            for (chain_id, layer) in chain.iter().zip(&planned.image.layers) {
                let job = jobs.iter().position(|job| job.chain_id == *chain_id);
                let fresh = job.and_then(|job| is_told.get_mut(job));
                let step = match fresh {
                    Some(told) if !*told => {
                        *told = true;
                        if let Some(owner) = job.and_then(|job| owners.get_mut(job)) {
                            *owner = *place;
                        }
                        LayerStep::Begun {
                            total_bytes: layer.place.size,
                        }
                    }
                    Some(_) => continue,
                    None => LayerStep::Existing,
                };
                (self.listener)(PullEvent::Layer {
                    image: *place,
                    digest: &layer.place.digest,
                    step,
                });
            }
        }
        owners
    }
}

/// One round's layers and images.
struct Round<'a> {
    puller: &'a Puller<'a>,
    ingest: &'a Ingest,
    planned: &'a [(usize, Planned)],
    jobs: &'a [Job<Descriptor>],
    /// The image that each job is told of.
    owners: &'a [usize],
    partials: &'a [Mutex<Option<Partial>>],
    work: Mutex<Work>,
    results: Mutex<HashMap<usize, Result<Pulled, Error>>>,
}

impl Round<'_> {
    fn run(&self) {
        self.settle_images();
        std::thread::scope(|scope| {
            for _ in 0..LAYERS_AT_ONCE.min(self.jobs.len()) {
                scope.spawn(|| {
                    while let Some((number, job)) = self.take() {
                        let result = self.layer(number, job);
                        self.end(number, job, result);
                        self.settle_images();
                    }
                });
            }
        });
    }

    fn finish(self) -> Placed<Result<Pulled, Error>> {
        let results = self
            .results
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        results.into_iter().collect()
    }

    fn take(&self) -> Option<(usize, &Job<Descriptor>)> {
        let mut work = lock(&self.work);
        loop {
            let number = work.next;
            let job = self.jobs.get(number)?;
            work.next += 1;
            if self.is_needed(&work, job) {
                return Some((number, job));
            }
            if let Some(state) = work.jobs.get_mut(number) {
                *state = State::Failed(None);
            }
        }
    }

    /// Whether an image still waits for a layer: none of its others has failed.
    fn is_needed(&self, work: &Work, job: &Job<Descriptor>) -> bool {
        self.planned.iter().any(|(_, planned)| {
            let chain = chain_ids(&planned.image.config.rootfs.diff_ids);
            chain.contains(&job.chain_id)
                && !self
                    .states(work, &chain)
                    .any(|(_, state)| matches!(state, State::Failed(_)))
        })
    }

    /// The jobs of a chain of layers.
    fn states<'w>(
        &'w self,
        work: &'w Work,
        chain: &'w [Digest],
    ) -> impl Iterator<Item = (usize, &'w State)> {
        let both = self.jobs.iter().zip(&work.jobs).enumerate();
        both.filter(|(_, (job, _))| chain.contains(&job.chain_id))
            .map(|(number, (_, state))| (number, state))
    }

    fn layer(&self, number: usize, job: &Job<Descriptor>) -> Result<Unpacked, Error> {
        let descriptor = &job.layer.place;
        let owner = self.owners.get(number).copied().unwrap_or_default();
        // The image that it is told of has it; any that has it would do.
        let remote = self
            .planned
            .iter()
            .find(|(place, _)| *place == owner)
            .map(|(_, planned)| &planned.remote)
            .ok_or_else(|| Error::NotFound(descriptor.digest.to_string()))?;
        let mut partial = Partial::open(self.puller.root, descriptor)?;
        let kept = partial.as_ref().map_or(0, Partial::length);
        let mut tell = Teller {
            puller: self.puller,
            image: owner,
            descriptor,
            done: 0,
            told_at: None,
        };
        let source = Download {
            remote: self.puller.client.blob(remote, descriptor, kept),
            partial: partial.as_mut(),
            at: 0,
            kept,
            tell: &mut tell,
        };
        let unpacked = load::unpack_one(source, job);
        if let Some(slot) = self.partials.get(number) {
            *lock(slot) = partial;
        }
        unpacked.map_err(|error| from_download(error, kept))
    }

    fn end(&self, number: usize, job: &Job<Descriptor>, result: Result<Unpacked, Error>) {
        let keeps = match &result {
            Ok(_) | Err(Error::Registry { .. }) => true,
            Err(_) => false,
        };
        if !keeps && let Some(partial) = self.partials.get(number).and_then(|p| lock(p).take()) {
            partial.remove();
        }
        if result.is_ok() {
            (self.puller.listener)(PullEvent::Layer {
                image: self.owners.get(number).copied().unwrap_or_default(),
                digest: &job.layer.place.digest,
                step: LayerStep::Done,
            });
        }
        if let Some(state) = lock(&self.work).jobs.get_mut(number) {
            *state = match result {
                Ok(unpacked) => State::Unpacked(unpacked),
                Err(error) => State::Failed(Some(error)),
            };
        }
    }

    /// Puts every image into the store whose layers are all there, and gives
    /// up those that lack one for good.
    fn settle_images(&self) {
        // One at a time: images share layers.
        let mut work = lock(&self.work);
        for (place, planned) in self.planned {
            if lock(&self.results).contains_key(place) {
                continue;
            }
            let chain = chain_ids(&planned.image.config.rootfs.diff_ids);
            let numbers: Vec<usize> = self.states(&work, &chain).map(|(n, _)| n).collect();
            let failed = numbers
                .iter()
                .find(|n| matches!(work.jobs.get(**n), Some(State::Failed(_))));
            let is_open = |n: &usize| matches!(work.jobs.get(*n), Some(State::Open));
            let result = if let Some(failed) = failed {
                Err(self.failure(&mut work, *failed, *place))
            } else if numbers.iter().any(is_open) {
                continue;
            } else {
                self.store(&mut work, &numbers, planned)
            };
            lock(&self.results).insert(*place, result);
        }
    }

    /// Why a job failed; the first who asks gets the error itself.
    fn failure(&self, work: &mut Work, number: usize, place: usize) -> Error {
        let error = match work.jobs.get_mut(number) {
            Some(State::Failed(error)) => error.take(),
            Some(_) | None => None,
        };
        error.unwrap_or_else(|| Error::SharedLayer {
            image: self.puller.name(place),
            layer: self
                .jobs
                .get(number)
                .map_or_else(String::new, |job| job.layer.place.digest.short().to_owned()),
        })
    }

    fn store(
        &self,
        work: &mut Work,
        numbers: &[usize],
        planned: &Planned,
    ) -> Result<Pulled, Error> {
        let root = self.puller.root;
        // From here on what the image needs is kept.
        let _guard = hold(root)?;
        let chain = chain_ids(&planned.image.config.rootfs.diff_ids);
        let is_job = |id: &Digest| self.jobs.iter().any(|job| job.chain_id == *id);
        let gone = chain
            .iter()
            .find(|id| !is_job(id) && !layers::is_there(root, id));
        if let Some(gone) = gone {
            return Err(Error::Vanished(gone.short().to_owned()));
        }
        let mut fresh: Vec<(&Job<Descriptor>, Unpacked)> = Vec::new();
        for number in numbers {
            let state = work.jobs.get_mut(*number);
            if let (Some(state @ State::Unpacked(_)), Some(job)) = (state, self.jobs.get(*number))
                && let State::Unpacked(unpacked) = std::mem::replace(state, State::Stored)
            {
                fresh.push((job, unpacked));
            }
        }
        fresh.sort_by_key(|(job, _)| job.below.len());
        commit_layers(root, self.ingest, fresh)?;
        let loaded = commit_image(root, &planned.image)?;
        for name in &planned.image.names {
            let record = NameRecord {
                name: name.clone(),
                id: loaded.id.clone(),
                digest: Some(planned.remote.digest.clone()),
                checked_at: Some(jiff::Timestamp::now()),
            };
            records::write_name_record(root, &record)?;
        }
        for number in numbers {
            let kept = self.partials.get(*number);
            if let Some(partial) = kept.and_then(|kept| lock(kept).take()) {
                partial.remove();
            }
        }
        Ok(Pulled {
            id: loaded.id,
            digest: planned.remote.digest.clone(),
            is_unchanged: false,
        })
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
        vec![reference.clone()],
    )
}

/// Whether an image is for a platform, or for one that runs there.
pub(super) fn runs_on(config: &ImageConfig, platform: &Platform) -> bool {
    if config.architecture.is_empty() || config.os.is_empty() {
        return true;
    }
    let image = Platform::new(&config.os, &config.architecture, config.variant.as_deref());
    platform.distance(&image).is_some()
}

/// A failed read of a download is the registry's failure; anything else, of
/// what was partly kept from before, may be that part's fault.
fn from_download(error: Error, kept: u64) -> Error {
    match error {
        Error::Archive {
            what,
            source: archive::Error::Read(read),
        } => match read.downcast::<registry::Error>() {
            Ok(source) => Error::Registry { what, source },
            Err(read) if kept > 0 => Error::Stale(format!("{what}: {read}")),
            Err(read) => Error::Archive {
                what,
                source: archive::Error::Read(read),
            },
        },
        Error::Archive { .. } | Error::Mismatch { .. } if kept > 0 => {
            Error::Stale(error.to_string())
        }
        other => other,
    }
}

/// Tells how far a download is, not too often.
struct Teller<'a> {
    puller: &'a Puller<'a>,
    image: usize,
    descriptor: &'a Descriptor,
    done: u64,
    told_at: Option<Instant>,
}

impl Teller<'_> {
    fn add(&mut self, bytes: u64) {
        self.done += bytes;
        let now = Instant::now();
        let is_due = self
            .told_at
            .is_none_or(|told| now.saturating_duration_since(told) >= WORD_PERIOD);
        if !is_due && self.done < self.descriptor.size {
            return;
        }
        self.told_at = Some(now);
        (self.puller.listener)(PullEvent::Layer {
            image: self.image,
            digest: &self.descriptor.digest,
            step: LayerStep::Downloading {
                done_bytes: self.done,
                total_bytes: self.descriptor.size,
            },
        });
    }
}

/// What was kept of a blob, then what the registry gives, which is kept too.
struct Download<'a> {
    remote: registry::BlobReader,
    partial: Option<&'a mut Partial>,
    at: u64,
    kept: u64,
    tell: &'a mut Teller<'a>,
}

impl Read for Download<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.partial {
            Some(partial) if self.at < self.kept => partial.replay(self.at, self.kept, into)?,
            partial => {
                let count = self.remote.read(into)?;
                if let Some(partial) = partial {
                    partial.keep(into.get(..count).unwrap_or_default());
                }
                count
            }
        };
        self.at += count as u64;
        self.tell.add(count as u64);
        Ok(count)
    }
}

/// When the registry was last asked about a name; None when it never was.
///
/// # Errors
/// [`Error::Store`] when the record can't be read.
pub fn checked_at(root: &Root, reference: &Reference) -> Result<Option<jiff::Timestamp>, Error> {
    let record = records::read_name_record(root, reference)?;
    Ok(record.and_then(|record| record.checked_at))
}

/// What a name stood for in its registry when it was pulled; None for names
/// that never were in one.
///
/// # Errors
/// [`Error::Store`] when the record can't be read.
pub fn remote_digest(root: &Root, reference: &Reference) -> Result<Option<Digest>, Error> {
    let record = records::read_name_record(root, reference)?;
    Ok(record.and_then(|record| record.digest))
}

/// Whether an image may be used for a platform.
#[must_use]
pub fn is_for(image: &Image, platform: &Platform) -> bool {
    runs_on(&image.config, platform)
}
