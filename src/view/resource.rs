//! Volumes and networks in docker's shapes: rows of listings, and `inspect`.

use std::net::IpAddr;
use std::path::Path;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::model::{Network, ObservedContainer, ObservedVolume};
use crate::view::inspect::network_id;
use crate::view::{Moment, labels_text};

/// The label of volumes that belong to one container.
const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// A volume's labels: the user's, and those that say whose it is.
#[must_use]
pub fn volume_labels(volume: &ObservedVolume) -> IndexMap<String, String> {
    let applied = volume.applied.as_ref();
    let mut labels = applied.map(|it| it.labels.clone()).unwrap_or_default();
    owner_labels(&mut labels, volume.owner.as_ref(), "volume");
    labels
}

/// A network's labels: the user's, and those that say whose it is.
#[must_use]
pub fn network_labels(network: &NetworkView<'_>) -> IndexMap<String, String> {
    let mut labels = network.applied.labels.clone();
    owner_labels(&mut labels, network.owner, "network");
    labels
}

fn owner_labels(
    labels: &mut IndexMap<String, String>,
    owner: Option<&(String, String)>,
    kind: &str,
) {
    if let Some((project, key)) = owner {
        labels.insert("com.docker.compose.project".to_owned(), project.clone());
        labels.insert(format!("com.docker.compose.{kind}"), key.clone());
    }
}

/// Whether a volume was made for one container, without a name of its own.
#[must_use]
pub fn is_anonymous(volume: &ObservedVolume) -> bool {
    let applied = volume.applied.as_ref();
    applied.is_some_and(|applied| applied.labels.contains_key(ANONYMOUS))
}

/// A volume's driver.
#[must_use]
pub fn volume_driver(volume: &ObservedVolume) -> &str {
    let applied = volume.applied.as_ref();
    applied
        .and_then(|it| it.driver.as_deref())
        .unwrap_or("local")
}

/// A volume as a row of `volume ls`; what only a swarm knows is `N/A`.
#[must_use]
pub fn volume_row(volume: &ObservedVolume, mountpoint: &Path) -> Value {
    json!({
        "Availability": "N/A",
        "Driver": volume_driver(volume),
        "Group": "N/A",
        "Labels": labels_text(&volume_labels(volume)),
        "Links": "N/A",
        "Mountpoint": mountpoint,
        "Name": volume.name,
        "Scope": "local",
        "Size": "N/A",
        "Status": "N/A",
    })
}

/// A volume as `volume inspect` shows it.
#[must_use]
pub fn volume(volume: &ObservedVolume, mountpoint: &Path) -> Value {
    let options = volume.applied.as_ref().map(|applied| &applied.driver_opts);
    json!({
        "CreatedAt": volume.created_at.to_string(),
        "Driver": volume_driver(volume),
        "Labels": volume_labels(volume),
        "Mountpoint": mountpoint,
        "Name": volume.name,
        "Options": options.filter(|options| !options.is_empty()),
        "Scope": "local",
    })
}

/// What is shown of a network.
#[derive(Debug, Clone)]
pub struct NetworkView<'a> {
    /// Its name on the host.
    pub name: &'a str,
    /// Project that owns it and the key there; None when made by the user.
    pub owner: Option<&'a (String, String)>,
    /// As it was applied.
    pub applied: &'a Network,
    /// Subnets with their gateways, as text.
    pub pools: Vec<(String, IpAddr)>,
    /// Name of its bridge.
    pub bridge: &'a str,
    /// When it was made.
    pub created_at: jiff::Timestamp,
}

impl NetworkView<'_> {
    /// Its driver.
    #[must_use]
    pub fn driver(&self) -> &str {
        self.applied.driver.as_deref().unwrap_or("bridge")
    }
}

/// A network as a row of `network ls`.
#[must_use]
pub fn network_row(network: &NetworkView<'_>, moment: &Moment, whole_id: bool) -> Value {
    let id = network_id(network.name);
    let shown = if whole_id {
        id.as_str()
    } else {
        id.get(..12).unwrap_or(&id)
    };
    json!({
        "CreatedAt": moment.go_time(network.created_at),
        "Driver": network.driver(),
        "ID": shown,
        "IPv4": network.applied.ipv4.to_string(),
        "IPv6": network.applied.ipv6.to_string(),
        "Internal": network.applied.internal.to_string(),
        "Labels": labels_text(&network_labels(network)),
        "Name": network.name,
        "Scope": "local",
    })
}

/// A network as `network inspect` shows it, with the containers on it.
#[must_use]
pub fn network<'a>(
    network: &NetworkView<'_>,
    containers: impl IntoIterator<Item = &'a ObservedContainer>,
) -> Value {
    let pools: Vec<Value> = network
        .pools
        .iter()
        .map(|(subnet, gateway)| json!({"Subnet": subnet, "Gateway": gateway.to_string()}))
        .collect();
    let mut attached = Map::new();
    for container in containers {
        let endpoints = container.runtime.as_ref().map(|runtime| &runtime.endpoints);
        let endpoint = endpoints.and_then(|endpoints| endpoints.get(network.name));
        let Some(endpoint) = endpoint.filter(|_| container.state.is_running()) else {
            continue;
        };
        let with_prefix = |address: Option<IpAddr>, prefix: u8| {
            address
                .map(|address| format!("{address}/{prefix}"))
                .unwrap_or_default()
        };
        attached.insert(
            container.record.id.to_string(),
            json!({
                "Name": container.record.name.as_str(),
                "EndpointID": network_id(&format!("{} {}", network.name, container.record.id)),
                "MacAddress": endpoint.mac,
                "IPv4Address": with_prefix(endpoint.ipv4.map(Into::into), endpoint.ipv4_prefix),
                "IPv6Address": with_prefix(endpoint.ipv6.map(Into::into), endpoint.ipv6_prefix),
            }),
        );
    }
    let mut options = network.applied.driver_opts.clone();
    options
        .entry("com.docker.network.bridge.name".to_owned())
        .or_insert_with(|| network.bridge.to_owned());
    json!({
        "Name": network.name,
        "Id": network_id(network.name),
        "Created": network.created_at.to_string(),
        "Scope": "local",
        "Driver": network.driver(),
        "EnableIPv4": network.applied.ipv4,
        "EnableIPv6": network.applied.ipv6,
        "IPAM": {"Driver": "default", "Options": null, "Config": pools},
        "Internal": network.applied.internal,
        "Attachable": network.applied.attachable,
        "Ingress": false,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": false,
        "Containers": attached,
        "Options": options,
        "Labels": network_labels(network),
    })
}

#[cfg(test)]
mod tests {
    use crate::model::{ContainerState, Volume};
    use crate::view::testing;

    use super::*;

    fn observed_volume() -> ObservedVolume {
        ObservedVolume {
            name: "shop_data".into(),
            owner: Some(("shop".into(), "data".into())),
            applied: Some(Volume {
                name: "shop_data".into(),
                driver: None,
                driver_opts: IndexMap::new(),
                labels: [("a".to_owned(), "1".to_owned())].into_iter().collect(),
            }),
            created_at: testing::time("09:00:00"),
        }
    }

    #[test]
    fn a_volume_in_both_shapes() {
        let mut observed = observed_volume();
        let path = Path::new("/v/shop_data/_data");
        assert_eq!(
            volume_row(&observed, path)["Labels"],
            "a=1,com.docker.compose.project=shop,com.docker.compose.volume=data"
        );
        let value = volume(&observed, path);
        assert_eq!(value["Options"], Value::Null);
        assert_eq!(value["Mountpoint"], "/v/shop_data/_data");
        assert!(!is_anonymous(&observed));
        // An adopted one has lost what was said of it.
        observed.applied = None;
        assert_eq!(volume(&observed, path)["Driver"], "local");
    }

    fn applied() -> Network {
        Network::named("shop_default")
    }

    #[test]
    fn a_network_shows_who_is_on_it() {
        let applied = applied();
        let owner = ("shop".to_owned(), "default".to_owned());
        let view = NetworkView {
            name: "shop_default",
            owner: Some(&owner),
            applied: &applied,
            pools: vec![("10.89.0.0/24".into(), "10.89.0.1".parse().unwrap())],
            bridge: "rcabc",
            created_at: testing::time("09:00:00"),
        };
        let running = testing::container(ContainerState::Running {
            process: testing::process(),
            since: testing::time("09:59:57"),
        });
        let created = testing::container(ContainerState::Created);
        let value = network(&view, [&running, &created]);
        assert_eq!(value["IPAM"]["Config"][0]["Subnet"], "10.89.0.0/24");
        assert_eq!(value["Labels"]["com.docker.compose.network"], "default");
        let attached = value["Containers"].as_object().unwrap();
        assert_eq!(attached.len(), 1);
        assert_eq!(
            attached.values().next().unwrap()["IPv4Address"],
            "10.89.0.2/24"
        );
        let row = network_row(&view, &testing::moment(), false);
        assert_eq!(row["ID"].as_str().unwrap().len(), 12);
        assert_eq!(row["Driver"], "bridge");
    }
}
