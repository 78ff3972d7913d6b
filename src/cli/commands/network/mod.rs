//! `network`: the networks of this engine, in the docker client's words.

mod create;
pub(crate) mod inspect;
mod ls;
pub(crate) mod rm;

use crate::cli::commands::table::commands;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Kind};
use crate::cli::output;
use crate::engine::networks;
use crate::store::{NetworkRecord, NetworkStore, Root};
use crate::view::inspect::network_id;
use crate::view::resource::NetworkView;

/// Flags of `network`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

commands! {
    /// What to do with networks.
    enum Command {
        /// Create a network
        Create(create::Args),
        /// Display detailed information on one or more networks
        #[command(
            after_help = "Example:\n  rcompose network inspect -f '{{range .Containers}}{{.Name}} {{end}}' shared"
        )]
        Inspect(inspect::Args),
        /// List networks
        #[command(visible_alias = "list")]
        Ls(ls::Args),
        /// Remove all unused networks
        Prune(rm::PruneArgs),
        /// Remove one or more networks
        #[command(visible_alias = "remove")]
        Rm(rm::Args),
    }
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        self.command.run(context)
    }
}

/// Every network by name. A damaged record is told and left out.
fn list(root: &Root) -> anyhow::Result<Vec<NetworkRecord>> {
    let networks = NetworkStore::new(root).list()?;
    for (_, error) in networks.damaged {
        output::notice(&format!("warning: {error}"));
    }
    Ok(networks.records)
}

/// The network that a name, an id or the beginning of an id means.
fn find(root: &Root, word: &str) -> anyhow::Result<NetworkRecord> {
    let networks = list(root)?;
    if let Some(found) = networks.iter().find(|network| network.name == word) {
        return Ok(found.clone());
    }
    let mut found = networks
        .into_iter()
        .filter(|network| !word.is_empty() && network_id(&network.name).starts_with(word));
    match (found.next(), found.next()) {
        (Some(network), None) => Ok(network),
        (Some(_), Some(_)) => Err(Failure::project(format!(
            "network {word} is ambiguous (2 or more matches found on name or ID)"
        ))
        .into()),
        (None, _) => Err(Failure::project(format!("network {word} not found")).into()),
    }
}

/// A record as the view shows it.
fn view(record: &NetworkRecord) -> NetworkView<'_> {
    NetworkView {
        name: &record.name,
        owner: record.owner.as_ref(),
        applied: &record.applied,
        pools: record
            .pools
            .iter()
            .map(|pool| (pool.subnet.to_string(), pool.gateway))
            .collect(),
        bridge: &record.bridge,
        created_at: record.created_at,
    }
}

/// An error about networks, with its causes.
fn failure(error: networks::Error) -> anyhow::Error {
    let summary = error.to_string();
    anyhow::Error::new(error).context(Failure::new(Kind::Environment, summary))
}
