//! `env`: where the project's services are reached, as variables.

use crate::cli::commands::values::check_services;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::{output, records};
use crate::view::harness::{self, Form};

/// Flags of `env`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Format the output. Values: [shell | dotenv | json]
    #[arg(long, default_value = "shell", value_name = "FORMAT")]
    format: String,
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Args {
    /// Prints them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let form = match self.format.as_str() {
            "shell" | "" => Form::Shell,
            "dotenv" => Form::Dotenv,
            "json" => Form::Json,
            other => {
                return Err(
                    Failure::usage(format!("format value {other:?} could not be parsed"))
                        .with_hint("use shell, dotenv or json")
                        .into(),
                );
            }
        };
        let name = context.project_name()?;
        let known = context.declared_services()?;
        check_services(known.as_deref(), &self.services)?;
        let mut containers = records::containers(context.store()?, &name)?;
        containers.retain(|container| {
            let service = container.record.service_name().as_str();
            self.services.is_empty() || self.services.iter().any(|name| name == service)
        });
        if !containers
            .iter()
            .any(|container| container.state.is_running())
        {
            return Err(Failure::project(format!(
                "no container of project {:?} is running",
                name.as_str()
            ))
            .with_hint("`rcompose up --wait` brings it up")
            .into());
        }
        output::print(&harness::text(
            &harness::variables(&name, &containers),
            form,
        ))?;
        Ok(Exit::SUCCESS)
    }
}
