//! What is kept of a volume besides its content.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::Volume;
use crate::store::record::Record;

/// A volume's record, durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VolumeRecord {
    /// As it was applied.
    pub(super) volume: Volume,
    /// Project and key; None when no project declares it.
    pub(super) owner: Option<(String, String)>,
    /// The project of the container that it belongs to.
    #[serde(default)]
    pub(super) anonymous_of: Option<String>,
    pub(super) created_at: Timestamp,
    /// Whether the image's content is on its way in. Found set, it means
    /// that the copy was broken off and is to be done again.
    #[serde(default)]
    pub(super) is_filling: bool,
}

impl Record for VolumeRecord {
    const KIND: &'static str = "volume";
    const VERSION: u32 = 1;
}
