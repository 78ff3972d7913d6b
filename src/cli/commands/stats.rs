//! `stats`: what containers use, once or again and again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

use crate::cli::commands::values::check_services;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::output::listing::{Column, Format};
use crate::cli::output::table::Layout;
use crate::cli::{output, records};
use crate::model::{ContainerId, ContainerState, ObservedContainer};
use crate::sys::usage::{self, Usage};
use crate::view::stats::{Sample, row};

/// How long CPU time is measured for the first row.
const FIRST_PERIOD: Duration = Duration::from_millis(500);
/// Time between two drawings.
const PERIOD: Duration = Duration::from_secs(1);
const CLEAR_SCREEN: &str = "\u{1b}[H\u{1b}[2J";

const COLUMNS: [Column; 8] = [
    column("CONTAINER ID", "ID"),
    column("NAME", "Name"),
    column("CPU %", "CPUPerc"),
    column("MEM USAGE / LIMIT", "MemUsage"),
    column("MEM %", "MemPerc"),
    column("NET I/O", "NetIO"),
    column("BLOCK I/O", "BlockIO"),
    column("PIDS", "PIDs"),
];

const fn column(heading: &'static str, field: &'static str) -> Column {
    Column { heading, field }
}

/// Flags of `stats`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Show all containers (default shows just running)
    #[arg(short = 'a', long)]
    all: bool,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go TEMPLATE
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Service; all when none is named
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
}

type Samples = HashMap<ContainerId, Sample>;

impl Args {
    /// Prints them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let name = context.project_name()?;
        let known = context.declared_services()?;
        check_services(known.as_deref(), self.service.as_slice())?;
        let root = context.store()?;
        let form = Form {
            format: self.format.clone(),
            no_stream: self.no_stream,
            no_trunc: self.no_trunc,
        };
        show(context, &form, &|| {
            let mut containers = records::containers(root, &name)?;
            containers.retain(|container| self.shows(container));
            Ok(containers)
        })
    }

    fn shows(&self, container: &ObservedContainer) -> bool {
        let service = container.record.service_name().as_str();
        self.service.as_deref().is_none_or(|name| name == service)
            && (self.all || container.state.is_running())
    }
}

/// How the numbers are shown.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    /// `--format`; the docker client's configuration when absent.
    pub(crate) format: Option<String>,
    /// Once instead of again and again.
    pub(crate) no_stream: bool,
    /// Whole ids.
    pub(crate) no_trunc: bool,
}

/// Shows what containers use, looking for them each time.
pub(crate) fn show(
    context: &Context,
    form: &Form,
    containers: &dyn Fn() -> anyhow::Result<Vec<ObservedContainer>>,
) -> anyhow::Result<Exit> {
    let typed = form.format.as_deref();
    let format = Format::chosen(typed, &context.environment, "statsFormat")?;
    let memory = usage::memory_total_bytes().context("look-up of the memory's size")?;
    let mut before = (sample(&containers()?, memory), Instant::now());
    let mut period = FIRST_PERIOD;
    loop {
        std::thread::sleep(period);
        let containers = containers()?;
        let now = (sample(&containers, memory), Instant::now());
        let apart = now.1.duration_since(before.1);
        let rows = containers
            .iter()
            .map(|container| row_of(container, form, (&before.0, &now.0), apart))
            .collect::<Result<Vec<Value>, _>>()?;
        let text = format.list(Layout::DOCKER, &COLUMNS, &rows)?;
        if form.no_stream {
            output::print(&text)?;
            return Ok(Exit::SUCCESS);
        }
        let clear = if context.terminal.stdout {
            CLEAR_SCREEN
        } else {
            ""
        };
        output::print(&format!("{clear}{text}"))?;
        before = now;
        period = PERIOD;
    }
}

fn row_of(
    container: &ObservedContainer,
    form: &Form,
    (before, now): (&Samples, &Samples),
    apart: Duration,
) -> Result<Value, serde_json::Error> {
    let record = &container.record;
    let id = if form.no_trunc {
        record.id.as_str()
    } else {
        record.id.short()
    };
    // One that has just come is measured from the next time on.
    let samples = now
        .get(&record.id)
        .map(|last| (before.get(&record.id).unwrap_or(last), last));
    serde_json::to_value(row(id, record.name.as_str(), samples, apart))
}

fn sample(containers: &[ObservedContainer], memory: u64) -> Samples {
    containers
        .iter()
        .filter_map(|container| match &container.state {
            ContainerState::Running { process, .. } | ContainerState::Paused { process, .. } => {
                // It may have ended since; then it has no row of numbers.
                let usage = usage::of_container(process.pid).ok()?;
                Some((container.record.id.clone(), sample_of(usage, memory)))
            }
            ContainerState::Created
            | ContainerState::Restarting { .. }
            | ContainerState::Exited { .. } => None,
        })
        .collect()
}

fn sample_of(usage: Usage, memory: u64) -> Sample {
    Sample {
        cpu: usage.cpu,
        memory_bytes: usage.memory_bytes,
        memory_limit_bytes: usage.memory_limit_bytes.unwrap_or(memory).min(memory),
        network_bytes: (usage.received_bytes, usage.sent_bytes),
        block_bytes: (usage.read_bytes, usage.written_bytes),
        processes: usage.processes,
    }
}
