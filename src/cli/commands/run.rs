//! `run`: runs a one-off command on a service.

/// Flags of `run`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Build image before starting container
    #[arg(long)]
    pub(crate) build: bool,
    /// Add Linux capabilities
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_drop: Vec<String>,
    /// Run container in background and print container ID
    #[arg(short = 'd', long)]
    pub(crate) detach: bool,
    /// Override the entrypoint of the image
    #[arg(long, value_name = "COMMAND")]
    pub(crate) entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    pub(crate) environment: Vec<String>,
    /// Set environment variables from file
    #[arg(long, value_name = "FILE")]
    pub(crate) env_from_file: Vec<String>,
    /// Keep STDIN open even if not attached
    #[arg(short = 'i', long, default_value = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::cli::parse::go_bool())]
    pub(crate) interactive: bool,
    /// Add or override a label
    #[arg(short = 'l', long = "label", value_name = "NAME=VALUE")]
    pub(crate) labels: Vec<String>,
    /// Assign a name to the container
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Don't start linked services
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// Disable pseudo-TTY allocation. By default one is allocated when stdin and stdout are terminals
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY")]
    pub(crate) no_tty: bool,
    /// Allocate a pseudo-TTY
    #[arg(short = 't', long, hide = true)]
    pub(crate) tty: bool,
    /// Publish a container's port(s) to the host
    #[arg(short = 'p', long, value_name = "PORT")]
    pub(crate) publish: Vec<String>,
    /// Pull image before running ("always"|"missing"|"never")
    #[arg(long, value_name = "POLICY")]
    pub(crate) pull: Option<String>,
    /// Don't print anything to STDOUT
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Suppress progress output from the build process
    #[arg(long)]
    pub(crate) quiet_build: bool,
    /// Pull without printing progress information
    #[arg(long)]
    pub(crate) quiet_pull: bool,
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// Automatically remove the container when it exits
    #[arg(long)]
    pub(crate) rm: bool,
    /// Run command with all service's ports enabled and mapped to the host
    #[arg(short = 'P', long)]
    pub(crate) service_ports: bool,
    /// Use the service's network useAliases in the network(s) the container connects to
    #[arg(long)]
    pub(crate) use_aliases: bool,
    /// Run as specified username or uid
    #[arg(short = 'u', long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Bind mount a volume
    #[arg(short = 'v', long = "volume", value_name = "VOLUME")]
    pub(crate) volumes: Vec<String>,
    /// Working directory inside the container
    #[arg(short = 'w', long, value_name = "DIRECTORY")]
    pub(crate) workdir: Option<String>,
    /// Service, then a command and its arguments: from the service on, everything is the command's.
    #[arg(value_names = ["SERVICE", "COMMAND"], required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
}
