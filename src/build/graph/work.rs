//! A graph at work: a thread a stage, each step when what it reads is there.
//!
//! How one step is made is `build::step`'s matter; what becomes of the result
//! is [`super::finish`]'s.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use crate::archive::{Merged, Overlay};
use crate::build::cache::{self, CacheFrom, Promised, Source, Trust};
use crate::build::context::Opened;
use crate::build::graph::meeting::Results;
use crate::build::platforms::{self, Part};
use crate::build::request::{BuildRequest, Cancel};
use crate::build::shared::{Shared, lock, look};
use crate::build::step::{Reading, State, Stepping, Top, Trees};
use crate::build::tree::Tree;
use crate::build::{Error, FailedStep, copy, mounts, select};
use crate::dockerfile::{BuildGraph, Root, Step, StepId, TreeSource};
use crate::event::{BuildEvent, Origin};
use crate::image::StepRecord;
use crate::oci::{Digest, Platform};

/// What a step came to.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) state: State,
    pub(super) record: StepRecord,
    pub(super) origin: Origin,
    /// What it is kept under, the key by content first.
    pub(super) keys: Vec<Digest>,
}

/// A graph at work.
pub(super) struct Building<'a> {
    pub(super) shared: &'a Shared<'a>,
    pub(super) request: &'a BuildRequest,
    pub(super) part: &'a Part,
    pub(super) results: &'a Results<'a>,
    pub(super) graph: &'a BuildGraph,
    pub(super) bases: Vec<State>,
    pub(super) context: Opened,
    pub(super) named: HashMap<String, Opened>,
    /// Which promises of caches count.
    pub(super) trust: Trust,
    pub(super) attempt: Attempt,
}

/// One way through all the steps. It is left for another one when a cache
/// doesn't keep its promise.
pub(super) struct Attempt {
    /// What each step came to.
    done: Mutex<Vec<Option<Done>>>,
    changed: Condvar,
    /// Ends all steps of this build.
    cancel: Cancel,
    failure: Mutex<Option<(Error, Option<FailedStep>)>>,
}

impl Attempt {
    /// No step of the graph is made yet.
    pub(super) fn new(graph: &BuildGraph, shared: &Shared<'_>) -> Self {
        Self {
            done: Mutex::new(vec![None; graph.steps.len()]),
            changed: Condvar::new(),
            cancel: shared.cancel.part(),
            failure: Mutex::default(),
        }
    }

    /// What each step has come to by now.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub(super) fn done(&self) -> Result<Vec<Option<Done>>, Error> {
        let done = lock(&self.done).clone();
        match self.cancel.is_set() {
            true => Err(Error::Cancelled),
            false => Ok(done),
        }
    }

    /// Enters what a step came to.
    fn put(&self, step: &Step, done: Done) {
        if let Some(place) = lock(&self.done).get_mut(step.id.index()) {
            *place = Some(done);
        }
        self.changed.notify_all();
    }

    /// Waits for a step's root file system.
    fn wait(&self, step: StepId) -> Result<State, Error> {
        let mut done = lock(&self.done);
        loop {
            if let Some(Some(found)) = done.get(step.index()) {
                return Ok(found.state.clone());
            }
            if self.cancel.is_set() {
                return Err(Error::Cancelled);
            }
            done = look(&self.changed, done);
        }
    }

    /// Ends the attempt. The first failure counts that isn't a consequence of
    /// another.
    fn fail(&self, error: Error, step: FailedStep) {
        let mut failure = lock(&self.failure);
        if failure.is_none() && !(error.is_cancelled() && self.cancel.is_set()) {
            *failure = Some((error, Some(step)));
        } else {
            failure.get_or_insert((error, None));
        }
        self.cancel.set();
        self.changed.notify_all();
    }
}

impl Building<'_> {
    /// A layer that a cache has promised can't be had: steps that have none
    /// to show count no more, and when it should have been there, none does.
    pub(super) fn distrust(&mut self, cache: &str, why: &cache::Error) {
        if matches!(why, cache::Error::NoLayer(_)) && self.trust == Trust::All {
            self.trust = Trust::Layers;
            return;
        }
        self.trust = Trust::Nothing;
        (self.shared.around.events)(BuildEvent::Warning {
            build: self.request.name.clone(),
            text: format!("cache {cache}: {}; built without it", why.whole()),
        });
    }

    /// Makes every step; gives the result's root.
    pub(super) fn run(&self) -> Result<State, (Error, Option<FailedStep>)> {
        std::thread::scope(|scope| {
            for stage in 0..self.graph.stages.len() {
                scope.spawn(move || self.stage(stage));
            }
        });
        if let Some(failure) = lock(&self.attempt.failure).take() {
            return Err(failure);
        }
        self.state(&self.graph.output)
            .map_err(|error| (error, None))
    }

    fn stage(&self, stage: usize) {
        for step in self.graph.steps.iter().filter(|step| step.stage == stage) {
            let name = self.name(step);
            match self.step(step, &name) {
                Ok(done) => self.attempt.put(step, done),
                Err((error, output)) => {
                    let step = FailedStep {
                        name,
                        span: step.span.clone(),
                        output,
                    };
                    self.attempt.fail(error, step);
                    return;
                }
            }
        }
    }

    fn step(&self, step: &Step, name: &str) -> Result<Done, (Error, Vec<u8>)> {
        let early = |error| (error, Vec::new());
        for input in step.inputs() {
            self.state(input).map_err(early)?;
        }
        let parent = self.state(&step.parent).map_err(early)?;
        if self.attempt.cancel.is_set() {
            return Err(early(Error::Cancelled));
        }
        let info = self.graph.stages.get(step.stage);
        let platform = info.map_or_else(Platform::host, |info| info.platform.clone());
        let find = |source: &TreeSource| self.reading(source);
        let top = |source: &TreeSource| self.top(source);
        let trees = Trees {
            context: &self.context,
            find: &find,
            top: &top,
        };
        let promised = |key: &Digest| self.promised(key, &parent);
        let shown = self.shared.begin(&self.request.name, name.to_owned());
        let mut tail = Vec::new();
        let stepping = Stepping {
            shared: self.shared,
            request: self.request,
            step,
            parent: &parent,
            trees: &trees,
            platform: &platform,
            epoch: self.graph.epoch,
            cancel: &self.attempt.cancel,
            promised: &promised,
            vertex: shown.id,
            tail: &mut tail,
        };
        match stepping.result() {
            Ok((record, origin, keys)) => {
                shown.done(origin);
                Ok(Done {
                    state: parent.with(&record),
                    record,
                    origin,
                    keys,
                })
            }
            Err(error) => {
                shown.failed(&error);
                Err((error, tail))
            }
        }
    }

    /// A step's name as docker's progress shows it.
    fn name(&self, step: &Step) -> String {
        platforms::step_name(&self.part.prefix(), self.graph, step)
    }

    /// A root file system, when it is there.
    fn state(&self, root: &Root) -> Result<State, Error> {
        match root {
            Root::Scratch => Ok(State::default()),
            Root::Base(id) => {
                let base = self.bases.get(id.index());
                base.cloned()
                    .ok_or_else(|| Error::NoImage("base".to_owned()))
            }
            Root::Context(name) => self.context_layer(name),
            Root::Step(id) => self.attempt.wait(*id),
        }
    }

    /// The tree that a source names, and what its files are known by.
    fn reading(&self, source: &TreeSource) -> Result<Reading, Error> {
        let opened = |opened: &Opened| Reading {
            tree: opened.tree.clone(),
            scope: opened
                .is_folder
                .then(|| format!("context {}", opened.root.display())),
        };
        match source {
            TreeSource::Context => Ok(opened(&self.context)),
            TreeSource::Root(Root::Context(name)) => {
                let named = self.named.get(name);
                let named = named.ok_or_else(|| Error::NoImage(name.clone()))?;
                Ok(opened(named))
            }
            TreeSource::Root(root) => {
                let state = self.state(root)?;
                let lowers = self.shared.lowers(&state.layers)?;
                Ok(Reading {
                    scope: state.top().map(|top| format!("layers {top}")),
                    tree: Tree::Layers(lowers),
                })
            }
        }
    }

    /// The topmost layer of the tree that a source names, if it is made of layers.
    fn top(&self, source: &TreeSource) -> Result<Option<Top>, Error> {
        match source {
            TreeSource::Context | TreeSource::Root(Root::Context(_)) => Ok(None),
            TreeSource::Root(root) => Ok(Some(self.state(root)?.top().cloned())),
        }
    }

    /// What caches from elsewhere know of a step with this key, upon `parent`.
    fn promised(&self, key: &Digest, parent: &State) -> Option<Promised> {
        let mut wanted = self.request.cache_from.iter();
        wanted.find_map(|from| {
            let source = self.source(from)?;
            let promises = &self.shared.promises;
            promises.make(&source, key, parent.top(), self.trust)
        })
    }

    /// A cache from elsewhere; one that can't be used is told once.
    fn source(&self, from: &CacheFrom) -> Option<Arc<Source>> {
        let platform = &self.request.options.platform;
        self.shared.sources.get(from, platform, || {
            let name = format!("importing cache manifest from {}", from.shown());
            let shown = self.shared.begin(&self.request.name, name);
            let opened = Source::open(from, platform, self.shared.around);
            let told = opened.map_err(|error| {
                (self.shared.around.events)(BuildEvent::Warning {
                    build: self.request.name.clone(),
                    text: format!("cache {}: {}", from.shown(), error.whole()),
                });
            });
            shown.done(Origin::Made);
            told.ok()
        })
    }

    /// A named context as a root file system: its files are a layer.
    fn context_layer(&self, name: &str) -> Result<State, Error> {
        let named = self.named.get(name);
        let named = named.ok_or_else(|| Error::NoImage(name.to_owned()))?;
        let root = self.shared.around.root;
        let draft = self.shared.workshop.draft(root, &[])?;
        let nothing = Merged::open::<&Path>([]).map_err(Error::io("open", draft.tree()))?;
        let overlay = Overlay::open(&draft.tree(), &nothing).map_err(copy::Error::from)?;
        let sources = select::sources(&named.tree, "", false)?;
        mounts::copy_all(sources, overlay)?;
        let layer = self.shared.commit(draft, &[], self.graph.epoch)?;
        Ok(layer.map_or_else(State::default, |layer| {
            State::of(vec![(layer.chain_id, layer.diff_id)])
        }))
    }
}
