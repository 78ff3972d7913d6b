//! `up`: creates and starts what the project asks for.

use crate::cli::commands::values::Scale;

/// Flags of `up`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Restrict attaching to the specified services. Incompatible with --attach-dependencies.
    #[arg(long, value_name = "SERVICE", conflicts_with = "attach_dependencies")]
    pub(crate) attach: Vec<String>,
    /// Automatically attach to log output of dependent services
    #[arg(long)]
    pub(crate) attach_dependencies: bool,
    /// Stops all containers if any container was stopped. Incompatible with -d
    #[arg(long, conflicts_with_all = ["detach", "abort_on_container_failure"])]
    pub(crate) abort_on_container_exit: bool,
    /// Stops all containers if any container exited with failure. Incompatible with -d
    #[arg(long, conflicts_with = "detach")]
    pub(crate) abort_on_container_failure: bool,
    /// Recreate dependent containers. Incompatible with --no-recreate.
    #[arg(long, conflicts_with = "no_recreate")]
    pub(crate) always_recreate_deps: bool,
    /// Build images before starting containers
    #[arg(long, conflicts_with = "no_build")]
    pub(crate) build: bool,
    /// Detached mode: Run containers in the background
    #[arg(short = 'd', long)]
    pub(crate) detach: bool,
    /// Return the exit code of the selected service container. Implies --abort-on-container-exit
    #[arg(long, value_name = "SERVICE", conflicts_with = "detach")]
    pub(crate) exit_code_from: Option<String>,
    /// Recreate containers even if their configuration and image haven't changed
    #[arg(long, conflicts_with = "no_recreate")]
    pub(crate) force_recreate: bool,
    /// Enable interactive shortcuts when running attached. Incompatible with --detach.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::cli::parse::go_bool())]
    pub(crate) menu: Option<bool>,
    /// Do not attach (stream logs) to the specified services
    #[arg(long, value_name = "SERVICE")]
    pub(crate) no_attach: Vec<String>,
    /// Don't build an image, even if it's policy
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Produce monochrome output
    #[arg(long)]
    pub(crate) no_color: bool,
    /// Don't start linked services
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// Don't print prefix in logs
    #[arg(long)]
    pub(crate) no_log_prefix: bool,
    /// If containers already exist, don't recreate them. Incompatible with --force-recreate.
    #[arg(long)]
    pub(crate) no_recreate: bool,
    /// Don't start the services after creating them
    #[arg(long)]
    pub(crate) no_start: bool,
    /// Pull image before running ("always"|"missing"|"never")
    #[arg(long, value_name = "POLICY")]
    pub(crate) pull: Option<String>,
    /// Suppress the build output
    #[arg(long)]
    pub(crate) quiet_build: bool,
    /// Pull without printing progress information
    #[arg(long)]
    pub(crate) quiet_pull: bool,
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// Recreate anonymous volumes instead of retrieving data from the previous containers
    #[arg(short = 'V', long, conflicts_with = "no_recreate")]
    pub(crate) renew_anon_volumes: bool,
    /// Scale SERVICE to NUM instances. Overrides the scale setting in the Compose file if present.
    #[arg(long, value_name = "SERVICE=NUM")]
    pub(crate) scale: Vec<Scale>,
    /// Use this timeout in seconds for container shutdown when attached or when containers are already running
    #[arg(short = 't', long, value_name = "SECONDS")]
    pub(crate) timeout: Option<i64>,
    /// Show timestamps
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// Wait for services to be running|healthy. Implies detached mode.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Maximum duration in seconds to wait for the project to be running|healthy
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wait_timeout: Option<i64>,
    /// Watch source code and rebuild/refresh containers when files are updated.
    #[arg(short = 'w', long, conflicts_with_all = ["detach", "no_build"])]
    pub(crate) watch: bool,
    /// Assume "yes" as answer to all prompts and run non-interactively
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,

    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
}
