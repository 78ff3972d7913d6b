//! The project: services and the resources that they share.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::model::names::{ProjectName, ResourceKey, ServiceName};
use crate::model::network::Network;
use crate::model::service::Service;

/// A loaded and checked Compose project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// Its name.
    pub name: ProjectName,
    /// Project folder, absolute.
    pub working_dir: PathBuf,
    /// Compose files, absolute, in order; `-` is stdin.
    pub config_files: Vec<PathBuf>,
    /// Environment files used for interpolation.
    pub environment_files: Vec<PathBuf>,
    /// Enabled services in the file's order.
    pub services: IndexMap<ServiceName, Service>,
    /// Services that profiles or a selection leave out: they are not orphans.
    pub disabled_services: Vec<ServiceName>,
    /// Networks that services use.
    pub networks: IndexMap<ResourceKey, Resource<Network>>,
    /// Volumes that services use.
    pub volumes: IndexMap<ResourceKey, Resource<Volume>>,
    /// Secrets that services use.
    pub secrets: IndexMap<ResourceKey, Resource<FileResource>>,
    /// Configs that services use.
    pub configs: IndexMap<ResourceKey, Resource<FileResource>>,
}

impl Project {
    /// A project of that name with nothing in it.
    #[must_use]
    pub fn new(name: ProjectName) -> Self {
        Self {
            name,
            working_dir: PathBuf::new(),
            config_files: Vec::new(),
            environment_files: Vec::new(),
            services: IndexMap::new(),
            disabled_services: Vec::new(),
            networks: IndexMap::new(),
            volumes: IndexMap::new(),
            secrets: IndexMap::new(),
            configs: IndexMap::new(),
        }
    }
}

/// Something of ours, or something that must be there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource<T> {
    /// Made and removed by somebody else.
    External {
        /// Its name on the host.
        name: String,
    },
    /// Ours.
    Managed(T),
}

/// A named volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name on the host, `PROJECT_KEY` unless the file names it.
    pub name: String,
    /// Driver; `local` when absent.
    pub driver: Option<String>,
    /// Driver options (`type`, `o`, `device` for `local`).
    pub driver_opts: IndexMap<String, String>,
    /// User labels.
    pub labels: IndexMap<String, String>,
}

/// A secret or config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileResource {
    /// `PROJECT_KEY` unless the file names it.
    pub name: String,
    /// Where its bytes come from.
    pub source: FileSource,
}

/// Where the bytes of a secret or config come from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileSource {
    /// A file of the host, absolute.
    File(PathBuf),
    /// The value of an environment variable, already read.
    Environment {
        /// The variable.
        variable: String,
        /// Its value; None when it isn't set.
        value: Option<String>,
    },
    /// Text in the Compose file (configs only).
    Content(String),
}

impl std::fmt::Debug for FileSource {
    /// Leaves values out, so that no log line can show a secret.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => out.debug_tuple("File").field(path).finish(),
            Self::Environment { variable, .. } => {
                out.debug_tuple("Environment").field(variable).finish()
            }
            Self::Content(text) => write!(out, "Content({} bytes)", text.len()),
        }
    }
}
