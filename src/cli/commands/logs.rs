//! `logs`: what containers wrote, by time, and on as it comes.

use std::collections::BTreeMap;
use std::io::{BufWriter, Stdout};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::cli::commands::values::{check_services, tail, time};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::follow::Follower;
use crate::cli::output::logs::{Dress, Printer};
use crate::cli::records;
use crate::logs::reader::Query;
use crate::model::{ContainerId, ContainerState, ObservedContainer, ProjectName};
use crate::sys::poll;

/// How often a follower looks for containers that came or went.
const LOOK_PERIOD: Duration = Duration::from_millis(250);
const BUFFER_BYTES: usize = 64 << 10;

/// Flags of `logs`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Follow log output
    #[arg(short = 'f', long)]
    follow: bool,
    /// Index of the container if service has multiple replicas
    #[arg(long, default_value_t = 0, value_name = "N")]
    index: u32,
    /// Produce monochrome output
    #[arg(long)]
    no_color: bool,
    /// Don't print prefix in logs
    #[arg(long)]
    no_log_prefix: bool,
    /// Show logs since timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Number of lines to show from the end of the logs for each container
    #[arg(short = 'n', long, default_value = "all", value_name = "N")]
    tail: String,
    /// Show timestamps
    #[arg(short = 't', long)]
    timestamps: bool,
    /// Show logs before a timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Args {
    /// Prints them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let project = context.project_name()?;
        let known = context.declared_services()?;
        check_services(known.as_deref(), &self.services)?;
        if self.index > 0 && self.services.len() != 1 {
            let words = "--index requires one service to be selected";
            return Err(Failure::usage(words).into());
        }
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
        let dress = Dress {
            prefix: !self.no_log_prefix,
            color: !self.no_color && context.colors_on_stdout(),
            timestamps: self.timestamps,
        };
        let out = BufWriter::with_capacity(BUFFER_BYTES, std::io::stdout());
        let mut follower = Follower::new(Printer::new(out, dress));
        if self.follow {
            follower = follower.following()?;
        }
        let listing = Listing {
            args: &self,
            context,
            project,
            known,
        };
        listing.show(follower, &query)?;
        Ok(Exit::SUCCESS)
    }
}

/// The containers that are shown.
struct Listing<'a> {
    args: &'a Args,
    context: &'a Context,
    project: ProjectName,
    known: Option<Vec<String>>,
}

impl Listing<'_> {
    fn show(&self, mut follower: Follower<BufWriter<Stdout>>, query: &Query) -> anyhow::Result<()> {
        let containers = self.containers()?;
        if let (index @ 1.., [service], true) = (
            self.args.index,
            self.args.services.as_slice(),
            containers.is_empty(),
        ) {
            let words = format!("service {service:?} is not running container #{index}");
            return Err(Failure::project(words).into());
        }
        for container in &containers {
            self.add(&mut follower, container, query)?;
        }
        follower.drain()?;
        if self.args.follow {
            self.follow(&mut follower, &containers)?;
        }
        follower.finish()
    }

    /// Goes on until no container runs any more.
    fn follow(
        &self,
        follower: &mut Follower<BufWriter<Stdout>>,
        containers: &[ObservedContainer],
    ) -> anyhow::Result<()> {
        let mut running: BTreeMap<ContainerId, bool> = containers
            .iter()
            .map(|container| (container.record.id.clone(), is_up(container)))
            .collect();
        let mut looked = Instant::now();
        while running.values().any(|&is_up| is_up) {
            if let Some(watch) = follower.watch() {
                poll::wait_readable(watch, Some(LOOK_PERIOD)).context("wait for the logs")?;
            }
            if looked.elapsed() < LOOK_PERIOD {
                follower.drain()?;
                continue;
            }
            // What was written before an end is in the log before the end shows.
            let containers = self.containers()?;
            for container in &containers {
                self.add(follower, container, &Query::default())?;
            }
            follower.drain()?;
            running = self.tell_ends(follower, &containers, &running)?;
            looked = Instant::now();
        }
        Ok(())
    }

    fn tell_ends(
        &self,
        follower: &mut Follower<BufWriter<Stdout>>,
        containers: &[ObservedContainer],
        before: &BTreeMap<ContainerId, bool>,
    ) -> anyhow::Result<BTreeMap<ContainerId, bool>> {
        let mut now = BTreeMap::new();
        for container in containers {
            let id = &container.record.id;
            let was_up = before.get(id).copied().unwrap_or(true);
            now.insert(id.clone(), is_up(container));
            if let (true, ContainerState::Exited { outcome, .. }) = (was_up, &container.state) {
                let words = format!("exited with code {}", outcome.exit_code());
                follower.status(&records::short_name(container), &words)?;
            }
        }
        Ok(now)
    }

    fn add(
        &self,
        follower: &mut Follower<BufWriter<Stdout>>,
        container: &ObservedContainer,
        query: &Query,
    ) -> anyhow::Result<()> {
        let record = &container.record;
        let path = self
            .context
            .store()?
            .project(&self.project)
            .log_path(&record.id);
        let service = record.service_name().as_str();
        follower.add(
            &record.id,
            service,
            &records::short_name(container),
            &path,
            query,
        )
    }

    fn containers(&self) -> anyhow::Result<Vec<ObservedContainer>> {
        let wanted = if self.args.services.is_empty() {
            self.known.as_deref()
        } else {
            Some(self.args.services.as_slice())
        };
        let mut containers = records::containers(self.context.store()?, &self.project)?;
        containers.retain(|container| {
            let record = &container.record;
            let service = record.service_name().as_str();
            !record.is_one_off()
                && wanted.is_none_or(|names| names.iter().any(|name| name == service))
                && (self.args.index == 0 || record.number == Some(self.args.index))
        });
        Ok(containers)
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
