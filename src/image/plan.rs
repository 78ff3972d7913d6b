//! Which images an archive has and where their parts are.

use crate::image::Error;
use crate::image::contents::{Contents, DOCUMENT_BYTES_MAX, Part};
use crate::oci::{
    CONFIG_BYTES_MAX, Descriptor, Digest, Document, ImageConfig, Index, Layout, MANIFEST_BYTES_MAX,
    MediaType, Platform, Reference, SaveEntry,
};

/// Deepest nesting of indexes.
const INDEX_DEPTH_MAX: u32 = 4;
/// Where OCI archives have the name: whole in the first, a tag in the second.
const NAME_ANNOTATIONS: [&str; 2] = [
    "io.containerd.image.name",
    "org.opencontainers.image.ref.name",
];

/// An image of an archive or a registry, its documents read and checked.
/// `P` says where a layer's bytes are.
#[derive(Debug)]
pub(super) struct PlannedImage<P> {
    pub(super) id: Digest,
    pub(super) config: ImageConfig,
    pub(super) config_bytes: Vec<u8>,
    pub(super) manifest: Option<(Digest, Vec<u8>)>,
    /// Bottom first, one for each diff id.
    pub(super) layers: Vec<PlannedLayer<P>>,
    pub(super) names: Vec<Reference>,
}

/// A layer that is to be unpacked.
#[derive(Debug, Clone)]
pub(super) struct PlannedLayer<P> {
    pub(super) place: P,
    /// What its packed bytes must be, where that is known.
    pub(super) packed: Option<Digest>,
}

/// Reads an archive's documents.
pub(super) fn plan(
    contents: &Contents,
    platform: &Platform,
) -> Result<Vec<PlannedImage<Part>>, Error> {
    let is_docker = contents.has("manifest.json");
    if contents.has("index.json") && (!is_docker || has_platforms(contents)) {
        match layout(contents, platform) {
            // An archive may have only the platform that docker's list names.
            Err(Error::Missing(_)) if is_docker => {}
            planned => return planned,
        }
    }
    if is_docker {
        return docker(contents);
    }
    Err(Error::Missing(
        "manifest.json or index.json: it is no image archive".to_owned(),
    ))
}

/// Whether the layout's index leads to further ones: docker's list names only
/// one platform of each image.
fn has_platforms(contents: &Contents) -> bool {
    let bytes = contents.read("index.json", MANIFEST_BYTES_MAX).ok();
    let document = bytes.and_then(|bytes| Document::parse(&bytes).ok());
    let Some(Document::Index(index)) = document else {
        return false;
    };
    let mut kinds = index.manifests.iter();
    kinds.any(|entry| MediaType::of(&entry.media_type) == MediaType::Index)
}

/// The image of a layout that a tag or digest names, or its only one. It has
/// no names here.
pub(super) fn layout_one(
    contents: &Contents,
    tag: Option<&str>,
    platform: &Platform,
) -> Result<PlannedImage<Part>, Error> {
    let index = layout_index(contents)?;
    let is_meant = |entry: &&Descriptor| match tag {
        None => true,
        Some(tag) => {
            let named = NAME_ANNOTATIONS
                .iter()
                .filter_map(|key| entry.annotation(key));
            let mut tags = named.map(|name| name.rsplit_once(':').map_or(name, |(_, tag)| tag));
            entry.digest.to_string() == tag || tags.any(|other| other == tag)
        }
    };
    let found: Vec<Descriptor> = index.manifests.iter().filter(is_meant).cloned().collect();
    if found.is_empty() {
        return Err(Error::Missing(match tag {
            Some(tag) => format!("image {tag} in its index.json"),
            None => "image in its index.json".to_owned(),
        }));
    }
    layout_image(contents, &(None, found), platform)
}

fn docker(contents: &Contents) -> Result<Vec<PlannedImage<Part>>, Error> {
    let bytes = contents.read("manifest.json", DOCUMENT_BYTES_MAX)?;
    let entries = crate::oci::parse_save_manifest(&bytes);
    let entries = entries.map_err(Error::document("manifest.json"))?;
    entries
        .iter()
        .map(|entry| docker_image(contents, entry))
        .collect()
}

fn docker_image(contents: &Contents, entry: &SaveEntry) -> Result<PlannedImage<Part>, Error> {
    let config_bytes = contents.read(&entry.config, CONFIG_BYTES_MAX)?;
    let id = Digest::of(&config_bytes);
    if let Some(named) = named_digest(&entry.config)
        && named != id
    {
        return Err(mismatch(&entry.config, &named, &id));
    }
    let layer = |place: &String| {
        Ok(PlannedLayer {
            place: contents.find(place)?,
            packed: place
                .starts_with("blobs/")
                .then(|| named_digest(place))
                .flatten(),
        })
    };
    let layers = entry
        .layers
        .iter()
        .map(layer)
        .collect::<Result<_, Error>>()?;
    let names = entry.repo_tags.iter().map(|tag| tag.parse());
    let names = names
        .collect::<Result<_, _>>()
        .map_err(Error::document("manifest.json"))?;
    finish(&entry.config, id, config_bytes, None, layers, names)
}

/// The digest that a place like `blobs/sha256/HEX` or `HEX.json` promises.
fn named_digest(place: &str) -> Option<Digest> {
    let last = place.rsplit('/').next()?;
    let hex = last.strip_suffix(".json").unwrap_or(last);
    let folder = place
        .strip_prefix("blobs/")
        .and_then(|rest| rest.split('/').next());
    format!("{}:{hex}", folder.unwrap_or("sha256")).parse().ok()
}

fn layout(contents: &Contents, platform: &Platform) -> Result<Vec<PlannedImage<Part>>, Error> {
    let index = layout_index(contents)?;
    let mut images = Vec::new();
    for group in groups(&index) {
        images.push(layout_image(contents, &group, platform)?);
    }
    if images.is_empty() {
        return Err(Error::NoPlatform(platform.clone()));
    }
    Ok(images)
}

/// Reads the documents that every layout has.
fn layout_index(contents: &Contents) -> Result<Index, Error> {
    let bytes = contents.read("oci-layout", MANIFEST_BYTES_MAX)?;
    let layout: Layout = serde_json::from_slice(&bytes).map_err(|error| {
        Error::document("oci-layout")(crate::oci::Error::Document {
            what: "layout file",
            reason: error.to_string(),
        })
    })?;
    if !layout.image_layout_version.starts_with("1.") {
        return Err(Error::Mismatch {
            what: "version of the image layout".to_owned(),
            expected: "1.0.0".to_owned(),
            found: layout.image_layout_version,
        });
    }
    let bytes = contents.read("index.json", MANIFEST_BYTES_MAX)?;
    match document("index.json", &bytes)? {
        Document::Index(index) => Ok(index),
        Document::Manifest(_) => Err(Error::Mismatch {
            what: "index.json".to_owned(),
            expected: "an index".to_owned(),
            found: "a manifest".to_owned(),
        }),
    }
}

/// Entries of one name are platforms of one image.
fn groups(index: &Index) -> Vec<(Option<Reference>, Vec<Descriptor>)> {
    let mut groups: Vec<(Option<Reference>, Vec<Descriptor>)> = Vec::new();
    for descriptor in &index.manifests {
        let name = NAME_ANNOTATIONS
            .iter()
            .filter_map(|key| descriptor.annotation(key))
            .find_map(|text| text.parse::<Reference>().ok());
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, group)) => group.push(descriptor.clone()),
            None => groups.push((name, vec![descriptor.clone()])),
        }
    }
    groups
}

fn layout_image(
    contents: &Contents,
    (name, descriptors): &(Option<Reference>, Vec<Descriptor>),
    platform: &Platform,
) -> Result<PlannedImage<Part>, Error> {
    let mut candidates = descriptors.clone();
    for _ in 0..INDEX_DEPTH_MAX {
        let chosen = match candidates.as_slice() {
            // A single image is taken even if it names another platform: the
            // user asked for this archive.
            [only] => only,
            many => platform
                .select(many)
                .ok_or_else(|| Error::NoPlatform(platform.clone()))?,
        };
        let bytes = blob(contents, chosen, MANIFEST_BYTES_MAX)?;
        match document(&chosen.digest.to_string(), &bytes)? {
            Document::Index(index) => candidates = index.manifests,
            Document::Manifest(manifest) => {
                let config_bytes = blob(contents, &manifest.config, CONFIG_BYTES_MAX)?;
                let layers = manifest.layers.iter().map(|layer| planned(contents, layer));
                let layers = layers.collect::<Result<_, Error>>()?;
                let digest = chosen.digest.clone();
                // Ids are SHA-256 whatever the manifest used.
                let id = Digest::of(&config_bytes);
                let what = digest.to_string();
                let names = name.iter().cloned().collect();
                return finish(
                    &what,
                    id,
                    config_bytes,
                    Some((digest, bytes)),
                    layers,
                    names,
                );
            }
        }
    }
    Err(Error::Mismatch {
        what: "nesting of indexes".to_owned(),
        expected: format!("at most {INDEX_DEPTH_MAX} deep"),
        found: "deeper".to_owned(),
    })
}

fn planned(contents: &Contents, layer: &Descriptor) -> Result<PlannedLayer<Part>, Error> {
    if MediaType::of(&layer.media_type) == MediaType::Other {
        return Err(Error::Mismatch {
            what: format!("media type of layer {}", layer.digest),
            expected: "a layer's".to_owned(),
            found: layer.media_type.clone(),
        });
    }
    let part = contents.find(&blob_place(&layer.digest))?;
    if part.size != layer.size {
        return Err(size_mismatch(layer, part.size));
    }
    Ok(PlannedLayer {
        place: part,
        packed: Some(layer.digest.clone()),
    })
}

/// Reads a document by its descriptor and checks both size and digest.
fn blob(contents: &Contents, descriptor: &Descriptor, bytes_max: u64) -> Result<Vec<u8>, Error> {
    let place = blob_place(&descriptor.digest);
    let bytes = contents.read(&place, bytes_max)?;
    if bytes.len() as u64 != descriptor.size {
        return Err(size_mismatch(descriptor, bytes.len() as u64));
    }
    if !descriptor.digest.is_of(&bytes) {
        return Err(mismatch(&place, &descriptor.digest, &Digest::of(&bytes)));
    }
    Ok(bytes)
}

fn blob_place(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

fn document(what: &str, bytes: &[u8]) -> Result<Document, Error> {
    Document::parse(bytes).map_err(Error::document(what))
}

/// Checks a config against its layers.
pub(super) fn finish<P>(
    what: &str,
    id: Digest,
    config_bytes: Vec<u8>,
    manifest: Option<(Digest, Vec<u8>)>,
    layers: Vec<PlannedLayer<P>>,
    names: Vec<Reference>,
) -> Result<PlannedImage<P>, Error> {
    let config = ImageConfig::parse(&config_bytes).map_err(Error::document(what))?;
    if layers.len() != config.rootfs.diff_ids.len() {
        return Err(Error::Mismatch {
            what: format!("number of layers of {what}"),
            expected: config.rootfs.diff_ids.len().to_string(),
            found: layers.len().to_string(),
        });
    }
    Ok(PlannedImage {
        id,
        config,
        config_bytes,
        manifest,
        layers,
        names,
    })
}

pub(super) fn mismatch(what: &str, expected: &Digest, found: &Digest) -> Error {
    Error::Mismatch {
        what: format!("digest of {what}"),
        expected: expected.to_string(),
        found: found.to_string(),
    }
}

fn size_mismatch(descriptor: &Descriptor, found: u64) -> Error {
    Error::Mismatch {
        what: format!("size of {}", descriptor.digest),
        expected: descriptor.size.to_string(),
        found: found.to_string(),
    }
}
