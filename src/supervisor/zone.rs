//! What the project's names mean at the moment.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::{ContainerRecord, EndpointSpec, Resource};
use crate::supervisor::host::Host;
use crate::topology::{Member, Zone, naming};

impl Host {
    /// Rebuilds the zone from the table and from the claims of other projects
    /// on shared networks, and hands it to every DNS server.
    pub(crate) fn refresh_zone(&self) {
        let mut members = self.own_members();
        members.extend(self.foreign_members());
        let zone = Zone::new(members, self.declared_names());
        self.zone.send_replace(Arc::new(zone));
    }

    fn own_members(&self) -> Vec<Member> {
        let table = self.table.borrow();
        let mut named: Vec<_> = table
            .iter()
            .filter_map(|live| Some((live, live.named_endpoints()?)))
            .collect();
        named.sort_by(|(a, _), (b, _)| {
            (a.record.number, &a.record.name).cmp(&(b.record.number, &b.record.name))
        });
        let mut members = Vec::new();
        for (live, endpoints) in named {
            for (network, endpoint) in endpoints {
                members.push(Member {
                    network: network.clone(),
                    name: live.record.name.to_string(),
                    aliases: endpoint.names.clone(),
                    ipv4: endpoint.ipv4,
                    ipv6: endpoint.ipv6,
                });
            }
        }
        members
    }

    /// Containers of other projects on the networks that this one uses.
    fn foreign_members(&self) -> Vec<Member> {
        let used = self.used_networks();
        let mut neighbours = self.neighbours.borrow_mut();
        neighbours.members(&self.root, self.store.name(), &used)
    }

    /// Names on the host of the project's networks.
    pub(crate) fn used_networks(&self) -> BTreeSet<String> {
        let project = self.project.borrow();
        let Some(project) = project.as_deref() else {
            return BTreeSet::new();
        };
        project
            .networks
            .values()
            .map(|network| match network {
                Resource::External { name } => name.clone(),
                Resource::Managed(network) => network.name.clone(),
            })
            .collect()
    }

    /// Names that exist when their containers are up: asked for at another
    /// time, they are nobody else's.
    fn declared_names(&self) -> Vec<String> {
        let project = self.project.borrow();
        project.as_deref().map(naming::declared).unwrap_or_default()
    }
}

/// The names of a container on a network, besides its own. One-off containers
/// have the service's names only when asked (`--use-aliases`).
pub(crate) fn aliases(record: &ContainerRecord, spec: &EndpointSpec) -> Vec<String> {
    if record.is_one_off() && !record.use_aliases {
        naming::one_off_aliases(&record.id)
    } else {
        naming::aliases(&record.service, spec, &record.id)
    }
}
