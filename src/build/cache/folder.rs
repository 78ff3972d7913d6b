//! A cache in a folder: an OCI layout, `index.json` and `blobs/sha256/…`.
//!
//! Blobs appear by rename, the index last, so that a killed export leaves the
//! cache that was there. Other tags of the index stay; blobs that nothing
//! names any more are removed once the index is written.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::build::cache::{CacheEntry, Error};
use crate::oci::{Descriptor, Digest, Document, Index, MANIFEST_BYTES_MAX, Manifest, MediaType};

/// Where an index has the tag.
const TAG: &str = "org.opencontainers.image.ref.name";
const INDEX: &str = "index.json";
const LAYOUT: &str = "oci-layout";

/// A folder with caches.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    fn place(&self, digest: &Digest) -> PathBuf {
        let algorithm = digest.algorithm().as_str();
        self.path.join("blobs").join(algorithm).join(digest.hex())
    }

    fn index(&self) -> Result<Option<Index>, Error> {
        let path = self.path.join(INDEX);
        let Some(bytes) = read(&path, MANIFEST_BYTES_MAX)? else {
            return Ok(None);
        };
        let name = || path.display().to_string();
        match Document::parse(&bytes).map_err(|error| Error::malformed(name(), error))? {
            Document::Index(index) => Ok(Some(index)),
            Document::Manifest(_) => Err(Error::malformed(name(), "it is a manifest")),
        }
    }

    /// The manifest of a cache.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none, [`Error::Foreign`].
    pub(crate) fn manifest(&self, entry: &CacheEntry) -> Result<Manifest, Error> {
        let missing = || Error::NotFound(self.path.join(INDEX).display().to_string());
        let index = self.index()?.ok_or_else(missing)?;
        let is_meant = |descriptor: &&Descriptor| match entry {
            CacheEntry::Tag(tag) => descriptor.annotation(TAG) == Some(tag),
            CacheEntry::Digest(digest) => descriptor.digest == *digest,
        };
        let found = index.manifests.iter().find(is_meant).ok_or_else(missing)?;
        let bytes = self.document(found, MANIFEST_BYTES_MAX)?;
        let what = found.digest.short();
        match Document::parse(&bytes).map_err(|error| Error::malformed(what, error))? {
            Document::Manifest(manifest) => Ok(*manifest),
            // Only BuildKit writes its caches so.
            Document::Index(_) => Err(Error::Foreign),
        }
    }

    /// A blob that is read whole, its digest checked.
    pub(crate) fn document(
        &self,
        descriptor: &Descriptor,
        bytes_max: u64,
    ) -> Result<Vec<u8>, Error> {
        let path = self.place(&descriptor.digest);
        let missing = || Error::NotFound(path.display().to_string());
        let bytes = read(&path, bytes_max)?.ok_or_else(missing)?;
        if !descriptor.digest.is_of(&bytes) {
            let found = Digest::of(&bytes);
            return Err(Error::malformed(
                path.display().to_string(),
                format!("its digest is {found}"),
            ));
        }
        Ok(bytes)
    }

    /// Opens a blob.
    pub(crate) fn blob(&self, digest: &Digest) -> Result<File, Error> {
        let path = self.place(digest);
        File::open(&path).map_err(Error::io("open", path))
    }

    pub(crate) fn has(&self, descriptor: &Descriptor) -> bool {
        let found = std::fs::metadata(self.place(&descriptor.digest));
        found.is_ok_and(|found| found.is_file() && found.len() == descriptor.size)
    }

    /// Writes a blob, whose digest it is known to have, from its beginning.
    pub(crate) fn put(&self, digest: &Digest, mut content: impl io::Read) -> Result<(), Error> {
        let path = self.place(digest);
        let folder = path.parent().unwrap_or(&self.path);
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        put(&path, &mut content)
    }

    /// Makes a manifest the cache of a tag.
    pub(crate) fn finish(&self, tag: &str, bytes: &[u8]) -> Result<(), Error> {
        let digest = Digest::of(bytes);
        self.put(&digest, bytes)?;
        let size = bytes.len() as u64;
        let mut descriptor = Descriptor::new(MediaType::OCI_MANIFEST, digest, size);
        descriptor.annotations = Some([(TAG.to_owned(), tag.to_owned())].into_iter().collect());
        // One that can't be read gives way: it is a cache.
        let mut index = self.index().ok().flatten().unwrap_or(Index {
            schema_version: 2,
            media_type: MediaType::OCI_INDEX.to_owned(),
            manifests: Vec::new(),
        });
        index
            .manifests
            .retain(|other| other.annotation(TAG) != Some(tag));
        index.manifests.push(descriptor);
        let layout: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
        put(&self.path.join(LAYOUT), &mut &*layout)?;
        let text = serde_json::to_vec(&index).expect("strings and numbers always become JSON");
        put(&self.path.join(INDEX), &mut text.as_slice())?;
        self.sweep(&index)
    }

    /// Removes the blobs that no cache of the index names; nothing when one
    /// of them can't be understood.
    fn sweep(&self, index: &Index) -> Result<(), Error> {
        let mut named: HashSet<String> = HashSet::new();
        for descriptor in &index.manifests {
            let tag = CacheEntry::Digest(descriptor.digest.clone());
            let Ok(manifest) = self.manifest(&tag) else {
                return Ok(());
            };
            let parts = manifest.layers.iter().chain([&manifest.config, descriptor]);
            named.extend(parts.map(|part| part.digest.hex().to_owned()));
        }
        let folder = self.path.join("blobs/sha256");
        for entry in std::fs::read_dir(&folder).map_err(Error::io("list", &folder))? {
            let entry = entry.map_err(Error::io("list", &folder))?;
            let name = entry.file_name();
            if !named.contains(&*name.to_string_lossy()) {
                let path = entry.path();
                std::fs::remove_file(&path).map_err(Error::io("remove", path))?;
            }
        }
        Ok(())
    }
}

fn read(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", path)(error)),
    };
    let mut bytes = Vec::new();
    let read = file.take(bytes_max + 1).read_to_end(&mut bytes);
    read.map_err(Error::io("read", path))?;
    if bytes.len() as u64 > bytes_max {
        let reason = format!("it has more than {bytes_max} bytes");
        return Err(Error::malformed(path.display().to_string(), reason));
    }
    Ok(Some(bytes))
}

/// Writes a file that appears whole.
fn put(path: &Path, content: &mut dyn io::Read) -> Result<(), Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".tmp-{}", std::process::id()));
    let temporary = PathBuf::from(name);
    let write = |content: &mut dyn io::Read| {
        let mut file = File::create(&temporary)?;
        io::copy(content, &mut file)?;
        file.sync_data()?;
        std::fs::rename(&temporary, path)
    };
    let written = write(content);
    if written.is_err() {
        // The first failure is what matters.
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(Error::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(content: &[u8]) -> Vec<u8> {
        let config = Descriptor::new("x", Digest::of(content), content.len() as u64);
        serde_json::to_vec(&Manifest::new(config, Vec::new())).unwrap()
    }

    fn blobs(path: &Path) -> usize {
        std::fs::read_dir(path.join("blobs/sha256"))
            .unwrap()
            .count()
    }

    #[test]
    fn tags_stand_side_by_side_and_give_way_to_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::at(dir.path());
        let entry = |tag: &str| CacheEntry::Tag(tag.to_owned());
        assert!(matches!(
            folder.manifest(&entry("a")),
            Err(Error::NotFound(_))
        ));
        for (tag, content) in [("a", b"1"), ("b", b"2"), ("a", b"3")] {
            folder
                .put(&Digest::of(content), content.as_slice())
                .unwrap();
            folder.finish(tag, &manifest(content)).unwrap();
        }
        for (tag, content) in [("a", b"3"), ("b", b"2")] {
            let found = folder.manifest(&entry(tag)).unwrap();
            assert_eq!(folder.document(&found.config, 9).unwrap(), content);
        }
        // The first cache of `a` went with its blobs.
        assert_eq!(blobs(dir.path()), 4);
        let by_digest = CacheEntry::Digest(Digest::of(&manifest(b"2")));
        assert!(folder.manifest(&by_digest).is_ok());
    }

    #[test]
    fn changed_and_long_blobs_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::at(dir.path());
        let digest = Digest::of(b"1");
        folder.put(&digest, b"2".as_slice()).unwrap();
        let descriptor = Descriptor::new("x", digest, 1);
        assert!(folder.has(&descriptor));
        assert!(matches!(
            folder.document(&descriptor, 9),
            Err(Error::Malformed { .. })
        ));
        assert!(matches!(
            folder.document(&descriptor, 0),
            Err(Error::Malformed { .. })
        ));
        std::fs::write(dir.path().join(INDEX), "{").unwrap();
        let entry = CacheEntry::Tag("a".to_owned());
        assert!(matches!(
            folder.manifest(&entry),
            Err(Error::Malformed { .. })
        ));
        folder.put(&Digest::of(b"c"), b"c".as_slice()).unwrap();
        folder.finish("a", &manifest(b"c")).unwrap();
        assert!(folder.manifest(&entry).is_ok());
    }
}
