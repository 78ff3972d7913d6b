//! Ports and addresses that pass from a container that stops to one that
//! starts: the start then waits for the stop.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::{
    Attachment, ContainerId, HostPorts, ObservedContainer, Project, Protocol, Resource, Service,
};
use crate::plan::dag::{After, OpId};

/// How many freed ports of one range are waited for.
const RANGE_MAX: usize = 1024;

/// What stopping containers give back: ports of the host and addresses.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    ports: BTreeMap<(Protocol, u16), Vec<(ContainerId, OpId)>>,
    addresses: BTreeMap<(String, IpAddr), Vec<(ContainerId, OpId)>>,
}

impl Leaving {
    pub(crate) fn add(&mut self, container: &ObservedContainer, stop: OpId) {
        let entry = (container.record.id.clone(), stop);
        let mut ports: Vec<(Protocol, u16)> = Vec::new();
        for port in &container.record.service.ports {
            if let HostPorts::Fixed(number) = port.host_ports {
                ports.push((port.protocol, number));
            }
        }
        if let Some(runtime) = &container.runtime {
            ports.extend(
                runtime
                    .ports
                    .iter()
                    .map(|bound| (bound.protocol, bound.host_port)),
            );
            for (network, endpoint) in &runtime.endpoints {
                let addresses = [endpoint.ipv4.map(IpAddr::V4), endpoint.ipv6.map(IpAddr::V6)];
                for address in addresses.into_iter().flatten() {
                    self.addresses
                        .entry((network.clone(), address))
                        .or_default()
                        .push(entry.clone());
                }
            }
        }
        ports.sort_unstable();
        ports.dedup();
        for port in ports {
            self.ports.entry(port).or_default().push(entry.clone());
        }
    }

    /// The stops of other containers that a service's start waits for.
    pub(crate) fn wanted_by(
        &self,
        project: &Project,
        service: &Service,
        own: Option<&ContainerId>,
    ) -> Vec<After> {
        let mut stops = Vec::new();
        for port in &service.ports {
            let (first, last) = match port.host_ports {
                HostPorts::Ephemeral => continue,
                HostPorts::Fixed(number) => (number, number),
                HostPorts::AnyOf(first, last) => (first, last),
            };
            let range = (port.protocol, first)..=(port.protocol, last.max(first));
            stops.extend(
                self.ports
                    .range(range)
                    .take(RANGE_MAX)
                    .flat_map(|(_, entries)| entries),
            );
        }
        if let Attachment::Endpoints(endpoints) = &service.attachment {
            for (key, endpoint) in endpoints {
                let Some(network) = project.networks.get(key) else {
                    continue;
                };
                let name = match network {
                    Resource::External { name } => name,
                    Resource::Managed(network) => &network.name,
                };
                let fixed = [
                    endpoint.ipv4_address.map(IpAddr::V4),
                    endpoint.ipv6_address.map(IpAddr::V6),
                ];
                for address in fixed.into_iter().flatten() {
                    stops.extend(
                        self.addresses
                            .get(&(name.clone(), address))
                            .into_iter()
                            .flatten(),
                    );
                }
            }
        }
        let others = stops.into_iter().filter(|(id, _)| Some(id) != own);
        others.map(|(_, stop)| After::End(*stop)).collect()
    }
}
