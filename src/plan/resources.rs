//! What is to become of the networks and volumes that a command needs.

use std::collections::BTreeSet;

use indexmap::{IndexMap, IndexSet};

use crate::model::{
    Attachment, Observed, ObservedContainer, Project, Resource, ResourceKey, Service, ServiceName,
};
use crate::plan::cause::{Cause, Change};
use crate::plan::dag::{Confirmation, Plan};
use crate::plan::diff;
use crate::plan::error::Error;
use crate::plan::fate::volume_key;
use crate::plan::options::UpOptions;

/// A network or volume that has to be made.
#[derive(Debug)]
pub(crate) struct Making<'a> {
    pub(crate) name: &'a str,
    /// Whether one of this name goes first.
    pub(crate) again: bool,
    pub(crate) cause: Cause,
}

/// Networks and volumes that have to be made; all others stay.
#[derive(Debug, Default)]
pub(crate) struct Resources<'a> {
    pub(crate) networks: IndexMap<&'a ResourceKey, Making<'a>>,
    pub(crate) volumes: IndexMap<&'a ResourceKey, Making<'a>>,
}

impl Resources<'_> {
    /// A network that is made anew and that a container is on.
    pub(crate) fn recreated_network_of(
        &self,
        container: &ObservedContainer,
    ) -> Option<&ResourceKey> {
        let again = self.networks.iter().filter(|(_, making)| making.again);
        let mut used = again.filter(|(key, making)| is_attached(container, key, making.name));
        used.next().map(|(key, _)| *key)
    }

    /// A volume that is made anew and that a container mounts.
    pub(crate) fn recreated_volume_of(
        &self,
        container: &ObservedContainer,
    ) -> Option<&ResourceKey> {
        let again = self.volumes.iter().filter(|(_, making)| making.again);
        let mut used = again.filter(|(_, making)| mounts(container, making.name));
        used.next().map(|(key, _)| *key)
    }

    pub(crate) fn recreates_volume(&self, key: &ResourceKey) -> bool {
        self.volumes.get(key).is_some_and(|making| making.again)
    }
}

/// Decides for what the chosen services use; warnings and questions go into
/// the plan.
pub(crate) fn decide<'a>(
    project: &'a Project,
    chosen: &IndexSet<ServiceName>,
    observed: &Observed,
    options: &UpOptions,
    plan: &mut Plan,
) -> Result<Resources<'a>, Error> {
    let services = || chosen.iter().filter_map(|name| project.services.get(name));
    let mut networks: BTreeSet<&ResourceKey> = BTreeSet::new();
    let mut volumes: BTreeSet<&ResourceKey> = BTreeSet::new();
    for service in services() {
        networks.extend(declared(
            service,
            "network",
            network_keys(service),
            &project.networks,
        )?);
        volumes.extend(declared(
            service,
            "volume",
            service.mounts.iter().filter_map(volume_key),
            &project.volumes,
        )?);
    }
    let mut found = Resources::default();
    for (key, network) in &project.networks {
        if !(options.all_resources || networks.contains(key)) {
            continue;
        }
        if let Some(making) = self::network(project, key, network, observed, plan)? {
            found.networks.insert(key, making);
        }
    }
    for (key, volume) in &project.volumes {
        if !(options.all_resources || volumes.contains(key)) {
            continue;
        }
        if let Some(making) = self::volume(project, key, volume, observed, options, plan)? {
            found.volumes.insert(key, making);
        }
    }
    Ok(found)
}

/// Whether a container is on a network: by its endpoints where they are known,
/// else by the service that it was made from.
pub(crate) fn is_attached(container: &ObservedContainer, key: &ResourceKey, name: &str) -> bool {
    match &container.runtime {
        Some(runtime) if !runtime.endpoints.is_empty() => runtime.endpoints.contains_key(name),
        Some(_) | None => network_keys(&container.record.service).any(|used| used == key),
    }
}

/// Whether a container mounts a volume.
pub(crate) fn mounts(container: &ObservedContainer, name: &str) -> bool {
    container
        .record
        .mounts
        .iter()
        .any(|mount| mount.volume.as_deref() == Some(name))
}

/// The networks that a service has endpoints on.
pub(crate) fn network_keys(service: &Service) -> impl Iterator<Item = &ResourceKey> {
    let endpoints = match &service.attachment {
        Attachment::Endpoints(endpoints) => Some(endpoints),
        Attachment::None | Attachment::Host | Attachment::Service(_) | Attachment::Container(_) => {
            None
        }
    };
    endpoints.into_iter().flat_map(IndexMap::keys)
}

fn declared<'a, T>(
    service: &Service,
    kind: &'static str,
    keys: impl Iterator<Item = &'a ResourceKey>,
    all: &IndexMap<ResourceKey, T>,
) -> Result<Vec<&'a ResourceKey>, Error> {
    let undeclared = |key: &ResourceKey| Error::Undeclared {
        service: service.name.clone(),
        kind,
        key: key.to_string(),
    };
    keys.map(|key| {
        if all.contains_key(key) {
            Ok(key)
        } else {
            Err(undeclared(key))
        }
    })
    .collect()
}

fn network<'a>(
    project: &Project,
    key: &ResourceKey,
    desired: &'a Resource<crate::model::Network>,
    observed: &Observed,
    plan: &mut Plan,
) -> Result<Option<Making<'a>>, Error> {
    let find = |name: &str| {
        observed
            .networks
            .iter()
            .find(|network| network.name == name)
    };
    let desired = match desired {
        Resource::External { name } => {
            if find(name).is_none() {
                return Err(Error::ExternalNetwork { name: name.clone() });
            }
            return Ok(None);
        }
        Resource::Managed(network) => network,
    };
    let name = desired.name.as_str();
    let Some(existing) = find(name) else {
        return Ok(Some(missing(name)));
    };
    if !is_ours(existing.owner.as_ref(), project, key) {
        plan.warn(format!(
            "a network with name {name} exists but was not created for project {:?}.\nSet `external: true` to use an existing network",
            project.name.as_str()
        ));
        return Ok(None);
    }
    Ok(changed(name, diff::network(&existing.applied, desired)))
}

fn volume<'a>(
    project: &Project,
    key: &ResourceKey,
    desired: &'a Resource<crate::model::Volume>,
    observed: &Observed,
    options: &UpOptions,
    plan: &mut Plan,
) -> Result<Option<Making<'a>>, Error> {
    let find = |name: &str| observed.volumes.iter().find(|volume| volume.name == name);
    let desired = match desired {
        Resource::External { name } => {
            return match find(name) {
                Some(_) => Ok(None),
                None => Err(Error::ExternalVolume { name: name.clone() }),
            };
        }
        Resource::Managed(volume) => volume,
    };
    let name = desired.name.as_str();
    let Some(existing) = find(name) else {
        return Ok(Some(missing(name)));
    };
    if !is_ours(existing.owner.as_ref(), project, key) {
        let made = existing.owner.as_ref().map_or_else(
            || format!("was not created for project {:?}", project.name.as_str()),
            |(owner, _)| {
                format!(
                    "was created for project {owner:?} (expected {:?})",
                    project.name.as_str()
                )
            },
        );
        plan.warn(format!(
            "volume {name:?} already exists but {made}. Use `external: true` to use an existing volume"
        ));
        return Ok(None);
    }
    let Some(applied) = &existing.applied else {
        return Ok(None);
    };
    let Some(making) = changed(name, diff::volume(applied, desired)) else {
        return Ok(None);
    };
    let question = Confirmation::RecreateVolume {
        name: name.to_owned(),
    };
    if options.assume_yes || options.confirmed.contains(&question) {
        return Ok(Some(making));
    }
    plan.ask(question);
    Ok(None)
}

fn is_ours(owner: Option<&(String, String)>, project: &Project, key: &ResourceKey) -> bool {
    owner.is_some_and(|(name, owned)| name == project.name.as_str() && owned == key.as_str())
}

fn missing(name: &str) -> Making<'_> {
    Making {
        name,
        again: false,
        cause: Cause::Missing,
    }
}

fn changed(name: &str, changes: Vec<Change>) -> Option<Making<'_>> {
    (!changes.is_empty()).then_some(Making {
        name,
        again: true,
        cause: Cause::Changed(changes),
    })
}
