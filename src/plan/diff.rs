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
