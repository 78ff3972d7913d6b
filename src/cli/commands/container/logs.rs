//! `container logs`: what one container wrote, its two streams apart.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use anyhow::Context as _;

use crate::cli::commands::values::{tail, time};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::follow::Follower;
use crate::cli::named;
use crate::cli::output::logs::{Dress, Printer};
use crate::logs::reader::Query;
use crate::model::{ContainerState, ObservedContainer};
use crate::sys::poll;

/// How often a follower looks whether the container still runs.
const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// Flags of `container logs`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Show extra details provided to logs (there are none)
    #[arg(long)]
    details: bool,
    /// Follow log output
    #[arg(short = 'f', long)]
    follow: bool,
    /// Show logs since timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Number of lines to show from the end of the logs
    #[arg(short = 'n', long, default_value = "all", value_name = "N")]
    tail: String,
    /// Show timestamps
    #[arg(short = 't', long)]
    timestamps: bool,
    /// Show logs before a timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The container, by name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Args {
    /// Prints them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let moment = context.moment();
        let bound = |text: &Option<String>| {
            text.as_deref()
                .map(|text| time(text, &moment))
                .transpose()
                .map_err(Failure::usage)
        };
        let query = Query {
            tail: tail(&self.tail).map_err(Failure::usage)?,
            since: bound(&self.since)?,
            until: bound(&self.until)?,
        };
        let root = context.store()?;
        let container = named::find(root, &self.container)?;
        let dress = Dress {
            prefix: false,
            color: false,
            timestamps: self.timestamps,
        };
        let out: Box<dyn Write> = Box::new(BufWriter::new(io::stdout()));
        let err: Box<dyn Write> = Box::new(BufWriter::new(io::stderr()));
        let mut follower = Follower::new(Printer::new(out, dress).with_stderr(err));
        if self.follow {
            follower = follower.following()?;
        }
        let record = &container.record;
        let path = root.project(&record.project).log_path(&record.id);
        let service = record.service_name().as_str();
        follower.add(&record.id, service, record.name.as_str(), &path, &query)?;
        follower.drain()?;
        let mut is_up = self.follow && is_up(&container);
        while is_up {
            if let Some(watch) = follower.watch() {
                poll::wait_readable(watch, Some(LOOK_PERIOD)).context("wait for the logs")?;
            }
            // What was written before an end is in the log before the end shows.
            is_up = named::find(root, record.id.as_str()).is_ok_and(|found| self::is_up(&found));
            follower.drain()?;
        }
        follower.finish()?;
        Ok(Exit::SUCCESS)
    }
}

/// Whether more output may come.
fn is_up(container: &ObservedContainer) -> bool {
    match container.state {
        ContainerState::Running { .. }
        | ContainerState::Paused { .. }
        | ContainerState::Restarting { .. } => true,
        ContainerState::Created | ContainerState::Exited { .. } => false,
    }
}
