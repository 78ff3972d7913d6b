//! `pause`: freezes containers.

/// Flags of `pause`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
}
