//! `wait`: waits until containers have ended and tells their codes.

/// Flags of `wait`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Drops project when the first container stops
    #[arg(long)]
    pub(crate) down_project: bool,
    /// Services
    #[arg(value_name = "SERVICE", required = true)]
    pub(crate) services: Vec<String>,
}
