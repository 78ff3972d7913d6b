//! The document of a cache: steps by their keys, and where their layers are.
//!
//! It stands as the config of an OCI manifest whose layers are the packed
//! layers; inside an image's config it has no layers, for the image has them.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::build::cache::Error;
use crate::image::{StepRecord, upon};
use crate::oci::{Descriptor, Digest};

/// What the document is called in a manifest.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.rcompose.build.cache.v1+json";
/// What BuildKit's is called.
pub(crate) const BUILDKIT_MEDIA_TYPE: &str = "application/vnd.buildkit.cacheconfig.v0";
/// The form that is written and read.
const VERSION: u32 = 1;
/// Most steps of a cache.
const STEPS_MAX: usize = 20_000;
/// Most keys of a step.
const KEYS_MAX: usize = 4;
/// Longest text of an instruction that travels, in characters.
const TEXT_CHARS_MAX: usize = 1_000;

/// Steps by their keys, and where their layers are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CacheDocument {
    version: u32,
    /// The steps.
    pub(crate) steps: Vec<CachedStep>,
    /// The layers that are carried, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) layers: Vec<CachedLayer>,
}

/// What a step came to, upon whatever it stands on: its keys say that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CachedStep {
    /// All its keys, the one by content first.
    pub(crate) keys: Vec<Digest>,
    /// The layer that it made, by its tar; none when it changed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) diff_id: Option<Digest>,
    /// Bytes in that layer's files.
    #[serde(default)]
    pub(crate) content_bytes: u64,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// The instruction, for people.
    #[serde(default)]
    pub(crate) text: String,
}

/// A layer that is carried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CachedLayer {
    /// Digest of its plain tar.
    pub(crate) diff_id: Digest,
    /// Its packed tar.
    pub(crate) blob: Descriptor,
}

impl CachedStep {
    /// A step with its keys.
    pub(crate) fn new(keys: &[Digest], record: &StepRecord) -> Self {
        Self {
            keys: keys.to_vec(),
            diff_id: record.diff_id.clone(),
            content_bytes: record.content_bytes,
            created: record.created,
            text: record.description.chars().take(TEXT_CHARS_MAX).collect(),
        }
    }

    /// What it comes to upon the layer `parent`.
    pub(crate) fn record(&self, parent: Option<&Digest>) -> StepRecord {
        StepRecord {
            top: match &self.diff_id {
                Some(diff_id) => Some(upon(parent, diff_id)),
                None => parent.cloned(),
            },
            diff_id: self.diff_id.clone(),
            content_bytes: self.content_bytes,
            created: self.created,
            description: self.text.clone(),
            stands_for: None,
        }
    }
}

impl CacheDocument {
    /// One with these steps, and no layers.
    pub(crate) fn new(steps: Vec<CachedStep>) -> Self {
        Self {
            version: VERSION,
            steps,
            layers: Vec::new(),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub(crate) fn parse(bytes: &[u8], what: &str) -> Result<Self, Error> {
        let read: Self =
            serde_json::from_slice(bytes).map_err(|error| Error::malformed(what, error))?;
        if read.version != VERSION {
            let reason = format!("it has version {}, not {VERSION}", read.version);
            return Err(Error::malformed(what, reason));
        }
        let is_too_much = read.steps.len() > STEPS_MAX
            || read.steps.iter().any(|step| step.keys.len() > KEYS_MAX);
        if is_too_much {
            let reason = format!("it has more than {STEPS_MAX} steps or {KEYS_MAX} keys a step");
            return Err(Error::malformed(what, reason));
        }
        Ok(read)
    }

    /// Its bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers always become JSON")
    }

    /// Adds what another one has and this one lacks; what both have is as in
    /// the other.
    pub(crate) fn take_in(&mut self, other: Self) {
        let newer: std::collections::HashSet<&Digest> =
            other.steps.iter().flat_map(|step| &step.keys).collect();
        self.steps
            .retain(|step| !step.keys.iter().any(|key| newer.contains(key)));
        self.steps.extend(other.steps);
        for layer in other.layers {
            if !self.layers.iter().any(|own| own.diff_id == layer.diff_id) {
                self.layers.push(layer);
            }
        }
    }

    /// Its steps by key, and its layers by diff id.
    pub(crate) fn indexed(self) -> (HashMap<Digest, CachedStep>, HashMap<Digest, Descriptor>) {
        let mut steps = HashMap::new();
        for step in self.steps {
            for key in &step.keys {
                steps.insert(key.clone(), step.clone());
            }
        }
        let layers = self.layers.into_iter();
        (
            steps,
            layers.map(|layer| (layer.diff_id, layer.blob)).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(key: &str, layer: Option<&str>) -> CachedStep {
        CachedStep {
            keys: vec![Digest::of(key.as_bytes())],
            diff_id: layer.map(|layer| Digest::of(layer.as_bytes())),
            content_bytes: 3,
            created: Timestamp::UNIX_EPOCH,
            text: format!("RUN {key}"),
        }
    }

    #[test]
    fn it_comes_back() {
        let mut document = CacheDocument::new(vec![step("a", Some("l")), step("b", None)]);
        document.layers.push(CachedLayer {
            diff_id: Digest::of(b"l"),
            blob: Descriptor::new("x", Digest::of(b"p"), 4),
        });
        let read = CacheDocument::parse(&document.to_bytes(), "it").unwrap();
        assert_eq!(read, document);
        let (steps, layers) = read.indexed();
        assert_eq!(steps.len(), 2);
        assert_eq!(layers[&Digest::of(b"l")].size, 4);
    }

    #[test]
    fn a_step_stands_upon_whatever_its_key_was_made_of() {
        let below = Digest::of(b"below");
        let made = step("a", Some("l")).record(Some(&below));
        assert_eq!(made.top, Some(upon(Some(&below), &Digest::of(b"l"))));
        assert_eq!(step("b", None).record(Some(&below)).top, Some(below));
        assert_eq!(step("b", None).record(None).top, None);
    }

    #[test]
    fn what_is_no_cache_is_refused() {
        let many = step("a", None);
        let mut keys = many.clone();
        keys.keys = vec![Digest::of(b"k"); KEYS_MAX + 1];
        for (text, expected) in [
            (b"{}".to_vec(), "missing field"),
            (br#"{"version":2,"steps":[]}"#.to_vec(), "version 2"),
            (
                CacheDocument::new(vec![many; STEPS_MAX + 1]).to_bytes(),
                "more than",
            ),
            (CacheDocument::new(vec![keys]).to_bytes(), "more than"),
        ] {
            let told = CacheDocument::parse(&text, "it").unwrap_err().to_string();
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn the_newer_of_two_steps_stays() {
        let mut first = CacheDocument::new(vec![step("a", Some("1")), step("b", Some("2"))]);
        let layer = |name: &str| CachedLayer {
            diff_id: Digest::of(name.as_bytes()),
            blob: Descriptor::new("x", Digest::of(name.as_bytes()), 1),
        };
        first.layers = vec![layer("1")];
        let mut second = CacheDocument::new(vec![step("a", Some("3"))]);
        second.layers = vec![layer("1"), layer("3")];
        first.take_in(second);
        assert_eq!(first.steps, [step("b", Some("2")), step("a", Some("3"))]);
        assert_eq!(first.layers, [layer("1"), layer("3")]);
    }
}
