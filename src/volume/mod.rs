//! Named and anonymous volumes: `volumes/<name>/{_data, record}`.
//!
//! A volume is whatever is in its folder: one whose record is lost is adopted
//! as it is, and never deleted for that. Which containers use a volume and
//! when one goes is the caller's to know; mounting it in a container is the
//! runtime's.

mod backing;
mod bind;
mod fill;
mod record;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;

use crate::archive;
use crate::model::{ObservedVolume, Volume};
use crate::store::record as records;
use crate::store::{self, FileLock, Root};
use crate::sys::{birth, mount, tree};

use backing::Backing;
use record::VolumeRecord;

pub use bind::ensure_bind_source;
pub use fill::copy_up;

/// The volume's content.
const DATA: &str = "_data";
/// The volume's record.
const RECORD: &str = "record";
/// The lock that is held while volumes come and go.
const DOOR: &str = ".tmp-door";
/// A volume that is being made.
const COMING: &str = ".tmp-coming";
/// Prefix of volumes on their way out.
const LEAVING: &str = ".tmp-leaving-";
/// Docker's label of volumes that belong to one container.
const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";

/// Why a volume could not be made, found, filled or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that no volume can have.
    #[error(
        "volume name {0:?} is invalid: a letter or digit, then letters, digits, `_`, `.` or `-`"
    )]
    Name(String),
    /// There is no such volume.
    #[error("no such volume: {0}")]
    NotFound(String),
    /// A driver that isn't there.
    #[error("volume {volume}: driver {driver:?} isn't supported, only \"local\" is")]
    Driver {
        /// The volume.
        volume: String,
        /// Its driver.
        driver: String,
    },
    /// Driver options that make no sense.
    #[error("volume {volume}: {reason}")]
    Options {
        /// The volume.
        volume: String,
        /// What is wrong.
        reason: String,
    },
    /// What a volume stands for could not be mounted.
    #[error("failed to mount local volume {volume}: mount of {device:?} ({options})")]
    Mount {
        /// The volume.
        volume: String,
        /// The device.
        device: String,
        /// Its options.
        options: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The image's content could not be copied into the volume.
    #[error("copy of the image's {target} into volume {volume}")]
    Fill {
        /// The volume.
        volume: String,
        /// The path in the image.
        target: String,
        /// Why.
        #[source]
        source: archive::Error,
    },
    /// The source of a bind mount isn't there.
    #[error("bind source path does not exist: {0}")]
    NoBindSource(PathBuf),
    /// A record or lock failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The system refused a call.
    #[error("{action} {path}")]
    Io {
        /// The verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl Error {
    fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// Makes a declared volume; one that is there stays as it is. `owner` is the
/// project and the key there.
///
/// # Errors
/// [`Error::Name`], [`Error::Driver`], [`Error::Options`] for a volume that
/// can't be; [`Error::Store`], [`Error::Io`].
pub fn create(root: &Root, volume: &Volume, owner: Option<(String, String)>) -> Result<(), Error> {
    Backing::of(volume)?;
    make(
        root,
        VolumeRecord {
            volume: volume.clone(),
            owner,
            anonymous_of: None,
            created_at: Timestamp::now(),
            is_filling: false,
        },
    )
}

/// Makes a volume for one container of a project. Its name is 64 hexadecimal
/// digits, which the caller draws; `labels` are the mount's.
///
/// # Errors
/// As [`create`].
pub fn create_anonymous(
    root: &Root,
    name: &str,
    project: &str,
    labels: &indexmap::IndexMap<String, String>,
) -> Result<(), Error> {
    let mut labels = labels.clone();
    labels.insert(ANONYMOUS_LABEL.to_owned(), String::new());
    make(
        root,
        VolumeRecord {
            volume: Volume {
                name: name.to_owned(),
                driver: None,
                driver_opts: indexmap::IndexMap::new(),
                labels,
            },
            owner: None,
            anonymous_of: Some(project.to_owned()),
            created_at: Timestamp::now(),
            is_filling: false,
        },
    )
}

/// Names of the volumes that were made for single containers of a project.
///
/// # Errors
/// When the volumes can't be listed; a volume whose record is lost is nobody's.
pub fn anonymous_of(root: &Root, project: &str) -> Result<Vec<String>, Error> {
    let mut names = records::names(&root.volumes_dir())?;
    names.retain(|name| {
        let record = folder(root, name).map(|folder| folder.join(RECORD));
        let record = record
            .ok()
            .and_then(|path| records::read::<VolumeRecord>(&path).ok()?);
        record.is_some_and(|record| record.anonymous_of.as_deref() == Some(project))
    });
    Ok(names)
}

fn make(root: &Root, wanted: VolumeRecord) -> Result<(), Error> {
    let folder = folder(root, &wanted.volume.name)?;
    let _door = FileLock::exclusive(&root.volumes_dir().join(DOOR))?;
    if !folder.exists() {
        return make_anew(root, &folder, &wanted);
    }
    let data = folder.join(DATA);
    if !data.is_dir() {
        make_data(&data).map_err(Error::io("create folder", &data))?;
    } else if matches!(
        records::read::<VolumeRecord>(&folder.join(RECORD)),
        Ok(Some(_))
    ) {
        return Ok(());
    }
    // Over a lost or damaged record: the content is adopted.
    records::write_durable(&folder.join(RECORD), &wanted)?;
    Ok(records::sync_folder(&folder)?)
}

/// It appears whole: content without a record would be nobody's, and stay.
fn make_anew(root: &Root, folder: &Path, wanted: &VolumeRecord) -> Result<(), Error> {
    let volumes = root.volumes_dir();
    let failed = |source| Error::io("create", folder)(source);
    // One at a time, behind the door: what is there was broken off.
    let coming = volumes.join(COMING);
    let dir = tree::open_root(&volumes).map_err(failed)?;
    tree::remove_tree(dir.as_fd(), OsStr::new(COMING)).map_err(failed)?;
    store::make_private_dir(&coming)?;
    make_data(&coming.join(DATA)).map_err(failed)?;
    birth::die_if_told("volume:before-record");
    records::write_durable(&coming.join(RECORD), wanted)?;
    records::sync_folder(&coming)?;
    fs::rename(&coming, folder).map_err(failed)
}

/// Containers' users pass through it, whatever our umask is.
fn make_data(data: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::create_dir(data)?;
    fs::set_permissions(data, fs::Permissions::from_mode(0o755))
}

/// All volumes by name. One without a readable record has no owner and no
/// settings.
///
/// # Errors
/// [`Error::Store`] when the folder can't be listed.
pub fn list(root: &Root) -> Result<Vec<ObservedVolume>, Error> {
    let mut names = records::names(&root.volumes_dir())?;
    names.sort();
    let mut volumes = Vec::new();
    for name in names {
        volumes.extend(get(root, &name)?);
    }
    Ok(volumes)
}

/// One volume; None when there is none of that name.
///
/// # Errors
/// [`Error::Name`]; [`Error::Store`] when its record can't be read.
pub fn get(root: &Root, name: &str) -> Result<Option<ObservedVolume>, Error> {
    let folder = folder(root, name)?;
    let Ok(data) = fs::symlink_metadata(folder.join(DATA)) else {
        return Ok(None);
    };
    match records::read::<VolumeRecord>(&folder.join(RECORD)) {
        Ok(Some(record)) => Ok(Some(ObservedVolume {
            name: name.to_owned(),
            owner: record.owner,
            applied: Some(record.volume),
            created_at: record.created_at,
        })),
        Ok(None) | Err(store::Error::Damaged { .. }) => Ok(Some(ObservedVolume {
            name: name.to_owned(),
            owner: None,
            applied: None,
            created_at: data
                .modified()
                .unwrap_or(SystemTime::UNIX_EPOCH)
                .try_into()
                .unwrap_or_default(),
        })),
        Err(error) => Err(error.into()),
    }
}

/// The host's path of a volume's content, ready to be bound into a container.
/// What the volume's options ask for is mounted there first, once for all
/// its users; [`release`] takes it away.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Mount`], [`Error::NoBindSource`].
pub fn data_dir(root: &Root, name: &str) -> Result<PathBuf, Error> {
    let data = existing(root, name)?;
    let found = get(root, name)?;
    let Some(volume) = found.and_then(|found| found.applied) else {
        return Ok(data);
    };
    match Backing::of(&volume)? {
        Backing::Folder => Ok(data),
        Backing::Bind(source) if source.exists() => Ok(source),
        Backing::Bind(source) => Err(Error::NoBindSource(source)),
        Backing::Mount(wanted) => {
            let _door = FileLock::exclusive(&root.volumes_dir().join(DOOR))?;
            if !is_mounted(&data) {
                wanted.mount(name, &data)?;
            }
            Ok(data)
        }
    }
}

/// Takes away what [`data_dir`] has mounted; containers that still use it
/// keep it. Fine when nothing is mounted.
///
/// # Errors
/// [`Error::Io`] when it can't be unmounted.
pub fn release(root: &Root, name: &str) -> Result<(), Error> {
    let data = folder(root, name)?.join(DATA);
    if is_mounted(&data) {
        mount::detach(&data).map_err(Error::io("unmount", &data))?;
    }
    Ok(())
}

/// Whether a folder is on another file system than the one it lies in.
fn is_mounted(data: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let device = |path: &Path| fs::symlink_metadata(path).map(|metadata| metadata.dev());
    match (device(data), data.parent().map(device)) {
        (Ok(own), Some(Ok(parent))) => own != parent,
        _ => false,
    }
}

/// Removes a volume with its content; its absence is fine. What a volume
/// stands for elsewhere (a bind, a server's folder) stays.
///
/// # Errors
/// [`Error::Name`], [`Error::Io`].
pub fn remove(root: &Root, name: &str) -> Result<(), Error> {
    let folder = folder(root, name)?;
    let volumes = root.volumes_dir();
    let failed = |source| Error::io("remove", &folder)(source);
    {
        let _door = FileLock::exclusive(&volumes.join(DOOR))?;
        release(root, name)?;
        // It vanishes whole: a removal that is broken off leaves no half volume.
        let leaving = format!("{LEAVING}{}-{name}", std::process::id());
        match fs::rename(&folder, volumes.join(leaving)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done.map_err(failed)?,
        }
    }
    sweep(&volumes).map_err(failed)
}

/// Finishes removals, those of killed processes too.
fn sweep(volumes: &Path) -> io::Result<()> {
    let dir = tree::open_root(volumes)?;
    for (name, _) in tree::entries(dir.as_fd())? {
        if name.to_string_lossy().starts_with(LEAVING) {
            tree::remove_tree(dir.as_fd(), &name)?;
        }
    }
    Ok(())
}

fn folder(root: &Root, name: &str) -> Result<PathBuf, Error> {
    let is_plain = name.len() <= 200
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if !is_plain {
        return Err(Error::Name(name.to_owned()));
    }
    Ok(root.volumes_dir().join(OsStr::new(name)))
}

/// The content's folder of a volume that is there.
fn existing(root: &Root, name: &str) -> Result<PathBuf, Error> {
    let data = folder(root, name)?.join(DATA);
    if data.is_dir() {
        Ok(data)
    } else {
        Err(Error::NotFound(name.to_owned()))
    }
}

#[cfg(test)]
mod tests;
