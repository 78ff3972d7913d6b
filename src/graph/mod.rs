//! Who needs whom: the services of a project as a directed graph.
//!
//! Knows the edges (`depends_on`, shared namespaces, `volumes_from`), their
//! order and the shortest cycle. It doesn't know conditions, containers or
//! what is done with the order; `plan` does.

use std::collections::{BTreeSet, VecDeque};

use indexmap::{IndexMap, IndexSet};
use petgraph::Direction;
use petgraph::graphmap::DiGraphMap;

use crate::model::{Attachment, NamespaceMode, Project, Service, ServiceName};

/// Why services have no order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Services need each other in a circle.
    #[error("dependency cycle detected: {}", arrows(path))]
    Cycle {
        /// The shortest circle, its first service again at the end.
        path: Vec<ServiceName>,
    },
    /// A needed service isn't part of the project.
    #[error("service {service:?} depends on undefined service {dependency:?}: invalid compose project",
        service = service.as_str(), dependency = dependency.as_str())]
    Undefined {
        /// Who needs it.
        service: ServiceName,
        /// What is missing.
        dependency: ServiceName,
    },
}

/// Why one service needs another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It lives in the other's network, IPC, PID or UTS namespace.
    Namespace,
    /// It takes the other's mounts.
    Volumes,
}

/// Services and who needs whom. Every list comes in the order in which the
/// services were given, as far as the edges leave a choice.
#[derive(Debug, Clone)]
pub struct Graph {
    /// A service's position is its number in `edges`.
    names: IndexSet<ServiceName>,
    /// From the dependent to what it needs.
    edges: DiGraphMap<usize, ()>,
    /// The order in which everything comes after what it needs.
    order: Vec<usize>,
}

impl Graph {
    /// The graph of a whole project.
    ///
    /// # Errors
    /// When a required service is missing or the services form a cycle.
    pub fn of(project: &Project) -> Result<Self, Error> {
        let (names, wanted) = collect(project.services.values());
        let mut edges = nodes(&names);
        for (service, dependency, required) in wanted {
            match (
                names.get_index_of(&service),
                names.get_index_of(&dependency),
            ) {
                (Some(from), Some(to)) => {
                    edges.add_edge(from, to, ());
                }
                (_, None) if required => {
                    return Err(Error::Undefined {
                        service,
                        dependency,
                    });
                }
                _ => {}
            }
        }
        let order = order(&edges).map_err(|stuck| Error::Cycle {
            path: named(&names, &shortest_cycle(&edges, &stuck)),
        })?;
        Ok(Self {
            names,
            edges,
            order,
        })
    }

    /// The graph of services that were applied at different times: what is
    /// missing is left out, and so is each edge that would close a cycle.
    #[must_use]
    pub fn lenient<'a>(services: impl IntoIterator<Item = &'a Service>) -> Self {
        let (names, wanted) = collect(services);
        let ends: Vec<(usize, usize)> = wanted
            .iter()
            .filter_map(|(from, to, _)| Some((names.get_index_of(from)?, names.get_index_of(to)?)))
            .collect();
        let mut edges = nodes(&names);
        edges.extend(ends.iter().copied());
        if let Ok(order) = order(&edges) {
            return Self {
                names,
                edges,
                order,
            };
        }
        let mut edges = nodes(&names);
        for (from, to) in ends {
            if !petgraph::algo::has_path_connecting(&edges, to, from, None) {
                edges.add_edge(from, to, ());
            }
        }
        let order = order(&edges).expect("no edge was added that closes a cycle");
        Self {
            names,
            edges,
            order,
        }
    }

    /// Every service after all that it needs.
    pub fn order(&self) -> impl DoubleEndedIterator<Item = &ServiceName> {
        self.order
            .iter()
            .filter_map(|&node| self.names.get_index(node))
    }

    /// Who needs a service directly.
    pub fn dependents<'a>(&'a self, name: &ServiceName) -> impl Iterator<Item = &'a ServiceName> {
        self.neighbors(name, Direction::Incoming)
    }

    /// The services given and all that they need, in order.
    #[must_use]
    pub fn with_dependencies<'a>(
        &self,
        names: impl IntoIterator<Item = &'a ServiceName>,
    ) -> IndexSet<ServiceName> {
        let mut queue: VecDeque<usize> = names
            .into_iter()
            .filter_map(|name| self.names.get_index_of(name))
            .collect();
        let mut seen = BTreeSet::new();
        while let Some(node) = queue.pop_front() {
            if seen.insert(node) {
                queue.extend(self.edges.neighbors_directed(node, Direction::Outgoing));
            }
        }
        let kept = self.order.iter().filter(|node| seen.contains(node));
        kept.filter_map(|&node| self.names.get_index(node).cloned())
            .collect()
    }

    fn neighbors<'a>(
        &'a self,
        name: &ServiceName,
        direction: Direction,
    ) -> impl Iterator<Item = &'a ServiceName> + use<'a> {
        self.names
            .get_index_of(name)
            .into_iter()
            .flat_map(move |node| self.edges.neighbors_directed(node, direction))
            .filter_map(|node| self.names.get_index(node))
    }
}

/// The services that a service can't do without besides `depends_on`, each
/// with the strongest reason.
#[must_use]
pub fn sources(service: &Service) -> IndexMap<ServiceName, Need> {
    let mut found = IndexMap::new();
    if let Attachment::Service(name) = &service.attachment {
        found.insert(name.clone(), Need::Namespace);
    }
    for mode in [&service.ipc, &service.pid, &service.uts, &service.cgroup] {
        if let NamespaceMode::Service(name) = mode {
            found.insert(name.clone(), Need::Namespace);
        }
    }
    for text in &service.volumes_from {
        if let Some(name) = volumes_source(text) {
            found.entry(name).or_insert(Need::Volumes);
        }
    }
    found
}

/// The service of a `volumes_from` entry; None for `container:NAME`.
fn volumes_source(text: &str) -> Option<ServiceName> {
    if text.starts_with("container:") {
        return None;
    }
    text.split(':').next()?.parse().ok()
}

/// Dependent, dependency, and whether its absence is an error.
type Wanted = (ServiceName, ServiceName, bool);

fn collect<'a>(
    services: impl IntoIterator<Item = &'a Service>,
) -> (IndexSet<ServiceName>, Vec<Wanted>) {
    let mut names = IndexSet::new();
    let mut wanted = Vec::new();
    for service in services {
        if !names.insert(service.name.clone()) {
            continue;
        }
        for (dependency, how) in &service.depends_on {
            wanted.push((service.name.clone(), dependency.clone(), how.required));
        }
        for dependency in sources(service).into_keys() {
            wanted.push((service.name.clone(), dependency, true));
        }
    }
    (names, wanted)
}

fn nodes(names: &IndexSet<ServiceName>) -> DiGraphMap<usize, ()> {
    let mut edges = DiGraphMap::with_capacity(names.len(), names.len());
    for node in 0..names.len() {
        edges.add_node(node);
    }
    edges
}

/// Kahn's algorithm, taking the first service of the file among those that
/// are free. The error is what is left when a cycle blocks the rest.
fn order(edges: &DiGraphMap<usize, ()>) -> Result<Vec<usize>, BTreeSet<usize>> {
    let mut open: IndexMap<usize, usize> = edges
        .nodes()
        .map(|node| (node, edges.neighbors(node).count()))
        .collect();
    let mut free: BTreeSet<usize> = open
        .iter()
        .filter(|(_, count)| **count == 0)
        .map(|(node, _)| *node)
        .collect();
    let mut order = Vec::with_capacity(open.len());
    while let Some(node) = free.pop_first() {
        order.push(node);
        for dependent in edges.neighbors_directed(node, Direction::Incoming) {
            if let Some(count) = open.get_mut(&dependent) {
                *count -= 1;
                if *count == 0 {
                    free.insert(dependent);
                }
            }
        }
    }
    if order.len() == open.len() {
        return Ok(order);
    }
    let done: BTreeSet<usize> = order.into_iter().collect();
    Err(edges.nodes().filter(|node| !done.contains(node)).collect())
}

/// The shortest way from a node back to itself, over all that are stuck.
fn shortest_cycle(edges: &DiGraphMap<usize, ()>, stuck: &BTreeSet<usize>) -> Vec<usize> {
    let found = stuck.iter().filter_map(|&start| way_back(edges, start));
    found.min_by_key(Vec::len).unwrap_or_default()
}

fn way_back(edges: &DiGraphMap<usize, ()>, start: usize) -> Option<Vec<usize>> {
    let mut reached_from: IndexMap<usize, usize> = IndexMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in edges.neighbors(node) {
            if next == start {
                let mut path = vec![start, node];
                let mut at = node;
                while at != start {
                    at = *reached_from.get(&at)?;
                    path.push(at);
                }
                path.reverse();
                return Some(path);
            }
            if !reached_from.contains_key(&next) {
                reached_from.insert(next, node);
                queue.push_back(next);
            }
        }
    }
    None
}

fn named(names: &IndexSet<ServiceName>, path: &[usize]) -> Vec<ServiceName> {
    path.iter()
        .filter_map(|&node| names.get_index(node).cloned())
        .collect()
}

fn arrows(path: &[ServiceName]) -> String {
    path.iter()
        .map(ServiceName::as_str)
        .collect::<Vec<_>>()
        .join(" -> ")
}

#[cfg(test)]
mod tests {
    use crate::model::{Condition, Dependency, ImageSource, PullPolicy};

    use super::*;

    fn service(name: &str, needs: &[&str]) -> Service {
        let image = ImageSource::Pull {
            reference: "busybox".to_owned(),
            policy: PullPolicy::Missing,
        };
        let mut service = Service::new(name.parse().unwrap(), image);
        for dependency in needs {
            let how = Dependency {
                condition: Condition::ServiceStarted,
                restart: false,
                required: true,
            };
            service.depends_on.insert(dependency.parse().unwrap(), how);
        }
        service
    }

    fn project(services: &[(&str, &[&str])]) -> Project {
        Project {
            name: "shop".parse().unwrap(),
            working_dir: "/shop".into(),
            config_files: Vec::new(),
            environment_files: Vec::new(),
            services: services
                .iter()
                .map(|(name, needs)| (name.parse().unwrap(), service(name, needs)))
                .collect(),
            disabled_services: Vec::new(),
            networks: IndexMap::new(),
            volumes: IndexMap::new(),
            secrets: IndexMap::new(),
            configs: IndexMap::new(),
        }
    }

    fn words<'a>(names: impl IntoIterator<Item = &'a ServiceName>) -> String {
        names
            .into_iter()
            .map(ServiceName::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn name(text: &str) -> ServiceName {
        text.parse().unwrap()
    }

    #[test]
    fn order_follows_needs_and_then_the_file() {
        let graph = Graph::of(&project(&[
            ("web", &["api"]),
            ("api", &["db", "cache"]),
            ("cache", &[]),
            ("db", &[]),
            ("lone", &[]),
        ]))
        .unwrap();
        assert_eq!(words(graph.order()), "cache db api web lone");
        assert_eq!(words(graph.order().rev()), "lone web api db cache");
    }

    #[test]
    fn closures_go_both_ways() {
        let graph = Graph::of(&project(&[
            ("web", &["api"]),
            ("api", &["db"]),
            ("job", &["db"]),
            ("db", &[]),
            ("lone", &[]),
        ]))
        .unwrap();
        assert_eq!(
            words(&graph.with_dependencies([&name("web")])),
            "db api web"
        );
        assert_eq!(words(graph.dependents(&name("api"))), "web");
        assert_eq!(words(&graph.with_dependencies([&name("nobody")])), "");
    }

    #[test]
    fn the_shortest_cycle_is_named() {
        let all: &[(&str, &[&str])] = &[
            ("a", &["b"]),
            ("b", &["c"]),
            ("c", &["d"]),
            ("d", &["a", "c"]),
            ("e", &["a"]),
        ];
        let error = Graph::of(&project(all)).unwrap_err();
        assert_eq!(error.to_string(), "dependency cycle detected: c -> d -> c");
    }

    #[test]
    fn a_service_that_needs_itself_is_a_cycle() {
        let error = Graph::of(&project(&[("a", &["a"])])).unwrap_err();
        assert_eq!(error.to_string(), "dependency cycle detected: a -> a");
    }

    #[test]
    fn a_missing_service_matters_only_when_required() {
        let mut project = project(&[("web", &["ghost"])]);
        let error = Graph::of(&project).unwrap_err();
        assert!(
            error
                .to_string()
                .contains(r#"service "web" depends on undefined service "ghost""#)
        );
        project.services[0].depends_on[0].required = false;
        assert_eq!(words(Graph::of(&project).unwrap().order()), "web");
    }

    #[test]
    fn shared_namespaces_and_mounts_are_needs_too() {
        let mut project = project(&[("app", &[]), ("net", &[]), ("data", &[]), ("log", &[])]);
        let app = &mut project.services[0];
        app.attachment = Attachment::Service(name("net"));
        app.volumes_from = vec!["data:ro".to_owned(), "container:other".to_owned()];
        app.pid = NamespaceMode::Service(name("log"));
        assert_eq!(
            words(Graph::of(&project).unwrap().order()),
            "net data log app"
        );
        assert_eq!(sources(&project.services[0])[&name("data")], Need::Volumes);
        assert_eq!(sources(&project.services[0])[&name("net")], Need::Namespace);
    }

    #[test]
    fn a_lenient_graph_orders_what_no_single_file_could_say() {
        let services = [
            service("a", &["b", "gone"]),
            service("b", &["a"]),
            service("c", &["b"]),
        ];
        let graph = Graph::lenient(&services);
        assert_eq!(words(graph.order()), "b a c");
    }

    #[test]
    fn five_hundred_services_in_a_chain_are_ordered() {
        let names: Vec<String> = (0..500).map(|number| format!("s{number}")).collect();
        let mut project = project(&[]);
        for (number, name) in names.iter().enumerate() {
            let below: Vec<&str> = number
                .checked_sub(1)
                .map(|below| names[below].as_str())
                .into_iter()
                .collect();
            project
                .services
                .insert(name.parse().unwrap(), service(name, &below));
        }
        assert_eq!(Graph::of(&project).unwrap().order().count(), 500);
        project.services[0].depends_on = service("s0", &["s499"]).depends_on;
        let Err(Error::Cycle { path }) = Graph::of(&project) else {
            panic!("no cycle found")
        };
        assert_eq!(path.len(), 501);
    }
}
