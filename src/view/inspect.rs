//! A container in the shape of `docker inspect`.
//!
//! Fields that only an Engine has and no client needs are left out rather than
//! made up; those that clients read without asking are always there.

use std::path::Path;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::model::{
    Attachment, ContainerState, EndpointRecord, ExitRecord, HealthProbe, MountRecord,
    NamespaceMode, ObservedContainer, ProbeCommand, Probing, RestartPolicy, Signal,
};
use crate::view::{ports, status};

/// Go's zero time: something that hasn't happened.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// What is known of a container beside its records' values.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Its folder on the host.
    pub folder: &'a Path,
    /// Its log.
    pub log: &'a Path,
    /// How it last ended.
    pub exit: Option<&'a ExitRecord>,
}

/// A container as `docker container inspect` shows it.
#[must_use]
pub fn container(container: &ObservedContainer, around: Surroundings<'_>) -> Value {
    let record = &container.record;
    let etc = around.folder.join("etc");
    let (path, args) = record
        .argv
        .split_first()
        .map_or(("", &[][..]), |(path, args)| (path.as_str(), args));
    let runtime = container.runtime.as_ref();
    json!({
        "Id": record.id.to_string(),
        "Created": record.created_at.to_string(),
        "Path": path,
        "Args": args,
        "State": state(container, around.exit),
        "Image": record.image_id,
        "ResolvConfPath": etc.join("resolv.conf"),
        "HostnamePath": etc.join("hostname"),
        "HostsPath": etc.join("hosts"),
        "LogPath": around.log,
        "Name": format!("/{}", record.name),
        "RestartCount": runtime.map_or(0, |runtime| runtime.restarts),
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": null,
        "HostConfig": host_config(container),
        "GraphDriver": {
            "Name": "overlay2",
            "Data": {
                "UpperDir": around.folder.join("upper"),
                "WorkDir": around.folder.join("work"),
                "MergedDir": around.folder.join("root"),
            },
        },
        "Mounts": record.mounts.iter().map(mount).collect::<Vec<_>>(),
        "Config": config(container),
        "NetworkSettings": network_settings(container),
    })
}

fn state(container: &ObservedContainer, exit: Option<&ExitRecord>) -> Value {
    let running = |process: i32, since: &Timestamp| (process, since.to_string());
    let (pid, started) = match &container.state {
        ContainerState::Running { process, since } | ContainerState::Paused { process, since } => {
            running(process.pid, since)
        }
        ContainerState::Created => (0, NEVER.to_owned()),
        ContainerState::Restarting { .. } | ContainerState::Exited { .. } => {
            let runtime = container.runtime.as_ref();
            let started = runtime.map(|runtime| runtime.started_at.to_string());
            (0, started.unwrap_or_else(|| NEVER.to_owned()))
        }
    };
    let finished = match &container.state {
        ContainerState::Restarting { at, .. } | ContainerState::Exited { at, .. } => at.to_string(),
        ContainerState::Created
        | ContainerState::Running { .. }
        | ContainerState::Paused { .. } => {
            exit.map_or_else(|| NEVER.to_owned(), |exit| exit.at.to_string())
        }
    };
    let is_over = matches!(container.state, ContainerState::Exited { .. });
    let mut state = json!({
        "Status": container.state.as_str(),
        // Docker calls a frozen and a restarting container running too.
        "Running": container.state.is_running()
            || matches!(container.state, ContainerState::Restarting { .. }),
        "Paused": matches!(container.state, ContainerState::Paused { .. }),
        "Restarting": matches!(container.state, ContainerState::Restarting { .. }),
        "OOMKilled": is_over && exit.is_some_and(|exit| exit.oom_killed),
        "Dead": false,
        "Pid": pid,
        "ExitCode": exit_code(&container.state),
        "Error": "",
        "StartedAt": started,
        "FinishedAt": finished,
    });
    let probing = container
        .runtime
        .as_ref()
        .and_then(|it| it.probing.as_ref());
    if let (Some(probing), Some(fields)) = (probing, state.as_object_mut()) {
        fields.insert("Health".to_owned(), health(probing));
    }
    state
}

fn exit_code(state: &ContainerState) -> i32 {
    match state {
        ContainerState::Restarting { outcome, .. } | ContainerState::Exited { outcome, .. } => {
            outcome.exit_code()
        }
        ContainerState::Created
        | ContainerState::Running { .. }
        | ContainerState::Paused { .. } => 0,
    }
}

fn health(probing: &Probing) -> Value {
    let log: Vec<Value> = probing
        .log
        .iter()
        .map(|result| {
            json!({
                "Start": result.started_at.to_string(),
                "End": result.ended_at.to_string(),
                "ExitCode": result.exit_code,
                "Output": result.output,
            })
        })
        .collect();
    json!({
        "Status": probing.health.as_str(),
        "FailingStreak": probing.failing_streak,
        "Log": log,
    })
}

fn host_config(container: &ObservedContainer) -> Value {
    let record = &container.record;
    let service = &record.service;
    let binds: Vec<String> = record
        .mounts
        .iter()
        .filter_map(|mount| {
            let source = match (&mount.volume, &mount.source) {
                (Some(volume), _) if !mount.anonymous => volume.clone(),
                (None, Some(path)) => path.display().to_string(),
                (Some(_), _) | (None, None) => return None,
            };
            let mode = if mount.read_only { "ro" } else { "rw" };
            Some(format!("{source}:{}:{mode}", mount.target))
        })
        .collect();
    let (policy, retries) = restart_policy(record.restart());
    let resources = record.resources();
    json!({
        "Binds": binds,
        "LogConfig": {
            "Type": service.logging.driver.as_deref().unwrap_or("json-file"),
            "Config": service.logging.options,
        },
        "NetworkMode": network_mode(container),
        "PortBindings": wanted_ports(container),
        "RestartPolicy": {"Name": policy, "MaximumRetryCount": retries},
        "AutoRemove": record.auto_remove,
        "CapAdd": nullable(&service.security.cap_add),
        "CapDrop": nullable(&service.security.cap_drop),
        "Dns": service.dns,
        "DnsOptions": service.dns_options,
        "DnsSearch": service.dns_search,
        "ExtraHosts": service
            .extra_hosts
            .iter()
            .map(|host| format!("{}:{}", host.name, host.address))
            .collect::<Vec<_>>(),
        "IpcMode": namespace(&service.ipc, "private"),
        "PidMode": namespace(&service.pid, ""),
        "UTSMode": namespace(&service.uts, ""),
        "CgroupnsMode": namespace(&service.cgroup, "private"),
        "Privileged": service.security.privileged,
        "ReadonlyRootfs": service.security.read_only,
        "SecurityOpt": nullable(&service.security.security_opt),
        "Sysctls": service.security.sysctls,
        "ShmSize": service.shm_bytes.unwrap_or(64 << 20),
        "Runtime": "rcompose",
        "Init": service.process.init,
        "Memory": resources.memory_bytes.unwrap_or(0),
        "MemoryReservation": resources.memory_reservation_bytes.unwrap_or(0),
        "MemorySwap": resources.memory_swap_bytes.unwrap_or(0),
        "NanoCpus": resources.cpus_milli.unwrap_or(0).saturating_mul(1_000_000),
        "CpuShares": resources.cpu_shares.unwrap_or(0),
        "CpusetCpus": resources.cpuset_cpus.clone().unwrap_or_default(),
        "PidsLimit": resources.pids,
    })
}

fn nullable(list: &[String]) -> Value {
    if list.is_empty() {
        Value::Null
    } else {
        json!(list)
    }
}

fn restart_policy(policy: RestartPolicy) -> (&'static str, u32) {
    match policy {
        RestartPolicy::No => ("no", 0),
        RestartPolicy::Always => ("always", 0),
        RestartPolicy::UnlessStopped => ("unless-stopped", 0),
        RestartPolicy::OnFailure { max } => ("on-failure", max.map_or(0, std::num::NonZero::get)),
    }
}

fn namespace(mode: &NamespaceMode, own: &str) -> String {
    match mode {
        NamespaceMode::Private => own.to_owned(),
        NamespaceMode::Shareable => "shareable".to_owned(),
        NamespaceMode::None => "none".to_owned(),
        NamespaceMode::Host => "host".to_owned(),
        NamespaceMode::Service(name) => format!("container:{name}"),
        NamespaceMode::Container(name) => format!("container:{name}"),
    }
}

fn network_mode(container: &ObservedContainer) -> String {
    match &container.record.service.attachment {
        Attachment::Endpoints(endpoints) => endpoints.keys().next().map_or_else(
            || "none".to_owned(),
            |key| network_name(container, key.as_str()),
        ),
        Attachment::None => "none".to_owned(),
        Attachment::Host => "host".to_owned(),
        Attachment::Service(name) => format!("container:{name}"),
        Attachment::Container(name) => format!("container:{name}"),
    }
}

/// The name on the host of the network that the project calls `key`.
fn network_name(container: &ObservedContainer, key: &str) -> String {
    let by_rule = format!("{}_{key}", container.record.project);
    let runtime = container.runtime.as_ref();
    let mut names = runtime
        .into_iter()
        .flat_map(|runtime| runtime.endpoints.keys());
    let known = names.find(|name| **name == by_rule || **name == key);
    known.cloned().unwrap_or(by_rule)
}

/// Ports that are published, with the number that was asked for.
fn wanted_ports(container: &ObservedContainer) -> Value {
    let mut ports: Map<String, Value> = Map::new();
    for port in &container.record.service.ports {
        let host_port = match port.host_ports {
            crate::model::HostPorts::Ephemeral => String::new(),
            crate::model::HostPorts::Fixed(number) => number.to_string(),
            crate::model::HostPorts::AnyOf(first, last) => format!("{first}-{last}"),
        };
        let host_ip = port.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
        let binding = json!({"HostIp": host_ip, "HostPort": host_port});
        push(
            &mut ports,
            port_key(port.container_port, port.protocol.as_str()),
            binding,
        );
    }
    Value::Object(ports)
}

fn port_key(number: u16, protocol: &str) -> String {
    format!("{number}/{protocol}")
}

fn push(ports: &mut Map<String, Value>, key: String, binding: Value) {
    match ports.entry(key).or_insert_with(|| json!([])) {
        Value::Array(bindings) => bindings.push(binding),
        other => *other = json!([binding]),
    }
}

fn mount(mount: &MountRecord) -> Value {
    let mut value = json!({"Type": mount.kind});
    let Some(fields) = value.as_object_mut() else {
        return value;
    };
    let mut set = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    if let Some(volume) = &mount.volume {
        set("Name", json!(volume));
        set("Driver", json!("local"));
    }
    set(
        "Source",
        json!(mount.source.as_deref().unwrap_or(Path::new(""))),
    );
    set("Destination", json!(mount.target));
    set("Mode", json!(if mount.read_only { "ro" } else { "rw" }));
    set("RW", json!(!mount.read_only));
    set(
        "Propagation",
        json!(if mount.kind == "bind" { "rprivate" } else { "" }),
    );
    value
}

fn config(container: &ObservedContainer) -> Value {
    let record = &container.record;
    let process = &record.service.process;
    let entrypoint = process
        .entrypoint
        .as_deref()
        .filter(|words| !words.is_empty());
    // The image's own entry point is in the command: the record keeps them joined.
    let command = entrypoint
        .and_then(|words| record.argv.strip_prefix(words))
        .unwrap_or(&record.argv);
    let env: Vec<String> = record
        .env
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let exposed: IndexMap<&String, Value> = record
        .exposed
        .iter()
        .map(|port| (port, json!({})))
        .collect();
    let hostname = record.service.hostname.as_deref();
    let mut config = json!({
        "Hostname": hostname.unwrap_or_else(|| record.id.short()),
        "Domainname": record.service.domainname.clone().unwrap_or_default(),
        "User": record.user,
        "AttachStdin": false,
        "AttachStdout": true,
        "AttachStderr": true,
        "ExposedPorts": exposed,
        "Tty": process.tty,
        "OpenStdin": process.stdin_open,
        "StdinOnce": false,
        "Env": env,
        "Cmd": command,
        "Image": record.service.image.reference(),
        "Volumes": null,
        "WorkingDir": record.cwd,
        "Entrypoint": entrypoint,
        "OnBuild": null,
        "Labels": record.labels,
        "StopSignal": Signal::from_number(record.stop_signal)
            .map_or_else(|| record.stop_signal.to_string(), |signal| signal.name()),
        "StopTimeout": record.stop_grace_period.as_secs(),
    });
    if let (Some(probe), Some(fields)) = (&record.probe, config.as_object_mut()) {
        fields.insert("Healthcheck".to_owned(), healthcheck(probe));
    }
    config
}

fn healthcheck(probe: &HealthProbe) -> Value {
    let test: Vec<&str> = match &probe.command {
        ProbeCommand::Shell(text) => vec!["CMD-SHELL", text],
        ProbeCommand::Exec(words) => std::iter::once("CMD")
            .chain(words.iter().map(String::as_str))
            .collect(),
    };
    json!({
        "Test": test,
        "Interval": nanoseconds(probe.interval),
        "Timeout": nanoseconds(probe.timeout),
        "StartPeriod": nanoseconds(probe.start_period),
        "StartInterval": nanoseconds(probe.start_interval.unwrap_or_default()),
        "Retries": probe.retries,
    })
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

fn network_settings(container: &ObservedContainer) -> Value {
    let endpoints = container
        .runtime
        .iter()
        .filter(|_| container.state.is_running())
        .flat_map(|runtime| &runtime.endpoints);
    let networks: Map<String, Value> = endpoints
        .map(|(name, endpoint)| (name.clone(), endpoint_value(container, name, endpoint)))
        .collect();
    let mut bound: Map<String, Value> = Map::new();
    for publisher in ports::publishers(container) {
        let key = port_key(publisher.target_port, publisher.protocol);
        if publisher.published_port == 0 {
            bound.entry(key).or_insert(Value::Null);
            continue;
        }
        let binding = json!({
            "HostIp": publisher.url,
            "HostPort": publisher.published_port.to_string(),
        });
        push(&mut bound, key, binding);
    }
    let sandbox = if container.state.is_running() {
        container.record.id.to_string()
    } else {
        String::new()
    };
    json!({
        "SandboxID": sandbox,
        "Ports": bound,
        "Networks": networks,
    })
}

fn endpoint_value(container: &ObservedContainer, name: &str, endpoint: &EndpointRecord) -> Value {
    let text = |address: Option<std::net::IpAddr>| {
        address
            .map(|address| address.to_string())
            .unwrap_or_default()
    };
    json!({
        "Aliases": endpoint.names,
        "DNSNames": endpoint.names,
        "NetworkID": network_id(name),
        "EndpointID": network_id(&format!("{name} {}", container.record.id)),
        "Gateway": text(endpoint.gateway.map(Into::into)),
        "IPAddress": text(endpoint.ipv4.map(Into::into)),
        "IPPrefixLen": endpoint.ipv4_prefix,
        "IPv6Gateway": "",
        "GlobalIPv6Address": text(endpoint.ipv6.map(Into::into)),
        "GlobalIPv6PrefixLen": endpoint.ipv6_prefix,
        "MacAddress": endpoint.mac,
        "DriverOpts": null,
    })
}

/// An id for a network: networks have only names here, clients expect 64
/// hexadecimal digits.
#[must_use]
pub fn network_id(name: &str) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(name.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The one word for a container's health: `none` without a probe.
#[must_use]
pub fn health_word(container: &ObservedContainer) -> &'static str {
    status::health(container).map_or("none", |health| health.as_str())
}

#[cfg(test)]
mod tests {
    use crate::model::{Health, Outcome, ProbeResult};
    use crate::view::testing;

    use super::*;

    fn running() -> ObservedContainer {
        testing::container(ContainerState::Running {
            process: testing::process(),
            since: testing::time("09:59:57"),
        })
    }

    fn inspect(observed: &ObservedContainer) -> Value {
        let around = Surroundings {
            folder: Path::new("/s/c"),
            log: Path::new("/s/c/log.json"),
            exit: None,
        };
        container(observed, around)
    }

    #[test]
    fn a_running_container_has_what_clients_read() {
        let value = inspect(&running());
        assert_eq!(value["Name"], "/shop-web-1");
        assert_eq!(value["State"]["Status"], "running");
        assert_eq!(value["State"]["Pid"], 4242);
        assert_eq!(value["State"]["FinishedAt"], NEVER);
        assert_eq!(value["Config"]["Tty"], false);
        assert_eq!(
            value["Config"]["Labels"]["com.docker.compose.project"],
            "shop"
        );
        let network = &value["NetworkSettings"]["Networks"]["shop_default"];
        assert_eq!(network["IPAddress"], "10.89.0.2");
        assert_eq!(network["Gateway"], "10.89.0.1");
        assert_eq!(network["NetworkID"].as_str().unwrap().len(), 64);
        let ports = &value["NetworkSettings"]["Ports"];
        assert_eq!(
            ports["80/tcp"],
            json!([
                {"HostIp": "0.0.0.0", "HostPort": "8080"},
                {"HostIp": "::", "HostPort": "8080"},
            ])
        );
        assert_eq!(ports["9000/udp"], Value::Null);
    }

    #[test]
    fn an_exited_container_has_its_code_and_no_network() {
        let value = inspect(&testing::container(ContainerState::Exited {
            outcome: Outcome::Signal(9),
            at: testing::time("09:58:00"),
        }));
        assert_eq!(value["State"]["ExitCode"], 137);
        assert_eq!(value["State"]["Running"], false);
        assert_eq!(value["State"]["FinishedAt"], "2026-11-22T09:58:00Z");
        assert_eq!(value["NetworkSettings"]["Networks"], json!({}));
        assert_eq!(value["NetworkSettings"]["Ports"], json!({}));
    }

    #[test]
    fn health_is_there_only_with_a_probe() {
        let mut observed = running();
        assert!(inspect(&observed)["State"].get("Health").is_none());
        assert_eq!(health_word(&observed), "none");
        observed.runtime.as_mut().unwrap().probing = Some(Probing {
            health: Health::Unhealthy,
            failing_streak: 3,
            log: vec![ProbeResult {
                started_at: testing::time("09:59:58"),
                ended_at: testing::time("09:59:59"),
                exit_code: 1,
                output: "refused".into(),
            }],
        });
        let health = &inspect(&observed)["State"]["Health"];
        assert_eq!(health["Status"], "unhealthy");
        assert_eq!(health["FailingStreak"], 3);
        assert_eq!(health["Log"][0]["Output"], "refused");
        assert_eq!(health_word(&observed), "unhealthy");
    }

    #[test]
    fn an_entry_point_of_the_file_is_told_apart_from_the_command() {
        let mut observed = running();
        observed.record.service.process.entrypoint = Some(vec!["/docker-entrypoint.sh".into()]);
        let value = inspect(&observed);
        assert_eq!(
            value["Config"]["Entrypoint"],
            json!(["/docker-entrypoint.sh"])
        );
        assert_eq!(
            value["Config"]["Cmd"],
            json!(["nginx", "-g", "daemon off;"])
        );
        assert_eq!(value["Path"], "/docker-entrypoint.sh");
        observed.record.service.process.entrypoint = None;
        assert_eq!(inspect(&observed)["Config"]["Entrypoint"], Value::Null);
    }

    #[test]
    fn mounts_and_binds() {
        let mut observed = running();
        let mount = |volume: Option<&str>, source: &str, anonymous| MountRecord {
            kind: if volume.is_some() { "volume" } else { "bind" }.into(),
            volume: volume.map(Into::into),
            anonymous,
            source: Some(source.into()),
            target: "/data".into(),
            read_only: volume.is_none(),
        };
        observed.record.mounts = vec![
            mount(Some("shop_data"), "/v/_data", false),
            mount(Some("ab12"), "/a/_data", true),
            mount(None, "/srv", false),
        ];
        let value = inspect(&observed);
        assert_eq!(
            value["HostConfig"]["Binds"],
            json!(["shop_data:/data:rw", "/srv:/data:ro"])
        );
        assert_eq!(value["Mounts"][0]["Name"], "shop_data");
        assert_eq!(value["Mounts"][2]["RW"], false);
        assert!(value["Mounts"][2].get("Name").is_none());
    }
}
