//! Where services are reached from the host, as variables for a test's
//! environment.
//!
//! A service with a published port is reached there; one without at its own
//! address, which the host can reach as well.

use std::net::IpAddr;

use indexmap::IndexMap;

use crate::model::{Attachment, ObservedContainer, PortBinding, ProjectName, Protocol};

/// Variables by name, in the services' order.
pub type Variables = IndexMap<String, String>;

/// The variables of a project's running containers.
///
/// Of a service's replicas the first gives `<SERVICE>_HOST` and
/// `<SERVICE>_PORT`, and each `<SERVICE>_<N>_HOST` and `…_PORT` when there are
/// several. `<SERVICE>_PORT_<CONTAINER PORT>` is there for each port.
#[must_use]
pub fn variables(project: &ProjectName, containers: &[ObservedContainer]) -> Variables {
    let mut all = Variables::new();
    all.insert("COMPOSE_PROJECT_NAME".to_owned(), project.to_string());
    let mut running: Vec<&ObservedContainer> = containers
        .iter()
        .filter(|container| container.state.is_running() && !container.record.is_one_off())
        .collect();
    running.sort_by_key(|container| {
        (
            container.record.service_name().clone(),
            container.record.number,
        )
    });
    let mut seen: Vec<&str> = Vec::new();
    for container in &running {
        let service = container.record.service_name().as_str();
        let siblings = running
            .iter()
            .filter(|other| other.record.service_name().as_str() == service)
            .count();
        if !seen.contains(&service) {
            seen.push(service);
            add(&mut all, &prefix(service), container);
        }
        if let (true, Some(number)) = (siblings > 1, container.record.number) {
            add(
                &mut all,
                &format!("{}_{number}", prefix(service)),
                container,
            );
        }
    }
    all
}

/// `my-db` as `MY_DB`.
fn prefix(service: &str) -> String {
    service
        .chars()
        .map(|letter| match letter {
            letter if letter.is_ascii_alphanumeric() => letter.to_ascii_uppercase(),
            _ => '_',
        })
        .collect()
}

/// A port as it is reached from the host.
struct Reached {
    host: IpAddr,
    port: u16,
    container_port: u16,
    protocol: Protocol,
}

fn add(all: &mut Variables, prefix: &str, container: &ObservedContainer) {
    let ports = reached(container);
    let mut set = |name: String, value: String| {
        // Two services may come to one name: the first keeps it.
        all.entry(name).or_insert(value);
    };
    let first = ports
        .iter()
        .find(|port| port.protocol == Protocol::Tcp)
        .or(ports.first());
    let host = first.map(|port| port.host).or_else(|| address(container));
    if let Some(host) = host {
        set(format!("{prefix}_HOST"), host.to_string());
    }
    if let Some(first) = first {
        set(format!("{prefix}_PORT"), first.port.to_string());
    }
    for port in &ports {
        let suffix = match port.protocol {
            Protocol::Tcp => String::new(),
            other => format!("_{}", other.as_str().to_ascii_uppercase()),
        };
        let name = format!("{prefix}_PORT_{}{suffix}", port.container_port);
        set(name, port.port.to_string());
    }
}

/// Published ports in the file's order; without any, those that are exposed.
fn reached(container: &ObservedContainer) -> Vec<Reached> {
    let bindings = container.runtime.iter().flat_map(|runtime| &runtime.ports);
    let mut published: Vec<Reached> = Vec::new();
    for binding in bindings {
        let is_known = published.iter().any(|known| {
            (known.container_port, known.protocol) == (binding.container_port, binding.protocol)
        });
        // A port on both families is reached by the first, which is IPv4.
        if !is_known {
            published.push(of_binding(binding));
        }
    }
    if !published.is_empty() {
        let declared = &container.record.service.ports;
        published.sort_by_key(|port| {
            declared.iter().position(|it| {
                (it.container_port, it.protocol) == (port.container_port, port.protocol)
            })
        });
        return published;
    }
    let Some(host) = address(container) else {
        return Vec::new();
    };
    let exposed = container.record.exposed.iter();
    exposed
        .filter_map(|text| {
            let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
            let port = port.parse().ok()?;
            let protocol = match protocol {
                "udp" => Protocol::Udp,
                "sctp" => Protocol::Sctp,
                _ => Protocol::Tcp,
            };
            Some(Reached {
                host,
                port,
                container_port: port,
                protocol,
            })
        })
        .collect()
}

fn of_binding(binding: &PortBinding) -> Reached {
    let host = match binding.host_ip {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    Reached {
        host,
        port: binding.host_port,
        container_port: binding.container_port,
        protocol: binding.protocol,
    }
}

/// The container's own address.
fn address(container: &ObservedContainer) -> Option<IpAddr> {
    if container.record.service.attachment == Attachment::Host {
        return Some(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let endpoints = &container.runtime.as_ref()?.endpoints;
    let (_, endpoint) = endpoints.first()?;
    let ipv4 = endpoint.ipv4.map(IpAddr::from);
    ipv4.or_else(|| endpoint.ipv6.map(IpAddr::from))
}

/// A form of writing variables down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `export NAME='value'`, for a shell's `eval`.
    Shell,
    /// `NAME=value`, for an `.env` file.
    Dotenv,
    /// One JSON object.
    Json,
}

/// Writes variables down.
#[must_use]
pub fn text(variables: &Variables, form: Form) -> String {
    match form {
        Form::Shell => lines(variables, |name, value| {
            format!("export {name}='{}'\n", value.replace('\'', r"'\''"))
        }),
        Form::Dotenv => lines(variables, |name, value| format!("{name}={value}\n")),
        Form::Json => format!("{:#}\n", serde_json::json!(variables)),
    }
}

fn lines(variables: &Variables, line: impl Fn(&str, &str) -> String) -> String {
    variables
        .iter()
        .map(|(name, value)| line(name, value))
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::model::ContainerState;
    use crate::view::testing;

    use super::*;

    fn running() -> ObservedContainer {
        testing::container(ContainerState::Running {
            process: testing::process(),
            since: testing::time("09:59:57"),
        })
    }

    fn of(containers: &[ObservedContainer]) -> Variables {
        variables(&"shop".parse().unwrap(), containers)
    }

    #[test]
    fn a_published_port_is_reached_on_the_host() {
        let all = of(&[running()]);
        assert_eq!(all["COMPOSE_PROJECT_NAME"], "shop");
        assert_eq!(all["WEB_HOST"], "127.0.0.1");
        assert_eq!(all["WEB_PORT"], "8080");
        assert_eq!(all["WEB_PORT_80"], "8080");
    }

    #[test]
    fn without_a_published_port_it_is_the_container_s_own() {
        let mut container = running();
        container.runtime.as_mut().unwrap().ports.clear();
        let all = of(&[container]);
        assert_eq!(all["WEB_HOST"], "10.89.0.2");
        assert_eq!(all["WEB_PORT"], "80");
        assert_eq!(all["WEB_PORT_9000_UDP"], "9000");
    }

    #[test]
    fn replicas_are_counted_and_what_is_down_is_left_out() {
        let mut second = running();
        second.record.number = Some(2);
        second.runtime.as_mut().unwrap().ports = vec![testing::port("192.0.2.9", 8081, 80)];
        let all = of(&[second, running()]);
        assert_eq!(all["WEB_PORT"], "8080");
        assert_eq!(all["WEB_2_HOST"], "192.0.2.9");
        assert_eq!(all["WEB_2_PORT"], "8081");
        let down = testing::container(ContainerState::Created);
        assert_eq!(of(&[down]).len(), 1);
    }

    #[test]
    fn names_are_what_a_shell_takes() {
        assert_eq!(prefix("my-db.2"), "MY_DB_2");
        let all: Variables = [("A".to_owned(), "it's".to_owned())].into_iter().collect();
        assert_eq!(text(&all, Form::Shell), "export A='it'\\''s'\n");
        assert_eq!(text(&all, Form::Dotenv), "A=it's\n");
        assert_eq!(text(&all, Form::Json), "{\n  \"A\": \"it's\"\n}\n");
    }
}
