//! Secrets and configs as files of the host, ready to be mounted.
//!
//! A file source without owner or mode is mounted as it is, so that an edit
//! shows in the container, as with Docker. Everything else is a copy in the
//! run tree with the owner and mode asked for.
//!
//! What is asked for is known at once; the files are read and written where
//! waiting hurts nobody, since a source may lie on a file system that hangs.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::model::{
    ContainerId, ContainerName, ContainerRecord, FileMount, FileSource, Project, Resource,
};
use crate::store::ProjectStore;
use crate::supervisor::Error;
use crate::sys;

/// Permission bits when the file says nothing.
const MODE_DEFAULT: u32 = 0o444;
/// Longest file that is copied.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Folder of a container's copies.
fn folder(store: &ProjectStore, id: &ContainerId) -> PathBuf {
    store.run_dir().join("files").join(id.as_str())
}

/// What a container's secrets and configs ask for, taken from the project;
/// nothing of it is read yet.
#[derive(Debug)]
pub(crate) struct Wanted {
    container: ContainerName,
    /// Where copies go.
    folder: PathBuf,
    files: Vec<WantedFile>,
}

#[derive(Debug)]
struct WantedFile {
    /// `secret` or `config`.
    what: &'static str,
    mount: FileMount,
    source: FileSource,
}

impl Wanted {
    /// The files of a container.
    ///
    /// # Errors
    /// [`Error::NoProject`], and [`Error::File`] for what the project doesn't
    /// say how to make.
    pub(crate) fn by(
        store: &ProjectStore,
        project: Option<&Project>,
        record: &ContainerRecord,
    ) -> Result<Self, Error> {
        let service = &record.service;
        let mut wanted = Self {
            container: record.name.clone(),
            folder: folder(store, &record.id),
            files: Vec::new(),
        };
        if service.secrets.is_empty() && service.configs.is_empty() {
            return Ok(wanted);
        }
        let project = project.ok_or(Error::NoProject)?;
        for (what, mounts, resources) in [
            ("secret", &service.secrets, &project.secrets),
            ("config", &service.configs, &project.configs),
        ] {
            for mount in mounts {
                let Some(Resource::Managed(resource)) = resources.get(&mount.source) else {
                    let reason = format!(
                        "unsupported external {what}: declare its `file`, `environment` or `content`"
                    );
                    return Err(Error::File {
                        name: wanted.container,
                        what,
                        key: mount.source.to_string(),
                        source: io::Error::new(io::ErrorKind::Unsupported, reason),
                    });
                };
                wanted.files.push(WantedFile {
                    what,
                    mount: mount.clone(),
                    source: resource.source.clone(),
                });
            }
        }
        Ok(wanted)
    }

    /// Whether there is nothing to make.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Makes the files; gives each one and where it is mounted. It may wait
    /// as long as the file system that a source lies on.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::FileUnset`].
    pub(crate) fn make(self) -> Result<Vec<(PathBuf, String)>, Error> {
        let mut made = Vec::new();
        for (index, file) in self.files.into_iter().enumerate() {
            let path = match (&file.source, is_plain(&file.mount)) {
                (FileSource::File(path), true) => {
                    std::fs::metadata(path).map_err(|error| file.failed(&self.container, error))?;
                    path.clone()
                }
                _ => {
                    let bytes = file.content(&self.container)?;
                    let path = self.folder.join(index.to_string());
                    copy(&self.folder, &path, &bytes, &file.mount)
                        .map_err(|error| file.failed(&self.container, error))?;
                    path
                }
            };
            made.push((path, file.mount.target));
        }
        Ok(made)
    }
}

impl WantedFile {
    fn content(&self, container: &ContainerName) -> Result<Vec<u8>, Error> {
        match &self.source {
            FileSource::File(path) => read(path).map_err(|error| self.failed(container, error)),
            FileSource::Content(text) => Ok(text.clone().into_bytes()),
            FileSource::Environment {
                value: Some(value), ..
            } => Ok(value.clone().into_bytes()),
            FileSource::Environment {
                variable,
                value: None,
            } => Err(Error::FileUnset {
                name: container.clone(),
                what: self.what,
                key: self.mount.source.to_string(),
                variable: variable.clone(),
            }),
        }
    }

    fn failed(&self, container: &ContainerName, source: io::Error) -> Error {
        let source = match &self.source {
            FileSource::File(path) => {
                io::Error::new(source.kind(), format!("{}: {source}", path.display()))
            }
            FileSource::Content(_) | FileSource::Environment { .. } => source,
        };
        Error::File {
            name: container.clone(),
            what: self.what,
            key: self.mount.source.to_string(),
            source,
        }
    }
}

/// Removes a container's copies.
pub(crate) fn remove(store: &ProjectStore, id: &ContainerId) {
    let folder = folder(store, id);
    if let Err(error) = std::fs::remove_dir_all(&folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, container = id.short(), "copies of secrets were not removed");
    }
}

fn is_plain(mount: &FileMount) -> bool {
    mount.uid.is_none() && mount.gid.is_none() && mount.mode.is_none()
}

/// Reads a file that is to be copied, without waiting for it.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let Some(file) = sys::fs::open_regular(path)? else {
        let reason = "it is not a regular file, and can't be given an owner or a mode";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        let reason = format!("it is longer than {} MiB", FILE_BYTES_MAX >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

fn copy(folder: &Path, path: &Path, bytes: &[u8], mount: &FileMount) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    let number = |text: &Option<String>| match text.as_deref() {
        None => Ok(None),
        Some(text) => text.parse::<u32>().map(Some).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{text:?} is not a user or group number"),
            )
        }),
    };
    std::os::unix::fs::fchown(
        &file,
        number(&mount.uid)?.or(Some(0)),
        number(&mount.gid)?.or(Some(0)),
    )?;
    file.set_permissions(std::fs::Permissions::from_mode(
        mount.mode.unwrap_or(MODE_DEFAULT),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_end_are_copied() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "secret").unwrap();
        assert_eq!(read(&path).unwrap(), b"secret");
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for endless in [fifo.as_path(), Path::new("/dev/zero")] {
            let error = read(endless).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{endless:?}");
        }
        let long = File::create(&path).unwrap();
        long.set_len(FILE_BYTES_MAX).unwrap();
        assert!(read(&path).is_ok());
        long.set_len(FILE_BYTES_MAX + 1).unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.to_string(), "it is longer than 16 MiB");
    }
}
