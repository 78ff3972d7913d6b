//! Networks as values: subnets and addresses, endpoints and link names,
//! published ports, firewall rules, and the names that containers may resolve.
//!
//! Everything here is decided from values that come in (the host's routes, the
//! addresses that are taken, the project) and nothing is done: `network` and
//! `dns` carry it out.

pub mod endpoint;
pub mod firewall;
pub mod ipam;
pub mod link;
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

    use crate::model::{
        Attachment, ImageSource, Logging, NamespaceMode, Process, Project, PullPolicy, Resources,
        RestartPolicy, Security, Service,
    };

    /// A service with nothing said about it.
    pub(crate) fn service(name: &str) -> Service {
        Service {
            name: name.parse().expect(name),
            image: ImageSource::Pull {
                reference: "busybox".to_owned(),
                policy: PullPolicy::Missing,
            },
            platform: None,
            container_name: None,
            scale: 1,
            process: Process::default(),
            hostname: None,
            domainname: None,
            attachment: Attachment::Endpoints(IndexMap::new()),
            ports: Vec::new(),
            expose: Vec::new(),
            extra_hosts: Vec::new(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_options: Vec::new(),
            mounts: Vec::new(),
            volumes_from: Vec::new(),
            secrets: Vec::new(),
            configs: Vec::new(),
            depends_on: IndexMap::new(),
            health: None,
            restart: RestartPolicy::default(),
            resources: Resources::default(),
            security: Security::default(),
            ipc: NamespaceMode::default(),
            pid: NamespaceMode::default(),
            uts: NamespaceMode::default(),
            cgroup: NamespaceMode::default(),
            cgroup_parent: None,
            shm_bytes: None,
            logging: Logging::default(),
            labels: IndexMap::new(),
            annotations: IndexMap::new(),
            attach: true,
            profiles: Vec::new(),
            post_start: Vec::new(),
            pre_stop: Vec::new(),
            storage_opt: IndexMap::new(),
            extension: None,
            config_hash: String::new(),
        }
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
