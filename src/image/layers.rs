//! Unpacked layers: `layers/<chain id>/{fs, record}`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::BufRead;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::archive::{self, Extractor, Limits, Merged, Unsettled};
use crate::image::Error;
use crate::oci::{Descriptor, Digest};
use crate::store::Root;
use crate::store::record::{self, Record};
use crate::sys::tree;

/// A layer's tree in its folder.
const TREE: &str = "fs";
/// What is needed besides the tree to make the layer's tar again.
const MAP: &str = "tar-map";
/// What it was last packed to, in its folder.
const PACKED: &str = "packed";
/// A layer's record in its folder.
const RECORD: &str = "record";

/// What is kept of a layer besides its tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LayerRecord {
    /// Digest of its plain tar.
    pub(super) diff_id: Digest,
    /// The layer below it.
    pub(super) parent: Option<Digest>,
    /// Bytes in its files.
    pub(super) content_bytes: u64,
    /// Bytes of its plain tar.
    #[serde(default)]
    pub(super) tar_bytes: u64,
}

impl Record for LayerRecord {
    const KIND: &'static str = "layer";
    const VERSION: u32 = 1;
}

/// What a layer came to when it was packed for a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PackedRecord {
    /// Digest of its packed tar.
    digest: Digest,
    /// How many bytes that has.
    size: u64,
    /// How it is packed.
    media_type: String,
}

impl Record for PackedRecord {
    const KIND: &'static str = "packed-layer";
    const VERSION: u32 = 1;
}

impl PackedRecord {
    /// As a manifest has it.
    pub(super) fn descriptor(self) -> Descriptor {
        Descriptor::new(&self.media_type, self.digest, self.size)
    }
}

/// What a layer came to when it was last packed. A damaged record only costs
/// that it is packed again.
pub(super) fn read_packed(root: &Root, chain_id: &Digest) -> Result<Option<PackedRecord>, Error> {
    match record::read(&folder(root, chain_id).join(PACKED)) {
        Err(crate::store::Error::Damaged { .. }) => Ok(None),
        found => Ok(found?),
    }
}

/// Notes what a layer came to when it was packed.
pub(super) fn write_packed(
    root: &Root,
    chain_id: &Digest,
    packed: &Descriptor,
) -> Result<(), Error> {
    let record = PackedRecord {
        digest: packed.digest.clone(),
        size: packed.size,
        media_type: packed.media_type.clone(),
    };
    Ok(record::write_atomic(
        &folder(root, chain_id).join(PACKED),
        &record,
    )?)
}

/// Where a layer's tree lies.
#[must_use]
pub fn layer_path(root: &Root, chain_id: &Digest) -> PathBuf {
    root.layer_tree(chain_id.hex())
}

fn folder(root: &Root, chain_id: &Digest) -> PathBuf {
    root.layers_dir().join(chain_id.hex())
}

/// Whether the store has a layer. A layer's folder appears whole or not at all.
pub(super) fn is_there(root: &Root, chain_id: &Digest) -> bool {
    layer_path(root, chain_id).exists()
}

pub(super) fn read(root: &Root, chain_id: &Digest) -> Result<Option<LayerRecord>, Error> {
    Ok(record::read(&folder(root, chain_id).join(RECORD))?)
}

/// Where a layer's map is, if it has one.
pub(super) fn map_path(root: &Root, chain_id: &Digest) -> PathBuf {
    folder(root, chain_id).join(MAP)
}

/// A layer's map; None when its tar can't be made again.
pub(super) fn open_map(root: &Root, chain_id: &Digest) -> Result<Option<File>, Error> {
    let path = map_path(root, chain_id);
    match File::open(&path) {
        Ok(map) => Ok(Some(map)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("open", &path)(error)),
    }
}

/// Bytes in a layer's own files.
///
/// # Errors
/// [`Error::Store`] when its record can't be read.
pub fn layer_size(root: &Root, chain_id: &Digest) -> Result<u64, Error> {
    Ok(read(root, chain_id)?.map_or(0, |layer| layer.content_bytes))
}

/// A layer's folder before it is in the store.
#[derive(Debug, Clone)]
pub(super) struct Fresh {
    pub(super) folder: PathBuf,
}

impl Fresh {
    /// Makes the folder and, in it, an empty tree.
    pub(super) fn make(folder: PathBuf) -> Result<Self, Error> {
        let fresh = Self { folder };
        let tree = fresh.tree();
        std::fs::create_dir_all(&tree).map_err(Error::io("create folder", &tree))?;
        Ok(fresh)
    }

    /// Where its tree is.
    pub(super) fn tree(&self) -> PathBuf {
        self.folder.join(TREE)
    }

    /// Extracts a plain tar into it.
    pub(super) fn extract(
        &self,
        plain: impl BufRead,
        limits: Limits,
    ) -> Result<Unsettled, archive::Error> {
        let map = File::create(self.map_path()).map_err(archive::Error::Read)?;
        Extractor::extract_with_map(plain, &self.tree(), limits, map)
    }

    /// Lays it on the layers below it and describes it.
    pub(super) fn settle(
        &self,
        unsettled: Unsettled,
        below: &Merged,
        record: &LayerRecord,
        what: &str,
    ) -> Result<(), Error> {
        let has_map = unsettled.has_map();
        archive::settle(unsettled, below).map_err(Error::archive(what))?;
        if !has_map {
            crate::store::remove_file(&self.folder.join(MAP))?;
        }
        self.describe(record)
    }

    /// Where the map is that makes its tar again.
    pub(super) fn map_path(&self) -> PathBuf {
        self.folder.join(MAP)
    }

    /// Writes its record.
    pub(super) fn describe(&self, record: &LayerRecord) -> Result<(), Error> {
        Ok(record::write_atomic(&self.folder.join(RECORD), record)?)
    }

    /// Moves it into the store. When somebody else has put the same layer
    /// there, theirs stays.
    pub(super) fn commit(&self, root: &Root, chain_id: &Digest) -> Result<(), Error> {
        let failed = |source| Error::io("commit", &self.folder)(source);
        let from = tree::open_root(self.folder.parent().unwrap_or(Path::new("/")));
        let from = from.map_err(failed)?;
        let to = tree::open_root(&root.layers_dir()).map_err(failed)?;
        let name = self.folder.file_name().unwrap_or(OsStr::new("."));
        match tree::rename(from.as_fd(), name, to.as_fd(), OsStr::new(chain_id.hex())) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            done => done.map_err(failed),
        }
    }
}
