//! Top-level networks, volumes, secrets and configs.

use std::path::PathBuf;

use indexmap::IndexMap;

use crate::compose::lower::{Lower, read};
use crate::compose::node::Node;
use crate::model::{FileResource, FileSource, IpamPool, Network, Resource, ResourceKey, Volume};

type Resources<T> = IndexMap<ResourceKey, Resource<T>>;

impl Lower<'_> {
    pub(super) fn networks(&mut self, root: &Node) -> Resources<Network> {
        self.section(root, "networks", |_, node, name| Some(network(node, name)))
    }

    pub(super) fn volumes(&mut self, root: &Node) -> Resources<Volume> {
        self.section(root, "volumes", |_, node, name| {
            Some(Volume {
                name,
                driver: read::text(node, "driver"),
                driver_opts: read::pairs(node, "driver_opts"),
                labels: read::pairs(node, "labels"),
            })
        })
    }

    pub(super) fn files(&mut self, root: &Node, section: &str) -> Resources<FileResource> {
        self.section(root, section, |lower, node, name| {
            let source = lower.file_source(node)?;
            Some(FileResource { name, source })
        })
    }

    fn section<T>(
        &mut self,
        root: &Node,
        section: &str,
        mut managed: impl FnMut(&mut Self, &Node, String) -> Option<T>,
    ) -> Resources<T> {
        let mut resources = IndexMap::new();
        for (key, node) in root.entries_at(section) {
            let Some(name) = self.name::<ResourceKey>(key, node) else {
                continue;
            };
            let shown =
                read::text(node, "name").unwrap_or_else(|| format!("{}_{key}", self.project));
            let resource = if read::flag(node, "external") {
                Some(Resource::External { name: shown })
            } else {
                managed(self, node, shown).map(Resource::Managed)
            };
            resources.extend(resource.map(|resource| (name, resource)));
        }
        resources
    }

    fn file_source(&mut self, node: &Node) -> Option<FileSource> {
        if let Some(variable) = read::text(node, "environment") {
            let value = self.environment.get(&variable).map(str::to_owned);
            return Some(FileSource::Environment { variable, value });
        }
        if let Some(file) = read::text(node, "file") {
            return Some(FileSource::File(PathBuf::from(file)));
        }
        node.text_at("content")
            .map(|text| FileSource::Content(text.to_owned()))
    }
}

fn network(node: &Node, name: String) -> Network {
    let pools = node
        .get("ipam")
        .map(|ipam| ipam.items_at("config"))
        .unwrap_or_default();
    let is = |key: &str, default: bool| node.get(key).and_then(Node::as_bool).unwrap_or(default);
    Network {
        name,
        driver: read::text(node, "driver"),
        driver_opts: read::pairs(node, "driver_opts"),
        pools: pools.iter().map(pool).collect(),
        internal: is("internal", false),
        attachable: is("attachable", false),
        ipv4: is("enable_ipv4", true),
        ipv6: is("enable_ipv6", false),
        labels: read::pairs(node, "labels"),
    }
}

fn pool(node: &Node) -> IpamPool {
    IpamPool {
        subnet: read::text(node, "subnet"),
        ip_range: read::text(node, "ip_range"),
        gateway: read::text(node, "gateway"),
        aux_addresses: read::pairs(node, "aux_addresses"),
    }
}
