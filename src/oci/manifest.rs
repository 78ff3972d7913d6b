//! Manifests, indexes and layout files, read strictly.
//!
//! Unknown fields are left out of the values: what counts as the document is
//! its raw bytes, which the store keeps.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::oci::{
    Digest, Error, INDEX_ENTRIES_MAX, LAYERS_MAX, MANIFEST_BYTES_MAX, MediaType, Platform,
};

/// A pointer to content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is.
    #[serde(default)]
    pub media_type: String,
    /// Its name.
    pub digest: Digest,
    /// Its length; never negative.
    pub size: u64,
    /// Which platform it is for, inside an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<ManifestPlatform>,
    /// Remarks, such as a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<IndexMap<String, String>>,
}

impl Descriptor {
    /// Makes a pointer.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
            annotations: None,
        }
    }

    /// One of its remarks.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }
}

/// The platform of an index's entry as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestPlatform {
    /// Operating system.
    pub os: String,
    /// Processor.
    pub architecture: String,
    /// The processor's variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl ManifestPlatform {
    /// The platform in its normal form.
    #[must_use]
    pub fn to_platform(&self) -> Platform {
        Platform::new(&self.os, &self.architecture, self.variant.as_deref())
    }
}

/// An image of one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its config, whose digest is the image's id.
    pub config: Descriptor,
    /// Its layers, bottom first.
    pub layers: Vec<Descriptor>,
}

impl Manifest {
    /// Makes a manifest.
    #[must_use]
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: MediaType::OCI_MANIFEST.to_owned(),
            config,
            layers,
        }
    }
}

/// Images of several platforms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its manifests.
    pub manifests: Vec<Descriptor>,
}

/// The `oci-layout` file of an image layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layout {
    /// `1.0.0`.
    pub image_layout_version: String,
}

/// A manifest or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// One platform.
    Manifest(Box<Manifest>),
    /// Several.
    Index(Index),
}

/// The fields that tell the two apart.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    schema_version: Option<u64>,
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads a manifest or an index.
    ///
    /// One that could be read as both is refused, or two programs would see
    /// two images in the same bytes (CVE-2021-41190).
    ///
    /// # Errors
    /// [`Error::Document`] for bytes that are neither.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::document("manifest", reason);
        if u64::try_from(bytes.len()).is_ok_and(|n| n > MANIFEST_BYTES_MAX) {
            return Err(refuse("it has more than 4 MiB"));
        }
        let probe: Probe = read(bytes, "manifest")?;
        if probe.fs_layers.is_some() || probe.schema_version == Some(1) {
            return Err(refuse("schema version 1 isn't supported"));
        }
        if probe.schema_version != Some(2) {
            return Err(refuse("its schema version isn't 2"));
        }
        let is_index = match (
            probe.manifests.is_some(),
            probe.layers.is_some() || probe.config.is_some(),
        ) {
            (true, false) => true,
            (false, true) => false,
            (true, true) => return Err(refuse("it has both manifests and layers")),
            (false, false) => return Err(refuse("it has neither manifests nor layers")),
        };
        let declared = probe
            .media_type
            .as_deref()
            .map_or(MediaType::Other, MediaType::of);
        match (declared, is_index) {
            (MediaType::Other, _) | (MediaType::Index, true) | (MediaType::Manifest, false) => {}
            (
                MediaType::Index | MediaType::Manifest | MediaType::SchemaOne | MediaType::Layer,
                _,
            ) => {
                return Err(refuse("its media type says something else"));
            }
        }
        if is_index {
            let index: Index = read(bytes, "index")?;
            if index.manifests.len() > INDEX_ENTRIES_MAX {
                return Err(Error::document("index", "it has more than 1000 manifests"));
            }
            return Ok(Self::Index(index));
        }
        let manifest: Manifest = read(bytes, "manifest")?;
        if manifest.layers.len() > LAYERS_MAX {
            return Err(refuse("it has more than 500 layers"));
        }
        Ok(Self::Manifest(Box::new(manifest)))
    }
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &'static str) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::document(what, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> String {
        format!(
            r#"{{"mediaType":"x","digest":"{}","size":3}}"#,
            Digest::of(b"abc")
        )
    }

    fn refusal(text: &str) -> String {
        Document::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_manifest_comes_back() {
        let config = Descriptor::new(MediaType::OCI_CONFIG, Digest::of(b"c"), 1);
        let manifest = Manifest::new(config.clone(), vec![config]);
        let bytes = serde_json::to_vec(&manifest).unwrap();
        assert_eq!(
            Document::parse(&bytes),
            Ok(Document::Manifest(Box::new(manifest)))
        );
    }

    #[test]
    fn an_index_is_told_by_its_field() {
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{}],"extra":[1]}}"#,
            descriptor()
        );
        assert!(
            matches!(Document::parse(text.as_bytes()), Ok(Document::Index(i)) if i.manifests.len() == 1)
        );
    }

    #[test]
    fn what_could_be_both_is_neither() {
        let d = descriptor();
        let both = format!(r#"{{"schemaVersion":2,"manifests":[{d}],"config":{d},"layers":[]}}"#);
        assert!(refusal(&both).contains("both"));
        assert!(refusal(r#"{"schemaVersion":2}"#).contains("neither"));
        let lying = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{d},"layers":[]}}"#,
            MediaType::OCI_INDEX
        );
        assert!(refusal(&lying).contains("media type"));
    }

    #[test]
    fn older_and_newer_schemas_are_refused() {
        assert!(refusal(r#"{"schemaVersion":1,"fsLayers":[]}"#).contains("version 1"));
        assert!(refusal(r#"{"schemaVersion":3,"manifests":[]}"#).contains("isn't 2"));
        assert!(refusal(r#"{"manifests":[]}"#).contains("isn't 2"));
    }

    #[test]
    fn sizes_and_digests_must_be_legal() {
        let d = descriptor();
        let with = |from: &str, to: &str| {
            refusal(
                &format!(r#"{{"schemaVersion":2,"config":{d},"layers":[{d}]}}"#).replace(from, to),
            )
        };
        assert!(with("\"size\":3", "\"size\":-1").contains("manifest"));
        assert!(with("\"size\":3", "\"size\":\"3\"").contains("manifest"));
        assert!(with("sha256:", "sha256:../").contains("digest"));
        assert!(with("\"size\":3", "\"size\":3,\"size\":4").contains("duplicate"));
    }

    #[test]
    fn counts_are_bounded() {
        let d = descriptor();
        let layers = |n: usize| vec![d.as_str(); n].join(",");
        let text = |n| {
            format!(
                r#"{{"schemaVersion":2,"config":{d},"layers":[{}]}}"#,
                layers(n)
            )
        };
        assert!(Document::parse(text(LAYERS_MAX).as_bytes()).is_ok());
        assert!(refusal(&text(LAYERS_MAX + 1)).contains("500 layers"));
        let long = vec![b' '; usize::try_from(MANIFEST_BYTES_MAX).unwrap() + 1];
        assert!(
            Document::parse(&long)
                .unwrap_err()
                .to_string()
                .contains("4 MiB")
        );
    }

    #[test]
    fn nesting_cannot_exhaust_the_stack() {
        let deep = format!(
            r#"{{"schemaVersion":2,"x":{}{}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert!(Document::parse(deep.as_bytes()).is_err());
    }
}
