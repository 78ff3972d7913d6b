//! `port`: where a container's port is on the host.

use crate::cli::commands::values::{check_services, container_of};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::{output, records};
use crate::model::{ObservedContainer, PortBinding};
use crate::view::ports;

/// Flags of `port`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Index of the container if service has multiple replicas
    #[arg(long, default_value_t = 0, value_name = "N")]
    index: u32,
    /// tcp or udp
    #[arg(long, default_value = "tcp", value_name = "PROTOCOL")]
    protocol: String,
    /// Service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// Port in the container; all when absent
    #[arg(value_name = "PRIVATE_PORT")]
    port: Option<u16>,
}

impl Args {
    /// Prints it.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let name = context.project_name()?;
        let known = context.declared_services()?;
        check_services(known.as_deref(), std::slice::from_ref(&self.service))?;
        let containers = records::containers(context.store()?, &name)?;
        let container = container_of(&containers, &self.service, self.index)?;
        output::print(&self.text(container)?)?;
        Ok(Exit::SUCCESS)
    }

    fn text(&self, container: &ObservedContainer) -> Result<String, Failure> {
        let mut bindings: Vec<&PortBinding> = container
            .runtime
            .iter()
            .flat_map(|runtime| &runtime.ports)
            .collect();
        bindings.sort_by_key(|binding| (binding.container_port, binding.protocol, binding.host_ip));
        let Some(port) = self.port else {
            let lines = bindings.iter().map(|binding| {
                let protocol = binding.protocol.as_str();
                let host = ports::host_text(binding);
                format!("{}/{protocol} -> {host}\n", binding.container_port)
            });
            return Ok(lines.collect());
        };
        let wanted = self.protocol.to_lowercase();
        // IPv4 sorts first: it is the one line that clients expect.
        let found = bindings
            .iter()
            .find(|binding| binding.container_port == port && binding.protocol.as_str() == wanted);
        match found {
            Some(binding) => Ok(format!("{}\n", ports::host_text(binding))),
            None => Err(Failure::project(format!(
                "no port {port}/{wanted} for container {}: {}",
                container.record.name,
                ports::text(container)
            ))),
        }
    }
}
