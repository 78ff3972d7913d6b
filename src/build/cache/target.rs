//! Writes caches: to folders and registries, and as the text that an image
//! carries.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::sync::{Arc, Mutex};

use crate::build::cache::document::{self, CacheDocument, CachedLayer, CachedStep};
use crate::build::cache::folder::Folder;
use crate::build::cache::{CacheMode, CachePlace, CacheTo, Error};
use crate::build::shared::{Shared, lock};
use crate::build::step::State;
use crate::image::{self, StepRecord};
use crate::oci::{Descriptor, Digest, LAYERS_MAX, Manifest, MediaType, Reference};
use crate::registry::{Blob, Client};

/// A step that was made or found: what stands after it, and its keys.
pub(crate) type FinishedStep = (State, StepRecord, Vec<Digest>);

/// A build whose steps are done.
#[derive(Debug)]
pub(crate) struct Finished {
    steps: Vec<FinishedStep>,
    /// The image's layers.
    output: State,
    /// The steps as a document without layers.
    pub(crate) document: String,
}

impl Finished {
    pub(crate) fn new(steps: Vec<FinishedStep>, output: State) -> Self {
        let cached = steps.iter();
        let cached = cached.map(|(_, record, keys)| CachedStep::new(keys, record));
        let bytes = CacheDocument::new(cached.collect()).to_bytes();
        Self {
            steps,
            output,
            document: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    /// The chains whose topmost layers a cache of this mode carries, each once.
    fn chains(&self, mode: CacheMode) -> Vec<(Digest, Vec<Digest>)> {
        let mut chains: Vec<(Digest, Vec<Digest>)> = Vec::new();
        for (state, record, _) in &self.steps {
            let (Some(diff_id), Some(top)) = (&record.diff_id, state.top()) else {
                continue;
            };
            let is_wanted = mode == CacheMode::Max || self.output.layers.contains(top);
            if is_wanted && !chains.iter().any(|(known, _)| known == diff_id) {
                chains.push((diff_id.clone(), state.layers.to_vec()));
            }
        }
        chains
    }
}

/// The caches that a run has written. Several builds that write to one place
/// come to one cache there.
#[derive(Debug, Default)]
pub(crate) struct Exports {
    written: Mutex<HashMap<CachePlace, Arc<Mutex<Option<CacheDocument>>>>>,
}

impl Exports {
    /// Writes a build's steps and layers.
    pub(crate) fn write(
        &self,
        to: &CacheTo,
        finished: &Finished,
        shared: &Shared<'_>,
    ) -> Result<(), Error> {
        let target = match &to.place {
            CachePlace::Folder { path, tag } => Target::Folder(Folder::at(path), tag),
            CachePlace::Registry(reference) => {
                let client = (shared.around.registry)().map_err(Error::Client)?;
                Target::Registry(client, reference)
            }
            CachePlace::Inline => return Ok(()),
        };
        let place = Arc::clone(lock(&self.written).entry(to.place.clone()).or_default());
        let mut before = lock(&place);
        let mut document = CacheDocument::parse(finished.document.as_bytes(), "cache")?;
        for (diff_id, chain) in finished.chains(to.mode) {
            if let Some(blob) = target.layer(&chain, shared)? {
                document.layers.push(CachedLayer { diff_id, blob });
            }
        }
        if let Some(mut all) = before.take() {
            all.take_in(document);
            document = all;
        }
        // A manifest has no place for more.
        document.layers.truncate(LAYERS_MAX);
        target.finish(&document, shared)?;
        *before = Some(document);
        Ok(())
    }
}

/// A place at work.
enum Target<'a> {
    Folder(Folder, &'a str),
    Registry(Client, &'a Reference),
}

impl Target<'_> {
    /// Sees that the topmost layer of a chain is there; gives its packed form.
    /// None when the layer isn't here and can't be had.
    fn layer(&self, chain: &[Digest], shared: &Shared<'_>) -> Result<Option<Descriptor>, Error> {
        let root = shared.around.root;
        let Some(top) = chain.first() else {
            return Ok(None);
        };
        let is_here = image::has_layer(root, top);
        let known = match is_here {
            true => image::packed_as(root, top)?,
            false => shared.promises.blob(top),
        };
        if let Some(known) = known
            && self.has(&known)?
        {
            return Ok(Some(known));
        }
        // A cache that knows the step only by name can't pass its layer on.
        if !is_here && shared.need(chain).is_err() {
            return Ok(None);
        }
        let (descriptor, file) = image::pack_layer(root, chain, &shared.workshop.place("packed"))?;
        self.put(&descriptor, file)?;
        Ok(Some(descriptor))
    }

    fn has(&self, blob: &Descriptor) -> Result<bool, Error> {
        match self {
            Self::Folder(folder, _) => Ok(folder.has(blob)),
            Self::Registry(client, reference) => Ok(client.has_blob(reference, &blob.digest)?),
        }
    }

    fn put(&self, blob: &Descriptor, mut file: File) -> Result<(), Error> {
        match self {
            Self::Folder(folder, _) => {
                file.rewind().map_err(Error::io("read", "a packed layer"))?;
                folder.put(&blob.digest, file)
            }
            Self::Registry(client, reference) => {
                let blob = Blob {
                    digest: blob.digest.clone(),
                    size: blob.size,
                    file: Arc::new(file),
                };
                client.push_blob(reference, &blob, &|_| {})?;
                Ok(())
            }
        }
    }

    /// Writes the document and the manifest that names it and the layers.
    fn finish(&self, document: &CacheDocument, shared: &Shared<'_>) -> Result<(), Error> {
        let bytes = document.to_bytes();
        let size = bytes.len() as u64;
        let config = Descriptor::new(document::MEDIA_TYPE, Digest::of(&bytes), size);
        let path = shared.workshop.place("cache");
        let mut options = File::options();
        let opened = options.read(true).write(true).create_new(true).open(&path);
        let mut file = opened.map_err(Error::io("create", &path))?;
        file.write_all(&bytes).map_err(Error::io("write", &path))?;
        self.put(&config, file)?;
        let layers = document.layers.iter().map(|layer| layer.blob.clone());
        let manifest = Manifest::new(config, layers.collect());
        let bytes = serde_json::to_vec(&manifest);
        let bytes = bytes.expect("strings and numbers always become JSON");
        match self {
            Self::Folder(folder, tag) => folder.finish(tag, &bytes),
            Self::Registry(client, reference) => {
                client.push_manifest(reference, MediaType::OCI_MANIFEST, &bytes)?;
                Ok(())
            }
        }
    }
}
