//! What is to become of each container: decisions, not yet operations.
//!
//! A service's own containers are judged one by one first; then what happens
//! to a service spreads to those that share with it or ask to be restarted
//! with it.

use indexmap::{IndexMap, IndexSet};

use crate::graph::{self, Graph, Need};
use crate::model::{
    Attachment, ContainerName, ContainerState, ImageSource, Mount, ObservedContainer, Project,
    Resource, ResourceKey, Service, ServiceName, VolumeSource,
};
use crate::plan::cause::{Cause, Change, How};
use crate::plan::diff;
use crate::plan::error::Error;
use crate::plan::naming;
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

/// What judging one service's containers needs to know.
struct Judge<'a> {
    project: &'a Project,
    images: &'a ImageIds,
    options: &'a UpOptions,
}

impl<'p> Judge<'p> {
    fn policy(&self, name: &ServiceName) -> Recreate {
        if self.options.services.is_empty() || self.options.services.contains(name) {
            self.options.recreate
        } else {
            self.options.recreate_dependencies
        }
    }

    /// Containers of a service that the command is about.
    fn chosen<'a>(
        &self,
        service: &'p Service,
        existing: &[&'a ObservedContainer],
    ) -> Result<Vec<ContainerFate<'a>>, Error> {
        if matches!(service.image, ImageSource::Provider { .. }) {
            return Ok(Vec::new());
        }
        let scale = self
            .options
            .scale
            .get(&service.name)
            .copied()
            .unwrap_or(service.scale);
        if let Some(name) = service.container_name.as_ref().filter(|_| scale > 1) {
            return Err(Error::NamedService {
                service: service.name.clone(),
                name: name.to_string(),
            });
        }
        let mut fates = Vec::new();
        let (leftovers, mut replicas) = self.sort(service, existing);
        for container in leftovers {
            fates.push(self.fate(service, container, Fate::Remove, Cause::Interrupted)?);
        }
        replicas.sort_by_key(|(container, changes)| (!changes.is_empty(), container.record.number));
        let wanted = usize::try_from(scale).unwrap_or(usize::MAX);
        let last = replicas
            .iter()
            .filter_map(|(container, _)| container.record.number)
            .max();
        let missing = wanted.saturating_sub(replicas.len());
        for (position, (container, changes)) in replicas.into_iter().enumerate() {
            let (fate, cause) = if position >= wanted {
                (Fate::Remove, Cause::ScaledDown { to: scale })
            } else {
                self.verdict(service, container, changes)
            };
            fates.push(self.fate(service, container, fate, cause)?);
        }
        let first = last.unwrap_or(0).saturating_add(1);
        for number in (first..).take(missing) {
            let replica = Replica::Number(number);
            let name = naming::container(&self.project.name, service, &replica)?;
            fates.push(ContainerFate {
                replica,
                name,
                existing: None,
                fate: Fate::Create,
                cause: Cause::Missing,
                auto_remove: false,
            });
        }
        fates.sort_by(|one, other| one.replica.cmp(&other.replica));
        Ok(fates)
    }

    /// Tells half-made replacements, whose originals are still there, from
    /// real replicas, and says how far each of these is from the project.
    fn sort<'a>(
        &self,
        service: &Service,
        existing: &[&'a ObservedContainer],
    ) -> (
        Vec<&'a ObservedContainer>,
        Vec<(&'a ObservedContainer, Vec<Change>)>,
    ) {
        let is_leftover = |container: &ObservedContainer| {
            existing
                .iter()
                .any(|other| naming::replaces(&container.record.name, &other.record))
        };
        let (leftovers, replicas): (Vec<_>, Vec<_>) = existing
            .iter()
            .copied()
            .partition(|container| is_leftover(container));
        let judged = replicas
            .into_iter()
            .map(|container| (container, self.changes(service, container)));
        (leftovers, judged.collect())
    }

    fn verdict(
        &self,
        service: &Service,
        container: &ObservedContainer,
        changes: Vec<Change>,
    ) -> (Fate, Cause) {
        match self.policy(&service.name) {
            Recreate::Force => (Fate::Recreate, Cause::Forced),
            Recreate::Diverged if !changes.is_empty() => (Fate::Recreate, Cause::Changed(changes)),
            Recreate::Diverged | Recreate::Never => {
                if is_alive(&container.state) || self.options.no_start {
                    (Fate::Keep, Cause::Requested)
                } else {
                    (Fate::Start, Cause::NotRunning)
                }
            }
        }
    }

    fn fate<'a>(
        &self,
        service: &Service,
        container: &'a ObservedContainer,
        fate: Fate,
        cause: Cause,
    ) -> Result<ContainerFate<'a>, Error> {
        let replica = replica_of(container);
        let expected = naming::container(&self.project.name, service, &replica)?;
        let held = &container.record.name;
        // A name that only an interrupted recreation explains is put right;
        // any other is the user's business until something else changes.
        let rename = fate == Fate::Recreate
            || fate == Fate::Rebuild
            || naming::is_temporary(held, &expected);
        let name = if rename && fate != Fate::Remove {
            expected
        } else {
            held.clone()
        };
        Ok(ContainerFate {
            replica,
            name,
            existing: Some(container),
            fate,
            cause,
            auto_remove: false,
        })
    }

    /// How a container differs from what the project says.
    fn changes(&self, service: &Service, container: &ObservedContainer) -> Vec<Change> {
        let record = &container.record;
        let mut changes = diff::service(&record.service, service);
        if self
            .images
            .get(&service.name)
            .is_some_and(|id| *id != record.image_id)
        {
            changes.push(Change {
                attribute: "image id".to_owned(),
                how: How::Changed,
            });
        }
        for mount in &service.mounts {
            let Some(expected) = named_volume(self.project, mount) else {
                continue;
            };
            let target = mount.target().trim_end_matches('/');
            let recorded = record
                .mounts
                .iter()
                .find(|mount| mount.target.trim_end_matches('/') == target);
            if recorded.is_some_and(|mount| mount.volume.as_deref() != Some(expected)) {
                changes.push(Change {
                    attribute: format!("volumes.{target}"),
                    how: How::Changed,
                });
            }
        }
        changes.extend(self.missing_endpoints(service, container));
        changes.sort();
        changes.dedup_by(|one, other| one.attribute == other.attribute);
        changes
    }

    /// Networks that a running container should be on and isn't. What isn't
    /// known about it is taken as right.
    fn missing_endpoints(&self, service: &Service, container: &ObservedContainer) -> Vec<Change> {
        let (Attachment::Endpoints(wanted), true, Some(runtime)) = (
            &service.attachment,
            container.state.is_running(),
            &container.runtime,
        ) else {
            return Vec::new();
        };
        if runtime.endpoints.is_empty() {
            return Vec::new();
        }
        let is_missing = |key: &&ResourceKey| {
            let name = self
                .project
                .networks
                .get(*key)
                .map(|network| match network {
                    Resource::External { name } => name,
                    Resource::Managed(network) => &network.name,
                });
            name.is_some_and(|name| !runtime.endpoints.contains_key(name))
        };
        let missing = wanted.keys().filter(is_missing);
        missing
            .map(|key| Change {
                attribute: format!("networks.{key}"),
                how: How::Added,
            })
            .collect()
    }
}

/// The host's name of the named volume behind a mount.
pub(crate) fn named_volume<'a>(project: &'a Project, mount: &Mount) -> Option<&'a str> {
    let key = volume_key(mount)?;
    match project.volumes.get(key)? {
        Resource::External { name } => Some(name),
        Resource::Managed(volume) => Some(&volume.name),
    }
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
