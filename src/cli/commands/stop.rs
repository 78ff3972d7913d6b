//! `stop`: stops containers and keeps them.

/// Flags of `stop`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Specify a shutdown timeout in seconds
    #[arg(short = 't', long, value_name = "SECONDS")]
    pub(crate) timeout: Option<i64>,

    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
}
