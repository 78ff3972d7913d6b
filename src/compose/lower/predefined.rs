//! The networks that Docker has on every host: `bridge`, `host` and `none`,
//! whether they are asked for by `network_mode` or as external networks.
//!
//! Here `bridge` is a network of the project's own (nothing outlives the
//! project, and other projects' containers can't be reached by address), and
//! the other two are no networks at all.

use indexmap::IndexMap;

use crate::model::{Attachment, EndpointSpec, Network, Project, Resource, ResourceKey};

/// The attachment that `network_mode: bridge` means.
pub(super) fn bridge() -> Attachment {
    Attachment::Endpoints(std::iter::once((key(), EndpointSpec::default())).collect())
}

fn key() -> ResourceKey {
    "bridge".parse().expect("a legal key")
}

/// Puts what we have in place of Docker's predefined networks.
pub(super) fn settle(project: &mut Project) {
    let external = |project: &Project, wanted: &str| -> Vec<ResourceKey> {
        let all = project.networks.iter();
        all.filter(|(_, network)| matches!(network, Resource::External { name } if name == wanted))
            .map(|(key, _)| key.clone())
            .collect()
    };
    for (name, attachment) in [("host", Attachment::Host), ("none", Attachment::None)] {
        for key in external(project, name) {
            stand_alone(project, &key, &attachment);
        }
    }
    let written = external(project, "bridge");
    let target = written.first().cloned().unwrap_or_else(key);
    for key in &written {
        project.networks.shift_remove(key);
        redirect(project, key, &target);
    }
    if !project.networks.contains_key(&key()) {
        redirect(project, &key(), &target);
    }
    let mut services = project.services.values();
    let is_used =
        services.any(|service| on(&service.attachment).is_some_and(|on| on.contains_key(&target)));
    if is_used && !project.networks.contains_key(&target) {
        let own = own_bridge(project.name.as_str());
        project.networks.insert(target, Resource::Managed(own));
    }
}

fn own_bridge(project: &str) -> Network {
    Network::named(format!("{project}_bridge"))
}

/// Gives the services whose only network is `key` another attachment; one with
/// further networks keeps all, and is told that there is no such network.
fn stand_alone(project: &mut Project, key: &ResourceKey, attachment: &Attachment) {
    let mut remains = false;
    for service in project.services.values_mut() {
        let Some(on) = on(&service.attachment).filter(|on| on.contains_key(key)) else {
            continue;
        };
        if on.len() == 1 {
            service.attachment = attachment.clone();
        } else {
            remains = true;
        }
    }
    if !remains {
        project.networks.shift_remove(key);
    }
}

/// Moves every endpoint on one network to another.
fn redirect(project: &mut Project, from: &ResourceKey, to: &ResourceKey) {
    if from == to {
        return;
    }
    for service in project.services.values_mut() {
        if let Attachment::Endpoints(on) = &mut service.attachment
            && let Some(spec) = on.shift_remove(from)
        {
            on.insert(to.clone(), spec);
        }
    }
}

fn on(attachment: &Attachment) -> Option<&IndexMap<ResourceKey, EndpointSpec>> {
    match attachment {
        Attachment::Endpoints(endpoints) => Some(endpoints),
        Attachment::None | Attachment::Host | Attachment::Service(_) | Attachment::Container(_) => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::options::LoadOptions;
    use crate::compose::project::load;
    use crate::compose::source::MapSource;

    /// What every service is on, and every network with its name.
    fn lowered(text: &str) -> (Vec<String>, Vec<String>) {
        let source = MapSource::new().with("/p/compose.yaml", text);
        let options = LoadOptions::new("/p", ["/p/compose.yaml".into()]);
        let project = load(&options, &source).project.expect("a project");
        let services = project.services.values().map(|service| {
            let attachment = match &service.attachment {
                Attachment::Endpoints(on) => on
                    .keys()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("+"),
                Attachment::Host => "the host's".to_owned(),
                other => format!("{other:?}"),
            };
            format!("{}: {attachment}", service.name)
        });
        let networks = project.networks.iter().map(|(key, network)| match network {
            Resource::External { name } => format!("{key}: external {name}"),
            Resource::Managed(network) => format!("{key}: {}", network.name),
        });
        (services.collect(), networks.collect())
    }

    #[test]
    fn bridge_is_a_network_of_the_projects_own() {
        let (services, networks) = lowered(
            "services:\n  a: {image: x, network_mode: bridge}\n  b: {image: x, network_mode: default}\n  c: {image: x}\n",
        );
        assert_eq!(services, ["a: bridge", "b: bridge", "c: default"]);
        assert_eq!(networks, ["default: p_default", "bridge: p_bridge"]);
    }

    #[test]
    fn the_external_bridge_is_the_same_one() {
        let (services, networks) = lowered(
            "services:\n  a: {image: x}\n  b: {image: x, network_mode: bridge}\nnetworks: {default: {external: true, name: bridge}, unused: {external: true, name: bridge}}\n",
        );
        assert_eq!(services, ["a: default", "b: default"]);
        assert_eq!(networks, ["default: p_bridge"]);
    }

    #[test]
    fn a_network_that_the_file_calls_bridge_stays() {
        let (services, networks) = lowered(
            "services:\n  a: {image: x, network_mode: bridge}\n  b: {image: x, networks: [bridge]}\nnetworks: {bridge: {name: mine}}\n",
        );
        assert_eq!(services, ["a: bridge", "b: bridge"]);
        assert_eq!(networks, ["bridge: mine"]);
    }

    #[test]
    fn the_external_host_and_none_are_modes() {
        let (services, networks) = lowered(
            "services:\n  a: {image: x, networks: [h]}\n  b: {image: x, networks: [n]}\nnetworks: {h: {external: true, name: host}, n: {external: true, name: none}}\n",
        );
        assert_eq!(services, ["a: the host's", "b: None"]);
        assert!(networks.is_empty(), "{networks:?}");
        // Nobody can be on the host's network and on another.
        let (services, networks) = lowered(
            "services:\n  a: {image: x, networks: [h, o]}\nnetworks: {h: {external: true, name: host}, o: }\n",
        );
        assert_eq!(services, ["a: h+o"]);
        assert_eq!(networks, ["h: external host", "o: p_o"]);
    }
}
