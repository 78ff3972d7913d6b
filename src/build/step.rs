//! One step: its key, whether its result is known, and the making of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive::{self, Merged, Overlay};
use crate::build::cache::Promised;
use crate::build::content::{self, Content};
use crate::build::context::Opened;
use crate::build::copy::{self, Thing};
use crate::build::download::Fetched;
use crate::build::git::Asking;
use crate::build::key::{self, Input, Surrounding};
use crate::build::mounts::Prepared;
use crate::build::network::{self, StepNetwork};
use crate::build::request::{BuildRequest, Cancel};
use crate::build::run::{self, Around, Place};
use crate::build::select::{self, Source};
use crate::build::shared::Shared;
use crate::build::tree::{HostTree, Tree};
use crate::build::{Error, stubs, unpack};
use crate::dockerfile::{
    Checksum, Copy, CopyKind, CopySource, GitSource, Ignore, NoCache, Op, Run, RunMount,
    RunNetwork, Step, TreeSource, Workdir,
};
use crate::event::{BuildEvent, Origin};
use crate::image::{self, CommittedLayer, StepRecord};
use crate::oci::{Algorithm, Digest, Platform};
use crate::runtime::user;
use crate::sys;

/// Mode of a file that stands in the Dockerfile.
const INLINE_MODE: u32 = 0o644;
/// Mode of a file that is downloaded.
const DOWNLOAD_MODE: u32 = 0o600;
/// Where the kernel says which foreign programs it can run.
const EMULATORS: &str = "/proc/sys/fs/binfmt_misc";

/// A root file system: layers with their diff ids, topmost first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) layers: Arc<Vec<Digest>>,
    pub(crate) diff_ids: Arc<Vec<Digest>>,
}

impl State {
    /// A chain that the store has.
    pub(crate) fn of(chain: Vec<(Digest, Digest)>) -> Self {
        let (layers, diff_ids) = chain.into_iter().unzip();
        Self {
            layers: Arc::new(layers),
            diff_ids: Arc::new(diff_ids),
        }
    }

    /// The topmost layer.
    pub(crate) fn top(&self) -> Option<&Digest> {
        self.layers.first()
    }

    /// With what a step made on top.
    pub(crate) fn with(&self, record: &StepRecord) -> Self {
        let (Some(top), Some(diff_id)) = (&record.top, &record.diff_id) else {
            return self.clone();
        };
        let on_top = |new: &Digest, below: &[Digest]| {
            let mut all = Vec::with_capacity(below.len() + 1);
            all.push(new.clone());
            all.extend_from_slice(below);
            Arc::new(all)
        };
        Self {
            layers: on_top(top, &self.layers),
            diff_ids: on_top(diff_id, &self.diff_ids),
        }
    }
}

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

/// Something that a step reads.
enum Read<'a> {
    /// A part of a tree.
    Tree(&'a TreeSource, &'a str),
    /// A file somewhere else, and the instruction that names it.
    Url(&'a str, &'a Copy),
    /// A repository, and the instruction that names it.
    Git(&'a GitSource, &'a Copy),
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

    /// What is read, by the layers that it is in; None when some of it is no
    /// layer's.
    fn quick_inputs(&self) -> Result<Option<Vec<Input>>, Error> {
        let mut inputs = Vec::new();
        for read in self.reads() {
            let Read::Tree(source, _) = read else {
                return Ok(None);
            };
            match (self.trees.top)(source)? {
                Some(top) => inputs.push(Input::Layers(top)),
                None => return Ok(None),
            }
        }
        Ok(Some(inputs))
    }

    /// What is read, by its content.
    fn inputs(&self) -> Result<Vec<Input>, Error> {
        let inputs = self.reads().into_iter().map(|read| match read {
            Read::Tree(source, pattern) => self.tree_input(source, pattern),
            Read::Url(url, copy) => self.url_input(url, copy),
            Read::Git(git, copy) => self.git_input(git, copy),
        });
        inputs.collect()
    }

    fn tree_input(&self, source: &TreeSource, pattern: &str) -> Result<Input, Error> {
        let reading = (self.trees.find)(source)?;
        let (has_parents, excludes) = match &self.step.op {
            Op::Copy(copy) => (copy.has_parents, excludes(copy)?),
            Op::Run(_) | Op::Workdir(_) => (false, Ignore::default()),
        };
        let sources = self.sources(source, &reading.tree, pattern, has_parents)?;
        let scope = self.shared.files.scope(reading.scope.as_deref());
        let content = content::digest(&sources, &excludes, &scope, self.shared.around.jobs)?;
        self.tell_sockets(&content);
        Ok(Input::Content(content.digest))
    }

    /// A file somewhere else counts by its bytes; one whose digest is given
    /// needn't be fetched to know them.
    fn url_input(&self, url: &str, copy: &Copy) -> Result<Input, Error> {
        Ok(Input::File(match checksum(copy) {
            Some(given) => given.clone(),
            None => self.fetched(url)?.digest(Algorithm::Sha256)?,
        }))
    }

    /// A repository counts by its commit; one whose commit is given whole
    /// needn't be asked for.
    fn git_input(&self, git: &GitSource, copy: &Copy) -> Result<Input, Error> {
        let commit = self.asking(git)?.commit()?;
        match given_commit(git, copy).filter(|given| !commit.starts_with(*given)) {
            None => Ok(Input::Commit(commit)),
            Some(given) => Err(Error::Checksum {
                url: git.remote.clone(),
                expected: given.to_owned(),
                found: commit,
            }),
        }
    }

    fn asking<'g>(&'g self, git: &'g GitSource) -> Result<Asking<'g>, Error> {
        Asking::new(git, self.request, self.shared, self.cancel)
    }

    fn fetched(&self, url: &str) -> Result<Fetched, Error> {
        let shared = self.shared;
        shared.downloads.fetch(url, &shared.workshop, self.cancel)
    }

    /// Everything that is read from elsewhere, and which part of it.
    fn reads(&self) -> Vec<Read<'_>> {
        match &self.step.op {
            Op::Workdir(_) => Vec::new(),
            Op::Copy(copy) => copy
                .sources
                .iter()
                .filter_map(|source| match source {
                    CopySource::Path(path) => Some(Read::Tree(&copy.from, path)),
                    CopySource::Url(url) => Some(Read::Url(url, copy)),
                    CopySource::Git(git) => Some(Read::Git(git, copy)),
                    CopySource::Inline(_) => None,
                })
                .collect(),
            Op::Run(run) => run
                .mounts
                .iter()
                .filter_map(|mount| match mount {
                    RunMount::Bind(bind) => Some(Read::Tree(&bind.from, &bind.source)),
                    RunMount::Cache(_)
                    | RunMount::Tmpfs { .. }
                    | RunMount::Secret(_)
                    | RunMount::Ssh(_) => None,
                })
                .collect(),
        }
    }

    /// Finds sources; tells one that the ignore file hides from one that
    /// isn't there.
    fn sources(
        &self,
        from: &TreeSource,
        tree: &Tree,
        pattern: &str,
        has_parents: bool,
    ) -> Result<Vec<Source>, Error> {
        match select::sources(tree, pattern, has_parents) {
            Err(select::Error::NotFound(path)) if *from == TreeSource::Context => {
                // A link that leads nowhere in the context isn't hidden either.
                let whole = Tree::Host(HostTree {
                    root: self.trees.context.root.clone(),
                    ignore: Arc::default(),
                    keeps_owners: false,
                });
                Err(match whole.find(&path, true) {
                    Ok(Some(_)) => Error::Ignored(path),
                    Ok(None) | Err(_) => select::Error::NotFound(path).into(),
                })
            }
            found => Ok(found?),
        }
    }

    fn tell_sockets(&self, content: &Content) {
        if let Some(first) = content.sockets.first() {
            let more = match content.sockets.len() {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            self.warn(format!(
                "{} is a socket and is left out{more}",
                first.display()
            ));
        }
    }

    fn warn(&self, text: String) {
        (self.shared.around.events)(BuildEvent::Warning {
            build: self.request.name.clone(),
            text,
        });
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

    /// A layer of its own is the same whatever is below: it is made once, and
    /// laid on what is below now.
    fn linked(&self, copy: &Copy) -> Result<Option<CommittedLayer>, Error> {
        let nothing = State::default();
        if self.parent.top().is_none() {
            return self.copy(copy, &nothing);
        }
        let key = self.key_upon(None, &self.inputs()?);
        let known = match self.step.is_cached {
            true => self.shared.find_step(&key)?,
            false => None,
        };
        let record = match known {
            Some(record) => record,
            None => {
                let record = self.record(self.copy(copy, &nothing)?, &nothing);
                image::keep_step(self.shared.around.root, &key, &record)?;
                record
            }
        };
        match &record.top {
            Some(layer) => self.shared.rebase(layer, &self.parent.layers).map(Some),
            None => Ok(None),
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
        let made = crate::archive::Ownership {
            uid,
            gid,
            mode: 0o755,
        };
        overlay.make_folder(path, made).map_err(copy::Error::from)?;
        drop(overlay);
        self.commit(draft)
    }

    fn copy(&self, copy: &Copy, parent: &State) -> Result<Option<CommittedLayer>, Error> {
        let root = self.shared.around.root;
        let draft = self.shared.workshop.draft(root, &parent.layers)?;
        let below = image::merged(root, &parent.layers)?;
        let mut things = Vec::new();
        for source in &copy.sources {
            things.extend(self.things(copy, source)?);
        }
        let overlay = Overlay::open(&draft.tree(), &below).map_err(copy::Error::from)?;
        copy::carry_out(copy, &mut things, &excludes(copy)?, overlay)?;
        self.shared.commit(draft, &parent.layers, self.epoch)
    }

    fn things(&self, copy: &Copy, source: &CopySource) -> Result<Vec<Thing>, Error> {
        match source {
            CopySource::Inline(file) => Ok(vec![Thing::Bytes {
                name: file.name.clone(),
                content: file.content.clone().into_bytes(),
                mode: INLINE_MODE,
                modified: None,
            }]),
            CopySource::Url(url) => self.downloaded(copy, url),
            CopySource::Git(git) => {
                let keeps = match &copy.kind {
                    CopyKind::Add { keeps_git, .. } => git.keeps_git.unwrap_or(*keeps_git),
                    CopyKind::Copy => false,
                };
                let tree = Tree::Host(HostTree {
                    root: self.asking(git)?.tree(keeps)?,
                    ignore: Arc::default(),
                    keeps_owners: false,
                });
                let found = select::sources(&tree, "", false)?;
                Ok(found.into_iter().map(Thing::Found).collect())
            }
            CopySource::Path(pattern) => {
                let reading = (self.trees.find)(&copy.from)?;
                let found = self.sources(&copy.from, &reading.tree, pattern, copy.has_parents)?;
                let unpacks = match &copy.kind {
                    CopyKind::Copy => false,
                    CopyKind::Add { unpack, .. } => unpack.unwrap_or(true),
                };
                let mut things = Vec::new();
                for source in found {
                    if unpacks {
                        things.extend(unpack::unpacked(source, &self.shared.workshop)?);
                    } else {
                        things.push(Thing::Found(source));
                    }
                }
                Ok(things)
            }
        }
    }

    /// A file from somewhere else, or what is in it.
    fn downloaded(&self, copy: &Copy, url: &str) -> Result<Vec<Thing>, Error> {
        let fetched = self.fetched(url)?;
        if let Some(expected) = checksum(copy) {
            let found = fetched.digest(expected.algorithm())?;
            if found != *expected {
                return Err(Error::Checksum {
                    url: url.to_owned(),
                    expected: expected.to_string(),
                    found: found.to_string(),
                });
            }
        }
        let unpacks = matches!(
            copy.kind,
            CopyKind::Add {
                unpack: Some(true),
                ..
            }
        );
        if unpacks {
            let workshop = &self.shared.workshop;
            let content = unpack::content(fetched.open()?, &fetched.name, workshop)?;
            if let Some(things) = content {
                return Ok(things);
            }
        }
        Ok(vec![Thing::Opened {
            file: fetched.open()?,
            name: fetched.name,
            mode: DOWNLOAD_MODE,
            modified: fetched.modified,
        }])
    }

    fn run(&mut self, run: &Run) -> Result<Option<CommittedLayer>, Error> {
        can_run(self.platform)?;
        if let Some(device) = run.devices.iter().find(|device| device.is_required) {
            return Err(Error::Device(device.name.clone()));
        }
        let shared = self.shared;
        let mut prepared = self.mounts(run)?;
        let draft = self.draft()?;
        let place = Place {
            lowers: shared.lowers(&self.parent.layers)?,
            upper: draft.tree(),
            work: shared.workshop.place("work"),
            mount_point: shared.workshop.place("root"),
            etc: shared.workshop.place("etc"),
            cgroup: format!("{}/step-{}", shared.session.cgroup(), shared.step_number()),
        };
        let network = self.network(run)?;
        let ended = self.attend(run, &place, &network, &mut prepared);
        shared.network.leave(&network);
        let (ended, stubs, below) = ended?;
        for leftover in [&place.work, &place.mount_point, &place.etc] {
            discard(leftover);
        }
        if !ended.outcome.is_success() {
            *self.tail = ended.tail;
            return Err(Error::Program {
                command: run.argv.join(" "),
                code: ended.outcome.exit_code(),
                oom_killed: ended.oom_killed,
            });
        }
        stubs::remove(&place.upper, &below, &stubs).map_err(Error::io("tidy", &place.upper))?;
        self.commit(draft)
    }

    fn attend(
        &self,
        run: &Run,
        place: &Place,
        network: &StepNetwork,
        prepared: &mut Prepared,
    ) -> Result<(run::Ended, Vec<stubs::Stub>, Merged), Error> {
        let shared = self.shared;
        let settings = &self.request.options.run;
        run::etc(run, place, network, settings, prepared)?;
        let below = self.below()?;
        let targets = prepared.mounts.iter().map(|mount| mount.target());
        let targets = targets.chain(["/proc", "/sys", "/dev"]);
        let stubs = stubs::missing(&below, targets).map_err(Error::io("read", &place.upper))?;
        let around = Around {
            settings,
            cancel: self.cancel,
        };
        let mut keeper = shared.keepers.take()?;
        let events = shared.around.events;
        let vertex = self.vertex;
        let netns = network.twin()?;
        let ended = run::run(
            run,
            place,
            netns,
            prepared,
            around,
            &mut keeper,
            &mut |stream, bytes| {
                events(BuildEvent::Output {
                    vertex,
                    stream,
                    bytes: bytes.to_vec(),
                });
            },
        );
        let ended = ended?;
        shared.keepers.put(keeper);
        Ok((ended, stubs, below))
    }

    /// The step's network.
    fn network(&self, run: &Run) -> Result<StepNetwork, Error> {
        let random = || {
            let bytes = sys::random::bytes32().map_err(Error::io("draw random bytes for", ""))?;
            Ok::<_, Error>(crate::model::ContainerId::from_random(bytes))
        };
        match run.network {
            RunNetwork::Host => Ok(StepNetwork::host()),
            RunNetwork::None => network::alone(),
            RunNetwork::Default => {
                let shared = self.shared;
                shared.network.join(&shared.session, &random()?)
            }
        }
    }

    fn mounts(&self, run: &Run) -> Result<Prepared, Error> {
        let shared = self.shared;
        let mut prepared = Prepared::default();
        for mount in &run.mounts {
            match mount {
                RunMount::Tmpfs { target, size_bytes } => prepared.tmpfs(target, *size_bytes),
                RunMount::Bind(bind) => {
                    let reading = (self.trees.find)(&bind.from)?;
                    let place = shared.workshop.place("bind");
                    prepared.tree(&reading.tree, bind, place)?;
                }
                RunMount::Cache(cache) => {
                    if self.request.options.no_cache == NoCache::All {
                        shared.empty_once(&cache.id)?;
                    }
                    let tree = match &cache.from {
                        Some(from) => Some((self.trees.find)(from)?.tree),
                        None => None,
                    };
                    prepared.cache(shared.around.root, cache, tree.as_ref(), self.cancel)?;
                }
                RunMount::Secret(secret) => {
                    let value = self.request.secrets.get(&secret.id);
                    prepared.secret(secret, value, shared.session.memory()?)?;
                }
                RunMount::Ssh(ssh) => {
                    let agent = self.request.ssh.get(&ssh.id);
                    prepared.ssh(ssh, agent, &shared.session.place(""))?;
                }
            }
        }
        Ok(prepared)
    }
}

/// Whether this machine runs the programs of a platform, itself or by an
/// emulator.
pub(crate) fn can_run(platform: &Platform) -> Result<(), Error> {
    let host = Platform::host();
    let wanted = platform.architecture();
    if wanted == host.architecture() || (wanted, host.architecture()) == ("386", "amd64") {
        return Ok(());
    }
    let qemu = match wanted {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "386" => "i386",
        other => other,
    };
    match Path::new(EMULATORS).join(format!("qemu-{qemu}")).exists() {
        true => Ok(()),
        false => Err(Error::Foreign(platform.clone())),
    }
}

/// Names that an instruction leaves out.
fn excludes(copy: &Copy) -> Result<Ignore, Error> {
    let name = Arc::new(PathBuf::from("--exclude"));
    Ignore::parse(&copy.excludes.join("\n"), &name).map_err(Error::Diagnostics)
}

/// The beginning of the commit id that a repository must have.
fn given_commit<'a>(git: &'a GitSource, copy: &'a Copy) -> Option<&'a str> {
    let flag = match &copy.kind {
        CopyKind::Add {
            checksum: Some(Checksum::Commit(commit)),
            ..
        } => Some(commit.as_str()),
        CopyKind::Add { .. } | CopyKind::Copy => None,
    };
    flag.or(git.commit.as_deref())
}

/// What a downloaded file must be.
fn checksum(copy: &Copy) -> Option<&Digest> {
    match &copy.kind {
        CopyKind::Add {
            checksum: Some(Checksum::Digest(digest)),
            ..
        } => Some(digest),
        CopyKind::Add { .. } | CopyKind::Copy => None,
    }
}

/// Removes what a step needed only while it ran. What stays goes with the run.
fn discard(path: &Path) {
    use std::os::fd::AsFd as _;
    let parent = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default();
    if let Ok(folder) = sys::tree::open_root(parent) {
        let _ = sys::tree::remove_tree(folder.as_fd(), name);
    }
}
