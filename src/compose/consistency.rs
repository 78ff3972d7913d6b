//! References between elements, in the reference's words.
//!
//! Runs on a settled tree of enabled services. A service with an error of its
//! own is left alone, so that one fault isn't told twice.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::compose::node::{Map, Node, Value};
use crate::compose::place::Place;
use crate::compose::problem::{Problem, Problems};
use crate::compose::select::Disabled;
use crate::diagnostic;

const INVALID: &str = "invalid compose project";

/// Checks every service and what it refers to.
pub(crate) fn check(root: &Node, disabled: &Disabled, problems: &mut Problems) {
    let Some(services) = root.get("services").and_then(Node::as_map) else {
        return;
    };
    for (name, service) in services.iter() {
        if problems.is_tainted(name) {
            continue;
        }
        let mut check = Check {
            root,
            services,
            disabled,
            name,
            service,
            problems,
        };
        check.origin();
        check.build();
        check.networks();
        check.health();
        check.dependencies();
        check.resources();
        check.scale();
        check.limits();
        check.watches();
        check.mounts();
    }
    secrets(root, problems);
    cycles(services, problems);
}

struct Check<'a> {
    root: &'a Node,
    services: &'a Map,
    disabled: &'a Disabled,
    name: &'a str,
    service: &'a Node,
    problems: &'a mut Problems,
}

impl Check<'_> {
    fn error(&mut self, code: &'static str, message: String, place: Place, hint: Option<String>) {
        let mut problem = Problem::error(code, message, place);
        if let Some(hint) = hint {
            problem = problem.hint(hint);
        }
        self.problems.add(problem);
    }

    fn invalid(&mut self, code: &'static str, text: &str, place: Place, hint: Option<String>) {
        self.error(code, format!("{text}: {INVALID}"), place, hint);
    }

    /// An image, a build or a provider.
    fn origin(&mut self) {
        let has = |key: &str| self.service.get(key).is_some();
        let has_image = self
            .service
            .text_at("image")
            .is_some_and(|image| !image.is_empty());
        if !has_image && !has("build") && !has("provider") {
            let text = format!(
                "service {:?} has neither an image nor a build context specified",
                self.name
            );
            let hint = "give the service an `image` or a `build`".to_owned();
            self.invalid("no-image", &text, self.service.place, Some(hint));
        }
    }

    fn build(&mut self) {
        let Some(build) = self.service.get("build") else {
            return;
        };
        let name = self.name;
        let filled = |key: &str| build.text_at(key).is_some_and(|text| !text.is_empty());
        if filled("dockerfile") && filled("dockerfile_inline") {
            let text = format!(
                "service {name:?} declares mutualy exclusive dockerfile and dockerfile_inline"
            );
            self.invalid("exclusive", &text, build.place, None);
        }
        for (context, value) in build.entries_at("additional_contexts") {
            let Some(target) = value
                .as_text()
                .and_then(|text| text.strip_prefix("service:"))
            else {
                continue;
            };
            let text = match self.services.get(target) {
                None => format!(
                    "service {name:?} declares unknown service {target:?} as additional contexts {context}"
                ),
                Some(service) if service.get("build").is_none() => {
                    format!(
                        "service {name:?} declares non-buildable service {target:?} as additional contexts {context}"
                    )
                }
                Some(_) => continue,
            };
            self.error("bad-context", text, value.place, None);
        }
        let platforms = build.items_at("platforms");
        if let Some(platform) = self
            .service
            .text_at("platform")
            .filter(|text| !text.is_empty())
            && !platforms.is_empty()
            && !platforms
                .iter()
                .any(|item| item.as_text() == Some(platform))
        {
            let text =
                format!("service.build.platforms MUST include service.platform {platform:?}");
            self.invalid("bad-platform", &text, build.place, None);
        }
        for secret in build.items_at("secrets") {
            self.refers("secrets", "build secret", secret.get("source"));
        }
    }

    fn networks(&mut self) {
        let networks = self.service.get("networks").and_then(Node::as_map);
        let mode = self.service.get("network_mode");
        if let Some(mode) = mode.filter(|mode| mode.as_text() != Some(""))
            && networks.is_some_and(|networks| !networks.is_empty())
        {
            let text = format!(
                "service {} declares mutually exclusive `network_mode` and `networks`",
                self.name
            );
            let hint = "keep one of the two".to_owned();
            self.invalid("exclusive", &text, mode.place, Some(hint));
        }
        for (key, entry) in networks.into_iter().flat_map(Map::entries) {
            let node = Node::text(key, entry.key_place);
            self.refers("networks", "network", Some(&node));
        }
        if let Some(target) = mode
            .and_then(Node::as_text)
            .and_then(|text| text.strip_prefix("service:"))
            && !self.services.contains(target)
        {
            let text = format!("service {target:?} not found for network_mode 'service:{target}'");
            let place = mode.map_or(self.service.place, |mode| mode.place);
            let hint = self.near_service(target);
            self.error("undefined-service", text, place, hint);
        }
    }

    fn health(&mut self) {
        let Some(test) = self
            .service
            .get("healthcheck")
            .and_then(|health| health.get("test"))
        else {
            return;
        };
        let first = test
            .as_list()
            .and_then(|items| items.first())
            .and_then(Node::as_text);
        if first.is_some_and(|word| !matches!(word, "CMD" | "CMD-SHELL" | "NONE")) {
            let text = "healthcheck.test must start either by \"CMD\", \"CMD-SHELL\" or \"NONE\""
                .to_owned();
            let hint = "put \"CMD\" before the program, or write the test as one string".to_owned();
            self.error("bad-health-test", text, test.place, Some(hint));
        }
    }

    fn dependencies(&mut self) {
        let dependencies = self.service.get("depends_on").and_then(Node::as_map);
        for (target, entry) in dependencies.into_iter().flat_map(Map::entries) {
            let is_required = entry.node.get("required").and_then(Node::as_bool) != Some(false);
            let is_disabled = self.disabled.services.contains(target);
            if self.services.contains(target) || (is_disabled && !is_required) {
                continue;
            }
            let text = format!(
                "service {:?} depends on undefined service {target:?}",
                self.name
            );
            let hint = if is_disabled {
                Some(format!(
                    "`{target}` is in a profile that isn't active: activate it with --profile, or write `required: false`"
                ))
            } else {
                self.near_service(target)
            };
            self.invalid("undefined-service", &text, entry.key_place, hint);
        }
    }

    fn near_service(&self, target: &str) -> Option<String> {
        let names = self.services.keys().filter(|name| *name != self.name);
        diagnostic::nearest(target, names).map(|near| format!("did you mean `{near}`?"))
    }

    fn resources(&mut self) {
        for volume in self.service.items_at("volumes") {
            if volume.text_at("type") == Some("volume")
                && volume
                    .text_at("source")
                    .is_some_and(|source| !source.is_empty())
            {
                self.refers("volumes", "volume", volume.get("source"));
            }
        }
        for (section, kind) in [("configs", "config"), ("secrets", "secret")] {
            for item in self.service.items_at(section) {
                let nothing = Node::text("", item.place);
                let source = item.get("source").unwrap_or(&nothing);
                self.refers(section, kind, Some(source));
            }
        }
        for (key, model) in self.service.entries_at("models") {
            let node = Node::text(key, model.place);
            self.refers("models", "model", Some(&node));
        }
    }

    /// A name that must be declared at the top level.
    fn refers(&mut self, section: &str, kind: &str, name: Option<&Node>) {
        let Some((key, place)) = name.and_then(|node| Some((node.as_text()?, node.place))) else {
            return;
        };
        let declared = self.root.get(section).and_then(Node::as_map);
        if declared.is_some_and(|map| map.contains(key))
            || self.problems.is_section_tainted(section)
        {
            return;
        }
        let text = format!("service {:?} refers to undefined {kind} {key}", self.name);
        let near = diagnostic::nearest(key, declared.into_iter().flat_map(Map::keys));
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if section == "volumes" => format!(
                "declare `{key}:` under the top-level `volumes:`, or write `./{key}` if you mean a folder"
            ),
            None => format!("declare `{key}:` under the top-level `{section}:`"),
        };
        self.invalid("undefined-resource", &text, place, Some(hint));
    }

    fn scale(&mut self) {
        let name = self.name;
        let scale = self.service.get("scale");
        let replicas = self
            .service
            .get("deploy")
            .and_then(|deploy| deploy.get("replicas"));
        let number = |node: Option<&Node>| node.and_then(Node::as_int);
        if let (Some(a), Some(b)) = (number(scale), number(replicas))
            && a != b
        {
            let text = format!(
                "services.{name}: can't set distinct values on 'scale' and 'deploy.replicas'"
            );
            let place = scale.map_or(self.service.place, |node| node.place);
            self.invalid("distinct-values", &text, place, None);
        }
        for (path, node) in [("scale", scale), ("deploy.replicas", replicas)] {
            if let Some(node) = node.filter(|node| node.as_int().is_some_and(|number| number < 0)) {
                let text = format!("services.{name}.{path}: must be greater than or equal to 0");
                self.error("bad-value", text, node.place, None);
            }
        }
        let count = number(scale).or(number(replicas)).unwrap_or(1);
        if let Some(container) = self.service.get("container_name").filter(|_| count > 1) {
            let attribute = if scale.is_some() {
                "scale"
            } else {
                "deploy.replicas"
            };
            let text = format!(
                "services.{attribute}: can't set container_name and {name} as container name must be unique"
            );
            let hint = format!("remove `container_name` of `{name}`, or run one container of it");
            self.invalid("name-and-scale", &text, container.place, Some(hint));
        }
    }

    fn limits(&mut self) {
        let Some(resources) = self
            .service
            .get("deploy")
            .and_then(|deploy| deploy.get("resources"))
        else {
            return;
        };
        let pairs = [
            ("cpus", "limits", "cpus"),
            ("mem_limit", "limits", "memory"),
            ("mem_reservation", "reservations", "memory"),
            ("pids_limit", "limits", "pids"),
        ];
        for (own, section, key) in pairs {
            let (Some(own_node), Some(section_node)) =
                (self.service.get(own), resources.get(section))
            else {
                continue;
            };
            if is_zero(own_node) || section_node.get(key) == Some(own_node) {
                continue;
            }
            let text = format!(
                "services.{}: can't set distinct values on '{own}' and 'deploy.resources.{section}.{key}'",
                self.name
            );
            self.invalid(
                "distinct-values",
                &text,
                own_node.place,
                Some("give both the same value".to_owned()),
            );
        }
    }

    fn watches(&mut self) {
        let Some(develop) = self.service.get("develop") else {
            return;
        };
        for watch in develop.items_at("watch") {
            let action = watch.text_at("action").unwrap_or_default();
            let has_target = watch
                .text_at("target")
                .is_some_and(|target| !target.is_empty());
            if !has_target && !matches!(action, "rebuild" | "restart") {
                let text = format!(
                    "services.{}.develop.watch: target is required for non-rebuild actions",
                    self.name
                );
                self.invalid("no-watch-target", &text, watch.place, None);
            }
        }
    }

    fn mounts(&mut self) {
        let mut mounts: HashMap<String, (String, Place)> = HashMap::new();
        let tmpfs = self
            .service
            .items_at("tmpfs")
            .iter()
            .enumerate()
            .filter_map(|(index, node)| {
                let target = node.as_text()?.split(':').next()?.to_owned();
                Some((
                    format!("services.{}.tmpfs[{index}]", self.name),
                    target,
                    node.place,
                ))
            });
        let volumes = self
            .service
            .items_at("volumes")
            .iter()
            .enumerate()
            .filter_map(|(index, node)| {
                let target = node.text_at("target")?.to_owned();
                Some((
                    format!("services.{}.volumes[{index}]", self.name),
                    target,
                    node.place,
                ))
            });
        let all: Vec<_> = tmpfs.chain(volumes).collect();
        for (location, target, place) in all {
            match mounts.get(&target) {
                Some((earlier, earlier_place)) => {
                    let text = format!("{location}: target {target} already mounted as {earlier}");
                    let problem = Problem::error("repeated-target", text, place)
                        .related(*earlier_place, "mounted here first");
                    self.problems.add(problem);
                }
                None => {
                    mounts.insert(target, (location, place));
                }
            }
        }
    }
}

fn is_zero(node: &Node) -> bool {
    match node.value {
        Value::Int(number) => number == 0,
        Value::Float(number) => number == 0.0,
        _ => node.is_null(),
    }
}

/// Tells services that can't be there together, because they name one container.
pub(crate) fn container_names(root: &Node, problems: &mut Problems) {
    let mut names: BTreeMap<&str, (&str, Place)> = BTreeMap::new();
    for (name, service) in root.entries_at("services") {
        let Some(node) = service.get("container_name") else {
            continue;
        };
        let Some(container) = node.as_text().filter(|text| !text.is_empty()) else {
            continue;
        };
        if let Some((other, place)) = names.insert(container, (name, node.place)) {
            let text = format!(
                "services.{name}: container name {container:?} is already in use by service {other}: {INVALID}"
            );
            problems.add(
                Problem::error("repeated-container-name", text, node.place)
                    .related(place, "used here first"),
            );
        }
    }
}

fn secrets(root: &Node, problems: &mut Problems) {
    for (name, secret) in root.entries_at("secrets") {
        let is_external = secret.get("external").and_then(Node::as_bool) == Some(true);
        let filled = |key: &str| secret.text_at(key).is_some_and(|text| !text.is_empty());
        if is_external
            || filled("file")
            || filled("environment")
            || problems.is_section_tainted("secrets")
        {
            continue;
        }
        let text =
            format!("secret {name:?} must declare either `file` or `environment`: {INVALID}");
        problems.add(Problem::error("no-source", text, secret.place));
    }
}

/// Tells one cycle of dependencies, the first by name.
fn cycles(services: &Map, problems: &mut Problems) {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut names: Vec<&str> = services.keys().collect();
    names.sort_unstable();
    for name in names {
        if let Some(cycle) = find_cycle(services, name, &mut done) {
            let place = cycle
                .first()
                .and_then(|name| services.get(name))
                .and_then(|service| service.get("depends_on"))
                .map_or(Place::NOWHERE, |node| node.place);
            let text = format!("dependency cycle detected: {}", cycle.join(" -> "));
            problems.add(Problem::error("dependency-cycle", text, place).hint(
                "take one of these dependencies away: none of the services could start first",
            ));
            return;
        }
    }
}

/// Depth first without recursion: chains may be thousands long.
fn find_cycle<'a>(
    services: &'a Map,
    start: &'a str,
    done: &mut BTreeSet<&'a str>,
) -> Option<Vec<&'a str>> {
    let dependencies = |name: &str| -> Vec<&'a str> {
        let mut all: Vec<&str> = services
            .get(name)
            .map(|service| {
                service
                    .entries_at("depends_on")
                    .map(|(key, _)| key)
                    .collect()
            })
            .unwrap_or_default();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all
    };
    if done.contains(start) {
        return None;
    }
    let mut path: Vec<(&str, Vec<&str>)> = vec![(start, dependencies(start))];
    let mut on_path: BTreeSet<&str> = BTreeSet::from([start]);
    while let Some((name, rest)) = path.last_mut() {
        let name = *name;
        let Some(next) = rest.pop() else {
            on_path.remove(name);
            done.insert(name);
            path.pop();
            continue;
        };
        if on_path.contains(next) {
            let mut cycle: Vec<&str> = path
                .iter()
                .map(|(name, _)| *name)
                .skip_while(|name| *name != next)
                .collect();
            cycle.push(next);
            return Some(cycle);
        }
        if !done.contains(next) {
            on_path.insert(next);
            path.push((next, dependencies(next)));
        }
    }
    None
}
