//! `kill`: sends a signal to containers.

/// Flags of `kill`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// SIGNAL to send to the container
    #[arg(short = 's', long, default_value = "SIGKILL", value_name = "SIGNAL")]
    pub(crate) signal: String,

    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
}
