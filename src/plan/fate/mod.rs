//! What is to become of each container: decisions, not yet operations.
//!
//! A service's own containers are judged one by one first; then what happens
//! to a service spreads to those that share with it or ask to be restarted
//! with it.

mod judge;

use indexmap::{IndexMap, IndexSet};

use crate::graph::{self, Graph, Need};
use crate::model::{
    ContainerName, ContainerState, Mount, ObservedContainer, Project, ResourceKey, Service,
    ServiceName, VolumeSource,
};
use crate::plan::cause::Cause;
use crate::plan::error::Error;
use crate::plan::fate::judge::Judge;
use crate::plan::operation::{Container, ContainerRef, Replica};
use crate::plan::options::{ImageIds, Recreate, UpOptions};
use crate::plan::resources::Resources;

/// What is to become of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stays as it is.
    Keep,
    /// It is started.
    Start,
    /// It is stopped and started.
    Restart,
    /// It is made.
    Create,
    /// A container takes its place, and is made before it goes.
    Recreate,
    /// A container takes its place, but only after it has gone.
    Rebuild,
    /// It goes.
    Remove,
}

/// A container and what is to become of it.
#[derive(Debug, Clone)]
pub(crate) struct ContainerFate<'a> {
    pub(crate) replica: Replica,
    /// The name that it has in the end.
    pub(crate) name: ContainerName,
    pub(crate) existing: Option<&'a ObservedContainer>,
    pub(crate) fate: Fate,
    pub(crate) cause: Cause,
    /// Whether one that is made goes away by itself at its end.
    pub(crate) auto_remove: bool,
}

impl ContainerFate<'_> {
    /// The container that stands in this place when the plan is done.
    pub(crate) fn target(&self, service: &ServiceName) -> Container {
        let reference = match (self.fate, self.existing) {
            (Fate::Create | Fate::Recreate | Fate::Rebuild, _) | (_, None) => {
                ContainerRef::Planned {
                    service: service.clone(),
                    replica: self.replica.clone(),
                }
            }
            (Fate::Keep | Fate::Start | Fate::Restart | Fate::Remove, Some(existing)) => {
                ContainerRef::Existing(existing.record.id.clone())
            }
        };
        Container {
            reference,
            name: self.name.clone(),
            service: service.clone(),
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.existing
            .is_some_and(|existing| is_alive(&existing.state))
    }

    /// What it is a container of in the end: a container that stays keeps the
    /// definition that it was made from.
    pub(crate) fn definition<'s>(&'s self, desired: &'s Service) -> &'s Service {
        match (self.fate, self.existing) {
            (Fate::Create | Fate::Recreate | Fate::Rebuild, _) | (_, None) => desired,
            (Fate::Keep | Fate::Start | Fate::Restart | Fate::Remove, Some(existing)) => {
                &existing.record.service
            }
        }
    }

    fn becomes(&mut self, fate: Fate, cause: Cause) {
        self.fate = fate;
        self.cause = cause;
    }

    /// Gives it a fate, unless its own already includes that.
    fn at_least(&mut self, fate: Fate, cause: Cause) {
        let is_more = match (self.fate, fate) {
            (Fate::Keep, Fate::Restart) => self.is_running(),
            (Fate::Keep | Fate::Start | Fate::Restart, Fate::Recreate | Fate::Rebuild)
            | (Fate::Recreate, Fate::Rebuild) => true,
            (
                Fate::Keep
                | Fate::Start
                | Fate::Restart
                | Fate::Create
                | Fate::Recreate
                | Fate::Rebuild
                | Fate::Remove,
                _,
            ) => false,
        };
        if is_more {
            self.becomes(fate, cause);
        }
    }
}

/// Whether it runs, or will by its restart policy.
pub(crate) fn is_alive(state: &ContainerState) -> bool {
    state.is_running() || matches!(state, ContainerState::Restarting { .. })
}

/// A service and what is to become of its containers.
#[derive(Debug)]
pub(crate) struct ServiceFate<'a> {
    pub(crate) service: &'a Service,
    /// Whether the command is about it; others change only when they must.
    pub(crate) chosen: bool,
    pub(crate) containers: Vec<ContainerFate<'a>>,
}

impl<'a> ServiceFate<'a> {
    /// Containers that are there in the end.
    pub(crate) fn lasting(&self) -> impl Iterator<Item = &ContainerFate<'a>> {
        self.containers
            .iter()
            .filter(|container| container.fate != Fate::Remove)
    }

    /// Whether a container of it takes the place of another.
    fn is_recreated(&self) -> bool {
        let fates = self.containers.iter().map(|container| container.fate);
        fates
            .into_iter()
            .any(|fate| matches!(fate, Fate::Recreate | Fate::Rebuild))
    }

    fn is_restarted(&self) -> bool {
        self.containers
            .iter()
            .any(|container| container.fate == Fate::Restart)
    }

    /// Whether its namespaces are new ones in the end.
    fn is_renewed(&self) -> bool {
        let begins = |container: &ContainerFate<'_>| {
            matches!(container.fate, Fate::Start | Fate::Restart | Fate::Create)
        };
        self.is_recreated()
            || (self.containers.iter().any(begins)
                && !self
                    .containers
                    .iter()
                    .any(|container| container.fate == Fate::Keep))
    }
}

/// Every service of the project, each after what it needs.
pub(crate) type Fates<'a> = IndexMap<ServiceName, ServiceFate<'a>>;

/// Decides for every service; `chosen` are those that the command is about.
pub(crate) fn decide<'a>(
    project: &'a Project,
    graph: &Graph,
    chosen: &dyn Fn(&ServiceName) -> bool,
    containers: &IndexMap<ServiceName, Vec<&'a ObservedContainer>>,
    resources: &Resources<'_>,
    images: &ImageIds,
    options: &UpOptions,
) -> Result<Fates<'a>, Error> {
    let judge = Judge {
        project,
        images,
        options,
    };
    let mut fates = Fates::new();
    for name in graph.order() {
        let Some(service) = project.services.get(name) else {
            continue;
        };
        let existing = containers.get(name).map(Vec::as_slice).unwrap_or_default();
        let mut fate = if chosen(name) {
            ServiceFate {
                service,
                chosen: true,
                containers: judge.chosen(service, existing)?,
            }
        } else {
            ServiceFate {
                service,
                chosen: false,
                containers: kept(existing),
            }
        };
        spread(&mut fate, &fates, resources, judge.policy(name));
        fates.insert(name.clone(), fate);
    }
    strangers(project, containers, resources, &mut fates);
    Ok(fates)
}

/// Services that only their containers know: disabled ones, and orphans that
/// stay. They change only where what they use is made anew.
fn strangers<'a>(
    project: &'a Project,
    containers: &IndexMap<ServiceName, Vec<&'a ObservedContainer>>,
    resources: &Resources<'_>,
    fates: &mut Fates<'a>,
) {
    let unknown = containers
        .iter()
        .filter(|(name, _)| !project.services.contains_key(*name));
    for (name, existing) in unknown {
        let Some(first) = existing.first() else {
            continue;
        };
        let service = &first.record.service;
        let mut fate = ServiceFate {
            service,
            chosen: false,
            containers: kept(existing),
        };
        spread(&mut fate, fates, resources, Recreate::Never);
        fates.insert(name.clone(), fate);
    }
}

/// Decides for `start`: containers that don't run are started, and nothing is
/// made or replaced.
pub(crate) fn revive<'a>(
    project: &'a Project,
    graph: &Graph,
    chosen: &IndexSet<ServiceName>,
    containers: &IndexMap<ServiceName, Vec<&'a ObservedContainer>>,
) -> Fates<'a> {
    let mut fates = Fates::new();
    for name in graph.order() {
        let Some(service) = project.services.get(name) else {
            continue;
        };
        let existing = containers.get(name).map(Vec::as_slice).unwrap_or_default();
        let mut fate = ServiceFate {
            service,
            chosen: chosen.contains(name),
            containers: kept(existing),
        };
        if fate.chosen {
            for container in fate
                .containers
                .iter_mut()
                .filter(|container| !container.is_running())
            {
                container.becomes(Fate::Start, Cause::NotRunning);
            }
        }
        spread(&mut fate, &fates, &Resources::default(), Recreate::Never);
        fates.insert(name.clone(), fate);
    }
    fates
}

/// Containers that stay as they are, for the time being.
fn kept<'a>(existing: &[&'a ObservedContainer]) -> Vec<ContainerFate<'a>> {
    let keep = |container: &&'a ObservedContainer| ContainerFate {
        replica: replica_of(container),
        name: container.record.name.clone(),
        existing: Some(container),
        fate: Fate::Keep,
        cause: Cause::Requested,
        auto_remove: false,
    };
    existing.iter().map(keep).collect()
}

/// The key of the named volume behind a mount.
pub(crate) fn volume_key(mount: &Mount) -> Option<&ResourceKey> {
    match mount {
        Mount::Volume(volume) => match &volume.source {
            VolumeSource::Named(key) => Some(key),
            VolumeSource::Anonymous => None,
        },
        Mount::Bind(_) | Mount::Tmpfs { .. } | Mount::Image { .. } => None,
    }
}

pub(crate) fn replica_of(container: &ObservedContainer) -> Replica {
    match (container.record.number, &container.record.slug) {
        (Some(number), _) => Replica::Number(number),
        (None, slug) => Replica::OneOff(slug.clone().unwrap_or_default()),
    }
}

/// Lets what happens to others reach a service's containers.
fn spread(
    fate: &mut ServiceFate<'_>,
    others: &Fates<'_>,
    resources: &Resources<'_>,
    policy: Recreate,
) {
    let (service, chosen) = (fate.service, fate.chosen);
    let restarted = |name: &ServiceName| {
        others
            .get(name)
            .is_some_and(|other| other.is_recreated() || other.is_restarted())
    };
    let asking = service
        .depends_on
        .iter()
        .find(|(name, how)| how.restart && restarted(name));
    for container in &mut fate.containers {
        let existing = container.existing;
        let sources = graph::sources(container.definition(service));
        let mounted = existing.and_then(|existing| resources.recreated_volume_of(existing));
        let wanted = service.mounts.iter().filter_map(volume_key);
        let wanted = wanted
            .filter(|_| chosen)
            .find(|key| resources.recreates_volume(key));
        if let Some(key) = mounted.or(wanted) {
            let to = if chosen { Fate::Rebuild } else { Fate::Restart };
            container.at_least(to, Cause::VolumeRecreated(key.clone()));
        }
        for (source, need) in sources {
            let Some(other) = others.get(&source) else {
                continue;
            };
            if other.is_recreated() && chosen && policy != Recreate::Never {
                container.at_least(Fate::Recreate, Cause::SourceRecreated(source));
            } else if need == Need::Namespace && other.is_renewed() {
                container.at_least(Fate::Restart, Cause::SourceRestarted(source));
            }
        }
        if let Some(key) = existing.and_then(|existing| resources.recreated_network_of(existing)) {
            container.at_least(Fate::Restart, Cause::NetworkRecreated(key.clone()));
        }
        if let Some((name, _)) = asking.filter(|_| chosen) {
            container.at_least(Fate::Restart, Cause::DependencyRestarted(name.clone()));
        }
    }
}
