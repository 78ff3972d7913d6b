//! Records of images: one for each id, one for each name.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::image::Error;
use crate::oci::{Digest, Reference};
use crate::store::record::{self, Record};
use crate::store::{Root, make_private_dir, remove_file};

/// Longest file name made of a reference; longer ones end in a hash.
const FILE_NAME_BYTES_MAX: usize = 180;

/// What is kept of an image besides its blobs and layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ImageRecord {
    pub(super) id: Digest,
    /// The manifest that it came with.
    #[serde(default)]
    pub(super) manifest: Option<Digest>,
    pub(super) size_bytes: u64,
    pub(super) stored_at: jiff::Timestamp,
}

impl Record for ImageRecord {
    const KIND: &'static str = "image";
    const VERSION: u32 = 1;
}

/// A name of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NameRecord {
    pub(super) name: Reference,
    pub(super) id: Digest,
    /// What it stood for in its registry when it was pulled or pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<Digest>,
    /// All images that it stands for, `id` among them, when there are several:
    /// one for each platform.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) platforms: Vec<Digest>,
    /// When the registry was last asked about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) checked_at: Option<jiff::Timestamp>,
}

impl NameRecord {
    /// All images that it stands for, in the order in which they were named.
    pub(super) fn ids(&self) -> &[Digest] {
        match self.platforms.as_slice() {
            [] => std::slice::from_ref(&self.id),
            all => all,
        }
    }
}

impl Record for NameRecord {
    const KIND: &'static str = "image-name";
    const VERSION: u32 = 1;
}

fn ids_dir(root: &Root) -> PathBuf {
    root.images_dir().join("ids")
}

fn names_dir(root: &Root) -> PathBuf {
    root.images_dir().join("names")
}

fn id_path(root: &Root, id: &Digest) -> PathBuf {
    ids_dir(root).join(id.hex())
}

fn name_path(root: &Root, name: &Reference) -> PathBuf {
    names_dir(root).join(file_name(&name.to_string()))
}

/// A reference as a file name that a person can read.
fn file_name(reference: &str) -> String {
    let mut name = reference.replace('%', "%25").replace('/', "%2F");
    if name.len() > FILE_NAME_BYTES_MAX {
        let hash = Digest::of(reference.as_bytes());
        // References are ASCII, so any place is a character's boundary.
        name.truncate(FILE_NAME_BYTES_MAX - 13);
        name.push('~');
        name.push_str(hash.short());
    }
    name
}

pub(super) fn make_dirs(root: &Root) -> Result<(), Error> {
    make_private_dir(&ids_dir(root))?;
    Ok(make_private_dir(&names_dir(root))?)
}

pub(super) fn write_image(root: &Root, image: &ImageRecord) -> Result<(), Error> {
    make_dirs(root)?;
    Ok(record::write_durable(&id_path(root, &image.id), image)?)
}

pub(super) fn read_image(root: &Root, id: &Digest) -> Result<Option<ImageRecord>, Error> {
    Ok(record::read(&id_path(root, id))?)
}

pub(super) fn remove_image(root: &Root, id: &Digest) -> Result<(), Error> {
    Ok(remove_file(&id_path(root, id))?)
}

/// The ids of all images, sorted.
pub(super) fn ids(root: &Root) -> Result<Vec<Digest>, Error> {
    let names = record::names(&ids_dir(root))?;
    let parse = |hex: &String| format!("sha256:{hex}").parse().ok();
    let mut ids: Vec<Digest> = names.iter().filter_map(parse).collect();
    ids.sort();
    Ok(ids)
}

pub(super) fn write_name(root: &Root, name: &Reference, id: &Digest) -> Result<(), Error> {
    write_names(root, name, id, &[])
}

/// Lets a name stand for several images, of which `id` is the one to use here.
pub(super) fn write_names(
    root: &Root,
    name: &Reference,
    id: &Digest,
    all: &[Digest],
) -> Result<(), Error> {
    let record = NameRecord {
        name: name.clone(),
        id: id.clone(),
        platforms: match all {
            [] | [_] => Vec::new(),
            all => all.to_vec(),
        },
        digest: None,
        checked_at: None,
    };
    write_name_record(root, &record)
}

/// Notes that a name was given once more to the image that had it.
pub(super) fn touch_name(root: &Root, name: &Reference) {
    // Nothing but a remark about old images depends on it.
    if let Ok(file) = std::fs::File::open(name_path(root, name)) {
        let _ = file.set_modified(std::time::SystemTime::now());
    }
}

/// When a name was last given to an image.
pub(super) fn named_at(root: &Root, name: &Reference) -> Option<std::time::SystemTime> {
    let found = std::fs::metadata(name_path(root, name)).ok()?;
    found.modified().ok()
}

pub(super) fn write_name_record(root: &Root, record: &NameRecord) -> Result<(), Error> {
    make_dirs(root)?;
    Ok(record::write_durable(
        &name_path(root, &record.name),
        record,
    )?)
}

pub(super) fn read_name(root: &Root, name: &Reference) -> Result<Option<Digest>, Error> {
    Ok(read_name_record(root, name)?.map(|record| record.id))
}

pub(super) fn read_name_record(root: &Root, name: &Reference) -> Result<Option<NameRecord>, Error> {
    let found = record::read::<NameRecord>(&name_path(root, name))?;
    Ok(found.filter(|record| record.name == *name))
}

pub(super) fn remove_name(root: &Root, name: &Reference) -> Result<(), Error> {
    Ok(remove_file(&name_path(root, name))?)
}

/// All names, sorted. A damaged record is nobody's name.
pub(super) fn all_names(root: &Root) -> Result<Vec<NameRecord>, Error> {
    let dir = names_dir(root);
    let mut found = Vec::new();
    for file in record::names(&dir)? {
        match record::read::<NameRecord>(&dir.join(file)) {
            Ok(Some(name)) => found.push(name),
            Ok(None) | Err(crate::store::Error::Damaged { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_file_names() {
        assert_eq!(
            file_name("docker.io/library/a:1"),
            "docker.io%2Flibrary%2Fa:1"
        );
        let long = |c: &str| format!("docker.io/{}{c}", "a/".repeat(110));
        assert!(file_name(&long("b")).len() <= FILE_NAME_BYTES_MAX);
        assert_ne!(file_name(&long("b")), file_name(&long("c")));
    }
}
