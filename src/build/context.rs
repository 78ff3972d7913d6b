//! Opens contexts: a folder stays where it is, an archive is unpacked into the
//! run's workshop; finds the Dockerfile and its ignore file.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive::{self, Extractor, Limits, Merged};
use crate::build::git::Asking;
use crate::build::request::{BuildRequest, Context, ContextArchive, DockerfileSource};
use crate::build::shared::Shared;
use crate::build::tree::{HostTree, Tree};
use crate::build::{Error, unpack};
use crate::dockerfile::{self, DOCKERFILE_BYTES_MAX, GitSource, IGNORE_BYTES_MAX, Ignore};
use crate::image::Workshop;
use crate::sys::tree;

/// The name of an ignore file, and of the default Dockerfile.
const IGNORE: &str = ".dockerignore";
/// The build argument that keeps `.git` of a context.
const KEEP_GIT: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";

/// A context that files can be taken from.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    /// Its files.
    pub(crate) tree: Tree,
    /// Where it is.
    pub(crate) root: PathBuf,
    /// Whether it is a folder of the user's, whose files may be known from
    /// an earlier build.
    pub(crate) is_folder: bool,
    /// The Dockerfile, when the context was nothing else.
    dockerfile: Option<Text>,
}

/// A Dockerfile's text.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    /// As it is.
    pub(crate) text: Arc<str>,
    /// What messages call it.
    pub(crate) name: Arc<PathBuf>,
}

/// Opens a context without any ignore rules yet.
pub(crate) fn open(
    context: &Context,
    request: &BuildRequest,
    shared: &Shared<'_>,
) -> Result<Opened, Error> {
    let (workshop, cancel) = (&shared.workshop, &shared.cancel);
    let mut alone = None;
    let (root, is_folder) = match context {
        Context::Folder(path) => (folder(path)?, true),
        Context::Empty => (empty(workshop)?, false),
        Context::Archive(archive) => (unpack(archive, workshop)?, false),
        Context::Remote(url) if dockerfile::is_repository(url) => {
            let git = dockerfile::repository(url).map_err(|reason| Error::Remote {
                what: "repository",
                url: url.clone(),
                reason,
            })?;
            let keeps = git.keeps_git.unwrap_or_else(|| keeps_git(request));
            let asking = Asking::new(&git, request, shared, &shared.cancel)?;
            let root = asking.tree(keeps)?;
            check_commit(&git, &asking.commit()?)?;
            (root, false)
        }
        Context::Remote(url) => {
            let fetched = shared.downloads.fetch(url, workshop, cancel)?;
            let mut file = fetched.open()?;
            let place = empty(workshop)?;
            if unpack::is_archive(&mut file, url)? {
                extract(file, &place, url)?;
            } else {
                // A Dockerfile that comes alone.
                alone = Some(read_text(file, Path::new(url), DOCKERFILE_BYTES_MAX)?);
            }
            (place, false)
        }
    };
    Ok(Opened {
        tree: host(&root, Ignore::default()),
        root,
        is_folder,
        dockerfile: alone,
    })
}

/// Whether the context keeps `.git`, as a build argument may say.
fn keeps_git(request: &BuildRequest) -> bool {
    let asked = request.options.build_args.get(KEEP_GIT);
    asked.is_some_and(|value| matches!(value.as_str(), "1" | "true"))
}

/// Sees that a repository is at the commit that its address promises.
fn check_commit(git: &GitSource, found: &str) -> Result<(), Error> {
    match git.commit.as_deref() {
        Some(expected) if !found.starts_with(expected) => Err(Error::Checksum {
            url: git.remote.clone(),
            expected: expected.to_owned(),
            found: found.to_owned(),
        }),
        Some(_) | None => Ok(()),
    }
}

fn host(root: &Path, ignore: Ignore) -> Tree {
    Tree::Host(HostTree {
        root: root.to_owned(),
        ignore: Arc::new(ignore),
        keeps_owners: false,
    })
}

fn folder(path: &Path) -> Result<PathBuf, Error> {
    let unable = |what: String, source| Error::Context {
        what,
        source: Some(source),
    };
    let real = std::fs::canonicalize(path)
        .map_err(|source| unable(format!("path {:?} not found", path.display()), source))?;
    if !real.is_dir() {
        return Err(Error::Context {
            what: format!("path {:?} is no folder", path.display()),
            source: None,
        });
    }
    Ok(real)
}

fn empty(workshop: &Workshop) -> Result<PathBuf, Error> {
    let place = workshop.place("context");
    std::fs::create_dir(&place).map_err(Error::io("create", &place))?;
    Ok(place)
}

fn unpack(archive: &ContextArchive, workshop: &Workshop) -> Result<PathBuf, Error> {
    let place = empty(workshop)?;
    match archive {
        ContextArchive::File(path) => {
            let file = File::open(path).map_err(Error::io("open", path))?;
            extract(file, &place, &path.display().to_string())?;
        }
        ContextArchive::Stream(stream) => {
            let mut stream = stream
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            extract(&mut *stream, &place, "context")?;
        }
    }
    Ok(place)
}

/// Unpacks an archive, plain or compressed, into an empty folder.
pub(crate) fn extract(source: impl Read + Send, place: &Path, name: &str) -> Result<(), Error> {
    let failed = |source| Error::Unpack {
        name: name.to_owned(),
        source,
    };
    let read = |source| failed(archive::Error::Read(source));
    let (_, plain) = archive::decoder(source).map_err(read)?;
    let limits = Limits::default();
    let limited = plain.take(limits.bytes_max);
    let unsettled = Extractor::extract(BufReader::new(limited), place, limits).map_err(failed)?;
    let nothing = Merged::open::<&Path>([]).map_err(read)?;
    archive::settle(unsettled, &nothing).map_err(failed)
}

impl Opened {
    /// Reads the Dockerfile, and makes its ignore file hold for the tree.
    pub(crate) fn dockerfile(&mut self, source: &DockerfileSource) -> Result<Text, Error> {
        if let Some(alone) = self.dockerfile.take() {
            return Ok(alone);
        }
        let text = match source {
            DockerfileSource::Inline { text, name } => Text {
                text: Arc::from(text.as_str()),
                name: Arc::new(name.clone()),
            },
            DockerfileSource::File(path) => {
                let missing = || Error::NoDockerfile(path.display().to_string());
                let file = match File::open(path) {
                    Ok(file) => file,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        return Err(missing());
                    }
                    Err(error) => return Err(Error::io("read", path)(error)),
                };
                read_text(file, path, DOCKERFILE_BYTES_MAX)?
            }
            DockerfileSource::InContext(name) => {
                let file = self.file(Path::new(name))?;
                let file = file.ok_or_else(|| Error::NoDockerfile(name.clone()))?;
                read_text(file, Path::new(name), DOCKERFILE_BYTES_MAX)?
            }
        };
        self.ignore(source)?;
        Ok(text)
    }

    /// The rules of `<Dockerfile>.dockerignore`, else of `.dockerignore` in
    /// the context.
    fn ignore(&mut self, source: &DockerfileSource) -> Result<(), Error> {
        let beside = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(IGNORE);
            PathBuf::from(name)
        };
        let own = match source {
            DockerfileSource::File(path) => {
                let path = beside(path);
                match File::open(&path) {
                    Ok(file) => Some((file, path)),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                    // `-f <(…)` and `-f /dev/stdin` have nothing beside them.
                    Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => None,
                    Err(error) => return Err(Error::io("read", &path)(error)),
                }
            }
            DockerfileSource::InContext(name) => {
                let path = beside(Path::new(name));
                self.file(&path)?.map(|file| (file, path))
            }
            DockerfileSource::Inline { .. } => None,
        };
        match own {
            Some((file, path)) => self.obey(file, &path),
            None => self.own_ignore(),
        }
    }

    /// Makes the tree's own ignore file hold.
    pub(crate) fn own_ignore(&mut self) -> Result<(), Error> {
        let path = PathBuf::from(IGNORE);
        if let Some(file) = self.file(&path)? {
            self.obey(file, &path)?;
        }
        Ok(())
    }

    fn obey(&mut self, file: File, path: &Path) -> Result<(), Error> {
        let text = read_text(file, path, IGNORE_BYTES_MAX)?;
        let ignore = Ignore::parse(&text.text, &text.name).map_err(Error::Diagnostics)?;
        self.tree = host(&self.root, ignore);
        Ok(())
    }

    /// A regular file of the context, links followed inside it.
    fn file(&self, path: &Path) -> Result<Option<File>, Error> {
        let root = tree::open_root(&self.root).map_err(Error::io("open", &self.root))?;
        let relative = path.strip_prefix("/").unwrap_or(path);
        match tree::open_file_in_root(root.as_fd(), relative) {
            Ok(file) => {
                let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
                Ok(Some(file).filter(|_| is_file))
            }
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }
}

fn read_text(file: File, path: &Path, bytes_max: usize) -> Result<Text, Error> {
    let mut bytes = Vec::new();
    let limit = bytes_max as u64;
    let read = file.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(Error::io("read", path))?;
    if bytes.len() > bytes_max {
        let reason = format!("it has more than {bytes_max} bytes");
        return Err(Error::io("read", path)(std::io::Error::other(reason)));
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::io("read", path)(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "it isn't UTF-8 text",
        ))
    })?;
    Ok(Text {
        text: Arc::from(text),
        name: Arc::new(path.to_owned()),
    })
}
