//! Runs requests: a thread a build, a thread a stage, each step when what it
//! reads is there.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use crate::build::cache::{
    self, CacheFrom, CachePlace, CacheTo, Finished, Promised, Source, Trust,
};
use crate::build::context::{self, Opened, Text};
use crate::build::platforms::{Part, Turn};
use crate::build::request::{BuildRequest, Cancel, Goal, NamedSource, Surroundings};
use crate::build::result::{self, Built};
use crate::build::shared::{Shared, lock, look};
use crate::build::step::{Reading, State, Stepping, Top, Trees};
use crate::build::tree::Tree;
use crate::build::{Error, FailedStep, Failure, export, platforms};
use crate::diagnostic::Diagnostic;
use crate::dockerfile::{
    BaseKey, BaseSource, Bases, BuildGraph, Dockerfile, Root, Step, TreeSource,
};
use crate::event::{BuildEvent, Origin};
use crate::image::{self, Image, StepRecord};
use crate::oci::{Digest, Platform};

/// Most rounds of asking which base images are missing: an image may name
/// another one in its ONBUILD, and so on.
const BASE_ROUNDS_MAX: usize = 16;
/// The build argument that makes an image carry its cache.
const INLINE_CACHE: &str = "BUILDKIT_INLINE_CACHE";

/// Runs all requests to their ends, in the order of their dependencies and
/// otherwise at once; gives what each came to, in their order. When one fails,
/// the others are cut off.
///
/// # Errors
/// When builds wait for each other, or there can be none at all.
pub fn run(requests: &[BuildRequest], around: &Surroundings<'_>) -> Vec<Result<Built, Failure>> {
    if let Some(cycle) = cycle(requests) {
        let fail = |request: &BuildRequest| Err(alone(request, Error::Cycle(cycle.clone())));
        return requests.iter().map(fail).collect();
    }
    let shared = match Shared::open(around) {
        Ok(shared) => shared,
        Err(error) => {
            let text = error.to_string();
            let mut first = Some(error);
            let fail = |request: &BuildRequest| {
                let error = first
                    .take()
                    .unwrap_or_else(|| Error::Dependency(text.clone()));
                Err(alone(request, error))
            };
            return requests.iter().map(fail).collect();
        }
    };
    let parts = platforms::parts(requests);
    let results = Results {
        parts: &parts,
        done: Mutex::default(),
        changed: Condvar::new(),
    };
    let ended = std::thread::scope(|scope| {
        let threads: Vec<_> = parts
            .iter()
            .map(|part| {
                let (shared, results) = (&shared, &results);
                scope.spawn(move || {
                    let built = build(part, shared, results);
                    if built.is_err() {
                        shared.cancel.set();
                    }
                    let image = built.as_ref().ok().map(|built| built.image.clone());
                    results.put(part, image);
                    built
                })
            })
            .collect();
        let ended = threads.into_iter().zip(&parts);
        ended
            .map(|(thread, part)| match thread.join() {
                Ok(built) => built,
                Err(_) => Err(alone(
                    &part.request,
                    Error::Dependency("its own thread".to_owned()),
                )),
            })
            .collect()
    });
    let all = platforms::join(requests, &parts, ended, around);
    if let Err(error) = shared.files.save() {
        tracing::warn!(%error, "digests of files were not kept");
    }
    all
}

/// A failure that no step is to blame for.
pub(crate) fn alone(request: &BuildRequest, error: Error) -> Failure {
    Failure {
        build: request.name.clone(),
        error,
        step: None,
        dockerfile: None,
    }
}

/// Builds that wait for each other, by name, the first one last again.
fn cycle(requests: &[BuildRequest]) -> Option<Vec<String>> {
    fn visit<'a>(
        name: &'a str,
        needs: &HashMap<&'a str, Vec<&'a str>>,
        way: &mut Vec<&'a str>,
        done: &mut HashSet<&'a str>,
    ) -> Option<Vec<String>> {
        if let Some(start) = way.iter().position(|other| *other == name) {
            let mut cycle: Vec<String> = way
                .iter()
                .skip(start)
                .map(|name| (*name).to_owned())
                .collect();
            cycle.push(name.to_owned());
            return Some(cycle);
        }
        if !done.insert(name) {
            return None;
        }
        way.push(name);
        let found = needs
            .get(name)
            .into_iter()
            .flatten()
            .find_map(|next| visit(next, needs, way, done));
        way.pop();
        found
    }
    let needs: HashMap<&str, Vec<&str>> = requests
        .iter()
        .map(|request| (request.name.as_str(), platforms::needs(request).collect()))
        .collect();
    let mut done = HashSet::new();
    requests
        .iter()
        .find_map(|request| visit(&request.name, &needs, &mut Vec::new(), &mut done))
}

/// What the builds of a run came to, for those that need it.
struct Results<'a> {
    parts: &'a [Part],
    done: Mutex<platforms::Done>,
    changed: Condvar,
}

impl Results<'_> {
    fn put(&self, part: &Part, image: Option<Image>) {
        lock(&self.done).put(&part.request, image);
        self.changed.notify_all();
    }

    fn wait(&self, name: &str, platform: &Platform, cancel: &Cancel) -> Result<Image, Error> {
        let platform = platforms::wanted(self.parts, name, platform);
        let mut done = lock(&self.done);
        loop {
            if let Some(found) = done.find(name, platform, cancel) {
                return found;
            }
            done = look(&self.changed, done);
        }
    }

    /// Waits until all parts of a request have come as far as this one.
    fn meet(&self, part: &Part, turn: Turn, cancel: &Cancel) -> Result<(), Error> {
        let mut done = lock(&self.done);
        done.arrive(part, turn);
        self.changed.notify_all();
        while !done.have_met(part, turn) {
            if cancel.is_set() {
                return Err(Error::Cancelled);
            }
            done = look(&self.changed, done);
        }
        Ok(())
    }
}

/// One build from its context to its image.
fn build(part: &Part, shared: &Shared<'_>, results: &Results<'_>) -> Result<Built, Failure> {
    let request = &part.request;
    let mut dockerfile = None;
    let mut failed_step = None;
    let mut go = || -> Result<Built, Error> {
        let mut context = context::open(&request.context, request, shared)?;
        let text = context.dockerfile(&request.dockerfile)?;
        dockerfile = Some(Arc::clone(&text.text));
        let (graph, images) = graph(request, &text, shared, results)?;
        if request.goal == Goal::Check {
            return Err(Error::Cancelled);
        }
        part.can_run(&graph).map_err(|(error, step)| {
            failed_step = step;
            error
        })?;
        results.meet(part, Turn::Planned, &shared.cancel)?;
        let named = named_contexts(request, &graph, shared)?;
        let mut building = Building {
            shared,
            request,
            part,
            results,
            graph: &graph,
            bases: bases(&graph, &images)?,
            context,
            named,
            done: Mutex::default(),
            changed: Condvar::new(),
            cancel: shared.cancel.part(),
            trust: Trust::All,
            failure: Mutex::default(),
        };
        loop {
            building.begin();
            let finished = building.run().and_then(|state| {
                let finished = building.finish(&state);
                finished.map_err(|error| (error, None))
            });
            match finished {
                Err((Error::Promise { cache, source }, _)) if building.trust != Trust::Nothing => {
                    building.distrust(&cache, &source);
                }
                Err((error, step)) => {
                    failed_step = step;
                    return Err(error);
                }
                Ok(built) => return Ok(built),
            }
        }
    };
    go().map_err(|error| Failure {
        build: request.name.clone(),
        error,
        step: failed_step,
        dockerfile,
    })
}

/// The base images of a build.
type Images = HashMap<BaseKey, Image>;

/// Parses, looks base images up, solves.
fn graph(
    request: &BuildRequest,
    text: &Text,
    shared: &Shared<'_>,
    results: &Results<'_>,
) -> Result<(BuildGraph, Images), Error> {
    let file = Dockerfile::parse(&text.text, text.name.as_path()).map_err(Error::Diagnostics)?;
    let mut images = Images::new();
    let mut known = Bases::new();
    for _ in 0..BASE_ROUNDS_MAX {
        let missing = file.bases(&request.options, &known);
        let missing = missing.map_err(Error::Diagnostics)?;
        if missing.is_empty() {
            break;
        }
        for key in missing {
            let image = base(request, &key, shared, results)?;
            known.insert(key.clone(), Arc::new(image.config.clone()));
            images.insert(key, image);
        }
    }
    let graph = file.solve(&request.options, &known);
    let graph = graph.map_err(Error::Diagnostics)?;
    for warning in &graph.warnings {
        (shared.around.events)(BuildEvent::Warning {
            build: request.name.clone(),
            text: told(warning),
        });
    }
    (shared.around.events)(BuildEvent::Planned {
        build: request.name.clone(),
        steps: graph.steps.len(),
    });
    Ok((graph, images))
}

/// A warning in docker's order: the rule first, by which it can be skipped.
fn told(warning: &Diagnostic) -> String {
    let message = &warning.message;
    match &warning.span {
        Some(span) => format!("{}: {message} ({span})", warning.code),
        None => message.clone(),
    }
}

/// Finds a base image.
fn base(
    request: &BuildRequest,
    key: &BaseKey,
    shared: &Shared<'_>,
    results: &Results<'_>,
) -> Result<Image, Error> {
    match &key.source {
        BaseSource::Image(reference) => {
            let shown = shared.begin(
                &request.name,
                format!("[internal] load metadata for {reference}"),
            );
            let find = || {
                let fetched = (shared.around.fetch)(reference, &key.platform, request.pull);
                fetched.map_err(|source| Error::Fetch {
                    image: reference.familiar(),
                    source,
                })?;
                let found = shared.find_image(&reference.to_string(), &key.platform)?;
                found.ok_or_else(|| Error::NoImage(reference.familiar()))
            };
            match find() {
                Ok(found) => {
                    shown.done(Origin::Made);
                    let platform = found.config.platform();
                    if platform.architecture() == key.platform.architecture() {
                        Ok(found)
                    } else {
                        Err(Error::WrongPlatform {
                            image: reference.familiar(),
                            found: platform,
                            wanted: key.platform.clone(),
                        })
                    }
                }
                Err(error) => {
                    shown.failed(&error);
                    Err(error)
                }
            }
        }
        BaseSource::Context(name) => match request.contexts.get(name) {
            Some(NamedSource::Build(other)) => results.wait(other, &key.platform, &shared.cancel),
            Some(NamedSource::OciLayout { folder, tag }) => {
                let name = format!("[context {name}] OCI load from {}", folder.display());
                let shown = shared.begin(&request.name, name);
                let loaded = shared.load_layout(folder, tag.as_deref(), &key.platform);
                match &loaded {
                    Ok(_) => shown.done(Origin::Made),
                    Err(error) => shown.failed(error),
                }
                loaded
            }
            Some(NamedSource::Tree(_) | NamedSource::Image) | None => {
                Err(Error::NoImage(name.clone()))
            }
        },
    }
}

/// The root file systems of a graph's bases.
fn bases(graph: &BuildGraph, images: &Images) -> Result<Vec<State>, Error> {
    let state = |base: &crate::dockerfile::Base| {
        let image = images.get(&base.key);
        let image = image.ok_or_else(|| Error::NoImage(base.key.to_string()))?;
        let diff_ids = image.config.rootfs.diff_ids.iter().rev().cloned();
        Ok(State::of(
            image.layers.iter().cloned().zip(diff_ids).collect(),
        ))
    };
    graph.bases.iter().map(state).collect()
}

/// Opens the trees that the graph reads by name.
fn named_contexts(
    request: &BuildRequest,
    graph: &BuildGraph,
    shared: &Shared<'_>,
) -> Result<HashMap<String, Opened>, Error> {
    let mut opened = HashMap::new();
    for name in &graph.contexts {
        let Some(NamedSource::Tree(context)) = request.contexts.get(name) else {
            return Err(Error::NoImage(name.clone()));
        };
        let mut tree = context::open(context, request, shared)?;
        // It has an ignore file of its own.
        tree.own_ignore()?;
        opened.insert(name.clone(), tree);
    }
    Ok(opened)
}

/// What a step came to.
#[derive(Debug, Clone)]
struct Done {
    state: State,
    record: StepRecord,
    origin: Origin,
    /// What it is kept under, the key by content first.
    keys: Vec<Digest>,
}

/// A graph at work.
struct Building<'a> {
    shared: &'a Shared<'a>,
    request: &'a BuildRequest,
    part: &'a Part,
    results: &'a Results<'a>,
    graph: &'a BuildGraph,
    bases: Vec<State>,
    context: Opened,
    named: HashMap<String, Opened>,
    /// What each step came to.
    done: Mutex<Vec<Option<Done>>>,
    changed: Condvar,
    /// Ends all steps of this build.
    cancel: Cancel,
    /// Which promises of caches count.
    trust: Trust,
    failure: Mutex<Option<(Error, Option<FailedStep>)>>,
}

impl Building<'_> {
    /// Forgets what an earlier try came to; what it made is in the store.
    fn begin(&mut self) {
        self.done = Mutex::new(vec![None; self.graph.steps.len()]);
        self.cancel = self.shared.cancel.part();
        self.failure = Mutex::default();
    }

    /// A layer that a cache has promised can't be had: steps that have none
    /// to show count no more, and when it should have been there, none does.
    fn distrust(&mut self, cache: &str, why: &cache::Error) {
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
    fn run(&self) -> Result<State, (Error, Option<FailedStep>)> {
        std::thread::scope(|scope| {
            for stage in 0..self.graph.stages.len() {
                scope.spawn(move || self.stage(stage));
            }
        });
        if let Some(failure) = lock(&self.failure).take() {
            return Err(failure);
        }
        self.state(&self.graph.output)
            .map_err(|error| (error, None))
    }

    fn stage(&self, stage: usize) {
        for step in self.graph.steps.iter().filter(|step| step.stage == stage) {
            let shown_name = self.name(step);
            match self.step(step, &shown_name) {
                Ok(done) => {
                    if let Some(place) = lock(&self.done).get_mut(step.id.index()) {
                        *place = Some(done);
                    }
                    self.changed.notify_all();
                }
                Err((error, output)) => {
                    let mut failure = lock(&self.failure);
                    // The first one that isn't a consequence of another.
                    if failure.is_none() && !(error.is_cancelled() && self.cancel.is_set()) {
                        let step = FailedStep {
                            name: shown_name,
                            span: step.span.clone(),
                            output,
                        };
                        *failure = Some((error, Some(step)));
                    } else {
                        failure.get_or_insert((error, None));
                    }
                    self.cancel.set();
                    self.changed.notify_all();
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
        if self.cancel.is_set() {
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
            cancel: &self.cancel,
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
            Root::Step(id) => {
                let mut done = lock(&self.done);
                loop {
                    if let Some(Some(found)) = done.get(id.index()) {
                        return Ok(found.state.clone());
                    }
                    if self.cancel.is_set() {
                        return Err(Error::Cancelled);
                    }
                    done = look(&self.changed, done);
                }
            }
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
        use crate::archive::{Merged, Overlay};
        use crate::build::{copy, mounts, select};
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

    /// Makes the image and what else was asked for.
    fn finish(&self, state: &State) -> Result<Built, Error> {
        let root = self.shared.around.root;
        let done: Vec<Option<Done>> = lock(&self.done).clone();
        if self.cancel.is_set() {
            return Err(Error::Cancelled);
        }
        let records: Vec<Option<StepRecord>> = done
            .iter()
            .map(|done| done.as_ref().map(|done| done.record.clone()))
            .collect();
        let made = done.iter().flatten();
        let made = made.filter(|done| done.origin == Origin::Made).count();
        // Should another platform fail, nothing is left of this one but its steps.
        let cancel = &self.shared.cancel;
        self.results.meet(self.part, Turn::Made, cancel)?;
        let finished = self.finished(state, &done);
        let created = self.shown("exporting to image", || {
            self.shared.need(&state.layers)?;
            self.keep_promised(&done)?;
            let cache = self.inline().then(|| finished.document.clone());
            let created = result::image(root, self.request, self.graph, state, &records, cache)?;
            for export in &self.request.exports {
                export::write(root, &created.image, &self.request.names, export)?;
            }
            Ok(created)
        })?;
        for to in &self.request.cache_to {
            self.export_cache(to, &finished)?;
        }
        Ok(Built {
            build: self.request.name.clone(),
            image: created.image,
            names: self.request.names.clone(),
            renamed: created.renamed,
            is_cached: made == 0,
            steps: (records.len(), made),
        })
    }

    /// Shows a piece of work.
    fn shown<T>(&self, name: &str, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let shown = self.shared.begin(&self.request.name, name.to_owned());
        let done = work();
        match &done {
            Ok(_) => shown.done(Origin::Made),
            Err(error) => shown.failed(error),
        }
        done
    }

    /// Whether the image is to carry its own cache.
    fn inline(&self) -> bool {
        let mut places = self.request.cache_to.iter().map(|to| &to.place);
        let asked = self.request.options.build_args.get(INLINE_CACHE);
        places.any(|place| *place == CachePlace::Inline)
            || asked.is_some_and(|value| matches!(value.as_str(), "1" | "true" | "t" | "T"))
    }

    /// What caches get of this build.
    fn finished(&self, state: &State, done: &[Option<Done>]) -> Finished {
        let steps = done.iter().flatten();
        let steps = steps.map(|done| (done.state.clone(), done.record.clone(), done.keys.clone()));
        Finished::new(steps.collect(), state.clone())
    }

    /// Keeps the steps that a cache knew and whose layers have come.
    fn keep_promised(&self, done: &[Option<Done>]) -> Result<(), Error> {
        let root = self.shared.around.root;
        for done in done.iter().flatten() {
            let Some((key, others)) = done.keys.split_first() else {
                continue;
            };
            let top = done.record.top.as_ref();
            let is_here = top.is_none_or(|top| image::has_layer(root, top));
            if done.origin == Origin::Made || !is_here || image::find_step(root, key)?.is_some() {
                continue;
            }
            image::keep_step(root, key, &done.record)?;
            for other in others {
                image::keep_other_key(root, other, key, &done.record)?;
            }
        }
        Ok(())
    }

    fn export_cache(&self, to: &CacheTo, finished: &Finished) -> Result<(), Error> {
        if to.place == CachePlace::Inline {
            return Ok(());
        }
        let place = to.place.shown();
        let written = self.shown(&format!("exporting cache to {place}"), || {
            let written = self.shared.exports.write(to, finished, self.shared);
            written.map_err(|source| Error::CacheExport { place, source })
        });
        match written {
            Err(error) if to.is_optional => {
                let mut text = error.to_string();
                if let Error::CacheExport { source, .. } = &error {
                    text = format!("{text}: {}", source.whole());
                }
                (self.shared.around.events)(BuildEvent::Warning {
                    build: self.request.name.clone(),
                    text,
                });
                Ok(())
            }
            written => written,
        }
    }
}
