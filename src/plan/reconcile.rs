//! Desired × observed → plan: `up`, `create` and `scale`.

use std::collections::HashSet;

use indexmap::{IndexMap, IndexSet};

use crate::graph::{self, Graph};
use crate::model::{
    Attachment, ContainerId, ContainerState, NamespaceMode, Observed, ObservedContainer, Project,
    Service, ServiceName,
};
use crate::plan::dag::Plan;
use crate::plan::emit;
use crate::plan::error::Error;
use crate::plan::fate;
use crate::plan::options::{ImageIds, Orphans, UpOptions};
use crate::plan::resources;

/// Plans what brings the world to what the project says.
///
/// # Errors
/// When a named service doesn't exist, something external is missing, or the
/// project contradicts itself.
pub fn reconcile(
    desired: &Project,
    observed: &Observed,
    images: &ImageIds,
    options: &UpOptions,
) -> Result<Plan, Error> {
    let graph = Graph::of(desired)?;
    let chosen = choose(desired, &graph, options)?;
    let mut plan = Plan::new(desired.name.clone());
    plan.set_wait_timeout(options.wait_timeout.filter(|_| options.wait));
    let resources = resources::decide(desired, &chosen, observed, options, &mut plan)?;
    let is_chosen = |name: &ServiceName| chosen.contains(name);
    check_sources(desired, &is_chosen, observed)?;
    let departing = orphans(Some(desired), observed, options.orphans, &mut plan);
    let replicas = replicas(observed, &departing);
    let fates = fate::decide(
        desired, &graph, &is_chosen, &replicas, &resources, images, options,
    )?;
    emit::emit(
        &mut plan, desired, &fates, &resources, &departing, images, options,
    )?;
    Ok(plan)
}

/// The services that the command is about, each after what it needs.
fn choose(
    desired: &Project,
    graph: &Graph,
    options: &UpOptions,
) -> Result<IndexSet<ServiceName>, Error> {
    if desired.services.is_empty() {
        return Err(Error::NoServices);
    }
    let mut named = options.services.iter().chain(options.scale.keys());
    if let Some(service) = named.find(|name| !desired.services.contains_key(*name)) {
        return Err(Error::NoSuchService {
            service: service.clone(),
        });
    }
    if options.services.is_empty() {
        Ok(graph.order().cloned().collect())
    } else if options.no_deps {
        let order = graph.order().filter(|name| options.services.contains(name));
        Ok(order.cloned().collect())
    } else {
        Ok(graph.with_dependencies(&options.services))
    }
}

/// With `--no-deps`, what a service shares with must be there already.
pub(crate) fn check_sources(
    desired: &Project,
    chosen: &dyn Fn(&ServiceName) -> bool,
    observed: &Observed,
) -> Result<(), Error> {
    for service in desired
        .services
        .values()
        .filter(|service| chosen(&service.name))
    {
        for (source, _) in graph::sources(service) {
            let exists = observed.containers.iter().any(|container| {
                !container.record.is_one_off() && *container.record.service_name() == source
            });
            if !chosen(&source) && !exists {
                return Err(Error::SourceMissing {
                    what: shared(service, &source),
                    source_service: source,
                });
            }
        }
    }
    Ok(())
}

/// What a service shares with another, in docker compose's words.
fn shared(service: &Service, source: &ServiceName) -> &'static str {
    let of = |mode: &NamespaceMode| *mode == NamespaceMode::Service(source.clone());
    if service.attachment == Attachment::Service(source.clone()) {
        "network namespace"
    } else if of(&service.ipc) {
        "IPC namespace"
    } else if of(&service.pid) {
        "PID namespace"
    } else if of(&service.uts) {
        "UTS namespace"
    } else {
        "volume"
    }
}

/// Containers by service, one-off ones and those that go anyway left out.
pub(crate) fn replicas<'a>(
    observed: &'a Observed,
    departing: &[&ObservedContainer],
) -> IndexMap<ServiceName, Vec<&'a ObservedContainer>> {
    let gone: HashSet<&ContainerId> = departing
        .iter()
        .map(|container| &container.record.id)
        .collect();
    let mut by_service: IndexMap<ServiceName, Vec<&ObservedContainer>> = IndexMap::new();
    for container in &observed.containers {
        let record = &container.record;
        if !record.is_one_off() && !gone.contains(&record.id) {
            by_service
                .entry(record.service_name().clone())
                .or_default()
                .push(container);
        }
    }
    by_service
}

/// Containers that no service of the project accounts for; those that are to
/// be removed are returned.
pub(crate) fn orphans<'a>(
    desired: Option<&Project>,
    observed: &'a Observed,
    what: Orphans,
    plan: &mut Plan,
) -> Vec<&'a ObservedContainer> {
    let found: Vec<&ObservedContainer> = observed
        .containers
        .iter()
        .filter(|container| is_orphan(desired, container))
        .collect();
    match what {
        Orphans::Remove => return found,
        Orphans::Warn if !found.is_empty() => {
            let names: Vec<&str> = found
                .iter()
                .map(|container| container.record.name.as_str())
                .collect();
            plan.warn(format!(
                "Found orphan containers ({}) for this project. If you removed or renamed this service in your compose file, you can run this command with the --remove-orphans flag to clean it up.",
                names.join(", ")
            ));
        }
        Orphans::Warn | Orphans::Ignore => {}
    }
    Vec::new()
}

fn is_orphan(desired: Option<&Project>, container: &ObservedContainer) -> bool {
    if container.record.is_one_off() {
        return matches!(container.state, ContainerState::Exited { .. });
    }
    let Some(project) = desired else { return false };
    let name = container.record.service_name();
    !project.services.contains_key(name) && !project.disabled_services.contains(name)
}
