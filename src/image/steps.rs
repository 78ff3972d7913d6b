//! What build steps came to, by the key of the step: `builds/steps/<key>`.
//!
//! A record keeps the layers that it names from being removed. What a key is
//! made of is the builder's matter; here it is a digest like any other.

use std::path::PathBuf;
use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::image::{Error, draft, layers};
use crate::oci::Digest;
use crate::store::record::{self, Record};
use crate::store::{Root, make_private_dir, remove_file};

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The topmost layer afterwards; none when the root is empty.
    pub top: Option<Digest>,
    /// The layer that the step made, by its tar; none when it changed nothing.
    pub diff_id: Option<Digest>,
    /// Bytes in that layer's files.
    pub content_bytes: u64,
    /// When it was made.
    pub created: Timestamp,
    /// The instruction, for people.
    pub description: String,
    /// The key that this is another name for: it goes with that one.
    #[serde(default)]
    pub stands_for: Option<Digest>,
}

impl Record for StepRecord {
    const KIND: &'static str = "build-step";
    const VERSION: u32 = 1;
}

/// A record with its key and its last use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptStep {
    /// The key.
    pub key: Digest,
    /// The record.
    pub record: StepRecord,
    /// When it was last found.
    pub used: Timestamp,
}

fn folder(root: &Root) -> PathBuf {
    root.builds_dir().join("steps")
}

fn path(root: &Root, key: &Digest) -> PathBuf {
    folder(root).join(key.hex())
}

/// Finds a step that was done before, and whose layer is still there. A
/// damaged record is none.
///
/// # Errors
/// [`Error::Store`] when it can't be read.
pub fn find_step(root: &Root, key: &Digest) -> Result<Option<StepRecord>, Error> {
    let path = path(root, key);
    let found = match record::read::<StepRecord>(&path) {
        Ok(found) => found,
        Err(crate::store::Error::Damaged { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let is_whole = |record: &StepRecord| {
        let top = record.top.as_ref();
        top.is_none_or(|top| layers::is_there(root, top))
    };
    let Some(found) = found.filter(is_whole) else {
        return Ok(None);
    };
    // Its time says when it was last used; that it can't be told costs nothing.
    if let Ok(file) = std::fs::File::options().write(true).open(&path) {
        let _ = file.set_modified(SystemTime::now());
    }
    Ok(Some(found))
}

/// Keeps what a step came to. Its layers are in the store.
///
/// # Errors
/// [`Error::Store`] when it can't be written.
pub fn keep_step(root: &Root, key: &Digest, step: &StepRecord) -> Result<(), Error> {
    make_private_dir(&folder(root))?;
    Ok(record::write_atomic(&path(root, key), step)?)
}

/// Keeps another key for a step that is kept under `key`.
///
/// # Errors
/// As [`keep_step`].
pub fn keep_other_key(
    root: &Root,
    other: &Digest,
    key: &Digest,
    step: &StepRecord,
) -> Result<(), Error> {
    let mut step = step.clone();
    step.stands_for = Some(key.clone());
    keep_step(root, other, &step)
}

/// Forgets a step; its layers go with the next removal of what isn't needed.
///
/// # Errors
/// [`Error::Store`] when it can't be removed.
pub fn forget_step(root: &Root, key: &Digest) -> Result<(), Error> {
    Ok(remove_file(&path(root, key))?)
}

/// All steps that are kept, the one used longest ago first. Damaged records
/// are left out.
///
/// # Errors
/// [`Error::Store`] when they can't be listed.
pub fn list_steps(root: &Root) -> Result<Vec<KeptStep>, Error> {
    let dir = folder(root);
    let mut found = Vec::new();
    if !dir.exists() {
        return Ok(found);
    }
    for name in record::names(&dir)? {
        let Ok(key) = format!("sha256:{name}").parse::<Digest>() else {
            continue;
        };
        let path = dir.join(&name);
        let used = std::fs::metadata(&path).and_then(|metadata| metadata.modified());
        let used = used.ok().and_then(|used| Timestamp::try_from(used).ok());
        match record::read::<StepRecord>(&path) {
            Ok(Some(record)) => found.push(KeptStep {
                key,
                used: used.unwrap_or(record.created),
                record,
            }),
            Ok(None) | Err(crate::store::Error::Damaged { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    found.sort_by_key(|step| step.used);
    Ok(found)
}

/// The layers that steps and workshops need, with all below them.
pub(super) fn needed_layers(root: &Root) -> Result<Vec<Digest>, Error> {
    let mut needed = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let steps = list_steps(root)?.into_iter();
    let tops = steps.filter_map(|step| step.record.top);
    for top in tops.chain(draft::kept_layers(root)?) {
        let mut next = Some(top);
        while let Some(layer) = next {
            if !seen.insert(layer.clone()) {
                break;
            }
            next = layers::read(root, &layer)?.and_then(|record| record.parent);
            needed.push(layer);
        }
    }
    Ok(needed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::testing::scratch;
    use crate::image::{Workshop, prune};

    fn step(root: &Root, content: &str) -> StepRecord {
        let workshop = Workshop::open(root).unwrap();
        let draft = workshop.draft(root, &[]).unwrap();
        std::fs::write(draft.tree().join("f"), content).unwrap();
        let layer = draft.commit(root, &[], None).unwrap().unwrap();
        StepRecord {
            top: Some(layer.chain_id),
            diff_id: Some(layer.diff_id),
            content_bytes: layer.content_bytes,
            created: Timestamp::now(),
            description: "RUN x".to_owned(),
            stands_for: None,
        }
    }

    #[test]
    fn a_kept_step_keeps_its_layers() {
        let (_dir, root) = scratch();
        let (kept, lost) = (step(&root, "1"), step(&root, "2"));
        let key = Digest::of(b"key");
        assert_eq!(find_step(&root, &key).unwrap(), None);
        keep_step(&root, &key, &kept).unwrap();
        keep_other_key(&root, &Digest::of(b"quick"), &key, &kept).unwrap();
        let quick = find_step(&root, &Digest::of(b"quick")).unwrap().unwrap();
        assert_eq!(quick.stands_for, Some(key.clone()));
        forget_step(&root, &Digest::of(b"quick")).unwrap();
        keep_step(&root, &Digest::of(b"other"), &lost).unwrap();
        forget_step(&root, &Digest::of(b"other")).unwrap();
        prune(&root).unwrap();
        assert_eq!(find_step(&root, &key).unwrap(), Some(kept.clone()));
        assert!(!layers::is_there(&root, lost.top.as_ref().unwrap()));
        assert_eq!(list_steps(&root).unwrap()[0].record, kept);
        forget_step(&root, &key).unwrap();
        prune(&root).unwrap();
        assert!(!layers::is_there(&root, kept.top.as_ref().unwrap()));
    }

    #[test]
    fn a_step_without_its_layer_or_record_is_none() {
        let (_dir, root) = scratch();
        let key = Digest::of(b"key");
        let mut record = step(&root, "1");
        record.top = Some(Digest::of(b"gone"));
        keep_step(&root, &key, &record).unwrap();
        assert_eq!(find_step(&root, &key).unwrap(), None);
        std::fs::write(path(&root, &key), "torn").unwrap();
        assert_eq!(find_step(&root, &key).unwrap(), None);
        assert!(list_steps(&root).unwrap().is_empty());
    }
}
