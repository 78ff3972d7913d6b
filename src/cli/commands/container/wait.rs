//! `container wait`: waits for containers' ends and prints their codes.

use std::time::Duration;

use anyhow::Context as _;

use crate::cli::commands::nouns;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::named;
use crate::model::{ContainerState, Outcome};
use crate::sys::poll;
use crate::sys::watch::Watch;

/// How often records are looked at when no file wakes us.
const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// Flags of `container wait`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// The containers, by name or id
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl Args {
    /// Waits for one after the other.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        nouns::each(&self.containers, |word| {
            Ok(end_of(context, word)?.to_string())
        })
    }
}

/// The exit code of a container, once it has ended.
fn end_of(context: &Context, word: &str) -> anyhow::Result<i32> {
    let root = context.store()?;
    let watch = Watch::new().context("watch of the container")?;
    let mut container = named::find(root, word)?;
    let id = container.record.id.to_string();
    // Its exit record appears in this folder; without a watch the period
    // finds it.
    let store = root.project(&container.record.project);
    let _ = watch.add(&store.container_dir(&container.record.id));
    loop {
        match &container.state {
            ContainerState::Exited { outcome, .. } | ContainerState::Restarting { outcome, .. } => {
                return Ok(outcome.exit_code());
            }
            ContainerState::Created
            | ContainerState::Running { .. }
            | ContainerState::Paused { .. } => {}
        }
        poll::wait_readable(&watch, Some(LOOK_PERIOD)).context("wait for the container")?;
        watch.clear().context("wait for the container")?;
        container = match named::find(root, &id) {
            Ok(found) => found,
            // Gone: it ended unseen.
            Err(_) => return Ok(Outcome::Unknown.exit_code()),
        };
    }
}
