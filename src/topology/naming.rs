//! What containers are called on their networks, and which addresses the
//! project's file gives away.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::{
    Attachment, ContainerId, EndpointSpec, Project, ProjectName, ResourceKey, Service,
};

/// What a service's container is called on a network besides its own name:
/// the service, the endpoint's aliases, the id's first twelve digits.
#[must_use]
pub fn aliases(service: &Service, spec: &EndpointSpec, id: &ContainerId) -> Vec<String> {
    let mut names = vec![service.name.to_string()];
    names.extend(spec.aliases.iter().cloned());
    names.push(id.short().to_owned());
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.to_ascii_lowercase()));
    names
}

/// What a container that `run` makes is called besides its own name: nothing
/// that would draw traffic meant for the service.
#[must_use]
pub fn one_off_aliases(id: &ContainerId) -> Vec<String> {
    vec![id.short().to_owned()]
}

/// The name of a service's n-th container, unless the file names it.
#[must_use]
pub fn container_name(project: &ProjectName, service: &Service, number: u32) -> String {
    match &service.container_name {
        Some(name) => name.to_string(),
        None => {
            let (name, between) = (&service.name, service.separator.as_str());
            format!("{project}{between}{name}{between}{number}")
        }
    }
}

/// Every name that the project's services have when they are up, on whichever
/// network. While they aren't, nobody outside is asked for them.
#[must_use]
pub fn declared(project: &Project) -> Vec<String> {
    let mut names = BTreeSet::new();
    for (name, service) in &project.services {
        names.insert(name.to_string());
        for number in 1..=service.scale {
            names.insert(container_name(&project.name, service, number));
        }
        for (_, spec) in endpoints(service) {
            names.extend(spec.aliases.iter().cloned());
        }
    }
    names.into_iter().collect()
}

/// The addresses on a network that services claim by the file, by whom: nobody
/// else may get one of them, not even while its owner is down.
#[must_use]
pub fn static_addresses(project: &Project, network: &ResourceKey) -> BTreeMap<IpAddr, String> {
    let mut addresses = BTreeMap::new();
    for (name, service) in &project.services {
        for (key, spec) in endpoints(service) {
            let ipv4 = spec.ipv4_address.map(IpAddr::V4);
            let given = ipv4.into_iter().chain(spec.ipv6_address.map(IpAddr::V6));
            for address in given.filter(|_| key == network) {
                addresses
                    .entry(address)
                    .or_insert_with(|| format!("service {name}"));
            }
        }
    }
    addresses
}

fn endpoints(service: &Service) -> impl Iterator<Item = (&ResourceKey, &EndpointSpec)> {
    let endpoints = match &service.attachment {
        Attachment::Endpoints(endpoints) => Some(endpoints),
        Attachment::None | Attachment::Host | Attachment::Service(_) | Attachment::Container(_) => {
            None
        }
    };
    endpoints.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::tests::{project, service};

    fn on(network: &str, spec: EndpointSpec) -> Attachment {
        Attachment::Endpoints(
            [(network.parse().expect("key"), spec)]
                .into_iter()
                .collect(),
        )
    }

    fn spec(aliases: &[&str], ipv4: &str) -> EndpointSpec {
        EndpointSpec {
            aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
            ipv4_address: ipv4.parse().ok(),
            ..EndpointSpec::default()
        }
    }

    #[test]
    fn a_container_is_called_by_service_alias_and_id() {
        let id = ContainerId::from_random([0xab; 32]);
        let names = aliases(&service("db"), &spec(&["store", "DB"], ""), &id);
        assert_eq!(names, ["db", "store", "abababababab"]);
        assert_eq!(one_off_aliases(&id), ["abababababab"]);
    }

    #[test]
    fn every_name_of_the_file_is_declared() {
        let mut web = service("web");
        web.scale = 2;
        web.attachment = on("front", spec(&["site"], ""));
        let mut db = service("db");
        db.container_name = "postgres".parse().ok();
        db.attachment = Attachment::None;
        let names = declared(&project(vec![web, db]));
        assert_eq!(
            names,
            ["db", "postgres", "shop-web-1", "shop-web-2", "site", "web"]
        );
    }

    #[test]
    fn static_addresses_are_kept_for_their_services() {
        let mut web = service("web");
        web.attachment = on("front", spec(&[], "10.9.0.7"));
        let mut db = service("db");
        db.attachment = on("back", spec(&[], "10.8.0.7"));
        let found = static_addresses(&project(vec![web, db]), &"front".parse().expect("key"));
        let found: Vec<_> = found
            .into_iter()
            .map(|(ip, by)| format!("{ip} {by}"))
            .collect();
        assert_eq!(found, ["10.9.0.7 service web"]);
    }
}
