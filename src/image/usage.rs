//! How much the store holds, and what of it is shared; an image's merged root
//! file system as a tar.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use crate::archive::{Merged, Packer};
use crate::image::{Error, Image, hold, layer_path, layer_size, list, lookup};
use crate::oci::{Digest, Reference};
use crate::store::{Root, record};

/// What an image takes.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageUsage {
    /// The image.
    pub image: Image,
    /// Its names.
    pub names: Vec<Reference>,
    /// Bytes in layers that other images have, too.
    pub shared_bytes: u64,
    /// Bytes in layers that only it has.
    pub unique_bytes: u64,
}

/// What each image takes, the newest first.
///
/// # Errors
/// [`Error::Store`] when the records can't be read.
pub fn usage(root: &Root) -> Result<Vec<ImageUsage>, Error> {
    let images = list(root)?;
    let mut users: HashMap<&Digest, u32> = HashMap::new();
    for layer in images.iter().flat_map(|(image, _)| &image.layers) {
        *users.entry(layer).or_default() += 1;
    }
    let mut found = Vec::new();
    for (image, names) in &images {
        let (mut shared_bytes, mut unique_bytes) = (0, 0);
        for layer in &image.layers {
            let bytes = layer_size(root, layer)?;
            if users.get(layer).is_some_and(|users| *users > 1) {
                shared_bytes += bytes;
            } else {
                unique_bytes += bytes;
            }
        }
        found.push(ImageUsage {
            image: image.clone(),
            names: names.clone(),
            shared_bytes,
            unique_bytes,
        });
    }
    Ok(found)
}

/// Bytes in all layers of the store, whoever has them.
///
/// # Errors
/// [`Error::Store`] when the records can't be read.
pub fn layer_bytes(root: &Root) -> Result<u64, Error> {
    let mut bytes = 0;
    for name in record::names(&root.layers_dir())? {
        if let Ok(chain_id) = format!("sha256:{name}").parse() {
            bytes += layer_size(root, &chain_id)?;
        }
    }
    Ok(bytes)
}

/// Writes the merged root file system of an image as a tar.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Archive`] when `out` or the reading fails.
pub fn export<W: Write>(root: &Root, text: &str, out: W) -> Result<W, Error> {
    let _guard = hold(root)?;
    let found = lookup::resolve(root, text)?.ok_or_else(|| Error::NotFound(text.to_owned()))?;
    let trees = found.image.layers.iter().map(|id| layer_path(root, id));
    let merged = Merged::open(trees).map_err(Error::io("open", &root.layers_dir()))?;
    let mut packer = Packer::new(out);
    if !merged.is_empty() {
        packer
            .tree(merged.root(), Path::new(""))
            .map_err(Error::archive(text))?;
    }
    packer.finish().map_err(Error::archive(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::TarReader;
    use crate::archive::testing::Tar;
    use crate::image::testing::{config, docker_archive, layers, load_bytes, scratch};

    #[test]
    fn what_images_share_is_told_apart() {
        let (_dir, root) = scratch();
        let base = layers();
        for name in ["a", "bb"] {
            let mut layers = base.clone();
            layers.push(Tar::new().file(name, name).end());
            let archive = docker_archive(&format!("{name}:1"), &config(&layers, |_| {}), &layers);
            load_bytes(&root, &archive.tar()).unwrap();
        }
        let mut found: Vec<(u64, u64)> = usage(&root)
            .unwrap()
            .iter()
            .map(|usage| (usage.shared_bytes, usage.unique_bytes))
            .collect();
        found.sort_unstable();
        assert_eq!(found, [(7, 1), (7, 2)]);
        assert_eq!(layer_bytes(&root).unwrap(), 10);
    }

    #[test]
    fn an_export_is_what_a_container_would_see() {
        let (_dir, root) = scratch();
        let layers = layers();
        let archive = docker_archive("a:1", &config(&layers, |_| {}), &layers);
        load_bytes(&root, &archive.tar()).unwrap();
        let bytes = export(&root, "a:1", Vec::new()).unwrap();
        let mut reader = TarReader::new(bytes.as_slice(), crate::archive::Limits::default());
        let mut names = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            names.push((String::from_utf8(entry.name).unwrap(), entry.size));
        }
        names.sort();
        let names: Vec<(&str, u64)> = names.iter().map(|(n, s)| (n.as_str(), *s)).collect();
        assert_eq!(
            names,
            [("./", 0), ("etc/", 0), ("etc/a", 2), ("etc/new", 3)]
        );
        assert!(matches!(
            export(&root, "none", Vec::new()),
            Err(Error::NotFound(_))
        ));
    }
}
