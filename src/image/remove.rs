//! Removing names and images, and what only they needed.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::image::ingest::Ingest;
use crate::image::partial::{self, Sweep};
use crate::image::{Error, Resolved, blob, lookup, records, resolve, several, shown, steps};
use crate::oci::{Digest, ImageConfig, Reference, chain_ids};
use crate::store::record;
use crate::store::{FileLock, Root};
use crate::sys::tree;

/// How long others' guards are waited for.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How often it is tried again meanwhile.
const WAIT_STEP: Duration = Duration::from_millis(20);

/// What a removal did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name is gone.
    Untagged(Reference),
    /// An image is gone.
    Deleted(Digest),
}

/// Removes a name, and the image with its last one; or an image by its id.
///
/// `used_by` says what uses an image, in words. Such an image stays; with
/// `force` it loses its names at least.
///
/// # Errors
/// [`Error::NotFound`], [`Error::InUse`], [`Error::Busy`] when somebody holds
/// a guard for too long.
pub fn remove(
    root: &Root,
    text: &str,
    force: bool,
    used_by: &dyn Fn(&Digest) -> Option<String>,
) -> Result<Vec<Removed>, Error> {
    let _alone = alone(root)?;
    let found = resolve_even_damaged(root, text)?;
    let (id, name) = found.ok_or_else(|| Error::NotFound(text.to_owned()))?;
    let names = lookup::names(root, &id)?;
    let mut removed = Vec::new();
    // A name with a digest goes with the last tag of its repository.
    let goes_along = |name: &Reference, other: &Reference| {
        other == name || (other.digest().is_some() && other.is_same_repository(name))
    };
    let goes = match &name {
        Some(name) => names.iter().all(|other| goes_along(name, other)),
        None => true,
    };
    if goes && !force {
        let alone = name.as_ref().map(|name| several::platforms_of(root, name));
        let along = alone.transpose().ok().flatten().unwrap_or_default();
        let others = along.iter().map(|image| &image.id);
        let all: Vec<&Digest> = std::iter::once(&id).chain(others).collect();
        may_go(&all, name.as_ref(), &names, used_by)?;
    }
    let mut left = vec![id.clone()];
    for gone in names.iter().filter(|other| match &name {
        None => true,
        Some(name) if goes => goes_along(name, other),
        Some(name) => name == *other,
    }) {
        // A name that stands for several images goes with all of them.
        let record = records::read_name_record(root, gone).ok().flatten();
        for other in record.iter().flat_map(|record| record.ids()) {
            if !left.contains(other) {
                left.push(other.clone());
            }
        }
        records::remove_name(root, gone)?;
        removed.push(Removed::Untagged(gone.clone()));
    }
    let mut is_any_gone = false;
    for id in left {
        if lookup::names(root, &id)?.is_empty() && used_by(&id).is_none() {
            records::remove_image(root, &id)?;
            removed.push(Removed::Deleted(id));
            is_any_gone = true;
        }
    }
    if is_any_gone {
        collect(root)?;
    }
    Ok(removed)
}

/// Removes layers and documents that no image needs, such as those that a
/// killed `remove` or `load` left.
///
/// # Errors
/// [`Error::Busy`] when somebody holds a guard for too long; [`Error::Io`].
pub fn prune(root: &Root) -> Result<(), Error> {
    let _alone = alone(root)?;
    collect(root)
}

fn may_go(
    ids: &[&Digest],
    name: Option<&Reference>,
    names: &[Reference],
    used_by: &dyn Fn(&Digest) -> Option<String>,
) -> Result<(), Error> {
    let by_id = || ids.first().map_or_else(String::new, |id| shown(names, id));
    let in_use = |reason| Error::InUse {
        image: name.map_or_else(by_id, Reference::familiar),
        reason,
    };
    if let Some(user) = ids.iter().find_map(|id| used_by(id)) {
        return Err(in_use(format!("{user} is using it")));
    }
    let folders: HashSet<String> = names.iter().map(Reference::familiar_name).collect();
    if name.is_none() && folders.len() > 1 {
        let reason = "it has names in several repositories; remove them, or use --force";
        return Err(in_use(reason.to_owned()));
    }
    Ok(())
}

/// An image that has lost a part can still be removed.
fn resolve_even_damaged(
    root: &Root,
    text: &str,
) -> Result<Option<(Digest, Option<Reference>)>, Error> {
    let error = match resolve(root, text) {
        Ok(found) => return Ok(found.map(|Resolved { image, name }| (image.id, name))),
        Err(error) => error,
    };
    let named = text.parse::<Reference>().ok();
    let by_name = named.and_then(|name| Some((records::read_name(root, &name).ok()??, Some(name))));
    let by_id = || text.parse::<Digest>().ok().map(|id| (id, None));
    by_name
        .or_else(by_id)
        .map_or(Err(error), |found| Ok(Some(found)))
}

/// The store's lock, alone: nobody resolves or loads meanwhile.
fn alone(root: &Root) -> Result<FileLock, Error> {
    let path = root.image_lock_path();
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        if let Some(lock) = FileLock::try_exclusive(&path)? {
            return Ok(lock);
        }
        if Instant::now() > deadline {
            return Err(Error::Busy(holders(&path)));
        }
        std::thread::sleep(WAIT_STEP);
    }
}

/// Who holds a lock, in words (proc_locks(5)).
fn holders(path: &Path) -> String {
    let Ok(inode) = fs::metadata(path).map(|metadata| metadata.ino()) else {
        return "another process".to_owned();
    };
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let pid = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_held = !fields.contains(&"->");
        let place = fields
            .iter()
            .find(|field| field.matches(':').count() == 2)?;
        let is_same = place.rsplit(':').next()?.parse() == Ok(inode);
        (is_held && is_same).then(|| fields.get(4).map(|pid| (*pid).to_owned()))?
    };
    let mut words: Vec<String> = locks
        .lines()
        .filter_map(pid)
        .map(|pid| process(&pid))
        .collect();
    words.dedup();
    if words.is_empty() {
        return "another process".to_owned();
    }
    words.join(" and ")
}

fn process(pid: &str) -> String {
    let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    match command.trim() {
        "" => format!("process {pid}"),
        command => format!("process {pid} ({command})"),
    }
}

/// Removes what no record refers to. The caller holds the lock alone.
fn collect(root: &Root) -> Result<(), Error> {
    let (mut layers, mut blobs) = (HashSet::new(), HashSet::new());
    for id in records::ids(root)? {
        blobs.insert(id.hex().to_owned());
        let record = records::read_image(root, &id).ok().flatten();
        blobs.extend(record.and_then(|record| Some(record.manifest?.hex().to_owned())));
        let bytes = blob::read(root, &id).ok().flatten();
        if let Some(config) = bytes.and_then(|bytes| ImageConfig::parse(&bytes).ok()) {
            let chain = chain_ids(&config.rootfs.diff_ids);
            layers.extend(chain.into_iter().map(|id| id.hex().to_owned()));
        }
    }
    let of_steps = steps::needed_layers(root)?;
    layers.extend(of_steps.into_iter().map(|id| id.hex().to_owned()));
    // What died behind its owner's back goes too.
    drop(Ingest::new(root)?);
    partial::sweep(root, Sweep::Old)?;
    for name in record::names(&root.layers_dir())? {
        // Only what is named by a digest is ours to remove.
        let is_layer = format!("sha256:{name}").parse::<Digest>().is_ok();
        if is_layer && !layers.contains(&name) {
            remove_layer(root, &name)?;
        }
    }
    for algorithm in ["sha256", "sha512"] {
        sweep_temporaries(&root.blobs_dir().join(algorithm))?;
        for hex in record::names(&root.blobs_dir().join(algorithm))? {
            if let (false, Ok(digest)) =
                (blobs.contains(&hex), format!("{algorithm}:{hex}").parse())
            {
                blob::remove(root, &digest)?;
            }
        }
    }
    Ok(())
}

/// Removes what killed writers of documents have left.
fn sweep_temporaries(dir: &Path) -> Result<(), Error> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry.map_err(Error::io("list", dir))?.path();
        let name = path.file_name().unwrap_or_default();
        if name.to_string_lossy().starts_with(".tmp-") {
            crate::store::remove_file(&path)?;
        }
    }
    Ok(())
}

/// A layer vanishes whole, then its files are removed.
fn remove_layer(root: &Root, name: &str) -> Result<(), Error> {
    let ingest = Ingest::new(root)?;
    let path = root.layers_dir().join(name);
    let failed = |source| Error::io("remove", &path)(source);
    let from = tree::open_root(&root.layers_dir()).map_err(failed)?;
    let to = tree::open_root(&ingest.path("")).map_err(failed)?;
    let name = OsStr::new(name);
    tree::rename(from.as_fd(), name, to.as_fd(), name).map_err(failed)
}
