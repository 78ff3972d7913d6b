//! What a service mounts, before any path is opened.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::model::bundle::Propagation;
use crate::model::names::ResourceKey;

/// One entry of a service's `volumes` or `tmpfs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Mount {
    /// A path of the host.
    Bind(BindMount),
    /// A named or anonymous volume.
    Volume(VolumeMount),
    /// Memory.
    Tmpfs {
        /// Absolute path in the container.
        target: String,
        /// Limit in bytes; half of the memory when absent.
        size_bytes: Option<u64>,
        /// Permission bits of its root; 0o1777 when absent.
        mode: Option<u32>,
        /// Mount options of the `tmpfs:` short form (`noexec`, `uid=1` …).
        options: Vec<String>,
    },
    /// The file system of another image, read-only.
    Image {
        /// The image's reference as written.
        reference: String,
        /// Absolute path in the container.
        target: String,
        /// Folder inside the image.
        subpath: Option<String>,
        /// The image that the reference means now: another one makes another
        /// container. None until somebody has looked.
        #[serde(default)]
        image_id: Option<String>,
    },
}

impl Mount {
    /// The absolute path in the container.
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Self::Bind(bind) => &bind.target,
            Self::Volume(volume) => &volume.target,
            Self::Tmpfs { target, .. } | Self::Image { target, .. } => target,
        }
    }
}

/// A bind mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindMount {
    /// Absolute path on the host.
    pub source: PathBuf,
    /// Absolute path in the container.
    pub target: String,
    /// Whether writing is refused.
    pub read_only: bool,
    /// How mounts below the source are treated.
    pub recursion: BindRecursion,
    /// Mount propagation; private when absent.
    pub propagation: Option<Propagation>,
    /// Whether a missing source becomes an empty folder owned by root.
    pub create_host_path: bool,
}

/// `bind.recursive` of the Compose specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BindRecursion {
    /// Submounts are bound; read-only ones as far as the kernel can.
    #[default]
    Enabled,
    /// Submounts are left out.
    Disabled,
    /// Submounts are bound and stay writable.
    Writable,
    /// Submounts are bound and read-only, or it is an error.
    Readonly,
}

/// A volume mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// Which volume.
    pub source: VolumeSource,
    /// Absolute path in the container.
    pub target: String,
    /// Whether writing is refused.
    pub read_only: bool,
    /// Whether a fresh volume stays empty instead of taking the image's content.
    pub no_copy: bool,
    /// Folder inside the volume.
    pub subpath: Option<String>,
    /// Labels of an anonymous volume.
    pub labels: IndexMap<String, String>,
}

/// The storage behind a volume mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeSource {
    /// A volume declared at the top level.
    Named(ResourceKey),
    /// A volume of this container alone.
    Anonymous,
}

/// A secret or config as a file in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMount {
    /// Key at the top level.
    pub source: ResourceKey,
    /// Absolute path in the container.
    pub target: String,
    /// Owner, a number as text; root when absent.
    pub uid: Option<String>,
    /// Group, a number as text; root when absent.
    pub gid: Option<String>,
    /// Permission bits; 0o444 when absent.
    pub mode: Option<u32>,
}
