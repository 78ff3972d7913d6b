//! `docker version`: what programs ask before they trust a client.

use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::cli::output::template::Template;

/// The Engine's version whose words we speak. Programs compare it.
const ENGINE: &str = "28.0.0";
const API: &str = "1.48";

/// Flags of `docker version`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Format output: 'json' or a Go TEMPLATE
    #[arg(short = 'f', long, value_name = "FORMAT")]
    format: Option<String>,
    /// One line, as `docker --version` prints it
    #[arg(long, hide = true)]
    line: bool,
}

impl Args {
    /// Prints it.
    pub(crate) fn run(self, _: &Context) -> anyhow::Result<Exit> {
        let version = value();
        let text = match self.format.as_deref() {
            _ if self.line => {
                format!(
                    "Docker version {ENGINE}, build rcompose-{}\n",
                    env!("CARGO_PKG_VERSION")
                )
            }
            None | Some("") => format!(
                "Client: rcompose {own}\n Version:           {ENGINE}\n API version:       {API}\n\n\
                 Server: rcompose {own}\n Engine:\n  Version:          {ENGINE}\n  API version:      {API}\n",
                own = env!("CARGO_PKG_VERSION")
            ),
            Some("json") => format!("{version}\n"),
            Some(template) => format!("{}\n", Template::parse(template)?.render(&version)?),
        };
        output::print(&text)?;
        Ok(Exit::SUCCESS)
    }
}

fn value() -> Value {
    let side = json!({
        "Platform": {"Name": "rcompose"},
        "Version": ENGINE,
        "ApiVersion": API,
        "APIVersion": API,
        "Os": "linux",
        "Arch": arch(),
    });
    json!({"Client": side, "Server": side})
}

/// Go's word for the machine.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
