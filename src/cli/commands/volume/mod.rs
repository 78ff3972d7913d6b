//! `volume`: the volumes of this engine, in the docker client's words.

mod create;
pub(crate) mod inspect;
pub(crate) mod ls;
pub(crate) mod prune;
mod rm;

use std::path::PathBuf;

use crate::cli::commands::table::commands;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Kind};
use crate::cli::records;
use crate::model::ObservedContainer;
use crate::store::Root;

/// Flags of `volume`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

commands! {
    /// What to do with volumes.
    enum Command {
        /// Create a volume
        Create(create::Args),
        /// Display detailed information on one or more volumes
        Inspect(inspect::Args),
        /// List volumes
        #[command(visible_alias = "list")]
        Ls(ls::Args),
        /// Remove unused local volumes
        Prune(prune::Args),
        /// Remove one or more volumes
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

/// Where a volume's content lies.
fn mountpoint(root: &Root, name: &str) -> PathBuf {
    root.volumes_dir().join(name).join("_data")
}

/// Containers that have a volume, by id.
fn users(containers: &[ObservedContainer], name: &str) -> Vec<String> {
    containers
        .iter()
        .filter(|container| {
            let mounts = &container.record.mounts;
            mounts
                .iter()
                .any(|mount| mount.volume.as_deref() == Some(name))
        })
        .map(|container| container.record.id.to_string())
        .collect()
}

/// Removes a volume that no container has.
fn remove(root: &Root, name: &str) -> anyhow::Result<()> {
    // Read again at the last moment: a container may have come meanwhile.
    let users = users(&records::every_container(root)?, name);
    if !users.is_empty() {
        return Err(Failure::new(
            Kind::Environment,
            format!("remove {name}: volume is in use - [{}]", users.join(", ")),
        )
        .into());
    }
    Ok(crate::volume::remove(root, name)?)
}
