//! `publish`: refused, with the reason.

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};

/// Flags of `publish`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Published compose application (includes referenced images)
    #[arg(long)]
    pub(crate) app: bool,
    /// OCI image/artifact specification version (automatically determined by default)
    #[arg(long, value_name = "VERSION")]
    pub(crate) oci_version: Option<String>,
    /// Pin image tags to digests
    #[arg(long)]
    pub(crate) resolve_image_digests: bool,
    /// Include environment variables in the published OCI artifact
    #[arg(long)]
    pub(crate) with_env: bool,
    /// Assume "yes" as answer to all prompts
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,
    /// Where it would go
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub(crate) repository: String,
}

impl Args {
    /// Says why not; a project that doesn't load is told first.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        context.load_project(&[])?;
        Err(Failure::usage(format!(
            "publish to {} is not supported: rcompose runs projects from files and reads none from a registry",
            self.repository
        ))
        .with_hint("keep the Compose file in version control; `config -o FILE` writes the resolved one")
        .into())
    }
}
