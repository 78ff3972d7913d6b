//! `container attach`: joins the streams of a running container of any project.

use crate::cli::commands::attach;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::named;

/// Flags of `container attach`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Do not attach STDIN
    #[arg(long)]
    no_stdin: bool,
    /// Proxy all received signals to the process
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::cli::flags::go_bool())]
    sig_proxy: bool,
    /// The container, by name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Args {
    /// Attaches until the container ends or the user detaches.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let container = named::find_running(context.store()?, &self.container)?;
        let attach = attach::Args {
            detach_keys: self.detach_keys,
            no_stdin: self.no_stdin,
            sig_proxy: self.sig_proxy,
            ..attach::Args::default()
        };
        attach.run_on(context, &container)
    }
}
