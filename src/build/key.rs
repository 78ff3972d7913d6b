//! What makes two steps one: the key under which a step's result is kept.
//!
//! A key covers what the step does, the layers that it stands on and the
//! content of what it reads. It covers no time, no secret's value, no content
//! of a cache mount and no proxy variable.

use crate::build::stat_cache::FileDigest;
use crate::dockerfile::{
    Checksum, Copy, CopyKind, CopySource, GitSource, InlineFile, Op, Run, RunMount, RunNetwork,
    RunSecurity, RunSettings, Sharing, Step, Workdir,
};
use crate::oci::{Algorithm, Digest, Hasher, Platform};

/// Changes when a step of the same key would come to something else.
const VERSION: u64 = 2;

/// What a step reads besides the layers that it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// Files of this content.
    Content(FileDigest),
    /// A file from somewhere else.
    File(Digest),
    /// A repository at this commit.
    Commit(String),
    /// Whatever is named in these layers: a quick stand-in for their content.
    Layers(Option<Digest>),
}

/// What holds for all steps of a build.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surrounding<'a> {
    /// The time that everything made has, if one was given.
    pub(crate) epoch: Option<i64>,
    /// What holds for every RUN.
    pub(crate) run: &'a RunSettings,
    /// The platform that the step runs on.
    pub(crate) platform: &'a Platform,
}

/// The key of a step upon `parent`, its topmost layer below; `inputs` are what
/// it reads, in the order of its sources or mounts.
pub(crate) fn of(
    step: &Step,
    parent: Option<&Digest>,
    inputs: &[Input],
    around: Surrounding<'_>,
) -> Digest {
    let mut key = Maker(Hasher::new(Algorithm::Sha256));
    key.number(VERSION);
    key.optional(parent.map(ToString::to_string).as_deref());
    key.number(
        around
            .epoch
            .map_or(0, |epoch| epoch.cast_unsigned() ^ 1 << 63),
    );
    match &step.op {
        Op::Run(run) => key.run(run, around),
        Op::Copy(copy) => key.copy(copy),
        Op::Workdir(workdir) => key.workdir(workdir),
    }
    key.number(inputs.len() as u64);
    for input in inputs {
        match input {
            Input::Content(digest) => key.bytes(digest),
            Input::File(digest) => key.text(&digest.to_string()),
            Input::Commit(commit) => {
                key.text("commit");
                key.text(commit);
            }
            Input::Layers(top) => {
                key.text("layers");
                key.optional(top.as_ref().map(ToString::to_string).as_deref());
            }
        }
    }
    key.0.finish()
}

/// Takes values one after the other, each with its length, so that no two
/// lists of values look the same.
struct Maker(Hasher);

impl Maker {
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.number(u64::from(flag));
    }

    fn optional(&mut self, text: Option<&str>) {
        self.flag(text.is_some());
        self.text(text.unwrap_or_default());
    }

    fn pairs<'a>(&mut self, pairs: impl Iterator<Item = (&'a String, &'a String)>) {
        let mut sorted: Vec<_> = pairs.collect();
        sorted.sort();
        self.number(sorted.len() as u64);
        for (name, value) in sorted {
            self.text(name);
            self.text(value);
        }
    }

    fn run(&mut self, run: &Run, around: Surrounding<'_>) {
        self.text("run");
        self.text(&around.platform.to_string());
        self.number(run.argv.len() as u64);
        for word in &run.argv {
            self.text(word);
        }
        self.pairs(run.env.iter());
        self.text(&run.user);
        self.text(&run.cwd);
        self.text(match run.network {
            RunNetwork::Default => "default",
            RunNetwork::None => "none",
            RunNetwork::Host => "host",
        });
        self.text(match run.security {
            RunSecurity::Sandbox => "sandbox",
            RunSecurity::Insecure => "insecure",
        });
        self.number(run.devices.len() as u64);
        for device in &run.devices {
            self.text(&device.name);
        }
        self.files(&run.files);
        self.number(run.mounts.len() as u64);
        for mount in &run.mounts {
            self.mount(mount);
        }
        self.settings(around.run);
    }

    fn settings(&mut self, settings: &RunSettings) {
        self.number(settings.shm_bytes.unwrap_or_default());
        let mut limits: Vec<_> = settings.ulimits.iter().collect();
        limits.sort();
        self.number(limits.len() as u64);
        for (name, (soft, hard)) in limits {
            self.text(name);
            self.number(*soft);
            self.number(*hard);
        }
        self.number(settings.extra_hosts.len() as u64);
        for (name, address) in &settings.extra_hosts {
            self.text(name);
            self.text(address);
        }
    }

    fn mount(&mut self, mount: &RunMount) {
        match mount {
            RunMount::Bind(bind) => {
                self.text("bind");
                self.text(&bind.target);
                self.flag(bind.is_writable);
                self.flag(bind.from.root().is_some());
            }
            RunMount::Cache(cache) => {
                self.text("cache");
                self.text(&cache.target);
                self.text(&cache.id);
                self.flag(cache.is_read_only);
                self.text(match cache.sharing {
                    Sharing::Shared => "shared",
                    Sharing::Private => "private",
                    Sharing::Locked => "locked",
                });
            }
            RunMount::Tmpfs { target, size_bytes } => {
                self.text("tmpfs");
                self.text(target);
                self.number(size_bytes.unwrap_or_default());
            }
            RunMount::Secret(secret) => {
                self.text("secret");
                self.text(&secret.id);
                self.optional(secret.target.as_deref());
                self.optional(secret.env.as_deref());
                for number in [secret.mode, secret.uid, secret.gid] {
                    self.number(u64::from(number));
                }
            }
            RunMount::Ssh(ssh) => {
                self.text("ssh");
                self.text(&ssh.id);
                self.text(&ssh.target);
                for number in [ssh.mode, ssh.uid, ssh.gid] {
                    self.number(u64::from(number));
                }
            }
        }
    }

    fn copy(&mut self, copy: &Copy) {
        self.text("copy");
        match &copy.kind {
            CopyKind::Copy => self.text("copy"),
            CopyKind::Add {
                unpack,
                checksum,
                keeps_git,
            } => {
                self.text("add");
                self.text(match unpack {
                    None => "",
                    Some(true) => "unpack",
                    Some(false) => "keep",
                });
                match checksum {
                    None => self.text(""),
                    Some(Checksum::Digest(digest)) => self.text(&digest.to_string()),
                    Some(Checksum::Commit(commit)) => self.text(commit),
                }
                self.flag(*keeps_git);
            }
        }
        self.text(&copy.dest);
        self.flag(copy.is_dest_folder);
        match &copy.owner {
            None => self.text(""),
            Some(owner) => {
                self.text(&owner.user);
                self.optional(owner.group.as_deref());
            }
        }
        self.text(
            &copy
                .mode
                .as_ref()
                .map(|mode| format!("{mode:?}"))
                .unwrap_or_default(),
        );
        self.flag(copy.is_linked);
        self.flag(copy.has_parents);
        self.number(copy.excludes.len() as u64);
        for pattern in &copy.excludes {
            self.text(pattern);
        }
        self.number(copy.sources.len() as u64);
        for source in &copy.sources {
            self.source(source, copy);
        }
    }

    /// A path in layers may stand for its content, so it counts itself; that
    /// of a context doesn't, because its content does.
    fn source(&mut self, source: &CopySource, copy: &Copy) {
        match source {
            CopySource::Path(path) => {
                self.text("path");
                if copy.from.root().is_some() {
                    self.text(path);
                }
            }
            CopySource::Inline(file) => {
                self.text("inline");
                self.files(std::slice::from_ref(file));
            }
            CopySource::Url(url) => {
                self.text("url");
                self.text(url);
            }
            CopySource::Git(GitSource {
                remote,
                reference,
                folder,
                commit,
                has_submodules,
                keeps_git,
            }) => {
                self.text("git");
                self.text(remote);
                self.optional(reference.as_deref());
                self.optional(folder.as_deref());
                self.optional(commit.as_deref());
                self.flag(*has_submodules);
                self.flag(keeps_git.unwrap_or_default());
            }
        }
    }

    fn files(&mut self, files: &[InlineFile]) {
        self.number(files.len() as u64);
        for file in files {
            self.text(&file.name);
            self.text(&file.content);
        }
    }

    fn workdir(&mut self, workdir: &Workdir) {
        self.text("workdir");
        self.text(&workdir.path);
        self.text(&workdir.user);
    }
}
