//! The name server of a sandbox: what its container may see, and who answers
//! the rest.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::dns;
use crate::model::{ContainerId, ContainerRecord};
use crate::network::sandbox::Sandbox;
use crate::supervisor::Error;
use crate::supervisor::host::Host;
use crate::supervisor::networks::Joined;
use crate::topology::resolver;
use crate::topology::zone::{Forwarding, View};

impl Host {
    /// Answers the container's DNS from now on.
    pub(crate) fn serve_dns(
        &self,
        record: &ContainerRecord,
        view: View,
        sandbox: &Sandbox,
    ) -> Result<(), Error> {
        let (Some(udp), Some(tcp)) = (&sandbox.dns_udp, &sandbox.dns_tcp) else {
            return Ok(());
        };
        let twin = |fd: &OwnedFd| fd.try_clone().map_err(Error::Descriptor);
        let upstreams = self.upstreams(record, sandbox)?;
        let server = dns::serve(
            twin(udp)?,
            twin(tcp)?,
            self.zone.subscribe(),
            view,
            upstreams,
        )
        .map_err(Error::Descriptor)?;
        self.table
            .borrow_mut()
            .update(&record.id, |live| live.name_server = Some(server));
        Ok(())
    }

    /// Who answers what isn't ours: the host's servers, asked from the host,
    /// or those of `dns:`, asked from the container's own network.
    fn upstreams(
        &self,
        record: &ContainerRecord,
        sandbox: &Sandbox,
    ) -> Result<dns::Upstreams, Error> {
        let declared = record
            .service
            .dns
            .iter()
            .filter_map(|text| text.parse::<IpAddr>().ok());
        let servers: Vec<SocketAddr> = declared
            .map(|address| SocketAddr::new(address, resolver::PORT))
            .collect();
        if servers.is_empty() {
            return Ok(dns::Upstreams::Host(Arc::clone(&self.host_servers)));
        }
        let netns = sandbox.netns.try_clone().map_err(Error::Descriptor)?;
        Ok(dns::Upstreams::Own {
            servers,
            netns: Arc::new(netns),
        })
    }
}

pub(super) fn dns_name(id: &ContainerId, transport: &str) -> String {
    format!("dns/{id}/{transport}")
}

/// What a container may see of the project's names.
pub(super) fn view(record: &ContainerRecord, networks: &[Joined]) -> View {
    let is_inside = networks.iter().all(|(network, _)| network.applied.internal);
    View {
        networks: networks
            .iter()
            .map(|(network, _)| network.name.clone())
            .collect(),
        subnets: networks
            .iter()
            .flat_map(|(network, _)| network.pools.iter().map(|pool| pool.subnet))
            .collect(),
        forwarding: if is_inside {
            Forwarding::Nothing
        } else if resolver::wants_dots(&record.service) {
            Forwarding::Dotted
        } else {
            Forwarding::All
        },
        links: record
            .service
            .links
            .iter()
            .map(|link| (link.alias.clone(), link.service.to_string()))
            .collect(),
    }
}
