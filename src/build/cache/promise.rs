//! Layers that caches from elsewhere have promised: each comes when somebody
//! reads it, and never when nobody does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::build;
use crate::build::cache::{Error, Source};
use crate::build::shared::lock;
use crate::image::{self, StepRecord, Workshop};
use crate::oci::{Descriptor, Digest};
use crate::store::Root;

/// Which promises count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// All: also steps whose layers a cache knows by name alone. Often nobody
    /// needs them.
    All,
    /// Steps whose layers are carried.
    Layers,
    /// None.
    Nothing,
}

/// What a cache knows of a step, with all keys of the step.
pub(crate) type Promised = (StepRecord, Vec<Digest>);

/// A layer that is to be had.
#[derive(Debug)]
struct Promise {
    diff_id: Digest,
    /// Where it is, if it is carried at all.
    blob: Option<Descriptor>,
    source: Arc<Source>,
}

/// The promises of a run, by chain id. Each has a lock of its own, so that one
/// layer is waited for and not the others.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    all: Mutex<HashMap<Digest, Arc<Mutex<Promise>>>>,
}

impl Promises {
    /// What `source` knows of a step upon `parent`, with all its keys.
    pub(crate) fn make(
        &self,
        source: &Arc<Source>,
        key: &Digest,
        parent: Option<&Digest>,
        trust: Trust,
    ) -> Option<Promised> {
        let step = source.step(key)?;
        let record = step.record(parent);
        if let (Some(top), Some(diff_id)) = (&record.top, &record.diff_id) {
            let blob = source.layer(diff_id);
            if trust == Trust::Nothing || (trust == Trust::Layers && blob.is_none()) {
                return None;
            }
            let promise = Promise {
                diff_id: diff_id.clone(),
                blob: blob.cloned(),
                source: Arc::clone(source),
            };
            let mut all = lock(&self.all);
            let known = all.get(top).map(Arc::clone);
            // One that can be kept is better than one that can't.
            let is_better = known.is_none_or(|known| lock(&known).blob.is_none());
            if is_better && promise.blob.is_some() || !all.contains_key(top) {
                all.insert(top.clone(), Arc::new(Mutex::new(promise)));
            }
        }
        Some((record, step.keys.clone()))
    }

    /// The packed form in which a promised layer is carried.
    pub(crate) fn blob(&self, layer: &Digest) -> Option<Descriptor> {
        let promise = lock(&self.all).get(layer).map(Arc::clone)?;
        lock(&promise).blob.clone()
    }

    /// Keeps the promise of a layer upon others (topmost first), unless the
    /// store has it or nobody has promised it.
    ///
    /// # Errors
    /// [`build::Error::Promise`].
    pub(crate) fn bring(
        &self,
        layer: &Digest,
        below: &[Digest],
        root: &Root,
        workshop: &Workshop,
    ) -> Result<(), build::Error> {
        let Some(promise) = lock(&self.all).get(layer).map(Arc::clone) else {
            return Ok(());
        };
        let promise = lock(&promise);
        if image::has_layer(root, layer) {
            return Ok(());
        }
        promise
            .keep(below, root, workshop)
            .map_err(|source| build::Error::Promise {
                cache: promise.source.name.clone(),
                source,
            })
    }
}

impl Promise {
    fn keep(&self, below: &[Digest], root: &Root, workshop: &Workshop) -> Result<(), Error> {
        let missing = || Error::NoLayer(self.diff_id.short().to_owned());
        let blob = self.blob.as_ref().ok_or_else(missing)?;
        let bytes = self.source.read(blob)?;
        let arrived = image::receive_layer(workshop, bytes, &blob.digest, &self.diff_id, below)?;
        let _guard = image::hold(root)?;
        let layer = arrived.commit(root, workshop)?;
        workshop.keep(&layer.chain_id)?;
        Ok(())
    }
}
