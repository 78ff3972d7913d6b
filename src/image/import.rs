//! `import`: the tar of a root file system as an image of one layer.

use crate::archive::{self, Limits};
use crate::image::ingest::Ingest;
use crate::image::layers::{self, Fresh, LayerRecord};
use crate::image::load::{record, rename};
use crate::image::{Error, Image, Source, blob, get, hold};
use crate::oci::{
    Algorithm, Change, Digest, History, ImageConfig, Platform, Reference, RootFs, RunConfig,
};
use crate::store::Root;
use crate::sys::tree;

use std::os::fd::AsFd as _;

/// What an imported image is to be.
#[derive(Debug, Clone, Default)]
pub struct Import {
    /// Its name.
    pub name: Option<Reference>,
    /// What its containers run, before the changes.
    pub run: RunConfig,
    /// Changes of that.
    pub changes: Vec<Change>,
    /// A remark for its history.
    pub message: Option<String>,
    /// Its platform; this machine's when absent.
    pub platform: Option<Platform>,
}

/// Imports a root file system's tar, plain or compressed.
///
/// # Errors
/// See [`Error`]. Nothing of it is in the store then.
pub fn import(root: &Root, source: Source, import: &Import) -> Result<Image, Error> {
    let _guard = hold(root)?;
    let ingest = Ingest::new(root)?;
    let fresh = Fresh::make(ingest.path("layer"))?;
    let limits = Limits::default();
    let algorithms = (Algorithm::Sha256, Algorithm::Sha256);
    let fed = archive::feed(source.into_reader(), algorithms, &limits, |plain| {
        fresh.extract(plain, limits.clone())
    });
    let (unsettled, fed) = fed.map_err(Error::archive("root file system"))?;
    let diff_id = fed.plain;
    if !layers::is_there(root, &diff_id) {
        let content_bytes = unsettled.content_bytes();
        let nothing = archive::Merged::open::<&std::path::Path>([]);
        let nothing = nothing.map_err(Error::io("open", &root.layers_dir()))?;
        let record = LayerRecord {
            diff_id: diff_id.clone(),
            parent: None,
            content_bytes,
            tar_bytes: fed.plain_bytes,
        };
        fresh.settle(unsettled, &nothing, &record, "root file system")?;
        tree::open_root(&fresh.tree())
            .and_then(|dir| tree::sync_file_system(dir.as_fd()))
            .map_err(Error::io("flush", &fresh.tree()))?;
        fresh.commit(root, &diff_id)?;
    }
    let config = config(import, &diff_id);
    let bytes = config.to_bytes();
    // What is written must be readable: changes can hold anything.
    ImageConfig::parse(&bytes).map_err(Error::document("image config"))?;
    let id = Digest::of(&bytes);
    blob::write(root, &id, &bytes)?;
    record(root, &id, None, std::slice::from_ref(&diff_id))?;
    if let Some(name) = &import.name {
        rename(root, name, &id)?;
    }
    get(root, &id)?.ok_or_else(|| Error::NotFound(id.to_string()))
}

fn config(import: &Import, diff_id: &Digest) -> ImageConfig {
    let now = jiff::Timestamp::now().to_string();
    let platform = import.platform.clone().unwrap_or_else(Platform::host);
    let mut run = import.run.clone();
    for change in &import.changes {
        change.apply(&mut run);
    }
    ImageConfig {
        build_cache: None,
        created: Some(now.clone()),
        author: None,
        architecture: platform.architecture().to_owned(),
        os: platform.os().to_owned(),
        variant: platform.variant().map(str::to_owned),
        run,
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: vec![diff_id.clone()],
        },
        history: vec![History {
            created: Some(now),
            comment: Some(
                import
                    .message
                    .clone()
                    .unwrap_or_else(|| "Imported from -".to_owned()),
            ),
            ..History::default()
        }],
    }
}
