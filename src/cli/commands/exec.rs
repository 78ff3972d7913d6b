//! `exec`: runs a command in a running container.

/// Flags of `exec`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Detached mode: Run command in the background
    #[arg(short = 'd', long)]
    pub(crate) detach: bool,
    /// Set environment variables
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    pub(crate) environment: Vec<String>,
    /// Index of the container if service has multiple replicas
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) index: u32,
    /// Keep STDIN open even if not attached
    #[arg(short = 'i', long, hide = true, default_value = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::cli::parse::go_bool())]
    pub(crate) interactive: bool,
    /// Allocate a pseudo-TTY
    #[arg(short = 't', long, hide = true)]
    pub(crate) tty: bool,
    /// Disable pseudo-TTY allocation. By default one is allocated when stdin and stdout are terminals
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY")]
    pub(crate) no_tty: bool,
    /// Give extended privileges to the process
    #[arg(long)]
    pub(crate) privileged: bool,
    /// Run the command as this user
    #[arg(short = 'u', long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Path to workdir directory for this command
    #[arg(short = 'w', long, value_name = "DIRECTORY")]
    pub(crate) workdir: Option<String>,
    /// Service, command and its arguments: from the service on, everything is the command's.
    #[arg(value_names = ["SERVICE", "COMMAND"], required = true, num_args = 2.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
}
