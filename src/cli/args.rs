//! What was typed: the root of the command line and the flags before the command.
//!
//! Nothing is checked here beyond its form; `settings` says what it means.

use clap::Parser;

use crate::cli::commands::Command;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "rcompose",
    bin_name = "rcompose",
    about = "Define and run multi-container applications, with no Docker and no daemon",
    disable_version_flag = true,
    disable_help_subcommand = true,
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands"
)]
pub(crate) struct Root {
    /// Flags that stand before the command.
    #[command(flatten)]
    pub(crate) globals: GlobalArgs,
    /// Show the version and leave
    #[arg(short = 'v', long, hide = true)]
    pub(crate) version: bool,
    /// The command; none prints the help.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// The flags before the command, as typed.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct GlobalArgs {
    /// Include all resources, even those not used by services
    #[arg(long)]
    pub(crate) all_resources: bool,
    /// Control when to print ANSI control characters ("never"|"always"|"auto")
    #[arg(long, value_name = "WHEN")]
    pub(crate) ansi: Option<String>,
    /// Run in backward compatibility mode
    #[arg(long)]
    pub(crate) compatibility: bool,
    /// Execute command in dry run mode
    #[arg(long, global = true, display_order = 900)]
    pub(crate) dry_run: bool,
    /// Specify an alternate environment file
    #[arg(long = "env-file", value_name = "FILE")]
    pub(crate) env_files: Vec<String>,
    /// Compose configuration files
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) files: Vec<String>,
    /// Never touch the network: images must be there
    #[arg(long, global = true, display_order = 901, env = "RCOMPOSE_OFFLINE", value_parser = crate::cli::flags::go_bool(), num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    pub(crate) offline: bool,
    /// Control max parallelism, -1 for unlimited
    #[arg(long, value_name = "N")]
    pub(crate) parallel: Option<String>,
    /// Specify a profile to enable
    #[arg(long = "profile", value_name = "PROFILE")]
    pub(crate) profiles: Vec<String>,
    /// Set type of progress output (auto, tty, plain, json, quiet)
    #[arg(long, value_name = "TYPE")]
    pub(crate) progress: Option<String>,
    /// Specify an alternate working directory
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) project_directory: Option<String>,
    /// Project name
    #[arg(short = 'p', long, value_name = "NAME")]
    pub(crate) project_name: Option<String>,
    /// Show more output
    #[arg(long, hide = true)]
    pub(crate) verbose: bool,
    /// Do not print ANSI control characters (DEPRECATED)
    #[arg(long, hide = true)]
    pub(crate) no_ansi: bool,
    /// DEPRECATED: use --project-directory
    #[arg(long, hide = true, value_name = "DIRECTORY")]
    pub(crate) workdir: Option<String>,
    /// Use insecure registry (for test purposes)
    #[arg(long = "insecure-registry", hide = true, value_name = "HOST")]
    pub(crate) insecure_registries: Vec<String>,
}
