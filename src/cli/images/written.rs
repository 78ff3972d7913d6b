//! What the Compose files say about images, before anything is filled in.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::compose::Canonical;
use crate::model::ServiceName;

/// Services by what is written of their images.
#[derive(Debug, Default)]
pub(crate) struct Written {
    images: BTreeSet<String>,
    missing: BTreeSet<String>,
}

impl Written {
    /// Reads it from the tree.
    pub(crate) fn of(tree: &Canonical) -> Self {
        let value: Value = serde_json::from_str(&tree.to_json()).unwrap_or_default();
        let services = value.get("services").and_then(Value::as_object);
        let mut written = Self::default();
        for (name, service) in services.into_iter().flatten() {
            let text = |key: &str| service.get(key).and_then(Value::as_str);
            if text("image").is_some() {
                written.images.insert(name.clone());
            }
            if text("pull_policy") == Some("missing") {
                written.missing.insert(name.clone());
            }
        }
        written
    }

    /// Whether a service has an `image`.
    pub(crate) fn has_image(&self, service: &ServiceName) -> bool {
        self.images.contains(service.as_str())
    }

    /// Whether a service says `pull_policy: missing`.
    pub(crate) fn is_missing(&self, service: &ServiceName) -> bool {
        self.missing.contains(service.as_str())
    }
}
