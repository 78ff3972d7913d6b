//! `scale`: changes how many containers services have.

use crate::cli::commands::values::Scale;

/// Flags of `scale`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Don't start linked services
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// Services with their numbers
    #[arg(value_name = "SERVICE=NUM", required = true)]
    pub(crate) scales: Vec<Scale>,
}
