//! `rm`: removes containers that have stopped.

/// Flags of `rm`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Don't ask to confirm removal
    #[arg(short = 'f', long)]
    pub(crate) force: bool,
    /// Stop the containers, if required, before removing
    #[arg(short = 's', long)]
    pub(crate) stop: bool,
    /// Remove any anonymous volumes attached to containers
    #[arg(short = 'v', long)]
    pub(crate) volumes: bool,
    /// Deprecated - no effect
    #[arg(short = 'a', long, hide = true)]
    pub(crate) all: bool,

    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
}
