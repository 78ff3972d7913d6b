//! `start` and `restart`: containers that exist, and no others.

use std::collections::HashMap;

use indexmap::{IndexMap, IndexSet};

use crate::graph::{self, Graph, Need};
use crate::model::{Project, Readiness, Service, ServiceName};
use crate::plan::cause::Cause;
use crate::plan::dag::{After, OpId, Plan};
use crate::plan::emit::{self, existing};
use crate::plan::error::Error;
use crate::plan::fate;
use crate::plan::gates::{Gates, Wanted};
use crate::plan::operation::{Operation, RestartContainer};
use crate::plan::options::{ImageIds, RestartOptions, StartOptions, UpOptions};
use crate::plan::reconcile::replicas;
use crate::plan::resources::Resources;
use crate::plan::subject::Subject;

/// Plans the start of stopped containers and of what they depend on.
///
/// # Errors
/// When a named service doesn't exist, or one that should have containers
/// has none.
pub fn start(subject: &Subject<'_>, options: &StartOptions) -> Result<Plan, Error> {
    subject.check(&options.services)?;
    let project = subject.assumed();
    let graph = Graph::lenient(project.services.values());
    let chosen = if options.services.is_empty() {
        let enabled = |name: &&ServiceName| {
            subject
                .model
                .project()
                .is_none_or(|project| project.services.contains_key(*name))
        };
        graph.order().filter(enabled).cloned().collect()
    } else {
        graph.with_dependencies(&options.services)
    };
    let containers = replicas(subject.observed, &[]);
    for name in &chosen {
        let scale = project
            .services
            .get(name)
            .map_or(0, |service| service.scale);
        if scale > 0 && !containers.contains_key(name) && !is_provider(&project, name) {
            return Err(Error::NoContainer {
                service: name.clone(),
            });
        }
    }
    let mut plan = Plan::new(subject.name.clone());
    plan.set_wait_timeout(options.wait_timeout.filter(|_| options.wait));
    let fates = fate::revive(&project, &graph, &chosen, &containers);
    let up = UpOptions {
        services: options.services.clone(),
        wait: options.wait,
        strict_wait: options.strict_wait,
        ..UpOptions::default()
    };
    let (resources, images) = (Resources::default(), ImageIds::new());
    emit::emit(&mut plan, &project, &fates, &resources, &[], &images, &up)?;
    Ok(plan)
}

fn is_provider(project: &Project, name: &ServiceName) -> bool {
    let service = project.services.get(name);
    service
        .is_some_and(|service| matches!(service.image, crate::model::ImageSource::Provider { .. }))
}

/// Plans restarts in dependency order, dependents with `restart: true`
/// included, and always those that share a namespace.
///
/// # Errors
/// When a named service doesn't exist.
pub fn restart(subject: &Subject<'_>, options: &RestartOptions) -> Result<Plan, Error> {
    subject.check(&options.services)?;
    let project = subject.assumed();
    let graph = Graph::lenient(project.services.values());
    let containers = replicas(subject.observed, &[]);
    let chosen = restarting(subject, &project, &graph, options);
    // Gates look at containers as `up` would leave them.
    let fates = fate::revive(&project, &graph, &IndexSet::new(), &containers);
    let mut plan = Plan::new(subject.name.clone());
    let mut gates = Gates::default();
    let mut restarts: HashMap<&ServiceName, Vec<OpId>> = HashMap::new();
    for (name, cause) in &chosen {
        let Some(service) = project.services.get(name) else {
            continue;
        };
        let mut after: Vec<After> = Vec::new();
        for (source, need) in graph::sources(service) {
            if need == Need::Namespace {
                after.extend(
                    restarts
                        .get(&source)
                        .into_iter()
                        .flatten()
                        .map(|&id| After::Success(id)),
                );
            }
        }
        for (dependency, how) in service.depends_on.iter().filter(|(_, how)| how.restart) {
            let (Some(other), Some(starts)) = (fates.get(dependency), restarts.get(dependency))
            else {
                continue;
            };
            let readiness = Readiness::from(how.condition);
            let wanted = Wanted {
                dependency: other,
                readiness,
                required: how.required,
            };
            after.extend(gates.open_after(
                &mut plan,
                &wanted,
                starts,
                &Cause::NeededBy(name.clone()),
            ));
        }
        let mut ids = Vec::new();
        for container in containers.get(name).into_iter().flatten() {
            let operation = Operation::RestartContainer(RestartContainer {
                container: existing(container, &container.record.name),
                timeout: options.timeout,
            });
            ids.push(plan.push_after(operation, cause.clone(), after.iter().copied()));
        }
        restarts.insert(name, ids);
    }
    Ok(plan)
}

/// The services that restart, in order, each with the reason.
fn restarting(
    subject: &Subject<'_>,
    project: &Project,
    graph: &Graph,
    options: &RestartOptions,
) -> IndexMap<ServiceName, Cause> {
    let mut chosen: IndexMap<ServiceName, Cause> = IndexMap::new();
    for name in graph.order() {
        let Some(service) = project.services.get(name) else {
            continue;
        };
        let is_named = if options.services.is_empty() {
            subject
                .model
                .project()
                .is_none_or(|project| project.services.contains_key(name))
        } else {
            options.services.contains(name)
        };
        let cause = if is_named {
            Some(Cause::Requested)
        } else {
            drawn_in(service, &chosen, options.no_deps)
        };
        if let Some(cause) = cause {
            chosen.insert(name.clone(), cause);
        }
    }
    chosen
}

/// Why a service that wasn't named restarts all the same.
fn drawn_in(
    service: &Service,
    chosen: &IndexMap<ServiceName, Cause>,
    no_deps: bool,
) -> Option<Cause> {
    let sources = graph::sources(service);
    let mut shared = sources.iter().filter(|(_, need)| **need == Need::Namespace);
    if let Some((source, _)) = shared.find(|(source, _)| chosen.contains_key(*source)) {
        return Some(Cause::SourceRestarted(source.clone()));
    }
    let mut asking = service
        .depends_on
        .iter()
        .filter(|(_, how)| how.restart && !no_deps);
    let (dependency, _) = asking.find(|(name, _)| chosen.contains_key(*name))?;
    Some(Cause::DependencyRestarted(dependency.clone()))
}
