//! One service.

use std::num::NonZeroU32;
use std::time::Duration;

use indexmap::IndexMap;

use crate::compose::lower::{Lower, read};
use crate::compose::node::Node;
use crate::compose::render;
use crate::model::{
    BuildSpec, Condition, Dependency, ImageSource, Link, NamespaceMode, PullPolicy, RestartPolicy,
    Service, ServiceName, units,
};

impl Lower<'_> {
    /// Lowers a service; None when it has no legal name or no image.
    pub(super) fn service(&mut self, key: &str, node: &Node) -> Option<Service> {
        let name: ServiceName = self.name(key, node)?;
        let image = self.image(&name, node)?;
        let mut service = Service::new(name, image);
        service.platform =
            read::text(node, "platform").or_else(|| self.options.default_platform.clone());
        service.container_name = read::text(node, "container_name")
            .and_then(|text| self.name(&text, node.get("container_name").unwrap_or(node)));
        service.scale = self.scale(node);
        service.process = self.process(node);
        service.hostname = read::text(node, "hostname");
        service.domainname = read::text(node, "domainname");
        service.attachment = self.attachment(node);
        service.ports = self.ports(node);
        service.expose = read::texts(node, "expose");
        service.links = self.links(node);
        service.extra_hosts = extra_hosts(node);
        service.dns = read::texts(node, "dns");
        service.dns_search = read::texts(node, "dns_search");
        service.dns_options = read::texts(node, "dns_opt");
        service.mounts = self.mounts(node);
        service.volumes_from = read::texts(node, "volumes_from");
        service.secrets = self.file_mounts(node, "secrets", "/run/secrets/");
        service.configs = self.file_mounts(node, "configs", "/");
        service.depends_on = self.depends_on(node);
        service.health = self.health(node);
        service.restart = self.restart(node);
        service.resources = self.resources(node);
        service.security = self.security(node);
        service.ipc = self.namespace(node, "ipc");
        service.pid = self.namespace(node, "pid");
        service.uts = self.namespace(node, "uts");
        service.cgroup = self.namespace(node, "cgroup");
        service.cgroup_parent = read::text(node, "cgroup_parent");
        service.shm_bytes = read::unsigned(node, "shm_size");
        service.logging = logging(node);
        service.labels = read::pairs(node, "labels");
        service.annotations = read::pairs(node, "annotations");
        service.attach = node.get("attach").and_then(Node::as_bool) != Some(false);
        service.profiles = read::texts(node, "profiles");
        service.pre_start = self.pre_start(key, node);
        service.post_start = hooks(node, "post_start");
        service.pre_stop = hooks(node, "pre_stop");
        service.watch = self.watches(node);
        service.storage_opt = read::pairs(node, "storage_opt");
        service.extension = node
            .get("x-rcompose")
            .map(|extension| render::write_json(&render::plain(extension), None));
        service.config_hash = render::service_hash(node);
        self.refuse(node);
        Some(service)
    }

    fn image(&mut self, name: &ServiceName, node: &Node) -> Option<ImageSource> {
        let policy = self.pull_policy(node);
        let image = read::text(node, "image");
        if let Some(provider) = node.get("provider") {
            let kind = read::text(provider, "type").unwrap_or_default();
            return Some(ImageSource::Provider { kind });
        }
        if let Some(build) = node.get("build") {
            return Some(ImageSource::Build {
                spec: Box::new(build_spec(build)),
                tag: image.unwrap_or_else(|| format!("{}-{name}", self.project)),
                policy,
            });
        }
        Some(ImageSource::Pull {
            reference: image?,
            policy,
        })
    }

    fn pull_policy(&mut self, node: &Node) -> PullPolicy {
        const DAY: Duration = Duration::from_secs(86_400);
        match node.text_at("pull_policy").unwrap_or_default() {
            "always" => PullPolicy::Always,
            "never" => PullPolicy::Never,
            "build" => PullPolicy::Build,
            "daily" => PullPolicy::Every(DAY),
            "weekly" => PullPolicy::Every(DAY * 7),
            "refresh" => match read::text(node, "pull_refresh_after") {
                Some(after) => self.refresh(&after, node),
                None => PullPolicy::Always,
            },
            policy => match policy.strip_prefix("every_") {
                Some(after) => self.refresh(after, node),
                None => PullPolicy::Missing,
            },
        }
    }

    fn refresh(&mut self, after: &str, node: &Node) -> PullPolicy {
        match units::duration(after) {
            Some(after) => PullPolicy::Every(after),
            None => {
                let message = format!("pull_policy: {after:?} is no duration");
                let place = node.get("pull_policy").unwrap_or(node);
                self.fault_with(
                    "bad-value",
                    message,
                    place,
                    "write a duration such as 12h or 7d",
                );
                PullPolicy::Missing
            }
        }
    }

    fn scale(&mut self, node: &Node) -> u32 {
        let replicas = node
            .get("deploy")
            .and_then(|deploy| read::int(deploy, "replicas"));
        let scale = read::int(node, "scale").or(replicas).unwrap_or(1);
        u32::try_from(scale).unwrap_or_else(|_| {
            self.fault("bad-value", format!("scale {scale} is out of range"), node);
            1
        })
    }

    fn links(&mut self, node: &Node) -> Vec<Link> {
        let mut links = Vec::new();
        for link in node.items_at("links") {
            let text = link.as_text().unwrap_or_default();
            let (service, alias) = text.split_once(':').unwrap_or((text, text));
            if let Some(service) = self.name(service, link) {
                let alias = alias.to_owned();
                links.push(Link { service, alias });
            }
        }
        links
    }

    fn depends_on(&mut self, node: &Node) -> IndexMap<ServiceName, Dependency> {
        let mut dependencies = IndexMap::new();
        for (target, entry) in node.entries_at("depends_on") {
            let condition = match entry.text_at("condition") {
                Some("service_healthy") => Condition::ServiceHealthy,
                Some("service_completed_successfully") => Condition::ServiceCompletedSuccessfully,
                _ => Condition::ServiceStarted,
            };
            if let Some(target) = self.name(target, entry) {
                dependencies.insert(
                    target,
                    Dependency {
                        condition,
                        restart: read::flag(entry, "restart"),
                        required: entry.get("required").and_then(Node::as_bool) != Some(false),
                    },
                );
            }
        }
        dependencies
    }

    /// `restart`, or `deploy.restart_policy` when it is absent.
    fn restart(&mut self, node: &Node) -> RestartPolicy {
        let Some(restart) = node
            .get("restart")
            .filter(|node| node.as_text() != Some(""))
        else {
            let policy = node
                .get("deploy")
                .and_then(|deploy| deploy.get("restart_policy"));
            return policy.map_or(RestartPolicy::No, deploy_policy);
        };
        let text = restart.as_text().unwrap_or_default();
        RestartPolicy::parse(text).unwrap_or_else(|| {
            let message = format!("invalid restart policy: unknown policy '{text}'");
            let hint = "use one of \"no\", always, on-failure[:max], unless-stopped";
            self.fault_with("bad-restart", message, restart, hint);
            RestartPolicy::No
        })
    }

    pub(super) fn namespace(&mut self, node: &Node, key: &str) -> NamespaceMode {
        let Some(mode) = node.get(key) else {
            return NamespaceMode::Private;
        };
        let text = mode.as_text().unwrap_or_default();
        match (key, text) {
            (_, "" | "private") => NamespaceMode::Private,
            (_, "host") => NamespaceMode::Host,
            ("ipc", "shareable") => NamespaceMode::Shareable,
            ("ipc", "none") => NamespaceMode::None,
            _ => {
                if let Some(service) = text.strip_prefix("service:") {
                    return self
                        .name(service, mode)
                        .map_or(NamespaceMode::Private, NamespaceMode::Service);
                }
                if let Some(container) = text.strip_prefix("container:") {
                    return NamespaceMode::Container(container.to_owned());
                }
                let message = format!("{key}: invalid mode {text:?}");
                let hint = "use host, private, service:NAME or container:NAME";
                self.fault_with("bad-namespace", message, mode, hint);
                NamespaceMode::Private
            }
        }
    }

    /// What the engine can't do and mustn't pass over in silence.
    fn refuse(&mut self, node: &Node) {
        if let Some(links) = node
            .get("external_links")
            .filter(|links| links.as_list().is_some_and(|l| !l.is_empty()))
        {
            let message =
                "external_links can't be followed: containers of others aren't ours to name"
                    .to_owned();
            let hint =
                "put both on one `external: true` network and use the container's name there";
            self.fault_with("unsupported", message, links, hint);
        }
    }
}

fn deploy_policy(policy: &Node) -> RestartPolicy {
    let max = read::int(policy, "max_attempts")
        .and_then(|max| u32::try_from(max).ok())
        .and_then(NonZeroU32::new);
    match policy.text_at("condition").unwrap_or_default() {
        "none" => RestartPolicy::No,
        "on-failure" => RestartPolicy::OnFailure { max },
        "unless-stopped" => RestartPolicy::UnlessStopped,
        _ if max.is_some() => RestartPolicy::OnFailure { max },
        _ => RestartPolicy::Always,
    }
}

fn build_spec(build: &Node) -> BuildSpec {
    BuildSpec {
        context: read::text(build, "context").unwrap_or_default(),
        dockerfile: read::text(build, "dockerfile"),
        dockerfile_inline: read::text(build, "dockerfile_inline"),
        args: read::optional_pairs(build, "args"),
        target: read::text(build, "target"),
        canonical: render::write_json(&render::plain(build), None),
    }
}

fn extra_hosts(node: &Node) -> Vec<crate::model::ExtraHost> {
    read::texts(node, "extra_hosts")
        .iter()
        .filter_map(|text| {
            let (name, address) = text.split_once('=')?;
            Some(crate::model::ExtraHost {
                name: name.to_owned(),
                address: address.to_owned(),
            })
        })
        .collect()
}

fn logging(node: &Node) -> crate::model::Logging {
    let Some(logging) = node.get("logging") else {
        return crate::model::Logging::default();
    };
    crate::model::Logging {
        driver: read::text(logging, "driver"),
        options: read::pairs(logging, "options"),
    }
}

fn hooks(node: &Node, key: &str) -> Vec<crate::model::Hook> {
    node.items_at(key).iter().map(read::hook).collect()
}
