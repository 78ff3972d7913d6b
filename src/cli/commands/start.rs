//! `start`: starts containers that exist.

/// Flags of `start`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Wait for services to be running|healthy. Implies detached mode.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Maximum duration in seconds to wait for the project to be running|healthy
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wait_timeout: Option<i64>,

    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
}
