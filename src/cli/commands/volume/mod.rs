//! `volume`: the volumes of this engine, in the docker client's words.

mod create;
pub(crate) mod inspect;
pub(crate) mod ls;
pub(crate) mod prune;
mod rm;

use std::path::PathBuf;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Kind};
use crate::cli::flags::Flags;
use crate::cli::records;
use crate::model::ObservedContainer;
use crate::store::Root;

/// Flags of `volume`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do with volumes.
#[derive(Debug, Clone, Subcommand)]
#[command(defer = true)]
enum Command {
    /// Create a volume
    Create(Flags<create::Args>),
    /// Display detailed information on one or more volumes
    Inspect(Flags<inspect::Args>),
    /// List volumes
    #[command(visible_alias = "list")]
    Ls(Flags<ls::Args>),
    /// Remove unused local volumes
    Prune(Flags<prune::Args>),
    /// Remove one or more volumes
    #[command(visible_alias = "remove")]
    Rm(Flags<rm::Args>),
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Create(args) => args.0.run(context),
            Command::Inspect(args) => args.0.run(context),
            Command::Ls(args) => args.0.run(context),
            Command::Prune(args) => args.0.run(context),
            Command::Rm(args) => args.0.run(context),
        }
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
