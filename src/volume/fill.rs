//! A fresh volume takes what the image has where it is mounted.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use crate::archive::{self, Found, Merged};
use crate::store::record::{read, write_atomic, write_durable};
use crate::store::{FileLock, Root};
use crate::sys::tree;
use crate::volume::record::VolumeRecord;
use crate::volume::{Error, RECORD, data_dir, folder};

/// The lock that is held while a volume is filled.
const FILLING: &str = ".tmp-filling";

/// Copies what an image has at `target` into an empty volume, with the
/// owner and the mode of the folder itself. `lowers` are the image's layers,
/// topmost first. A volume that has content is left alone.
///
/// A copy that was broken off by a crash is done again by the next call, even
/// if the volume isn't empty then; nothing that the image doesn't have is
/// touched.
///
/// # Errors
/// [`Error::Fill`], and those of [`data_dir`].
pub fn copy_up(root: &Root, name: &str, lowers: &[PathBuf], target: &str) -> Result<(), Error> {
    let data = data_dir(root, name)?;
    let record_path = folder(root, name)?.join(RECORD);
    if !is_wanted(&data, &record_path)? {
        return Ok(());
    }
    let lock = folder(root, name)?.join(FILLING);
    let _alone = FileLock::exclusive(&lock)?;
    if !is_wanted(&data, &record_path)? {
        return Ok(());
    }
    let merged = Merged::open(lowers).map_err(Error::io("open the layers for", &data))?;
    let found = merged.find(Path::new(target), true);
    let Some((_, Found::Folder(from))) =
        found.map_err(Error::io("look into the image for", &data))?
    else {
        return Ok(());
    };
    let mut record = read::<VolumeRecord>(&record_path)?;
    if let Some(record) = &mut record {
        record.is_filling = true;
        write_atomic(&record_path, record)?;
    }
    let to = tree::open_root(&data).map_err(Error::io("open", &data))?;
    archive::copy_tree(&from, to.as_fd()).map_err(|source| Error::Fill {
        volume: name.to_owned(),
        target: target.to_owned(),
        source,
    })?;
    if let Some(record) = &mut record {
        record.is_filling = false;
        write_durable(&record_path, record)?;
    }
    Ok(())
}

fn is_wanted(data: &Path, record: &Path) -> Result<bool, Error> {
    let mut entries = std::fs::read_dir(data).map_err(Error::io("list", data))?;
    if entries.next().is_none() {
        return Ok(true);
    }
    let record = read::<VolumeRecord>(record).ok().flatten();
    Ok(record.is_some_and(|record| record.is_filling))
}
