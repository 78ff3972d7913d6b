//! An engine with a busybox image, and builds on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use indexmap::IndexMap;
use rcompose::archive::{Merged, Packer};
use rcompose::build::{
    self, BuildRequest, Built, Cancel, Context, DockerfileSource, Failure, Goal, Pull, Surroundings,
};
use rcompose::dockerfile::Options;
use rcompose::event::{BuildEvent, BuildStream};
use rcompose::image::{self, Image, Import, Source};
use rcompose::oci::Platform;
use rcompose::store::Root;

use crate::support::container::{Engine, eventually};

/// An engine of one case.
pub(crate) struct Bench {
    pub(crate) root: Root,
    pub(crate) context: PathBuf,
    /// What the last build told.
    pub(crate) events: Mutex<Vec<BuildEvent>>,
}

impl Bench {
    /// With an image `busybox:latest` and an empty context.
    pub(crate) fn new() -> Self {
        let engine = Engine::new();
        let context = PathBuf::from("/tmp/context");
        fs::create_dir_all(&context).unwrap();
        let bench = Self {
            root: open_root(),
            context,
            events: Mutex::default(),
        };
        let mut packer = Packer::new(Vec::new());
        let merged = Merged::open([engine.base()]).unwrap();
        packer.tree(merged.root(), Path::new("")).unwrap();
        let tar = packer.finish().unwrap();
        let import = Import {
            name: Some("busybox:latest".parse().unwrap()),
            changes: vec!["CMD [\"sh\"]".parse().unwrap()],
            ..Import::default()
        };
        let source = Source::Stream(Box::new(std::io::Cursor::new(tar)));
        image::import(&bench.root, source, &import).unwrap();
        bench
    }

    /// Writes a file of the context.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.context.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Builds a Dockerfile's text as `app:latest`.
    pub(crate) fn build(&self, dockerfile: &str) -> Result<Built, Failure> {
        self.build_with(dockerfile, |_| {})
    }

    /// The same, with a request that was changed.
    pub(crate) fn build_with(
        &self,
        dockerfile: &str,
        change: impl FnOnce(&mut BuildRequest),
    ) -> Result<Built, Failure> {
        let mut request = request(dockerfile, &self.context);
        change(&mut request);
        self.run(std::slice::from_ref(&request)).remove(0)
    }

    /// Runs requests.
    pub(crate) fn run(&self, requests: &[BuildRequest]) -> Vec<Result<Built, Failure>> {
        self.events.lock().unwrap().clear();
        let cancel = Cancel::default();
        let tell = |event| self.events.lock().unwrap().push(event);
        build::run(
            requests,
            &Surroundings {
                root: &self.root,
                events: &tell,
                fetch: &|_, _, _| Ok(()),
                registry: &|| Err("there is none".into()),
                cancel: &cancel,
                jobs: 4,
                environment: Vec::new(),
            },
        )
    }

    /// What the programs of the last build wrote.
    pub(crate) fn output(&self) -> String {
        let mut text = Vec::new();
        for event in self.events.lock().unwrap().iter() {
            if let BuildEvent::Output {
                bytes,
                stream: BuildStream::Stdout | BuildStream::Stderr,
                ..
            } = event
            {
                text.extend_from_slice(bytes);
            }
        }
        String::from_utf8(text).unwrap()
    }

    /// A file of an image.
    pub(crate) fn read(&self, image: &Image, path: &str) -> Option<String> {
        let merged = image::merged(&self.root, &image.layers).unwrap();
        let file = merged.open_file(Path::new(path)).unwrap()?;
        Some(std::io::read_to_string(file).unwrap())
    }

    /// Every path of an image's topmost layer, sorted, with owner and mode.
    pub(crate) fn top_layer(&self, image: &Image) -> Vec<String> {
        let tree = image::layer_path(&self.root, image.layers.first().unwrap());
        let mut found = Vec::new();
        list(&tree, Path::new(""), &mut found);
        found.sort();
        found
    }
}

fn list(root: &Path, at: &Path, found: &mut Vec<String>) {
    use std::os::unix::fs::MetadataExt as _;
    for entry in fs::read_dir(root.join(at)).unwrap() {
        let entry = entry.unwrap();
        let path = at.join(entry.file_name());
        let metadata = entry.path().symlink_metadata().unwrap();
        let (mode, uid, gid) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
        found.push(format!("{} {uid}:{gid} {mode:o}", path.display()));
        if metadata.is_dir() {
            list(root, &path, found);
        }
    }
}

/// The engine's folders; the same for every process of a case.
pub(crate) fn open_root() -> Root {
    Root::open(Path::new("/tmp/root/state"), Path::new("/tmp/root/run")).unwrap()
}

/// A request for `app:latest`.
pub(crate) fn request(dockerfile: &str, context: &Path) -> BuildRequest {
    BuildRequest {
        name: "app".to_owned(),
        context: Context::Folder(context.to_owned()),
        dockerfile: DockerfileSource::Inline {
            text: dockerfile.to_owned(),
            name: PathBuf::from("Dockerfile"),
        },
        options: Options::new(Platform::host()),
        platforms: Vec::new(),
        contexts: IndexMap::new(),
        secrets: IndexMap::new(),
        ssh: IndexMap::new(),
        pull: Pull::Missing,
        names: vec!["app:latest".parse().unwrap()],
        exports: Vec::new(),
        cache_from: Vec::new(),
        cache_to: Vec::new(),
        goal: Goal::Image,
    }
}

/// What a failure says, with its causes.
pub(crate) fn words(failure: &Failure) -> String {
    let mut text = failure.error.to_string();
    let mut cause = std::error::Error::source(&failure.error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Whether nothing of an engine's is left on the host but its store.
pub(crate) fn assert_nothing_left(bench: &Bench) {
    let remains = || rcompose::network::observe::remains(bench.root.engine()).unwrap();
    // The kernel takes links away in its own time, once their namespace is gone.
    eventually("links are gone", || remains().is_empty());
    let left: Vec<_> = fs::read_dir(bench.root.ingest_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| !name.to_string_lossy().starts_with(".tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let run = bench.root.run_dir().join("builds");
    let left = fs::read_dir(run).unwrap().count();
    assert_eq!(left, 1, "only the door's lock");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains("/tmp/root"), "{mounts}");
}
