//! What all builds of a run share: the workshop, the keepers, the network,
//! slots for work, and steps that are being made.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::build::Error;
use crate::build::cache::{Exports, Promises, Sources};
use crate::build::download::Downloads;
use crate::build::git::Repositories;
use crate::build::keepers::Keepers;
use crate::build::network::BuildNetwork;
use crate::build::request::{Cancel, Surroundings};
use crate::build::session::Session;
use crate::build::stat_cache::StatCache;
use crate::event::{BuildEvent, Origin, Vertex};
use crate::image::{self, StepRecord, Workshop};
use crate::oci::{Digest, Platform};

/// What all builds of a run share.
pub(crate) struct Shared<'a> {
    pub(crate) around: &'a Surroundings<'a>,
    pub(crate) workshop: Workshop,
    /// They end before the session does, which takes their groups away.
    pub(crate) keepers: Keepers,
    pub(crate) session: Session,
    pub(crate) network: BuildNetwork,
    pub(crate) files: StatCache,
    pub(crate) slots: Slots,
    /// Ends all builds of the run.
    pub(crate) cancel: Cancel,
    /// Cache mounts that began empty in this run, as `--no-cache` wants it.
    emptied: Mutex<HashSet<String>>,
    flights: Mutex<HashMap<Digest, Arc<Flight>>>,
    pub(crate) downloads: Downloads,
    pub(crate) repositories: Repositories,
    /// Caches from elsewhere.
    pub(crate) sources: Sources,
    /// Layers that they have promised.
    pub(crate) promises: Promises,
    /// Caches that were written.
    pub(crate) exports: Exports,
    vertices: AtomicU64,
    steps: AtomicU64,
}

impl<'a> Shared<'a> {
    pub(crate) fn open(around: &'a Surroundings<'a>) -> Result<Self, Error> {
        let root = around.root;
        let session = Session::open(root)?;
        Ok(Self {
            workshop: Workshop::open(root)?,
            keepers: Keepers::new(
                session.cgroup().to_owned(),
                around
                    .environment
                    .iter()
                    .filter(|(name, _)| crate::keeper::is_passed_on(name))
                    .cloned()
                    .collect(),
            ),
            network: BuildNetwork::new(root.engine(), &session),
            session,
            files: StatCache::open(root),
            slots: Slots::new(around.jobs.max(1)),
            cancel: around.cancel.part(),
            emptied: Mutex::default(),
            flights: Mutex::default(),
            downloads: Downloads::default(),
            repositories: Repositories::default(),
            sources: Sources::default(),
            promises: Promises::default(),
            exports: Exports::default(),
            vertices: AtomicU64::new(0),
            steps: AtomicU64::new(0),
            around,
        })
    }

    /// Finds a step that was done before; its layers stay while the run lasts.
    pub(crate) fn find_step(&self, key: &Digest) -> Result<Option<StepRecord>, Error> {
        let root = self.around.root;
        let _guard = image::hold(root)?;
        let found = image::find_step(root, key)?;
        if let Some(top) = found.as_ref().and_then(|step| step.top.as_ref()) {
            self.workshop.keep(top)?;
        }
        Ok(found)
    }

    /// Finds an image for a platform, or for whichever it is; its layers stay
    /// while the run lasts.
    pub(crate) fn find_image(
        &self,
        text: &str,
        platform: &Platform,
    ) -> Result<Option<image::Image>, Error> {
        let root = self.around.root;
        let _guard = image::hold(root)?;
        let found =
            image::resolve_on(root, text, Some(&platform.to_string()))?.map(|found| found.image);
        if let Some(top) = found.as_ref().and_then(|image| image.layers.first()) {
            self.workshop.keep(top)?;
        }
        Ok(found)
    }

    /// Takes an image of an OCI layout; its layers stay while the run lasts.
    pub(crate) fn load_layout(
        &self,
        folder: &Path,
        tag: Option<&str>,
        platform: &Platform,
    ) -> Result<image::Image, Error> {
        let root = self.around.root;
        let _guard = image::hold(root)?;
        let loaded = image::load_layout(root, folder, tag, platform);
        let loaded = loaded.map_err(|source| Error::Layout {
            folder: folder.to_owned(),
            source,
        })?;
        if let Some(top) = loaded.layers.first() {
            self.workshop.keep(top)?;
        }
        Ok(loaded)
    }

    /// Puts a layer into the store; it stays while the run lasts.
    pub(crate) fn commit(
        &self,
        draft: image::Draft,
        below: &[Digest],
        latest: Option<i64>,
    ) -> Result<Option<image::CommittedLayer>, Error> {
        let root = self.around.root;
        let _guard = image::hold(root)?;
        let layer = draft.commit(root, below, latest)?;
        if let Some(layer) = &layer {
            self.workshop.keep(&layer.chain_id)?;
        }
        Ok(layer)
    }

    /// Lays a layer on others; it stays while the run lasts.
    pub(crate) fn rebase(
        &self,
        layer: &Digest,
        below: &[Digest],
    ) -> Result<image::CommittedLayer, Error> {
        let root = self.around.root;
        let _guard = image::hold(root)?;
        let layer = self.workshop.rebase(root, layer, below)?;
        self.workshop.keep(&layer.chain_id)?;
        Ok(layer)
    }

    /// A number that no other step of the run has.
    pub(crate) fn step_number(&self) -> u64 {
        self.steps.fetch_add(1, Ordering::Relaxed)
    }

    /// Begins a piece of work that is shown.
    pub(crate) fn begin(&self, build: &str, name: String) -> Shown<'_> {
        let id = self.vertices.fetch_add(1, Ordering::Relaxed);
        (self.around.events)(BuildEvent::Started(Vertex {
            id,
            build: build.to_owned(),
            name,
        }));
        Shown {
            id,
            since: Instant::now(),
            events: self.around.events,
        }
    }

    /// Empties a cache mount, once a run.
    pub(crate) fn empty_once(&self, id: &str) -> Result<(), Error> {
        let is_first = lock(&self.emptied).insert(id.to_owned());
        if is_first {
            crate::build::cache_mount::empty(self.around.root, id)?;
        }
        Ok(())
    }

    /// Makes a step, unless an equal one is being made: then its result is
    /// waited for.
    pub(crate) fn once(
        &self,
        key: &Digest,
        cancel: &Cancel,
        make: impl FnOnce() -> Result<StepRecord, Error>,
    ) -> Result<(StepRecord, Origin), Error> {
        loop {
            let (flight, is_ours) = {
                let mut flights = lock(&self.flights);
                match flights.get(key) {
                    Some(flight) => (Arc::clone(flight), false),
                    None => {
                        let flight = Arc::new(Flight::default());
                        flights.insert(key.clone(), Arc::clone(&flight));
                        (flight, true)
                    }
                }
            };
            if is_ours {
                let landing = Landing {
                    shared: self,
                    key,
                    flight: &flight,
                };
                let made = make();
                landing.land(made.as_ref().ok().cloned());
                return made.map(|record| (record, Origin::Made));
            }
            // One that failed failed for its own build; this one tries itself.
            if let Some(record) = flight.wait(cancel)? {
                return Ok((record, Origin::Cached));
            }
        }
    }

    /// Sees that all layers of a chain (topmost first) are in the store:
    /// those that a cache has promised are brought.
    ///
    /// # Errors
    /// [`Error::Promise`] when one can't be had.
    pub(crate) fn need(&self, layers: &[Digest]) -> Result<(), Error> {
        for (place, layer) in layers.iter().enumerate().rev() {
            let below = layers.get(place + 1..).unwrap_or_default();
            self.promises
                .bring(layer, below, self.around.root, &self.workshop)?;
        }
        Ok(())
    }

    /// Where the layers of a chain are; never empty.
    pub(crate) fn lowers(&self, layers: &[Digest]) -> Result<Vec<PathBuf>, Error> {
        self.need(layers)?;
        Ok(crate::snapshot::lowers(self.around.root, layers)?)
    }
}

/// A piece of work that is shown.
pub(crate) struct Shown<'a> {
    pub(crate) id: u64,
    since: Instant,
    events: &'a (dyn Fn(BuildEvent) + Sync),
}

impl Shown<'_> {
    /// It is done.
    pub(crate) fn done(&self, origin: Origin) {
        (self.events)(BuildEvent::Done {
            vertex: self.id,
            elapsed: self.since.elapsed(),
            origin,
        });
    }

    /// It failed.
    pub(crate) fn failed(&self, error: &Error) {
        (self.events)(BuildEvent::Failed {
            vertex: self.id,
            elapsed: self.since.elapsed(),
            message: error.to_string(),
        });
    }
}

/// A step that is being made.
#[derive(Default)]
struct Flight {
    /// None while it is made; then its result, if there is one.
    landed: Mutex<Option<Option<StepRecord>>>,
    changed: Condvar,
}

impl Flight {
    fn wait(&self, cancel: &Cancel) -> Result<Option<StepRecord>, Error> {
        let mut landed = lock(&self.landed);
        loop {
            if let Some(result) = &*landed {
                return Ok(result.clone());
            }
            if cancel.is_set() {
                return Err(Error::Cancelled);
            }
            landed = look(&self.changed, landed);
        }
    }
}

/// Tells whoever waits, also when the step's thread ends early.
struct Landing<'a, 'b> {
    shared: &'a Shared<'b>,
    key: &'a Digest,
    flight: &'a Flight,
}

impl Landing<'_, '_> {
    fn land(&self, result: Option<StepRecord>) {
        let is_failed = result.is_none();
        lock(&self.flight.landed).get_or_insert(result);
        self.flight.changed.notify_all();
        if is_failed {
            lock(&self.shared.flights).remove(self.key);
        }
    }
}

impl Drop for Landing<'_, '_> {
    fn drop(&mut self) {
        let is_open = lock(&self.flight.landed).is_none();
        if is_open {
            self.land(None);
        }
    }
}

/// So many pieces of work at once.
#[derive(Debug)]
pub(crate) struct Slots {
    free: Mutex<usize>,
    changed: Condvar,
}

impl Slots {
    fn new(count: usize) -> Self {
        Self {
            free: Mutex::new(count),
            changed: Condvar::new(),
        }
    }

    /// Waits for a slot.
    pub(crate) fn take(&self, cancel: &Cancel) -> Result<Slot<'_>, Error> {
        let mut free = lock(&self.free);
        loop {
            if cancel.is_set() {
                return Err(Error::Cancelled);
            }
            if *free > 0 {
                *free -= 1;
                return Ok(Slot { slots: self });
            }
            free = look(&self.changed, free);
        }
    }
}

/// A slot, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    slots: &'a Slots,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *lock(&self.slots.free) += 1;
        self.slots.changed.notify_one();
    }
}

/// How long a wait lasts before it is looked whether the run is cancelled.
const CANCEL_LOOK: std::time::Duration = std::time::Duration::from_millis(100);

/// Waits for a change, or a moment.
pub(crate) fn look<'a, T>(changed: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    let waited = changed.wait_timeout(guard, CANCEL_LOOK);
    waited.unwrap_or_else(PoisonError::into_inner).0
}

/// A panic of another thread doesn't make what is shared wrong: it is changed whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
