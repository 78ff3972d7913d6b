//! Layers that the store lacks, several at a time, and the images that they
//! complete.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::image::ingest::Ingest;
use crate::image::load::{self, Job, Unpacked, commit_image, commit_layers, lock};
use crate::image::partial::Partial;
use crate::image::plan::PlannedImage;
use crate::image::pull::download::{Download, Teller, from_download};
use crate::image::pull::find::Planned;
use crate::image::pull::{LayerStep, Placed, PullEvent, Pulled, Puller};
use crate::image::records::{self, NameRecord};
use crate::image::{Error, hold, layers, several};
use crate::oci::{Descriptor, Digest, chain_ids};

/// Layers under way at once, over all images; Docker's number.
const LAYERS_AT_ONCE: usize = 3;

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
    /// Brings planned images in: the layers that the store lacks, then each
    /// image when its last layer is there.
    pub(super) fn bring_in(
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

    /// Tells which layers come and which are there; gives the images that each
    /// job is told of: all that have the layer, each once.
    fn tell_begin(
        &self,
        planned: &[(usize, Planned)],
        jobs: &[Job<Descriptor>],
    ) -> Vec<Vec<usize>> {
        let mut owners: Vec<Vec<usize>> = vec![Vec::new(); jobs.len()];
        for (place, planned) in planned {
            let chain = chain_ids(&planned.image.config.rootfs.diff_ids);
            for (chain_id, layer) in chain.iter().zip(&planned.image.layers) {
                let job = jobs.iter().position(|job| job.chain_id == *chain_id);
                let step = match job.and_then(|job| owners.get_mut(job)) {
                    Some(told) if told.contains(place) => continue,
                    Some(told) => {
                        told.push(*place);
                        LayerStep::Begun {
                            total_bytes: layer.place.size,
                        }
                    }
                    None => LayerStep::Existing,
                };
                (self.listener)(PullEvent::Layer {
                    image: *place,
                    digest: &layer.place.digest,
                    step,
                });
            }
        }
        for (owners, job) in owners.iter().zip(jobs).skip(LAYERS_AT_ONCE) {
            self.tell(owners, &job.layer.place.digest, LayerStep::Waiting);
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
    /// The images that each job is told of.
    owners: &'a [Vec<usize>],
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
        let owners = self.owners.get(number).map_or(&[][..], Vec::as_slice);
        // Any image that has it would do.
        let remote = self
            .planned
            .iter()
            .find(|(place, _)| owners.contains(place))
            .map(|(_, planned)| &planned.remote)
            .ok_or_else(|| Error::NotFound(descriptor.digest.to_string()))?;
        let mut partial = Partial::open(self.puller.root, descriptor)?;
        let kept = partial.as_ref().map_or(0, Partial::length);
        let mut tell = Teller {
            puller: self.puller,
            images: owners,
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
            let owners = self.owners.get(number).map_or(&[][..], Vec::as_slice);
            let digest = &job.layer.place.digest;
            self.puller.tell(owners, digest, LayerStep::Done);
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
        let names = planned.image.names.iter();
        let before: Vec<Option<NameRecord>> = names
            .map(|name| records::read_name_record(root, name).ok().flatten())
            .collect();
        let loaded = commit_image(root, &planned.image)?;
        for (name, before) in planned.image.names.iter().zip(before) {
            let digest = &planned.remote.digest;
            // Another platform of what the name stands for already.
            let kin = before.filter(|before| before.digest.as_ref() == Some(digest));
            let kin = kin.as_ref().map_or(&[][..], NameRecord::ids);
            let (id, platforms) = several::joined(root, &loaded.id, kin)?;
            let record = NameRecord {
                name: name.clone(),
                id,
                platforms,
                digest: Some(digest.clone()),
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
