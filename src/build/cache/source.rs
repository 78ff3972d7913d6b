//! Where travelled caches are read from, each opened once a run and only when
//! a step isn't found at home.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, OnceLock};

use crate::build::cache::document::{self, CacheDocument, CachedLayer, CachedStep};
use crate::build::cache::folder::Folder;
use crate::build::cache::{CacheFrom, Error};
use crate::build::request::Surroundings;
use crate::build::shared::lock;
use crate::oci::{
    CONFIG_BYTES_MAX, Descriptor, Digest, Document, ImageConfig, Manifest, Platform, Reference,
};
use crate::registry::{Client, Remote};

/// A cache that was opened.
#[derive(Debug)]
pub(crate) struct Source {
    /// As warnings call it.
    pub(crate) name: String,
    steps: HashMap<Digest, CachedStep>,
    layers: HashMap<Digest, Descriptor>,
    blobs: Blobs,
}

/// Where the packed layers are.
#[derive(Debug)]
enum Blobs {
    Folder(Folder),
    Registry(Box<(Client, Remote)>),
}

impl Source {
    /// Opens a cache; `platform` is that of the image which may carry it.
    pub(crate) fn open(
        from: &CacheFrom,
        platform: &Platform,
        around: &Surroundings<'_>,
    ) -> Result<Self, Error> {
        let (document, blobs) = match from {
            CacheFrom::Folder { path, entry } => {
                let folder = Folder::at(path);
                let manifest = folder.manifest(entry)?;
                check(&manifest, &from.shown())?;
                let bytes = folder.document(&manifest.config, CONFIG_BYTES_MAX)?;
                let document = CacheDocument::parse(&bytes, &from.shown())?;
                (carried(document, &manifest), Blobs::Folder(folder))
            }
            CacheFrom::Registry(reference) => registry(reference, platform, around)?,
        };
        let (steps, layers) = document.indexed();
        Ok(Self {
            name: from.shown(),
            steps,
            layers,
            blobs,
        })
    }

    /// What it knows of a step.
    pub(crate) fn step(&self, key: &Digest) -> Option<&CachedStep> {
        self.steps.get(key)
    }

    /// The packed form of a layer that it carries.
    pub(crate) fn layer(&self, diff_id: &Digest) -> Option<&Descriptor> {
        self.layers.get(diff_id)
    }

    /// Reads a packed layer.
    pub(crate) fn read(&self, layer: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        match &self.blobs {
            Blobs::Folder(folder) => Ok(Box::new(folder.blob(&layer.digest)?)),
            Blobs::Registry(there) => {
                let (client, remote) = &**there;
                Ok(Box::new(client.blob(remote, layer, 0)))
            }
        }
    }
}

fn check(manifest: &Manifest, name: &str) -> Result<(), Error> {
    match manifest.config.media_type.as_str() {
        document::MEDIA_TYPE => Ok(()),
        document::BUILDKIT_MEDIA_TYPE => Err(Error::Foreign),
        other => Err(Error::malformed(name, format!("it has a {other}"))),
    }
}

/// A document with those of its layers that the manifest really has.
fn carried(mut document: CacheDocument, manifest: &Manifest) -> CacheDocument {
    document.layers.retain(|layer| {
        let mut all = manifest.layers.iter();
        all.any(|real| real.digest == layer.blob.digest && real.size == layer.blob.size)
    });
    document
}

fn registry(
    reference: &Reference,
    platform: &Platform,
    around: &Surroundings<'_>,
) -> Result<(CacheDocument, Blobs), Error> {
    let name = reference.familiar();
    let client = (around.registry)().map_err(Error::Client)?;
    if let Document::Index(index) = client.manifest(reference)?.document {
        let mut parts = index.manifests.iter();
        if parts.any(|part| part.media_type == document::BUILDKIT_MEDIA_TYPE) {
            return Err(Error::Foreign);
        }
    }
    let remote = client.image(reference, platform)?;
    let bytes = client.config(&remote)?;
    let manifest = &remote.manifest;
    let document = if check(manifest, &name).is_ok() {
        carried(CacheDocument::parse(&bytes, &name)?, manifest)
    } else if manifest.config.media_type == document::BUILDKIT_MEDIA_TYPE {
        return Err(Error::Foreign);
    } else {
        inline(&bytes, manifest, &name)?
    };
    Ok((document, Blobs::Registry(Box::new((client, remote)))))
}

/// The cache that an image carries in its config.
fn inline(config: &[u8], manifest: &Manifest, name: &str) -> Result<CacheDocument, Error> {
    let config = ImageConfig::parse(config).map_err(|error| Error::malformed(name, error))?;
    let text = config.build_cache.ok_or(Error::Bare)?;
    let mut document = CacheDocument::parse(text.as_bytes(), name)?;
    let layers = config.rootfs.diff_ids.into_iter().zip(&manifest.layers);
    document.layers = layers
        .map(|(diff_id, blob)| CachedLayer {
            diff_id,
            blob: blob.clone(),
        })
        .collect();
    Ok(document)
}

/// A cache that was opened, or that can't be used.
type Opened = Arc<OnceLock<Option<Arc<Source>>>>;

/// The caches of a run.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    opened: Mutex<HashMap<(CacheFrom, Platform), Opened>>,
}

impl Sources {
    /// A cache, opened by whoever asks first; None when it can't be used, of
    /// which `open` has told.
    pub(crate) fn get(
        &self,
        from: &CacheFrom,
        platform: &Platform,
        open: impl FnOnce() -> Option<Source>,
    ) -> Option<Arc<Source>> {
        let key = (from.clone(), platform.clone());
        let place = Arc::clone(lock(&self.opened).entry(key).or_default());
        place.get_or_init(|| open().map(Arc::new)).clone()
    }
}
