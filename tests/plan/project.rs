//! Reads the few attributes that fixtures of the plan use, so that these
//! don't depend on the whole loader being right.

use std::path::Path;

use indexmap::IndexMap;
use rcompose::model::{
    Attachment, Condition, Dependency, EndpointSpec, HealthSetting, HostPorts, ImageSource, Mount,
    NamespaceMode, Network, Project, Protocol, PublishedPort, PullPolicy, Resource, Service,
    Volume, VolumeMount, VolumeSource,
};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "shop")]
    name: String,
    services: IndexMap<String, ServiceText>,
    #[serde(default)]
    networks: IndexMap<String, Option<ResourceText>>,
    #[serde(default)]
    volumes: IndexMap<String, Option<ResourceText>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceText {
    image: String,
    container_name: Option<String>,
    #[serde(default = "one")]
    scale: u32,
    #[serde(default)]
    environment: IndexMap<String, String>,
    #[serde(default)]
    labels: IndexMap<String, String>,
    command: Option<Vec<String>>,
    #[serde(default)]
    ports: Vec<String>,
    networks: Option<Vec<String>>,
    network_mode: Option<String>,
    pid: Option<String>,
    #[serde(default)]
    volumes: Vec<String>,
    #[serde(default)]
    volumes_from: Vec<String>,
    #[serde(default)]
    depends_on: IndexMap<String, DependencyText>,
    #[serde(default)]
    healthcheck: Option<HealthText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DependencyText {
    condition: String,
    #[serde(default)]
    restart: bool,
    #[serde(default = "yes")]
    required: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HealthText {
    #[serde(rename = "test")]
    _test: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceText {
    name: Option<String>,
    #[serde(default)]
    external: bool,
    #[serde(default)]
    internal: bool,
    #[serde(default)]
    labels: IndexMap<String, String>,
}

fn shop() -> String {
    "shop".to_owned()
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

/// Reads a Compose file of the subset.
pub(crate) fn read(path: &Path) -> Project {
    let text = std::fs::read_to_string(path).unwrap();
    let file: File =
        serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut project = Project::new(file.name.parse().unwrap());
    for (name, text) in file.services {
        let service = service(&name, text);
        project.services.insert(service.name.clone(), service);
    }
    let uses_default = project.services.values().any(|service| {
        matches!(&service.attachment, Attachment::Endpoints(endpoints) if endpoints.keys().any(|key| key.as_str() == "default"))
    });
    let mut networks = file.networks;
    if uses_default {
        networks.entry("default".to_owned()).or_default();
    }
    for (key, text) in networks {
        let network = network(&file.name, &key, text.unwrap_or_default());
        project.networks.insert(key.parse().unwrap(), network);
    }
    for (key, text) in file.volumes {
        let text = text.unwrap_or_default();
        let name = text.name.unwrap_or_else(|| format!("{}_{key}", file.name));
        let volume = if text.external {
            Resource::External { name }
        } else {
            Resource::Managed(Volume {
                name,
                driver: None,
                driver_opts: IndexMap::new(),
                labels: text.labels,
            })
        };
        project.volumes.insert(key.parse().unwrap(), volume);
    }
    project
}

fn network(project: &str, key: &str, text: ResourceText) -> Resource<Network> {
    let name = text.name.unwrap_or_else(|| format!("{project}_{key}"));
    if text.external {
        return Resource::External { name };
    }
    Resource::Managed(Network {
        name,
        driver: None,
        driver_opts: IndexMap::new(),
        pools: vec![],
        internal: text.internal,
        attachable: false,
        ipv4: true,
        ipv6: false,
        labels: text.labels,
    })
}

fn service(name: &str, text: ServiceText) -> Service {
    let image = ImageSource::Pull {
        reference: text.image,
        policy: PullPolicy::Missing,
    };
    let mut service = Service::new(name.parse().unwrap(), image);
    service.container_name = text.container_name.map(|name| name.parse().unwrap());
    service.scale = text.scale;
    service.process.environment = text
        .environment
        .into_iter()
        .map(|(key, value)| (key, Some(value)))
        .collect();
    service.process.command = text.command;
    service.labels = text.labels;
    service.ports = text.ports.iter().map(|port| published(port)).collect();
    service.attachment = match text.network_mode {
        Some(mode) => Attachment::Service(mode.strip_prefix("service:").unwrap().parse().unwrap()),
        None => {
            let keys = text.networks.unwrap_or_else(|| vec!["default".to_owned()]);
            Attachment::Endpoints(
                keys.iter()
                    .map(|key| (key.parse().unwrap(), EndpointSpec::default()))
                    .collect(),
            )
        }
    };
    if let Some(mode) = text.pid {
        service.pid =
            NamespaceMode::Service(mode.strip_prefix("service:").unwrap().parse().unwrap());
    }
    service.mounts = text.volumes.iter().map(|mount| mounted(mount)).collect();
    service.volumes_from = text.volumes_from;
    for (name, how) in text.depends_on {
        let condition = match how.condition.as_str() {
            "service_started" => Condition::ServiceStarted,
            "service_healthy" => Condition::ServiceHealthy,
            "service_completed_successfully" => Condition::ServiceCompletedSuccessfully,
            other => panic!("condition {other}"),
        };
        let dependency = Dependency {
            condition,
            restart: how.restart,
            required: how.required,
        };
        service.depends_on.insert(name.parse().unwrap(), dependency);
    }
    service.health = text.healthcheck.map(|_| HealthSetting::default());
    service
}

fn published(text: &str) -> PublishedPort {
    let (host, container) = text.split_once(':').unwrap();
    let host_ports = match host.split_once('-') {
        Some((first, last)) => HostPorts::AnyOf(first.parse().unwrap(), last.parse().unwrap()),
        None => HostPorts::Fixed(host.parse().unwrap()),
    };
    PublishedPort {
        host_ip: None,
        host_ports,
        container_port: container.parse().unwrap(),
        protocol: Protocol::Tcp,
        name: None,
        app_protocol: None,
    }
}

fn mounted(text: &str) -> Mount {
    let (source, target) = match text.split_once(':') {
        Some((key, target)) => (VolumeSource::Named(key.parse().unwrap()), target),
        None => (VolumeSource::Anonymous, text),
    };
    Mount::Volume(VolumeMount {
        source,
        target: target.to_owned(),
        read_only: false,
        no_copy: false,
        subpath: None,
        labels: IndexMap::new(),
    })
}
