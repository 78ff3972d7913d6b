//! `version`: who we are and whose words we speak.

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;

/// The release of docker compose whose command line and files we follow.
/// Clients read it to learn what they may ask for.
pub(crate) const COMPOSE_VERSION: &str = "5.6.1";

/// Flags of `version`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Format the output. Values: [pretty | json]. (Default: pretty)
    #[arg(short = 'f', long, value_name = "FORMAT")]
    format: Option<String>,
    /// Shows only Compose's version number
    #[arg(long)]
    short: bool,
}

impl Args {
    /// Prints it.
    pub(crate) fn run(self, _: &Context) -> anyhow::Result<Exit> {
        let own = env!("CARGO_PKG_VERSION");
        let text = match self.format.as_deref() {
            _ if self.short => format!("{COMPOSE_VERSION}\n"),
            None | Some("" | "pretty") => {
                format!("Docker Compose version v{COMPOSE_VERSION} (rcompose {own})\n")
            }
            Some("json") => {
                format!("{{\"version\":\"v{COMPOSE_VERSION}\",\"rcompose\":\"{own}\"}}\n")
            }
            Some(other) => {
                return Err(Failure::usage(format!("unsupported format {other:?}")).into());
            }
        };
        output::print(&text)?;
        Ok(Exit::SUCCESS)
    }
}
