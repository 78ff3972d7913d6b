//! What a load is asked for.

use std::path::PathBuf;

use crate::compose::environment::Environment;

/// A load's input besides the files themselves.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Compose files in order, absolute; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// The project's folder, absolute.
    pub project_directory: PathBuf,
    /// The project's environment.
    pub environment: Environment,
    /// Files that the environment was read from, absolute.
    pub environment_files: Vec<PathBuf>,
    /// A name given outside the files; the files' `name` and the folder's
    /// name follow.
    pub project_name: Option<String>,
    /// Active profiles; `*` is all.
    pub profiles: Vec<String>,
    /// Services asked for; none means all.
    pub services: Vec<String>,
    /// Stages that are left out.
    pub skip: Skip,
    /// Whether resources that no service uses are kept.
    pub all_resources: bool,
    /// Whether what each file says is kept, so that `Canonical::explain` can
    /// tell what was replaced.
    pub keeps_layers: bool,
    /// Platform of services that name none (`DOCKER_DEFAULT_PLATFORM` is not
    /// read here).
    pub default_platform: Option<String>,
}

impl LoadOptions {
    /// Options for files in a folder, with nothing else said.
    #[must_use]
    pub fn new(
        project_directory: impl Into<PathBuf>,
        files: impl IntoIterator<Item = PathBuf>,
    ) -> Self {
        Self {
            files: files.into_iter().collect(),
            project_directory: project_directory.into(),
            environment: Environment::default(),
            environment_files: Vec::new(),
            project_name: None,
            profiles: Vec::new(),
            services: Vec::new(),
            skip: Skip::default(),
            all_resources: false,
            keeps_layers: false,
            default_platform: None,
        }
    }
}

/// Stages of a load that may be left out (`config --no-…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one flag of the command line each"
)]
pub struct Skip {
    /// Variables stay as written; nothing is cast or lowered.
    pub interpolation: bool,
    /// Default networks, names and implied dependencies are left out.
    pub normalization: bool,
    /// Relative paths stay.
    pub paths: bool,
    /// References between elements aren't checked.
    pub consistency: bool,
    /// `env_file` isn't read.
    pub environment: bool,
    /// Services may have one `container_name`: nothing will be created.
    pub container_names: bool,
}
