//! Networks as values: subnets and addresses, endpoints and link names,
//! published ports, firewall rules, and the names that containers may resolve.
//!
//! Everything here is decided from values that come in (the host's routes, the
//! addresses that are taken, the project) and nothing is done: `network` and
//! `dns` carry it out.

pub mod endpoint;
pub mod firewall;
pub mod hosts;
pub mod ipam;
pub mod link;
pub mod naming;
pub mod publish;
pub mod resolver;
pub mod subnet;
pub mod zone;

pub use link::MacAddress;
pub use subnet::Subnet;
pub use zone::{Answer, Member, View, Zone};

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;

    use indexmap::IndexMap;

    use crate::model::{ImageSource, Project, PullPolicy, Service};

    /// A service with nothing said about it.
    pub(crate) fn service(name: &str) -> Service {
        let image = ImageSource::Pull {
            reference: "busybox".to_owned(),
            policy: PullPolicy::Missing,
        };
        Service::new(name.parse().expect(name), image)
    }

    /// A project of these services.
    pub(crate) fn project(services: Vec<Service>) -> Project {
        Project {
            name: "shop".parse().expect("a project name"),
            working_dir: PathBuf::from("/shop"),
            config_files: Vec::new(),
            environment_files: Vec::new(),
            services: services
                .into_iter()
                .map(|service| (service.name.clone(), service))
                .collect(),
            disabled_services: Vec::new(),
            networks: IndexMap::new(),
            volumes: IndexMap::new(),
            secrets: IndexMap::new(),
            configs: IndexMap::new(),
        }
    }
}
