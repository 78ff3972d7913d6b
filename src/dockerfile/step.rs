//! What a Dockerfile comes to: steps with every word expanded, and the images
//! and trees that they stand on.
//!
//! A graph is made for one target and one platform. It holds only what the
//! target needs, in an order in which every step comes after its inputs. It
//! doesn't know what lies in an image or a context, nor how a step is run.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::diagnostic::{Diagnostic, Span};
use crate::dockerfile::mode::Mode;
use crate::oci::{Digest, ImageConfig, Platform, Reference};

/// The number of a step in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub(in crate::dockerfile) usize);

impl StepId {
    /// The position in [`BuildGraph::steps`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

/// The number of a base image in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseId(pub(in crate::dockerfile) usize);

impl BaseId {
    /// The position in [`BuildGraph::bases`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

/// Everything that must be done for one target on one platform.
#[derive(Debug, Clone)]
pub struct BuildGraph {
    /// The steps; each comes after all of its inputs.
    pub steps: Vec<Step>,
    /// The images that something is taken from.
    pub bases: Vec<Base>,
    /// The stages that the target needs, in the order of the file.
    pub stages: Vec<StageInfo>,
    /// The root file system of the result.
    pub output: Root,
    /// The result's config. Its `history` and `rootfs` are those of the base
    /// image; [`BuildGraph::history`] follows them.
    pub config: ImageConfig,
    /// What the instructions of the target add to the history.
    pub history: Vec<HistoryEntry>,
    /// `SOURCE_DATE_EPOCH`, in seconds, when it was given: the time of all that is made.
    pub epoch: Option<i64>,
    /// Named contexts that are trees and that some step reads.
    pub contexts: Vec<String>,
    /// Whether some step reads the main context.
    pub is_context_used: bool,
    /// Build checks and unused arguments.
    pub warnings: Vec<Diagnostic>,
}

impl BuildGraph {
    /// A step of this graph.
    #[must_use]
    pub fn step(&self, id: StepId) -> Option<&Step> {
        self.steps.get(id.0)
    }

    /// A base image of this graph.
    #[must_use]
    pub fn base(&self, id: BaseId) -> Option<&Base> {
        self.bases.get(id.0)
    }
}

/// What the instruction left in the image's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The instruction as `docker history` shows it.
    pub created_by: String,
    /// The step that made its layer; none when it changed the config alone.
    pub step: Option<StepId>,
}

/// The remark that stands beside every instruction of ours in a history.
pub const HISTORY_COMMENT: &str = "buildkit.dockerfile.v0";

/// An image that something is taken from.
#[derive(Debug, Clone, PartialEq)]
pub struct Base {
    /// Which one.
    pub key: BaseKey,
    /// Its config.
    pub config: Arc<ImageConfig>,
}

/// Which image, for which platform.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BaseKey {
    /// Where it comes from.
    pub source: BaseSource,
    /// The platform that is wanted.
    pub platform: Platform,
}

impl std::fmt::Display for BaseKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.source {
            BaseSource::Image(reference) => out.write_str(&reference.familiar()),
            BaseSource::Context(name) => write!(out, "context {name}"),
        }
    }
}

/// Where a base image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BaseSource {
    /// The store or a registry.
    Image(Reference),
    /// A named context that is an image of another kind, such as an OCI
    /// layout or another build: whoever gave the context knows which.
    Context(String),
}

/// A stage that the target needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageInfo {
    /// Its position among all stages of the file, from 0.
    pub number: usize,
    /// Its name; `stage-N` without one, as docker shows it.
    pub name: String,
    /// The platform that its steps run on.
    pub platform: Platform,
    /// How many steps it has.
    pub steps: usize,
}

/// A root file system at some point of the build.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Root {
    /// Nothing at all.
    Scratch,
    /// An image's.
    Base(BaseId),
    /// What a step left.
    Step(StepId),
    /// The tree of a named context.
    Context(String),
}

/// One node of the graph.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its number.
    pub id: StepId,
    /// Its stage: the position in [`BuildGraph::stages`].
    pub stage: usize,
    /// Its place among the steps of its stage, from 1.
    pub number: usize,
    /// The instruction's place in the Dockerfile, or that of the FROM whose
    /// image asked for it.
    pub span: Span,
    /// The instruction as written, on one line, for progress and errors.
    pub text: String,
    /// What the step changes.
    pub parent: Root,
    /// Whether its result may come from the cache.
    pub is_cached: bool,
    /// What it does.
    pub op: Op,
}

impl Step {
    /// Every root file system that it reads, its parent first.
    pub fn inputs(&self) -> impl Iterator<Item = &Root> {
        let more: Vec<&Root> = match &self.op {
            Op::Run(run) => run.mounts.iter().filter_map(RunMount::input).collect(),
            Op::Copy(copy) => copy.from.root().into_iter().collect(),
            Op::Workdir(_) => Vec::new(),
        };
        std::iter::once(&self.parent).chain(more)
    }
}

/// What a step does, with everything expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// RUN.
    Run(Run),
    /// COPY or ADD.
    Copy(Copy),
    /// WORKDIR.
    Workdir(Workdir),
}

/// A program that is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The program and its arguments; never empty.
    pub argv: Vec<String>,
    /// Its environment: the image's and the arguments that are in scope.
    pub env: IndexMap<String, String>,
    /// Proxy variables that it gets on top and that are no part of the step's identity.
    pub proxies: IndexMap<String, String>,
    /// Who runs it, as USER says; root when empty.
    pub user: String,
    /// Where it runs: an absolute path.
    pub cwd: String,
    /// What is mounted for it.
    pub mounts: Vec<RunMount>,
    /// Which network it sees.
    pub network: RunNetwork,
    /// How it is confined.
    pub security: RunSecurity,
    /// Devices that it asks for.
    pub devices: Vec<DeviceRequest>,
    /// Scripts that are put into `/dev/pipes`, read-only, under their names.
    pub files: Vec<InlineFile>,
}

/// The network of a RUN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RunNetwork {
    /// A network of its own with a way out.
    #[default]
    Default,
    /// Loopback alone.
    None,
    /// The host's; needs an entitlement.
    Host,
}

/// The confinement of a RUN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RunSecurity {
    /// As every container.
    #[default]
    Sandbox,
    /// With all privileges; needs an entitlement.
    Insecure,
}

/// `RUN --device`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRequest {
    /// Its CDI name.
    pub name: String,
    /// Whether the step fails without it.
    pub is_required: bool,
}

/// `RUN --mount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunMount {
    /// A tree, mounted for the step's time.
    Bind(BindMount),
    /// A folder that outlives builds.
    Cache(CacheMount),
    /// Memory.
    Tmpfs {
        /// Absolute path.
        target: String,
        /// Most bytes; unlimited without.
        size_bytes: Option<u64>,
    },
    /// A secret's value.
    Secret(SecretMount),
    /// An agent's socket.
    Ssh(SshMount),
}

impl RunMount {
    /// The root file system that it shows, if any.
    #[must_use]
    pub fn input(&self) -> Option<&Root> {
        match self {
            Self::Bind(bind) => bind.from.root(),
            Self::Cache(cache) => cache.from.as_ref().and_then(TreeSource::root),
            Self::Tmpfs { .. } | Self::Secret(_) | Self::Ssh(_) => None,
        }
    }
}

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TreeSource {
    /// The main context, less what its ignore file names.
    Context,
    /// A stage, an image or a named context.
    Root(Root),
}

impl TreeSource {
    /// The root file system, unless it is the main context.
    #[must_use]
    pub fn root(&self) -> Option<&Root> {
        match self {
            Self::Context => None,
            Self::Root(root) => Some(root),
        }
    }
}

/// `RUN --mount=type=bind`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindMount {
    /// Absolute path.
    pub target: String,
    /// The tree.
    pub from: TreeSource,
    /// Which part of it: a path from its root, without a slash in front; the
    /// whole when empty.
    pub source: String,
    /// Whether the step may write to it; what it writes is thrown away.
    pub is_writable: bool,
}

/// `RUN --mount=type=cache`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheMount {
    /// Absolute path.
    pub target: String,
    /// What it is known by in all builds.
    pub id: String,
    /// Whether the step may only read it.
    pub is_read_only: bool,
    /// What happens when two steps want it at once.
    pub sharing: Sharing,
    /// What it is filled with at first.
    pub from: Option<TreeSource>,
    /// Which part of that tree.
    pub source: String,
    /// The mode that it is made with.
    pub mode: u32,
    /// The owner that it is made with.
    pub uid: u32,
    /// The group that it is made with.
    pub gid: u32,
}

/// What happens when two steps want one cache mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Sharing {
    /// Both have it.
    #[default]
    Shared,
    /// The second gets another one.
    Private,
    /// The second waits.
    Locked,
}

/// `RUN --mount=type=secret`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretMount {
    /// Which secret.
    pub id: String,
    /// The file that has it: an absolute path; none when only a variable has it.
    pub target: Option<String>,
    /// The variable that has it.
    pub env: Option<String>,
    /// Whether the step fails without it.
    pub is_required: bool,
    /// The file's mode.
    pub mode: u32,
    /// The file's owner.
    pub uid: u32,
    /// The file's group.
    pub gid: u32,
}

/// `RUN --mount=type=ssh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshMount {
    /// Which agent.
    pub id: String,
    /// The socket: an absolute path.
    pub target: String,
    /// Whether the step fails without it.
    pub is_required: bool,
    /// The socket's mode.
    pub mode: u32,
    /// The socket's owner.
    pub uid: u32,
    /// The socket's group.
    pub gid: u32,
}

/// A file whose content stands in the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineFile {
    /// Its name.
    pub name: String,
    /// Its content.
    pub content: String,
}

/// COPY or ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Which of the two.
    pub kind: CopyKind,
    /// Where its paths are looked up.
    pub from: TreeSource,
    /// What is copied, in the order of the instruction. When this comes to
    /// more than one thing the destination must be or become a folder.
    pub sources: Vec<CopySource>,
    /// Where to: an absolute path, cleaned.
    pub dest: String,
    /// Whether the destination was written as a folder, with a slash at its end.
    pub is_dest_folder: bool,
    /// Who owns what is copied; root when none.
    pub owner: Option<Owner>,
    /// The mode of what is copied; its own when none.
    pub mode: Option<Mode>,
    /// Whether the copy is a layer of its own, made without a look at what lies below.
    pub is_linked: bool,
    /// Whether the parents of a source are kept.
    pub has_parents: bool,
    /// Patterns of what is left out, relative to each source's root.
    pub excludes: Vec<String>,
}

/// What ADD does beyond COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyKind {
    /// COPY: nothing.
    Copy,
    /// ADD.
    Add {
        /// Whether archives are unpacked; by default local ones are and
        /// downloaded ones are not.
        unpack: Option<bool>,
        /// What a downloaded file, or a git commit, must be.
        checksum: Option<Checksum>,
        /// Whether `.git` is kept.
        keeps_git: bool,
    },
}

/// What a download must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    /// A file's digest.
    Digest(Digest),
    /// The beginning of a commit's id, in lower-case hexadecimal.
    Commit(String),
}

/// One thing that is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopySource {
    /// A path or pattern from the root of the tree, cleaned and without a
    /// slash in front: `.` or empty is the whole tree. With `--parents` a
    /// `/./` in it says from where on the parents are kept.
    Path(String),
    /// A file of the Dockerfile's own.
    Inline(InlineFile),
    /// A file that is downloaded.
    Url(String),
    /// A repository.
    Git(GitSource),
}

/// A repository, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSource {
    /// Its address.
    pub remote: String,
    /// Branch, tag or commit; the default branch without.
    pub reference: Option<String>,
    /// A folder in it.
    pub folder: Option<String>,
    /// The beginning of the commit's id that it must have.
    pub commit: Option<String>,
    /// Whether its submodules are fetched.
    pub has_submodules: bool,
    /// Whether `.git` is kept, when the address says so.
    pub keeps_git: Option<bool>,
}

/// `--chown`: names or numbers, looked up in the stage's passwd and group files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// User.
    pub user: String,
    /// Group; the user's own without, and for a number without one in the
    /// passwd file the group of the same number.
    pub group: Option<String>,
}

/// WORKDIR: a folder that is made when it is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workdir {
    /// An absolute path.
    pub path: String,
    /// Who owns what is made, as USER says; root when empty.
    pub user: String,
}
