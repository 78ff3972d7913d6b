//! `ps`: the project's containers, read without asking any process of ours.

use serde_json::Value;

use crate::cli::commands::values::check_services;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::listing::{Column, Format};
use crate::cli::output::table::Layout;
use crate::cli::{output, records};
use crate::model::ObservedContainer;
use crate::view::container::{Width, row};
use crate::view::filter::Filter;

const COLUMNS: [Column; 7] = [
    column("NAME", "Name"),
    column("IMAGE", "Image"),
    column("COMMAND", "Command"),
    column("SERVICE", "Service"),
    column("CREATED", "RunningFor"),
    column("STATUS", "Status"),
    column("PORTS", "Ports"),
];

const fn column(heading: &'static str, field: &'static str) -> Column {
    Column { heading, field }
}

/// Flags of `ps`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Show all stopped containers (including those created by the run command)
    #[arg(short = 'a', long)]
    all: bool,
    /// Filter services by a property (supported filters: status)
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Option<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go TEMPLATE
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Include orphaned services (not declared by project)
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = crate::cli::flags::go_bool())]
    orphans: bool,
    /// Only display IDs
    #[arg(short = 'q', long)]
    quiet: bool,
    /// Display services
    #[arg(long = "services")]
    only_services: bool,
    /// Filter services by status. Values: [paused | restarting | removing | running | dead | created | exited]
    #[arg(long, value_name = "STATUS")]
    status: Vec<String>,
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Args {
    /// Lists them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let name = context.project_name()?;
        let known = context.declared_services()?;
        check_services(known.as_deref(), &self.services)?;
        let filter = Filter {
            all: self.all,
            states: self.states()?,
            services: self.services.clone(),
            known_services: known.filter(|_| !self.orphans),
        };
        let mut containers = records::containers(context.store()?, &name)?;
        containers.retain(|container| filter.shows(container));
        output::print(&self.text(context, &containers)?)?;
        Ok(Exit::SUCCESS)
    }

    fn text(&self, context: &Context, containers: &[ObservedContainer]) -> anyhow::Result<String> {
        if self.quiet {
            let ids = containers.iter().map(|c| format!("{}\n", c.record.id));
            return Ok(ids.collect());
        }
        if self.only_services {
            return Ok(service_lines(containers));
        }
        let typed = self.format.as_deref();
        let format = Format::chosen(typed, &context.environment, "psFormat")?;
        let width = if self.no_trunc {
            Width::Full
        } else {
            Width::Cut
        };
        let moment = context.moment();
        let rows = containers
            .iter()
            .map(|container| serde_json::to_value(row(container, &moment, width)))
            .collect::<Result<Vec<Value>, _>>()?;
        Ok(format.list(Layout::DOCKER, &COLUMNS, &rows)?)
    }

    fn states(&self) -> Result<Vec<String>, Failure> {
        let mut states = self.status.clone();
        if let Some(filter) = self.filter.as_deref().filter(|text| !text.is_empty()) {
            match filter.split_once('=') {
                Some(("status", state)) => states.push(state.to_owned()),
                Some((key, _)) => return Err(Failure::usage(format!("unknown filter {key}"))),
                None => {
                    return Err(Failure::usage(
                        "arguments to --filter should be in form KEY=VAL",
                    ));
                }
            }
        }
        Ok(states)
    }
}

/// Each service once, in the containers' order.
fn service_lines(containers: &[ObservedContainer]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for container in containers {
        let name = container.record.service_name().as_str();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.iter().map(|name| format!("{name}\n")).collect()
}
