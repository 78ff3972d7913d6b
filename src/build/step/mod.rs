//! One step: its key, whether its result is known, and the making of it.

mod copying;
mod inputs;
mod program;
mod state;

use std::path::Path;

use crate::archive::{self, Merged, Overlay, Ownership};
use crate::build::cache::Promised;
use crate::build::context::Opened;
use crate::build::key::{self, Input, Surrounding};
use crate::build::request::{BuildRequest, Cancel};
use crate::build::shared::Shared;
use crate::build::tree::Tree;
use crate::build::{Error, copy};
use crate::dockerfile::{Op, Step, TreeSource, Workdir};
use crate::event::Origin;
use crate::image::{self, CommittedLayer, StepRecord};
use crate::oci::{Digest, Platform};
use crate::runtime::user;
use crate::sys;

pub(crate) use program::can_run;
pub(crate) use state::State;

/// What a step reads: trees, in the order of its sources or mounts.
pub(crate) struct Trees<'a> {
    /// The main context.
    pub(crate) context: &'a Opened,
    /// Finds a tree and what its files are known by.
    pub(crate) find: &'a dyn Fn(&TreeSource) -> Result<Reading, Error>,
    /// The topmost layer of a tree that is made of layers, which needn't be
    /// here for that.
    pub(crate) top: &'a dyn Fn(&TreeSource) -> Result<Option<Top>, Error>,
}

/// The topmost layer of a tree; none when the tree is empty.
pub(crate) type Top = Option<Digest>;

/// A step's result, how it was had, and the keys that it is kept under: the
/// one by content first.
pub(crate) type Found = (StepRecord, Origin, Vec<Digest>);

/// A tree that is read.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) tree: Tree,
    /// What its files' digests are kept under; None when no other build will
    /// see it.
    pub(crate) scope: Option<String>,
}

/// One step at work.
pub(crate) struct Stepping<'a> {
    pub(crate) shared: &'a Shared<'a>,
    pub(crate) request: &'a BuildRequest,
    pub(crate) step: &'a Step,
    pub(crate) parent: &'a State,
    pub(crate) trees: &'a Trees<'a>,
    pub(crate) platform: &'a Platform,
    pub(crate) epoch: Option<i64>,
    pub(crate) cancel: &'a Cancel,
    /// What caches from elsewhere know of a key, upon the parent.
    pub(crate) promised: &'a dyn Fn(&Digest) -> Option<Promised>,
    /// The number under which it is shown.
    pub(crate) vertex: u64,
    /// Gets the end of what a failed program wrote.
    pub(crate) tail: &'a mut Vec<u8>,
}

impl Stepping<'_> {
    /// Finds the step's result, or makes it.
    pub(crate) fn result(mut self) -> Result<Found, Error> {
        let root = self.shared.around.root;
        let quick = self.quick_inputs()?.map(|inputs| self.key(&inputs));
        if let Some(key) = &quick
            && let Some(found) = self.known(key)?
        {
            return Ok(found);
        }
        let inputs = self.inputs()?;
        let key = self.key(&inputs);
        let quick = quick.filter(|quick| *quick != key);
        let keys: Vec<Digest> = std::iter::once(&key).chain(&quick).cloned().collect();
        if let Some((found, origin, _)) = self.known(&key)? {
            if let (Some(quick), Some(_)) = (&quick, image::find_step(root, &key)?) {
                image::keep_other_key(root, quick, &key, &found)?;
            }
            return Ok((found, origin, keys));
        }
        let (shared, cancel) = (self.shared, self.cancel);
        let (record, origin) = shared.once(&key, cancel, || {
            let slot = shared.slots.take(cancel)?;
            let record = self.make()?;
            drop(slot);
            image::keep_step(root, &key, &record)?;
            Ok(record)
        })?;
        if let Some(quick) = &quick {
            image::keep_other_key(root, quick, &key, &record)?;
        }
        Ok((record, origin, keys))
    }

    /// A result that was had before: here, or where a cache was written.
    fn known(&self, key: &Digest) -> Result<Option<Found>, Error> {
        if !self.step.is_cached {
            return Ok(None);
        }
        if let Some(record) = self.shared.find_step(key)? {
            let content = record.stands_for.clone();
            let keys = content.into_iter().chain([key.clone()]).collect();
            return Ok(Some((record, Origin::Cached, keys)));
        }
        let promised = (self.promised)(key);
        Ok(promised.map(|(record, keys)| (record, Origin::Cached, keys)))
    }

    fn key(&self, inputs: &[Input]) -> Digest {
        self.key_upon(self.parent.top(), inputs)
    }

    fn key_upon(&self, parent: Option<&Digest>, inputs: &[Input]) -> Digest {
        let around = Surrounding {
            epoch: self.epoch,
            run: &self.request.options.run,
            platform: self.platform,
        };
        key::of(self.step, parent, inputs, around)
    }

    fn make(&mut self) -> Result<StepRecord, Error> {
        self.shared.need(&self.parent.layers)?;
        let layer = match &self.step.op {
            Op::Run(run) => self.run(run)?,
            Op::Copy(copy) if copy.is_linked => self.linked(copy)?,
            Op::Copy(copy) => self.copy(copy, self.parent)?,
            Op::Workdir(workdir) => self.workdir(workdir)?,
        };
        Ok(self.record(layer, self.parent))
    }

    fn record(&self, layer: Option<CommittedLayer>, parent: &State) -> StepRecord {
        let created = match self.epoch.map(jiff::Timestamp::from_second) {
            Some(Ok(epoch)) => epoch,
            Some(Err(_)) | None => sys::time::now(),
        };
        StepRecord {
            top: match &layer {
                Some(layer) => Some(layer.chain_id.clone()),
                None => parent.top().cloned(),
            },
            content_bytes: layer.as_ref().map_or(0, |layer| layer.content_bytes),
            diff_id: layer.map(|layer| layer.diff_id),
            created,
            description: self.step.text.clone(),
            stands_for: None,
        }
    }

    fn below(&self) -> Result<Merged, Error> {
        Ok(image::merged(self.shared.around.root, &self.parent.layers)?)
    }

    fn draft(&self) -> Result<image::Draft, Error> {
        let root = self.shared.around.root;
        Ok(self.shared.workshop.draft(root, &self.parent.layers)?)
    }

    fn commit(&self, draft: image::Draft) -> Result<Option<CommittedLayer>, Error> {
        self.shared.commit(draft, &self.parent.layers, self.epoch)
    }

    fn workdir(&self, workdir: &Workdir) -> Result<Option<CommittedLayer>, Error> {
        let draft = self.draft()?;
        let below = self.below()?;
        let overlay = Overlay::open(&draft.tree(), &below).map_err(copy::Error::from)?;
        let path = Path::new(&workdir.path);
        let found = overlay.find(path).map_err(copy::Error::from)?;
        if matches!(found, Some((_, archive::Found::Folder(_)))) {
            return Ok(None);
        }
        let (passwd, group) = copy::users(&overlay).map_err(copy::Error::from)?;
        // A user that isn't there is told by the first program that it should run.
        let owner = user::resolve(&workdir.user, &[], &passwd, &group);
        let (uid, gid) = owner.map_or((0, 0), |owner| (owner.uid, owner.gid));
        let made = Ownership {
            uid,
            gid,
            mode: 0o755,
        };
        overlay.make_folder(path, made).map_err(copy::Error::from)?;
        drop(overlay);
        self.commit(draft)
    }
}
