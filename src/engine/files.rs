//! A container's files from outside: `cp` and `export`.
//!
//! A running container's are reached through its first process's root, with
//! everything that is mounted there; a stopped one's are put together for the
//! time of the copy. Either way a path is resolved step by step inside the
//! root, so no link in a container leads out of it.

mod diff;
mod mirror;

use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

pub use self::diff::{Change, diff};
pub use crate::archive::Owner;
use crate::archive::{
    self, CopyRules, Folder, Found, InTheWay, Limits, Merged, Packer, Rights, copy_content,
    copy_entry,
};
use crate::model::{
    BundleMount, ContainerRecord, ContainerState, MountRecord, ObservedContainer, RootFilesystem,
};
use crate::oci;
use crate::runtime;
use crate::snapshot::{self, Snapshot};
use crate::store::Root;
use crate::sys::process;
use crate::sys::tree;

/// Largest passwd or group file that is looked into.
const PASSWD_BYTES_MAX: u64 = 4 << 20;

/// Why files can't be copied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tree's files can't be reached.
    #[error("files of {name}")]
    Reach {
        /// Whose.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A stopped container's files can't be put together.
    #[error("files of container {name}")]
    Visit {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: runtime::Error,
    },
    /// A container's layers can't be had.
    #[error("layers of container {name}")]
    Layers {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: snapshot::Error,
    },
    /// A container's record names a layer that can't be.
    #[error("layers of container {name}")]
    Layer {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: oci::Error,
    },
    /// What is to be copied isn't there.
    #[error("Could not find the file {} {whose}", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
        /// `in container NAME`, or `on this host`.
        whose: String,
    },
    /// The copy has nowhere to go.
    #[error("invalid output path: directory {:?} does not exist {whose}", path)]
    NoFolder {
        /// The folder.
        path: PathBuf,
        /// `in container NAME`, or `on this host`.
        whose: String,
    },
    /// A folder can't take a file's place.
    #[error("cannot copy directory onto file {}", path.display())]
    FolderOntoFile {
        /// The file.
        path: PathBuf,
    },
    /// A path that must be a folder isn't.
    #[error("{} is not a directory {whose}", path.display())]
    NotFolder {
        /// The path.
        path: PathBuf,
        /// `in container NAME`, or `on this host`.
        whose: String,
    },
    /// A path can't be looked up.
    #[error("look-up of {} {whose}", path.display())]
    LookUp {
        /// The path.
        path: PathBuf,
        /// `in container NAME`, or `on this host`.
        whose: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The container's user isn't in its own files.
    #[error("user of container {name}: {reason}")]
    User {
        /// Its name.
        name: String,
        /// What is missing.
        reason: String,
    },
    /// The copy itself failed.
    #[error(transparent)]
    Archive(#[from] archive::Error),
}

/// A tree of files: a container's or the host's.
#[derive(Debug)]
pub struct Files {
    root: Rc<OwnedFd>,
    tree: Merged,
    /// Whose, for messages.
    whose: String,
    is_host: bool,
}

/// Something to be copied.
#[derive(Debug)]
pub struct Source {
    found: Found,
    /// Its name at the target; None when a folder's content is meant.
    name: Option<OsString>,
}

impl Files {
    fn new(root: BorrowedFd<'_>, whose: String) -> io::Result<Self> {
        let root = Rc::new(root.try_clone_to_owned()?);
        Ok(Self {
            tree: Merged::open::<&Path>([])?.under(Rc::clone(&root)),
            root,
            whose,
            is_host: false,
        })
    }

    /// The host's own files.
    ///
    /// # Errors
    /// [`Error::Reach`].
    pub fn of_host() -> Result<Self, Error> {
        let opened = tree::open_root(Path::new("/"))
            .and_then(|root| Self::new(root.as_fd(), "on this host".to_owned()));
        let files = opened.map_err(|source| Error::Reach {
            name: "this host".to_owned(),
            source,
        })?;
        Ok(Self {
            is_host: true,
            ..files
        })
    }

    /// What a path means as something to copy: `folder/.` is the folder's
    /// content. A link at its end is followed when `follows`, or when the path
    /// ends in a slash.
    ///
    /// # Errors
    /// [`Error::NotFound`] and [`Error::LookUp`].
    pub fn source(&self, path: &Path, follows: bool) -> Result<Source, Error> {
        let ending = Ending::of(path);
        let found = self
            .look_up(path, follows || ending != Ending::Plain)?
            .ok_or_else(|| Error::NotFound {
                path: path.to_owned(),
                whose: self.whose.clone(),
            })?;
        if ending != Ending::Plain && !matches!(found, Found::Folder(_)) {
            return Err(self.not_folder(path));
        }
        let name = match ending {
            Ending::Content => None,
            Ending::Plain | Ending::Slash => last_name(path),
        };
        Ok(Source { found, name })
    }

    /// The folder at a path.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotFolder`] and [`Error::LookUp`].
    pub fn folder(&self, path: &Path) -> Result<Folder, Error> {
        match self.look_up(path, true)? {
            Some(Found::Folder(folder)) => Ok(folder),
            Some(Found::File { .. }) => Err(self.not_folder(path)),
            None => Err(Error::NotFound {
                path: path.to_owned(),
                whose: self.whose.clone(),
            }),
        }
    }

    fn look_up(&self, path: &Path, follows: bool) -> Result<Option<Found>, Error> {
        let found = self.tree.find(path, follows);
        let found = found.map_err(|source| Error::LookUp {
            path: path.to_owned(),
            whose: self.whose.clone(),
            source,
        })?;
        Ok(found.map(|(_, found)| found))
    }

    fn not_folder(&self, path: &Path) -> Error {
        Error::NotFolder {
            path: path.to_owned(),
            whose: self.whose.clone(),
        }
    }

    /// Puts a copy of `source` at `path`: into it when it is a folder, else
    /// under that name.
    ///
    /// # Errors
    /// When there is no place for it, or the copy fails half-way.
    pub fn put(&self, source: &Source, path: &Path, owner: Owner) -> Result<(), Error> {
        let rules = CopyRules {
            owner,
            in_the_way: InTheWay::OfTheSameKind,
            rights: match (self.is_host, owner) {
                // What comes out of a container, unless all of it is wanted as it is.
                (true, Owner::Given(..)) => Rights::Harmless,
                (true, Owner::Original) | (false, _) => Rights::Kept,
            },
        };
        let is_folder = matches!(source.found, Found::Folder(_));
        match self.look_up(path, true)? {
            Some(Found::Folder(target)) => {
                let target = target.top().map_err(|error| self.lost(path, error))?;
                match (&source.found, &source.name) {
                    (Found::Folder(content), None) => {
                        copy_content(content, target.as_fd(), rules)?;
                    }
                    (found, Some(name)) => copy_entry(found, target.as_fd(), name, rules)?,
                    (Found::File { name, .. }, None) => {
                        copy_entry(&source.found, target.as_fd(), name, rules)?;
                    }
                }
                Ok(())
            }
            Some(Found::File { .. }) if is_folder => Err(Error::FolderOntoFile {
                path: path.to_owned(),
            }),
            Some(Found::File { .. }) if Ending::of(path) != Ending::Plain => {
                Err(self.not_folder(path))
            }
            Some(Found::File { parent, name, .. }) => {
                copy_entry(&source.found, parent.as_fd(), &name, rules)?;
                Ok(())
            }
            None => self.put_new(source, path, is_folder, rules),
        }
    }

    /// Puts a copy where nothing is yet.
    fn put_new(
        &self,
        source: &Source,
        path: &Path,
        is_folder: bool,
        rules: CopyRules,
    ) -> Result<(), Error> {
        let missing = |path: &Path| Error::NoFolder {
            path: path.to_owned(),
            whose: self.whose.clone(),
        };
        if Ending::of(path) != Ending::Plain && !is_folder {
            return Err(missing(path));
        }
        let parent = path.parent().unwrap_or(Path::new("/"));
        let Some(name) = last_name(path) else {
            return Err(missing(path));
        };
        let Some(Found::Folder(folder)) = self.look_up(parent, true)? else {
            return Err(missing(parent));
        };
        let target = folder.top().map_err(|error| self.lost(parent, error))?;
        copy_entry(&source.found, target.as_fd(), &name, rules)?;
        Ok(())
    }

    fn lost(&self, path: &Path, source: io::Error) -> Error {
        Error::LookUp {
            path: path.to_owned(),
            whose: self.whose.clone(),
            source,
        }
    }

    /// Writes a source as a tar archive.
    ///
    /// # Errors
    /// When something can't be read or written.
    pub fn pack(&self, source: &Source, out: impl Write) -> Result<(), Error> {
        let mut packer = Packer::new(out);
        let name = source.name.clone().unwrap_or_default();
        packer.entry(&source.found, Path::new(&name))?;
        let mut out = packer.finish()?;
        out.flush()
            .map_err(|error| self.lost(Path::new("-"), error))
    }

    /// Puts the entries of a tar archive into the folder at `path`.
    ///
    /// # Errors
    /// When the folder isn't there, or the archive or its content is refused.
    pub fn unpack(&self, path: &Path, archive: impl BufRead, owner: Owner) -> Result<(), Error> {
        self.folder(path)?;
        archive::unpack(archive, self.root.as_fd(), path, owner, Limits::default())?;
        Ok(())
    }

    /// The numbers of a container's user, from its own files.
    ///
    /// # Errors
    /// [`Error::User`].
    pub fn owner(&self, record: &ContainerRecord) -> Result<Owner, Error> {
        let text = |path: &str| self.text(Path::new(path)).unwrap_or_default();
        let (passwd, group) = (text("/etc/passwd"), text("/etc/group"));
        let (uid, gid) =
            runtime::owner_of(&record.user, &passwd, &group).map_err(|reason| Error::User {
                name: record.name.to_string(),
                reason,
            })?;
        Ok(Owner::Given(uid, gid))
    }

    fn text(&self, path: &Path) -> io::Result<String> {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        if let Some(file) = self.tree.open_file(path)? {
            file.take(PASSWD_BYTES_MAX).read_to_end(&mut bytes)?;
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// How a path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// In a name.
    Plain,
    /// In a slash: a folder is meant.
    Slash,
    /// In `/.`, or nowhere below the root: a folder's content is meant.
    Content,
}

impl Ending {
    fn of(path: &Path) -> Self {
        use std::os::unix::ffi::OsStrExt as _;
        let bytes = path.as_os_str().as_bytes();
        if bytes.ends_with(b"/.") || bytes == b"." || last_name(path).is_none() {
            Self::Content
        } else if bytes.ends_with(b"/") {
            Self::Slash
        } else {
            Self::Plain
        }
    }
}

/// The name that a copy of the path gets; None for the root.
fn last_name(path: &Path) -> Option<OsString> {
    match path.components().next_back() {
        Some(Component::Normal(name)) => Some(name.to_owned()),
        _ => None,
    }
}

/// Gives `work` a container's files.
///
/// # Errors
/// When they can't be reached; the work isn't begun then.
pub fn visit<T: Send>(
    root: &Root,
    container: &ObservedContainer,
    work: impl FnOnce(&Files) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let record = &container.record;
    let name = || record.name.to_string();
    let whose = format!("in container {}", record.name);
    let reach = |source| Error::Reach {
        name: whose.trim_start_matches("in ").to_owned(),
        source,
    };
    if let ContainerState::Running { process, .. } | ContainerState::Paused { process, .. } =
        &container.state
    {
        let path = format!("/proc/{}/root", process.pid);
        let inside = tree::open_root(Path::new(&path)).map_err(reach)?;
        // The number may have passed to another process meanwhile.
        if !process::is_alive(process) {
            return Err(reach(io::Error::other("the container has just ended")));
        }
        return work(&Files::new(inside.as_fd(), whose.clone()).map_err(reach)?);
    }
    let place = Snapshot::inside(&root.project(&record.project).container_dir(&record.id));
    let filesystem = RootFilesystem {
        lowers: lowers(root, record)?,
        upper: place.upper,
        work: place.work,
        mount_point: place.mount_point,
        read_only: false,
        volatile: false,
    };
    let mounts: Vec<BundleMount> = record.mounts.iter().filter_map(bind).collect();
    let visited = runtime::visit(&filesystem, &mounts, |inside| {
        work(&Files::new(inside, whose.clone()).map_err(reach)?)
    });
    visited.map_err(|source| Error::Visit {
        name: name(),
        source,
    })?
}

/// The folder that has what a container wrote to its root file system, as
/// overlay keeps it.
#[must_use]
pub fn writes(root: &Root, record: &ContainerRecord) -> PathBuf {
    Snapshot::inside(&root.project(&record.project).container_dir(&record.id)).upper
}

/// Writes everything that a container's root file system holds as a tar
/// archive, running or not; what is mounted in it isn't part of it.
///
/// # Errors
/// When something can't be read or written.
pub fn export<W: Write>(root: &Root, container: &ObservedContainer, out: W) -> Result<W, Error> {
    let record = &container.record;
    let layers = std::iter::once(writes(root, record)).chain(lowers(root, record)?);
    let tree = Merged::open(layers).map_err(|source| Error::Reach {
        name: format!("container {}", record.name),
        source,
    })?;
    let mut packer = Packer::new(out);
    packer.tree(tree.root(), Path::new(""))?;
    Ok(packer.finish()?)
}

/// The trees of a container's layers, topmost first.
fn lowers(root: &Root, record: &ContainerRecord) -> Result<Vec<PathBuf>, Error> {
    let name = || record.name.to_string();
    let layers: Vec<oci::Digest> = record
        .layers
        .iter()
        .map(|layer| layer.parse())
        .collect::<Result<_, _>>()
        .map_err(|source| Error::Layer {
            name: name(),
            source,
        })?;
    snapshot::lowers(root, &layers).map_err(|source| Error::Layers {
        name: name(),
        source,
    })
}

/// A mount that a stopped container has files in.
fn bind(mount: &MountRecord) -> Option<BundleMount> {
    let source = mount.source.clone().filter(|source| source.exists())?;
    Some(BundleMount::Bind {
        source,
        subpath: None,
        target: mount.target.clone(),
        read_only: mount.read_only,
        recursive: true,
        submounts_writable: false,
        propagation: None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, create_dir_all, read_to_string, write};

    use super::*;

    fn files(path: &Path) -> Files {
        let root = tree::open_root(path).unwrap();
        Files::new(root.as_fd(), "in container web-1".to_owned()).unwrap()
    }

    /// Copies between two trees as `cp` would; gives the error's text.
    fn copy(from: &Path, source: &str, to: &Path, target: &str) -> Result<(), String> {
        let (from, to) = (files(from), files(to));
        from.source(Path::new(source), false)
            .and_then(|source| to.put(&source, Path::new(target), Owner::Original))
            .map_err(|error| match std::error::Error::source(&error) {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            })
    }

    #[test]
    fn a_copy_goes_where_docker_s_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        create_dir_all(from.join("d/sub")).unwrap();
        create_dir_all(to.join("there")).unwrap();
        write(from.join("d/f"), "f").unwrap();
        write(to.join("file"), "old").unwrap();
        let there = |path: &str| to.join(path).exists();
        copy(&from, "/d/f", &to, "/there").unwrap();
        assert!(there("there/f"), "into a folder");
        copy(&from, "d/f", &to, "/file").unwrap();
        assert_eq!(read_to_string(to.join("file")).unwrap(), "f", "onto a file");
        copy(&from, "/d/f", &to, "/there/named").unwrap();
        assert!(there("there/named"), "under a name");
        copy(&from, "/d", &to, "/there").unwrap();
        assert!(
            there("there/d/f") && there("there/d/sub"),
            "a folder into a folder"
        );
        copy(&from, "/d", &to, "/new").unwrap();
        assert!(there("new/f"), "a folder under a name");
        copy(&from, "/d/.", &to, "/there").unwrap();
        assert!(there("there/sub"), "a folder's content");
        copy(&from, "/.", &to, "/all/").unwrap();
        assert!(there("all/d/f"), "everything");
    }

    #[test]
    fn what_cannot_be_is_said_in_docker_s_words() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        create_dir_all(from.join("d")).unwrap();
        create_dir_all(to.join("there/f")).unwrap();
        write(from.join("f"), "f").unwrap();
        write(to.join("file"), "old").unwrap();
        for (source, target, words) in [
            (
                "/no",
                "/there",
                "Could not find the file /no in container web-1",
            ),
            ("/f/", "/there", "/f/ is not a directory in container web-1"),
            ("/d", "/file", "cannot copy directory onto file /file"),
            (
                "/f",
                "/file/",
                "/file/ is not a directory in container web-1",
            ),
            (
                "/f",
                "/no/f",
                "invalid output path: directory \"/no\" does not exist in container web-1",
            ),
            (
                "/f",
                "/no/",
                "invalid output path: directory \"/no/\" does not exist in container web-1",
            ),
            (
                "/f",
                "/there",
                "copy \"f\": cannot overwrite directory with non-directory",
            ),
        ] {
            assert_eq!(
                copy(&from, source, &to, target),
                Err(words.to_owned()),
                "{source} {target}"
            );
        }
        assert_eq!(read_to_string(to.join("file")).unwrap(), "old");
    }

    #[test]
    fn links_stay_inside_and_are_followed_when_asked() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        create_dir_all(from.join("etc")).unwrap();
        create_dir_all(&to).unwrap();
        write(from.join("etc/passwd"), "inside").unwrap();
        symlink("/etc/passwd", from.join("l")).unwrap();
        symlink("/etc", from.join("e")).unwrap();
        copy(&from, "/l", &to, "/l").unwrap();
        assert!(to.join("l").is_symlink());
        copy(&from, "/e/passwd", &to, "/p").unwrap();
        assert_eq!(read_to_string(to.join("p")).unwrap(), "inside");
        let source = files(&from).source(Path::new("/l"), true).unwrap();
        files(&to)
            .put(&source, Path::new("/q"), Owner::Original)
            .unwrap();
        assert_eq!(read_to_string(to.join("q")).unwrap(), "inside");
        assert!(fs::symlink_metadata(to.join("q")).unwrap().is_file());
    }

    #[test]
    fn a_container_s_user_is_looked_up_in_its_own_files() {
        let dir = tempfile::tempdir().unwrap();
        create_dir_all(dir.path().join("etc")).unwrap();
        write(dir.path().join("etc/passwd"), "web:x:33:44::/:/bin/sh\n").unwrap();
        let files = files(dir.path());
        let mut record = crate::view::testing::container(ContainerState::Created).record;
        record.user = "web".to_owned();
        assert_eq!(files.owner(&record).unwrap(), Owner::Given(33, 44));
        record.user = "nobody".to_owned();
        assert!(
            files
                .owner(&record)
                .unwrap_err()
                .to_string()
                .contains("unable to find user nobody")
        );
    }
}
