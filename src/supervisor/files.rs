//! Secrets and configs as files of the host, ready to be mounted.
//!
//! A file source without owner or mode is mounted as it is, so that an edit
//! shows in the container, as with Docker. Everything else is a copy in the
//! run tree with the owner and mode asked for.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::model::{
    ContainerId, ContainerRecord, FileMount, FileResource, FileSource, Project, Resource,
};
use crate::store::ProjectStore;
use crate::supervisor::Error;

/// Permission bits when the file says nothing.
const MODE_DEFAULT: u32 = 0o444;

/// Folder of a container's copies.
fn folder(store: &ProjectStore, id: &ContainerId) -> PathBuf {
    store.run_dir().join("files").join(id.as_str())
}

/// Makes the files of a container's secrets and configs; gives each file and
/// where it is mounted.
pub(crate) fn make(
    store: &ProjectStore,
    project: Option<&Project>,
    record: &ContainerRecord,
) -> Result<Vec<(PathBuf, String)>, Error> {
    let service = &record.service;
    if service.secrets.is_empty() && service.configs.is_empty() {
        return Ok(Vec::new());
    }
    let project = project.ok_or(Error::NoProject)?;
    let folder = folder(store, &record.id);
    let secrets = service
        .secrets
        .iter()
        .map(|mount| ("secret", mount, project.secrets.get(&mount.source)));
    let configs = service
        .configs
        .iter()
        .map(|mount| ("config", mount, project.configs.get(&mount.source)));
    let mut files = Vec::new();
    for (index, (what, mount, resource)) in secrets.chain(configs).enumerate() {
        let failed = |source: io::Error| Error::File {
            name: record.name.clone(),
            what,
            key: mount.source.to_string(),
            source,
        };
        let Some(Resource::Managed(resource)) = resource else {
            return Err(failed(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "unsupported external {what}: declare its `file`, `environment` or `content`"
                ),
            )));
        };
        let path = match (&resource.source, is_plain(mount)) {
            (FileSource::File(path), true) => {
                std::fs::metadata(path).map_err(failed)?;
                path.clone()
            }
            _ => {
                let bytes = content(resource, record, what, mount)?;
                let path = folder.join(index.to_string());
                copy(&folder, &path, &bytes, mount).map_err(failed)?;
                path
            }
        };
        files.push((path, mount.target.clone()));
    }
    Ok(files)
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

fn content(
    resource: &FileResource,
    record: &ContainerRecord,
    what: &'static str,
    mount: &FileMount,
) -> Result<Vec<u8>, Error> {
    match &resource.source {
        FileSource::File(path) => std::fs::read(path).map_err(|source| Error::File {
            name: record.name.clone(),
            what,
            key: mount.source.to_string(),
            source,
        }),
        FileSource::Content(text) => Ok(text.clone().into_bytes()),
        FileSource::Environment {
            value: Some(value), ..
        } => Ok(value.clone().into_bytes()),
        FileSource::Environment {
            variable,
            value: None,
        } => Err(Error::FileUnset {
            name: record.name.clone(),
            what,
            key: mount.source.to_string(),
            variable: variable.clone(),
        }),
    }
}

fn copy(folder: &Path, path: &Path, bytes: &[u8], mount: &FileMount) -> io::Result<()> {
    use std::io::Write as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let mut file = std::fs::File::options()
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
