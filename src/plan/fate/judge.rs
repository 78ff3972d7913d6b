//! One service's containers against the project: which stay, which are too
//! many, too few, or not what they should be.

use crate::model::{
    Attachment, ImageSource, Mount, ObservedContainer, Project, Resource, ResourceKey, Service,
    ServiceName,
};
use crate::plan::cause::{Cause, Change, How};
use crate::plan::diff;
use crate::plan::error::Error;
use crate::plan::fate::{ContainerFate, Fate, is_alive, replica_of, volume_key};
use crate::plan::naming;
use crate::plan::operation::Replica;
use crate::plan::options::{ImageIds, Recreate, UpOptions};

/// What judging one service's containers needs to know.
pub(super) struct Judge<'a> {
    pub(super) project: &'a Project,
    pub(super) images: &'a ImageIds,
    pub(super) options: &'a UpOptions,
}

impl<'p> Judge<'p> {
    /// When this service's containers are replaced.
    pub(super) fn policy(&self, name: &ServiceName) -> Recreate {
        if self.options.services.is_empty() || self.options.services.contains(name) {
            self.options.recreate
        } else {
            self.options.recreate_dependencies
        }
    }

    /// Containers of a service that the command is about.
    pub(super) fn chosen<'a>(
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
fn named_volume<'a>(project: &'a Project, mount: &Mount) -> Option<&'a str> {
    let key = volume_key(mount)?;
    match project.volumes.get(key)? {
        Resource::External { name } => Some(name),
        Resource::Managed(volume) => Some(&volume.name),
    }
}
