//! `push`: an image of the store into a registry.
//!
//! The store keeps layers unpacked, so a layer that the registry lacks is
//! made and packed again. One that the registry has, in the form that the
//! image came in or that an earlier push gave it, is not; when that is so for
//! all of them, the manifest goes back as it came, and the digest is the same.

use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use crate::image::ingest::Ingest;
use crate::image::load::lock;
use crate::image::records::{self, NameRecord};
use crate::image::{Error, Image, blob, carry, hold, lookup, several};
use crate::oci::{Descriptor, Digest, Document, Manifest, MediaType, Reference};
use crate::registry::{self, Blob, Client};
use crate::store::Root;

/// Layers under way at once.
const LAYERS_AT_ONCE: usize = 3;

/// An image that is in a registry now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of its manifest there.
    pub digest: Digest,
    /// Bytes of the manifest.
    pub size_bytes: u64,
}

/// What happens to one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushEvent {
    /// It is looked up, made and packed.
    Preparing,
    /// It is sent.
    Pushing {
        /// Bytes that have arrived.
        done_bytes: u64,
        /// All of them.
        total_bytes: u64,
    },
    /// It is there.
    Done,
    /// It was there.
    Existing,
    /// It was in another repository of the registry.
    Mounted,
}

/// Who is told: a layer's diff id, and what happens to it.
pub type PushListener<'a> = &'a (dyn Fn(&Digest, PushEvent) + Sync);

/// Pushes the image of a name to the registry that the name says.
///
/// It blocks: call it outside of any runtime.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Registry`], [`Error::Damaged`] for a layer
/// that can't be made again.
pub fn push(
    root: &Root,
    client: &Client,
    name: &Reference,
    listener: PushListener<'_>,
) -> Result<Pushed, Error> {
    let _guard = hold(root)?;
    let found = lookup::resolve(root, &name.to_string())?;
    let found = found.filter(|found| found.name.is_some());
    let image = found.ok_or_else(|| Error::NotFound(name.familiar()))?.image;
    let all = several::platforms_of(root, name)?;
    let pushed = match all.as_slice() {
        [] | [_] => one(root, client, name, Place::Name, &image, listener)?.0,
        all => together(root, client, name, all, listener)?,
    };
    let known = records::read_name_record(root, name)?;
    let record = NameRecord {
        name: name.clone(),
        id: image.id.clone(),
        platforms: known.map_or_else(Vec::new, |known| known.platforms),
        digest: Some(pushed.digest.clone()),
        checked_at: Some(jiff::Timestamp::now()),
    };
    records::write_name_record(root, &record)?;
    Ok(pushed)
}

/// Pushes an image; gives its manifest there, and that as a descriptor.
fn one(
    root: &Root,
    client: &Client,
    name: &Reference,
    place: Place,
    image: &Image,
    listener: PushListener<'_>,
) -> Result<(Pushed, Descriptor), Error> {
    let pusher = Pusher {
        root,
        client,
        name,
        place,
        ingest: Ingest::new(root)?,
        others: lookup::names(root, &image.id)?,
        original: original(root, image)?,
        image,
        listener,
    };
    pusher.push()
}

/// Pushes the images of a name, and then the index that leads to them.
fn together(
    root: &Root,
    client: &Client,
    name: &Reference,
    images: &[Image],
    listener: PushListener<'_>,
) -> Result<Pushed, Error> {
    let mut manifests = Vec::new();
    for image in images {
        let (_, descriptor) = one(root, client, name, Place::Digest, image, listener)?;
        manifests.push((descriptor, image));
    }
    let bytes = several::index(manifests);
    let digest = client.push_manifest(name, MediaType::OCI_INDEX, &bytes);
    let digest = digest.map_err(|source| Error::Registry {
        what: format!("push of image {}", name.familiar()),
        source,
    })?;
    Ok(Pushed {
        digest,
        size_bytes: bytes.len() as u64,
    })
}

/// What a manifest is called in its registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// As its image.
    Name,
    /// By its digest alone: an index leads to it.
    Digest,
}

struct Pusher<'a> {
    root: &'a Root,
    client: &'a Client,
    name: &'a Reference,
    place: Place,
    ingest: Ingest,
    /// All names of the image: their repositories may have its layers.
    others: Vec<Reference>,
    original: Option<Original>,
    image: &'a Image,
    listener: PushListener<'a>,
}

/// The manifest that an image came with.
struct Original {
    bytes: Vec<u8>,
    manifest: Manifest,
}

fn original(root: &Root, image: &Image) -> Result<Option<Original>, Error> {
    let Some(digest) = &image.digest else {
        return Ok(None);
    };
    let Some(bytes) = blob::read(root, digest)? else {
        return Ok(None);
    };
    Ok(match Document::parse(&bytes) {
        Ok(Document::Manifest(manifest)) if manifest.layers.len() == image.layers.len() => {
            Some(Original {
                bytes,
                manifest: *manifest,
            })
        }
        Ok(_) | Err(_) => None,
    })
}

impl Pusher<'_> {
    fn push(&self) -> Result<(Pushed, Descriptor), Error> {
        let layers = self.layers()?;
        let config = blob::read(self.root, &self.image.id)?.ok_or_else(|| Error::Damaged {
            image: self.image.id.short().to_owned(),
            reason: "its config is gone".to_owned(),
        })?;
        let config = self.config(&config)?;
        let as_it_came = self.original.as_ref().filter(|original| {
            original.manifest.layers == layers && original.manifest.config.digest == config.digest
        });
        let (bytes, media_type) = match as_it_came {
            Some(original) => {
                let written = original.manifest.media_type.as_str();
                let media_type = if written.is_empty() {
                    MediaType::OCI_MANIFEST
                } else {
                    written
                };
                (original.bytes.clone(), media_type.to_owned())
            }
            None => {
                let bytes = serde_json::to_vec(&Manifest::new(config, layers));
                let bytes = bytes.expect("strings and numbers always become JSON");
                (bytes, MediaType::OCI_MANIFEST.to_owned())
            }
        };
        let to = match self.place {
            Place::Name => self.name.clone(),
            Place::Digest => self.name.pinned(Digest::of(&bytes)),
        };
        let pushed = self.client.push_manifest(&to, &media_type, &bytes);
        let digest = pushed.map_err(|source| self.failed(source))?;
        // What the name stands for must be found here, too.
        blob::write(self.root, &digest, &bytes)?;
        let diff_ids = &self.image.config.rootfs.diff_ids;
        crate::image::load::record(self.root, &self.image.id, Some(digest.clone()), diff_ids)?;
        let size_bytes = bytes.len() as u64;
        let descriptor = Descriptor::new(&media_type, digest.clone(), size_bytes);
        Ok((Pushed { digest, size_bytes }, descriptor))
    }

    fn failed(&self, source: registry::Error) -> Error {
        Error::Registry {
            what: format!("push of image {}", self.name.familiar()),
            source,
        }
    }

    /// Sees that the registry has all layers, several at a time; gives their
    /// descriptors, bottom first.
    fn layers(&self) -> Result<Vec<Descriptor>, Error> {
        let count = self.image.layers.len();
        let queue = Mutex::new(0..count);
        let done: Mutex<Vec<Option<Result<Descriptor, Error>>>> =
            Mutex::new((0..count).map(|_| None).collect());
        std::thread::scope(|scope| {
            for _ in 0..LAYERS_AT_ONCE.min(count) {
                scope.spawn(|| {
                    loop {
                        let Some(number) = lock(&queue).next() else {
                            break;
                        };
                        let result = self.layer(number);
                        if result.is_err() {
                            // Nobody needs the rest.
                            lock(&queue).by_ref().for_each(drop);
                        }
                        if let Some(slot) = lock(&done).get_mut(number) {
                            *slot = Some(result);
                        }
                    }
                });
            }
        });
        let mut done = done
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(place) = done.iter().position(|r| matches!(r, Some(Err(_))))
            && let Some(Err(error)) = done.swap_remove(place)
        {
            return Err(error);
        }
        done.into_iter().flatten().collect()
    }

    fn layer(&self, number: usize) -> Result<Descriptor, Error> {
        let missing = || Error::NotFound(format!("layer {number}"));
        let above = self.image.layers.len() - 1 - number;
        let chain = self.image.layers.get(above..).ok_or_else(missing)?;
        let chain_id = chain.first().ok_or_else(missing)?;
        let diff_ids = &self.image.config.rootfs.diff_ids;
        let diff_id = diff_ids.get(number).ok_or_else(missing)?;
        (self.listener)(diff_id, PushEvent::Preparing);
        let came_as = self.original.as_ref();
        let came_as = came_as.and_then(|original| original.manifest.layers.get(number));
        let packed = carry::packed_as(self.root, chain_id)?;
        for known in came_as.cloned().into_iter().chain(packed) {
            if let Some(event) = self.is_there(&known)? {
                (self.listener)(diff_id, event);
                return Ok(known);
            }
        }
        let path = self.ingest.path(&format!("packed-{number}"));
        let (descriptor, file) = carry::pack_layer(self.root, chain, &path)?;
        let blob = Blob {
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            file: Arc::new(file),
        };
        let total_bytes = descriptor.size;
        let tell = |done_bytes| {
            (self.listener)(
                diff_id,
                PushEvent::Pushing {
                    done_bytes,
                    total_bytes,
                },
            );
        };
        tell(0);
        let sent = self.client.push_blob(self.name, &blob, &tell);
        let event = match sent.map_err(|source| self.failed(source))? {
            registry::Pushed::Existing => PushEvent::Existing,
            registry::Pushed::Mounted => PushEvent::Mounted,
            registry::Pushed::Sent => PushEvent::Done,
        };
        (self.listener)(diff_id, event);
        Ok(descriptor)
    }

    /// Whether the repository has a blob, or can have it from a neighbor.
    fn is_there(&self, known: &Descriptor) -> Result<Option<PushEvent>, Error> {
        let digest = &known.digest;
        let has = self.client.has_blob(self.name, digest);
        if has.map_err(|source| self.failed(source))? {
            return Ok(Some(PushEvent::Existing));
        }
        for other in &self.others {
            let mounted = self.client.mount_blob(self.name, digest, other);
            if mounted.map_err(|source| self.failed(source))? {
                return Ok(Some(PushEvent::Mounted));
            }
        }
        Ok(None)
    }

    fn config(&self, bytes: &[u8]) -> Result<Descriptor, Error> {
        let path = self.ingest.path("config");
        let mut options = File::options();
        let opened = options.read(true).write(true).create_new(true).open(&path);
        let mut file = opened.map_err(Error::io("create", &path))?;
        file.write_all(bytes).map_err(Error::io("write", &path))?;
        let blob = Blob {
            digest: self.image.id.clone(),
            size: bytes.len() as u64,
            file: Arc::new(file),
        };
        let sent = self.client.push_blob(self.name, &blob, &|_| {});
        sent.map_err(|source| self.failed(source))?;
        let came_as = self.original.as_ref().map(|o| &o.manifest.config);
        let same = came_as.filter(|config| config.digest == blob.digest);
        Ok(match same {
            Some(config) => config.clone(),
            None => Descriptor::new(MediaType::OCI_CONFIG, blob.digest, blob.size),
        })
    }
}
