//! `save`: images as an archive that docker and every OCI tool reads: an OCI
//! layout with docker's `manifest.json` beside it.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Seek as _, Write};
use std::path::Path;

use serde_json::json;

use crate::archive::{self, Merged, Packer};
use crate::image::ingest::Ingest;
use crate::image::layers::Fresh;
use crate::image::{Error, Image, blob, draft, hold, layer_path, layers, lookup, plan, several};
use crate::oci::{Algorithm, Descriptor, Digest, Hasher, Manifest, MediaType, Reference};
use crate::store::Root;

/// Writes images to `out`. A name saves that name alone, an id saves the
/// image without names; layers that several images share are written once.
///
/// The layers' bytes are made again from the unpacked trees and are checked
/// against their digests while they are written.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Damaged`] for a layer that can't be made
/// again as it came; [`Error::Archive`] when `out` fails.
pub fn save<W: Write>(root: &Root, images: &[String], out: W) -> Result<W, Error> {
    let _guard = hold(root)?;
    let images = chosen(root, images)?;
    let mut saving = Saving {
        root,
        packer: Packer::new(out),
        written: HashSet::new(),
    };
    let (mut index, mut entries) = (Vec::new(), Vec::new());
    for Chosen { image, all, names } in &images {
        let manifest = match all.as_slice() {
            [] | [_] => saving.image(image)?,
            all => saving.index(all)?,
        };
        let layers: Vec<String> = image.config.rootfs.diff_ids.iter().map(place).collect();
        let tags: Vec<String> = names.iter().map(Reference::familiar).collect();
        entries.push(json!({"Config": place(&image.id), "RepoTags": tags, "Layers": layers}));
        index.extend(index_entries(&manifest, names));
    }
    let index = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": index});
    saving.document("index.json", index.to_string().as_bytes())?;
    saving.document(
        "manifest.json",
        serde_json::Value::Array(entries).to_string().as_bytes(),
    )?;
    saving.document("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    saving
        .packer
        .finish()
        .map_err(Error::archive("image archive"))
}

/// An image to save.
struct Chosen {
    image: Image,
    /// It and its kin for other platforms, when its names stand for several.
    all: Vec<Image>,
    names: Vec<Reference>,
}

fn chosen(root: &Root, texts: &[String]) -> Result<Vec<Chosen>, Error> {
    let mut chosen: Vec<Chosen> = Vec::new();
    for text in texts {
        let found = lookup::resolve(root, text)?.ok_or_else(|| Error::NotFound(text.clone()))?;
        let names = found.name.filter(|name| name.tag().is_some());
        let all = match &names {
            Some(name) => several::platforms_of(root, name)?,
            None => Vec::new(),
        };
        let is_same = |chosen: &&mut Chosen| chosen.image.id == found.image.id && chosen.all == all;
        match chosen.iter_mut().find(is_same) {
            Some(chosen) => chosen.names.extend(names),
            None => chosen.push(Chosen {
                image: found.image,
                all,
                names: names.into_iter().collect(),
            }),
        }
    }
    Ok(chosen)
}

fn index_entries(manifest: &Descriptor, names: &[Reference]) -> Vec<Descriptor> {
    let named = |name: &Reference| {
        let pairs = [
            ("io.containerd.image.name".to_owned(), name.to_string()),
            (
                "org.opencontainers.image.ref.name".to_owned(),
                name.tag().unwrap_or_default().to_owned(),
            ),
        ];
        Descriptor {
            annotations: Some(pairs.into_iter().collect()),
            ..manifest.clone()
        }
    };
    if names.is_empty() {
        return vec![manifest.clone()];
    }
    names.iter().map(named).collect()
}

fn place(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

struct Saving<'a, W: Write> {
    root: &'a Root,
    packer: Packer<W>,
    written: HashSet<Digest>,
}

impl<W: Write> Saving<'_, W> {
    /// Writes an image's blobs and says where its manifest is. The manifest
    /// is made for the plain layers, whatever the image came in.
    fn image(&mut self, image: &Image) -> Result<Descriptor, Error> {
        let damaged = |reason: &str| Error::Damaged {
            image: image.id.short().to_owned(),
            reason: reason.to_owned(),
        };
        let config = blob::read(self.root, &image.id)?;
        let config = config.ok_or_else(|| damaged("its config is gone"))?;
        let mut descriptors = Vec::new();
        let bottom_first: Vec<&Digest> = image.layers.iter().rev().collect();
        for (number, chain_id) in bottom_first.iter().enumerate() {
            let record = layers::read(self.root, chain_id)?;
            let record = record.ok_or_else(|| damaged("the record of a layer is gone"))?;
            let size = record.tar_bytes;
            if self.written.insert(record.diff_id.clone()) {
                let upto = bottom_first.get(..=number).unwrap_or_default();
                self.layer(chain_id, &record.diff_id, size, upto)?;
            }
            descriptors.push(Descriptor::new(MediaType::OCI_LAYER, record.diff_id, size));
        }
        self.blob(&image.id, &config)?;
        let config = Descriptor::new(MediaType::OCI_CONFIG, image.id.clone(), config.len() as u64);
        let bytes = serde_json::to_vec(&Manifest::new(config, descriptors));
        let bytes = bytes.expect("strings and numbers always become JSON");
        let digest = Digest::of(&bytes);
        self.blob(&digest, &bytes)?;
        Ok(Descriptor::new(
            MediaType::OCI_MANIFEST,
            digest,
            bytes.len() as u64,
        ))
    }

    /// Writes images of several platforms, and says where their index is.
    fn index(&mut self, images: &[Image]) -> Result<Descriptor, Error> {
        let manifests = images.iter().map(|image| Ok((self.image(image)?, image)));
        let bytes = several::index(manifests.collect::<Result<_, Error>>()?);
        let digest = Digest::of(&bytes);
        self.blob(&digest, &bytes)?;
        Ok(Descriptor::new(
            MediaType::OCI_INDEX,
            digest,
            bytes.len() as u64,
        ))
    }

    fn layer(
        &mut self,
        chain_id: &Digest,
        diff_id: &Digest,
        size: u64,
        upto: &[&Digest],
    ) -> Result<(), Error> {
        let what = format!("layer {}", diff_id.short());
        let source = LayerSource::open(self.root, chain_id, &what, upto)?;
        let mut digest = None;
        let content = |out: &mut dyn Write| {
            digest = Some(source.write(diff_id.algorithm(), out)?);
            Ok(())
        };
        let written = self.packer.content(&place(diff_id), size, content);
        written.map_err(Error::archive(&what))?;
        match digest {
            Some(digest) if digest != *diff_id => Err(plan::mismatch(&what, diff_id, &digest)),
            Some(_) | None => Ok(()),
        }
    }

    fn blob(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        if self.written.insert(digest.clone()) {
            self.document(&place(digest), bytes)?;
        }
        Ok(())
    }

    fn document(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.packer
            .document(name, bytes)
            .map_err(Error::archive(name))
    }
}

/// Makes the plain tar of a layer again, of a chain that is given bottom
/// first, and checks its digest.
pub(super) fn write_layer(
    root: &Root,
    bottom_first: &[&Digest],
    number: usize,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let upto = bottom_first.get(..=number).unwrap_or_default();
    let chain_id = upto
        .last()
        .ok_or_else(|| Error::NotFound(format!("layer {number}")))?;
    let damaged = || Error::Damaged {
        image: format!("layer {}", chain_id.short()),
        reason: "its record is gone".to_owned(),
    };
    let diff_id = layers::read(root, chain_id)?.ok_or_else(damaged)?.diff_id;
    let what = format!("layer {}", diff_id.short());
    let source = LayerSource::open(root, chain_id, &what, upto)?;
    let written = source.write(diff_id.algorithm(), out);
    let digest = written.map_err(Error::archive(&what))?;
    if digest != diff_id {
        return Err(plan::mismatch(&what, &diff_id, &digest));
    }
    Ok(())
}

/// Makes the tar of a layer again that isn't settled yet, in a file without a
/// name, which is read from its beginning.
pub(super) fn remake(fresh: &Fresh, ingest: &Ingest) -> Result<File, Error> {
    let mut file = ingest.nameless()?;
    let map = File::open(fresh.map_path()).map_err(Error::io("open", &fresh.map_path()))?;
    let merged = Merged::open([fresh.tree()]).map_err(Error::io("open", &fresh.tree()))?;
    let source = LayerSource { map, merged };
    let written = source.write(Algorithm::Sha256, &mut file);
    written.map_err(Error::archive("layer"))?;
    file.rewind().map_err(Error::io("read", &ingest.path("")))?;
    Ok(file)
}

/// Makes the tar of a layer of the store again, in a file without a name,
/// which is read from its beginning.
pub(super) fn stored(root: &Root, chain_id: &Digest, ingest: &Ingest) -> Result<File, Error> {
    let chain = draft::chain(root, chain_id)?;
    let bottom_first: Vec<&Digest> = chain.iter().rev().map(|(id, _)| id).collect();
    let mut file = ingest.nameless()?;
    write_layer(root, &bottom_first, bottom_first.len() - 1, &mut file)?;
    file.rewind().map_err(Error::io("read", &ingest.path("")))?;
    Ok(file)
}

/// What a layer's tar is made of.
struct LayerSource {
    map: std::fs::File,
    merged: Merged,
}

impl LayerSource {
    fn open(root: &Root, chain_id: &Digest, what: &str, upto: &[&Digest]) -> Result<Self, Error> {
        let map = layers::open_map(root, chain_id)?.ok_or_else(|| Error::Damaged {
            image: what.to_owned(),
            reason: "it had a name twice, so its archive can't be made again".to_owned(),
        })?;
        // A file may lie where a link of a lower layer leads.
        let trees = upto.iter().rev().map(|id| layer_path(root, id));
        let merged = Merged::open(trees).map_err(Error::io("open", &root.layers_dir()))?;
        Ok(Self { map, merged })
    }

    fn write(self, algorithm: Algorithm, out: &mut dyn Write) -> Result<Digest, archive::Error> {
        let open = |path: &Path| {
            self.merged
                .open_file(path)?
                .ok_or_else(|| std::io::ErrorKind::NotFound.into())
        };
        let mut tap = Tap {
            out,
            hasher: Hasher::new(algorithm),
        };
        archive::rebuild(self.map, open, &mut tap)?;
        Ok(tap.hasher.finish())
    }
}

/// Hashes what is written through it.
struct Tap<'a> {
    out: &'a mut dyn Write,
    hasher: Hasher,
}

impl Write for Tap<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}
