//! `attach`: joins a running container's streams.

/// Flags of `attach`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Override the key sequence for detaching from a container.
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<String>,
    /// Index of the container if service has multiple replicas.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) index: u32,
    /// Do not attach STDIN
    #[arg(long)]
    pub(crate) no_stdin: bool,
    /// Proxy all received signals to the process
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::cli::parse::go_bool())]
    pub(crate) sig_proxy: bool,
    /// Service
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
}
