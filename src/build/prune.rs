//! What builds keep, and what of it goes: steps, cache mounts, digests of files.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::build::{Error, cache_mount};
use crate::image;
use crate::oci::Digest;
use crate::store::Root;

/// Something that builds keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Its id: a step's key or a cache mount's id.
    pub id: String,
    /// What it is.
    pub kind: UsageKind,
    /// Bytes that go with it.
    pub bytes: u64,
    /// When it was last used.
    pub used: Option<Timestamp>,
    /// Whether an image or a running build needs it.
    pub is_in_use: bool,
    /// The instruction, or the cache mount's id.
    pub description: String,
}

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageKind {
    /// What a step came to.
    Step,
    /// A folder of a cache mount.
    CacheMount,
}

/// What is to go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneFilter {
    /// Also what images need: their layers stay, the steps are forgotten.
    pub all: bool,
    /// Only what wasn't used for so long.
    pub unused_for: Option<Duration>,
    /// Only as much as is needed to come down to so many bytes, the one used
    /// longest ago first.
    pub keep_bytes: Option<u64>,
    /// Nothing goes: only what would is told.
    pub dry_run: bool,
}

/// What went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Ids, the one used longest ago first.
    pub removed: Vec<String>,
    /// Bytes that went with them.
    pub bytes: u64,
}

/// All that builds keep, the one used longest ago first.
///
/// # Errors
/// When the store can't be read.
pub fn usage(root: &Root) -> Result<Vec<Usage>, Error> {
    Ok(kept(root)?.into_iter().map(|kept| kept.usage).collect())
}

/// Removes what a filter names.
///
/// # Errors
/// When something can't be removed, or builds are using the store for too long.
pub fn prune(root: &Root, filter: &PruneFilter) -> Result<Pruned, Error> {
    let all = kept(root)?;
    let mut total: u64 = all.iter().map(|kept| kept.usage.bytes).sum();
    let now = SystemTime::now();
    let mut pruned = Pruned::default();
    for kept in all {
        if kept.usage.is_in_use && !filter.all {
            continue;
        }
        let age = |used: Timestamp| {
            now.duration_since(SystemTime::from(used))
                .unwrap_or_default()
        };
        let is_old = filter
            .unused_for
            .is_none_or(|limit| kept.usage.used.is_none_or(|used| age(used) >= limit));
        let is_too_much = filter.keep_bytes.is_none_or(|keep| total > keep);
        if !is_old || !is_too_much || !(filter.dry_run || kept.discard(root)?) {
            continue;
        }
        total -= kept.usage.bytes;
        pruned.bytes += kept.usage.bytes;
        pruned.removed.push(kept.usage.id);
    }
    if filter.dry_run {
        return Ok(pruned);
    }
    if filter.all && filter.unused_for.is_none() && filter.keep_bytes.is_none() {
        forget_files(root)?;
    }
    if !pruned.removed.is_empty() {
        image::prune(root)?;
    }
    Ok(pruned)
}

/// Something kept, and how it goes.
struct Kept {
    usage: Usage,
    form: Form,
}

enum Form {
    Step { key: Digest, others: Vec<Digest> },
    CacheMount(cache_mount::Listed),
}

impl Kept {
    fn discard(&self, root: &Root) -> Result<bool, Error> {
        match &self.form {
            Form::Step { key, others } => {
                for key in others.iter().chain([key]) {
                    image::forget_step(root, key)?;
                }
                Ok(true)
            }
            Form::CacheMount(listed) => cache_mount::discard(listed),
        }
    }
}

fn kept(root: &Root) -> Result<Vec<Kept>, Error> {
    let mut needed: HashSet<Digest> = HashSet::new();
    for (image, _) in image::list(root)? {
        needed.extend(image.layers);
    }
    let mut all = Vec::new();
    // A layer's bytes are counted once, however many keys lead to it.
    let mut counted: HashSet<Digest> = HashSet::new();
    let steps = image::list_steps(root)?;
    let mut others: HashMap<Digest, Vec<Digest>> = HashMap::new();
    for step in &steps {
        if let Some(key) = &step.record.stands_for {
            others
                .entry(key.clone())
                .or_default()
                .push(step.key.clone());
        }
    }
    let known: HashSet<Digest> = steps.iter().map(|step| step.key.clone()).collect();
    for step in steps {
        // Another key goes with the one that it stands for.
        let other_of = step.record.stands_for.as_ref();
        if other_of.is_some_and(|key| known.contains(key)) {
            continue;
        }
        let record = &step.record;
        let is_first = match (&record.top, &record.diff_id) {
            (Some(top), Some(_)) => counted.insert(top.clone()),
            _ => false,
        };
        let top = record.top.as_ref();
        all.push(Kept {
            usage: Usage {
                id: step.key.hex().to_owned(),
                kind: UsageKind::Step,
                bytes: if is_first { record.content_bytes } else { 0 },
                used: Some(step.used),
                is_in_use: top.is_none_or(|top| needed.contains(top)),
                description: record.description.clone(),
            },
            form: Form::Step {
                others: others.remove(&step.key).unwrap_or_default(),
                key: step.key,
            },
        });
    }
    for listed in cache_mount::list(root)? {
        all.push(Kept {
            usage: Usage {
                id: listed.id.clone(),
                kind: UsageKind::CacheMount,
                bytes: listed.bytes,
                used: listed.used.and_then(|used| Timestamp::try_from(used).ok()),
                is_in_use: listed.is_held,
                description: listed.id.clone(),
            },
            form: Form::CacheMount(listed),
        });
    }
    all.sort_by_key(|kept| kept.usage.used);
    Ok(all)
}

/// Forgets the digests of files; the next builds read them again.
fn forget_files(root: &Root) -> Result<(), Error> {
    let folder = root.builds_dir().join("files");
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(Error::io("remove", &folder)),
    }
}
