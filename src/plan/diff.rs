//! Structural diff of what was applied against what is desired.
//!
//! It compares the lowered values themselves, never a hash over them, so that
//! an attribute that a later release adds recreates nothing. It names
//! attributes in the Compose file's words and never shows a value.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::model::{Network, Service, Volume};
use crate::plan::cause::{Change, How};

/// Parts of a service that no container depends on.
const EXEMPT: &[&str] = &[
    "image",
    "scale",
    "depends_on",
    "profiles",
    "attach",
    "watch",
    "separator",
    "config_hash",
];

/// Model paths whose Compose names differ; the longest prefix wins.
const NAMES: &[(&str, &str)] = &[
    ("process", ""),
    ("security", ""),
    ("resources", ""),
    ("resources.memory_bytes", "mem_limit"),
    ("resources.memory_reservation_bytes", "mem_reservation"),
    ("resources.memory_swap_bytes", "memswap_limit"),
    ("resources.memory_swappiness", "mem_swappiness"),
    ("resources.cpus_milli", "cpus"),
    ("resources.cpu_quota_us", "cpu_quota"),
    ("resources.cpu_period_us", "cpu_period"),
    ("resources.cpu_rt_runtime_us", "cpu_rt_runtime"),
    ("resources.cpu_rt_period_us", "cpu_rt_period"),
    ("resources.cpuset_cpus", "cpuset"),
    ("resources.pids", "pids_limit"),
    ("resources.blkio_weight", "blkio_config.weight"),
    (
        "resources.blkio_weight_device",
        "blkio_config.weight_device",
    ),
    ("resources.blkio_read_bps", "blkio_config.device_read_bps"),
    ("resources.blkio_write_bps", "blkio_config.device_write_bps"),
    ("resources.blkio_read_iops", "blkio_config.device_read_iops"),
    (
        "resources.blkio_write_iops",
        "blkio_config.device_write_iops",
    ),
    ("attachment", "network_mode"),
    ("attachment.endpoints", "networks"),
    ("dns_options", "dns_opt"),
    ("mounts", "volumes"),
    ("health", "healthcheck"),
    ("health.disabled", "healthcheck.disable"),
    ("shm_bytes", "shm_size"),
    ("extension", "x-rcompose"),
    ("pools", "ipam.config"),
    ("ipv4", "enable_ipv4"),
    ("ipv6", "enable_ipv6"),
];

/// What makes a container of `applied` no container of `desired`.
#[must_use]
pub fn service(applied: &Service, desired: &Service) -> Vec<Change> {
    if applied == desired {
        return Vec::new();
    }
    let (mut from, mut to) = (tree(applied), tree(desired));
    for side in [&mut from, &mut to] {
        if let Value::Object(fields) = side {
            fields.retain(|key, _| !EXEMPT.contains(&key.as_str()));
        }
    }
    let mut changes = Vec::new();
    if applied.image.reference() != desired.image.reference() {
        changes.push(Change {
            attribute: "image".to_owned(),
            how: How::Changed,
        });
    }
    compare("", &from, &to, &mut changes);
    changes.sort();
    changes
}

/// What makes a network of `applied` no network of `desired`.
#[must_use]
pub fn network(applied: &Network, desired: &Network) -> Vec<Change> {
    let settled = |network: &Network| Network {
        driver: Some(
            network
                .driver
                .clone()
                .unwrap_or_else(|| "bridge".to_owned()),
        ),
        ..network.clone()
    };
    resource(&settled(applied), &settled(desired))
}

/// What makes a volume of `applied` no volume of `desired`.
#[must_use]
pub fn volume(applied: &Volume, desired: &Volume) -> Vec<Change> {
    let settled = |volume: &Volume| Volume {
        driver: Some(volume.driver.clone().unwrap_or_else(|| "local".to_owned())),
        ..volume.clone()
    };
    resource(&settled(applied), &settled(desired))
}

fn resource<T: Serialize + PartialEq>(applied: &T, desired: &T) -> Vec<Change> {
    let mut changes = Vec::new();
    if applied != desired {
        compare("", &tree(applied), &tree(desired), &mut changes);
        changes.sort();
    }
    changes
}

fn tree(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("the model's maps have text for keys")
}

fn compare(path: &str, from: &Value, to: &Value, changes: &mut Vec<Change>) {
    match (from, to) {
        _ if from == to => {}
        (Value::Object(old), Value::Object(new)) if same_variant(path, old, new) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let sides = [old.get(key), new.get(key)].map(|side| side.unwrap_or(&Value::Null));
                compare(&join(path, key), sides[0], sides[1], changes);
            }
        }
        (Value::Array(old), Value::Array(new)) if path == "mounts" => mounts(old, new, changes),
        _ => changes.push(Change {
            attribute: attribute(path),
            how: how(from, to),
        }),
    }
}

/// Whether two objects are to be compared key by key. Enum variants with
/// different names are different as a whole.
fn same_variant(
    path: &str,
    old: &serde_json::Map<String, Value>,
    new: &serde_json::Map<String, Value>,
) -> bool {
    !matches!(
        path,
        "attachment" | "restart" | "health.test" | "ipc" | "pid" | "uts" | "cgroup"
    ) || old.keys().eq(new.keys())
}

/// Mounts are told apart by their target, whatever their order.
fn mounts(old: &[Value], new: &[Value], changes: &mut Vec<Change>) {
    let target = |mount: &Value| {
        mount
            .get("target")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let find = |side: &[Value], wanted: &str| {
        side.iter()
            .find(|mount| target(mount).as_deref() == Some(wanted))
            .cloned()
    };
    let targets: BTreeSet<String> = old.iter().chain(new).filter_map(target).collect();
    let before = changes.len();
    for name in targets {
        let sides = [old, new].map(|side| find(side, &name).unwrap_or(Value::Null));
        if sides[0] != sides[1] {
            let attribute = format!("{}.{name}", attribute("mounts"));
            changes.push(Change {
                attribute,
                how: how(&sides[0], &sides[1]),
            });
        }
    }
    // Two mounts on one target hide each other, so their order matters.
    let order = |side: &[Value]| side.iter().filter_map(target).collect::<Vec<_>>();
    if changes.len() == before && order(old).iter().collect::<BTreeSet<_>>().len() != old.len() {
        changes.push(Change {
            attribute: attribute("mounts"),
            how: How::Changed,
        });
    }
}

fn how(from: &Value, to: &Value) -> How {
    let absent = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    match (absent(from), absent(to)) {
        (true, false) => How::Added,
        (false, true) => How::Removed,
        _ => How::Changed,
    }
}

fn attribute(path: &str) -> String {
    let applies = |prefix: &str| {
        path.strip_prefix(prefix)
            .filter(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let known = NAMES.iter().filter(|(prefix, _)| applies(prefix).is_some());
    let Some((prefix, name)) = known.max_by_key(|(prefix, _)| prefix.len()) else {
        return path.to_owned();
    };
    let rest = applies(prefix).unwrap_or_default().trim_start_matches('.');
    join(name, rest)
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() || key.is_empty() {
        format!("{path}{key}")
    } else {
        format!("{path}.{key}")
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use indexmap::IndexMap;

    use crate::model::{
        Attachment, BindMount, BindRecursion, BuildSpec, Condition, Dependency, EndpointSpec,
        HealthSetting, HostPorts, ImageSource, IpamPool, Mount, NamespaceMode, ProbeCommand,
        Protocol, PublishedPort, PullPolicy, RestartPolicy, VolumeMount, VolumeSource,
    };

    use super::*;

    fn plain() -> Service {
        let policy = PullPolicy::Missing;
        Service::new(
            "web".parse().unwrap(),
            ImageSource::Pull {
                reference: "web:1".to_owned(),
                policy,
            },
        )
    }

    /// What a change of a plain service is called.
    fn changed(change: impl FnOnce(&mut Service)) -> String {
        let mut desired = plain();
        change(&mut desired);
        words(&service(&plain(), &desired))
    }

    fn words(changes: &[Change]) -> String {
        changes
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn bind(source: &str, target: &str) -> Mount {
        Mount::Bind(BindMount {
            source: source.into(),
            target: target.to_owned(),
            read_only: false,
            recursion: BindRecursion::Enabled,
            propagation: None,
            create_host_path: true,
        })
    }

    #[test]
    fn nothing_differs_from_itself() {
        assert_eq!(changed(|_| {}), "");
    }

    #[test]
    fn attributes_have_their_names_in_the_compose_file() {
        assert_eq!(
            changed(|s| s.process.user = Some("app".to_owned())),
            "user added"
        );
        assert_eq!(
            changed(|s| s.process.command = Some(vec!["x".to_owned()])),
            "command added"
        );
        assert_eq!(
            changed(|s| s.process.stop_grace_period = Some(Duration::ZERO)),
            "stop_grace_period added"
        );
        assert_eq!(
            changed(|s| s.security.privileged = true),
            "privileged changed"
        );
        assert_eq!(
            changed(|s| s.security.cap_add.push("NET_ADMIN".to_owned())),
            "cap_add added"
        );
        assert_eq!(
            changed(|s| s.resources.memory_bytes = Some(1)),
            "mem_limit added"
        );
        assert_eq!(
            changed(|s| s.resources.cpu_shares = Some(2)),
            "cpu_shares added"
        );
        assert_eq!(changed(|s| s.shm_bytes = Some(1)), "shm_size added");
        assert_eq!(
            changed(|s| s.hostname = Some("h".to_owned())),
            "hostname added"
        );
        assert_eq!(
            changed(|s| s.dns_options.push("ndots:1".to_owned())),
            "dns_opt added"
        );
        assert_eq!(
            changed(|s| s.logging.driver = Some("none".to_owned())),
            "logging.driver added"
        );
        assert_eq!(changed(|s| s.ipc = NamespaceMode::Host), "ipc changed");
        assert_eq!(
            changed(|s| s.pid = NamespaceMode::Service("db".parse().unwrap())),
            "pid changed"
        );
        assert_eq!(
            changed(|s| s.extension = Some("{}".to_owned())),
            "x-rcompose added"
        );
        let max = NonZeroU32::new(3);
        assert_eq!(
            changed(|s| s.restart = RestartPolicy::OnFailure { max }),
            "restart changed"
        );
    }

    #[test]
    fn maps_are_compared_key_by_key_in_any_order() {
        let with = |pairs: &[(&str, &str)]| {
            let mut service = plain();
            service.process.environment = pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())))
                .collect();
            service
        };
        let (one, other) = (
            with(&[("A", "1"), ("B", "2")]),
            with(&[("B", "2"), ("A", "1")]),
        );
        assert_eq!(service(&one, &other), []);
        let other = with(&[("B", "hunter2"), ("C", "3")]);
        let text = words(&service(&one, &other));
        assert_eq!(
            text,
            "environment.A removed, environment.B changed, environment.C added"
        );
        assert!(!text.contains("hunter2"));
    }

    #[test]
    fn what_no_container_depends_on_recreates_none() {
        let text = changed(|s| {
            s.scale = 3;
            s.profiles.push("debug".to_owned());
            s.attach = false;
            s.config_hash = "other".to_owned();
            s.separator = crate::model::Separator::Underscore;
            let how = Dependency {
                condition: Condition::ServiceStarted,
                restart: false,
                required: true,
            };
            s.depends_on.insert("db".parse().unwrap(), how);
            s.image = ImageSource::Pull {
                reference: "web:1".to_owned(),
                policy: PullPolicy::Always,
            };
        });
        assert_eq!(text, "");
        let built = changed(|s| {
            let (spec, tag) = (Box::<BuildSpec>::default(), "web:1".to_owned());
            s.image = ImageSource::Build {
                spec,
                tag,
                policy: PullPolicy::Build,
            };
        });
        assert_eq!(built, "");
    }

    #[test]
    fn another_reference_is_another_image() {
        let policy = PullPolicy::Missing;
        let text = changed(|s| {
            s.image = ImageSource::Pull {
                reference: "web:2".to_owned(),
                policy,
            }
        });
        assert_eq!(text, "image changed");
    }

    #[test]
    fn mounts_are_told_apart_by_target() {
        let mut one = plain();
        one.mounts = vec![bind("/a", "/x"), bind("/b", "/y")];
        let mut other = plain();
        other.mounts = vec![bind("/b", "/y"), bind("/c", "/x")];
        assert_eq!(words(&service(&one, &other)), "volumes./x changed");
        other.mounts = vec![bind("/b", "/y"), bind("/a", "/x")];
        assert_eq!(service(&one, &other), []);
        other.mounts = vec![bind("/a", "/x")];
        assert_eq!(words(&service(&one, &other)), "volumes./y removed");
        other.mounts.push(Mount::Volume(VolumeMount {
            source: VolumeSource::Named("data".parse().unwrap()),
            target: "/y".to_owned(),
            read_only: false,
            no_copy: false,
            subpath: None,
            labels: IndexMap::new(),
        }));
        assert_eq!(words(&service(&one, &other)), "volumes./y changed");
    }

    #[test]
    fn the_order_of_mounts_on_one_target_matters() {
        let mut one = plain();
        one.mounts = vec![bind("/a", "/x"), bind("/b", "/x")];
        let mut other = plain();
        other.mounts = vec![bind("/b", "/x"), bind("/a", "/x")];
        assert_eq!(words(&service(&one, &other)), "volumes./x changed");
        other.mounts = vec![bind("/a", "/x"), bind("/c", "/x")];
        assert_eq!(words(&service(&one, &other)), "volumes changed");
    }

    #[test]
    fn networks_are_compared_key_by_key_and_modes_as_a_whole() {
        let front = |alias: &str| {
            let spec = EndpointSpec {
                aliases: vec![alias.to_owned()],
                ..EndpointSpec::default()
            };
            Attachment::Endpoints(IndexMap::from([("front".parse().unwrap(), spec)]))
        };
        assert_eq!(
            changed(|s| s.attachment = front("a")),
            "networks.front added"
        );
        let mut one = plain();
        one.attachment = front("a");
        let mut other = plain();
        other.attachment = front("b");
        assert_eq!(
            words(&service(&one, &other)),
            "networks.front.aliases changed"
        );
        other.attachment = Attachment::Host;
        assert_eq!(words(&service(&one, &other)), "network_mode changed");
        assert_eq!(
            changed(|s| s.attachment = Attachment::None),
            "network_mode changed"
        );
    }

    #[test]
    fn ports_and_health_are_named() {
        let port = PublishedPort {
            host_ip: None,
            host_ports: HostPorts::Fixed(80),
            container_port: 80,
            protocol: Protocol::Tcp,
            name: None,
            app_protocol: None,
        };
        assert_eq!(changed(|s| s.ports.push(port)), "ports added");
        let probe = |command| HealthSetting {
            test: Some(command),
            ..HealthSetting::default()
        };
        let mut one = plain();
        one.health = Some(probe(ProbeCommand::Shell("a".to_owned())));
        let mut other = plain();
        other.health = Some(probe(ProbeCommand::Exec(vec!["a".to_owned()])));
        assert_eq!(words(&service(&one, &other)), "healthcheck.test changed");
        other.health = Some(HealthSetting {
            disabled: true,
            ..probe(ProbeCommand::Shell("a".to_owned()))
        });
        assert_eq!(words(&service(&one, &other)), "healthcheck.disable changed");
        assert_eq!(words(&service(&one, &plain())), "healthcheck removed");
    }

    #[test]
    fn networks_and_volumes_have_their_defaults() {
        let one = Network {
            name: "shop_front".to_owned(),
            driver: None,
            driver_opts: IndexMap::new(),
            pools: vec![],
            internal: false,
            attachable: false,
            ipv4: true,
            ipv6: false,
            labels: IndexMap::new(),
        };
        let mut other = Network {
            driver: Some("bridge".to_owned()),
            ..one.clone()
        };
        assert_eq!(network(&one, &other), []);
        other.pools.push(IpamPool {
            subnet: Some("10.0.0.0/24".to_owned()),
            ..IpamPool::default()
        });
        other.ipv6 = true;
        assert_eq!(
            words(&network(&one, &other)),
            "enable_ipv6 changed, ipam.config added"
        );
        let one = Volume {
            name: "shop_data".to_owned(),
            driver: Some("local".to_owned()),
            driver_opts: IndexMap::new(),
            labels: IndexMap::new(),
        };
        let mut other = Volume {
            driver: None,
            ..one.clone()
        };
        assert_eq!(volume(&one, &other), []);
        other.driver_opts.insert("o".to_owned(), "bind".to_owned());
        assert_eq!(words(&volume(&one, &other)), "driver_opts.o added");
    }
}
