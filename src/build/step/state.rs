//! A root file system between two steps, as the layers that it is made of.

use std::sync::Arc;

use crate::image::StepRecord;
use crate::oci::Digest;

/// A root file system: layers with their diff ids, topmost first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) layers: Arc<Vec<Digest>>,
    pub(crate) diff_ids: Arc<Vec<Digest>>,
}

impl State {
    /// A chain that the store has.
    pub(crate) fn of(chain: Vec<(Digest, Digest)>) -> Self {
        let (layers, diff_ids) = chain.into_iter().unzip();
        Self {
            layers: Arc::new(layers),
            diff_ids: Arc::new(diff_ids),
        }
    }

    /// The topmost layer.
    pub(crate) fn top(&self) -> Option<&Digest> {
        self.layers.first()
    }

    /// With what a step made on top.
    pub(crate) fn with(&self, record: &StepRecord) -> Self {
        let (Some(top), Some(diff_id)) = (&record.top, &record.diff_id) else {
            return self.clone();
        };
        let on_top = |new: &Digest, below: &[Digest]| {
            let mut all = Vec::with_capacity(below.len() + 1);
            all.push(new.clone());
            all.extend_from_slice(below);
            Arc::new(all)
        };
        Self {
            layers: on_top(top, &self.layers),
            diff_ids: on_top(diff_id, &self.diff_ids),
        }
    }
}
