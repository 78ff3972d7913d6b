//! The lists that `config` prints: images, profiles, keys of resources.

use std::collections::BTreeSet;

use crate::compose::node::Node;

/// Images of services, of hooks and of image mounts.
pub(crate) fn images(root: &Node, project: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, service) in root.entries_at("services") {
        match service.text_at("image").filter(|image| !image.is_empty()) {
            Some(image) => {
                found.insert(image.to_owned());
            }
            None if service.get("provider").is_some() => {}
            None => {
                found.insert(format!("{project}-{name}"));
            }
        }
        let hooks = service.items_at("pre_start").iter();
        found.extend(
            hooks
                .filter_map(|hook| hook.text_at("image"))
                .map(str::to_owned),
        );
        for volume in service.items_at("volumes") {
            if volume.text_at("type") == Some("image") {
                found.extend(volume.text_at("source").map(str::to_owned));
            }
        }
    }
    found
}

/// Profiles of services.
pub(crate) fn profiles<'a>(services: impl Iterator<Item = &'a Node>) -> BTreeSet<String> {
    services
        .flat_map(|service| service.items_at("profiles"))
        .filter_map(Node::as_text)
        .map(str::to_owned)
        .collect()
}

/// Keys of a top-level section.
pub(crate) fn resource_keys(root: &Node, section: &str) -> Vec<String> {
    root.entries_at(section)
        .map(|(key, _)| key.to_owned())
        .collect()
}

/// What `models` refer to.
pub(crate) fn model_references(root: &Node) -> Vec<String> {
    root.entries_at("models")
        .filter_map(|(_, model)| model.text_at("model"))
        .map(str::to_owned)
        .collect()
}
