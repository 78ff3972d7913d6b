//! The world as one snapshot, read from records and the kernel.
//!
//! Needs no supervisor: `ps`, `ls` and `--dry-run` call it directly. What it
//! can't read it reports beside the snapshot instead of failing.

use std::collections::HashSet;

use crate::model::{
    ContainerRecord, ContainerRuntime, ContainerState, ExitRecord, Intent, Observed,
    ObservedContainer, ObservedNetwork, Outcome, Project, ProjectName, Resource, RestartPolicy,
};
use crate::store::{self, NetworkRecord, NetworkStore, Root};
use crate::{sys, volume};

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store can't be listed.
    #[error("read the records of project {project}")]
    Store {
        /// The project.
        project: ProjectName,
        /// Why.
        #[source]
        source: store::Error,
    },
    /// Volumes can't be listed.
    #[error("read the volumes")]
    Volumes(#[source] volume::Error),
}

/// A snapshot and what could not be read for it.
#[derive(Debug)]
pub struct Observation {
    /// The snapshot.
    pub observed: Observed,
    /// Records that are damaged, in words.
    pub damaged: Vec<String>,
}

/// Takes a snapshot of what exists for a project: everything that it owns,
/// and the networks and volumes that `desired` names.
///
/// # Errors
/// When the store can't be listed at all.
pub fn observe(
    root: &Root,
    name: &ProjectName,
    desired: Option<&Project>,
) -> Result<Observation, Error> {
    let failed = |source| Error::Store {
        project: name.clone(),
        source,
    };
    let project = root.project(name);
    let store::project::Containers {
        records,
        damaged: unreadable,
    } = project.containers().map_err(failed)?;
    let mut damaged: Vec<String> = unreadable
        .iter()
        .map(|(id, error)| format!("container {}: {error}", id.short()))
        .collect();
    let containers = records
        .into_iter()
        .map(|record| {
            let runtime = project.runtime(&record.id);
            let exit = project.exit(&record.id);
            let state = state(&record, runtime.as_ref(), exit.as_ref(), &|| {
                project.has_pair()
            });
            ObservedContainer {
                record,
                state,
                runtime,
            }
        })
        .collect();
    let networks = NetworkStore::new(root).list().map_err(failed)?;
    let wanted = Names::of(desired);
    let mut healable = Vec::new();
    for (network, error) in networks.damaged {
        match desired.and_then(|desired| declared(desired, name, &network)) {
            Some(declared) => healable.push(declared),
            None if wanted.networks.contains(&network) => damaged.push(error.to_string()),
            // Another project's, or nobody's: `gc` finds those.
            None => {}
        }
    }
    let volumes = volume::list(root).map_err(Error::Volumes)?;
    Ok(Observation {
        observed: Observed {
            containers,
            networks: networks
                .records
                .into_iter()
                .filter(|network| {
                    owned(network.owner.as_ref(), name) || wanted.networks.contains(&network.name)
                })
                .map(observed_network)
                .chain(healable)
                .collect(),
            volumes: volumes
                .into_iter()
                .filter(|volume| {
                    owned(volume.owner.as_ref(), name) || wanted.volumes.contains(&volume.name)
                })
                .collect(),
        },
        damaged,
    })
}

fn owned(owner: Option<&(String, String)>, name: &ProjectName) -> bool {
    owner.is_some_and(|(project, _)| project == name.as_str())
}

/// A network whose record can't be read, as the project declares it: the first
/// container that joins it makes it again, and `down` removes it by its name.
fn declared(project: &Project, owner: &ProjectName, name: &str) -> Option<ObservedNetwork> {
    project
        .networks
        .iter()
        .find_map(|(key, network)| match network {
            Resource::Managed(network) if network.name == name => Some(ObservedNetwork {
                name: name.to_owned(),
                owner: Some((owner.to_string(), key.to_string())),
                applied: network.clone(),
                subnets: Vec::new(),
                created_at: sys::time::now(),
            }),
            Resource::Managed(_) | Resource::External { .. } => None,
        })
}

fn observed_network(record: NetworkRecord) -> ObservedNetwork {
    ObservedNetwork {
        name: record.name,
        owner: record.owner,
        applied: record.applied,
        subnets: record
            .pools
            .iter()
            .map(|pool| pool.subnet.to_string())
            .collect(),
        created_at: record.created_at,
    }
}

/// Names on the host that a project refers to.
#[derive(Debug, Default)]
struct Names {
    networks: HashSet<String>,
    volumes: HashSet<String>,
}

impl Names {
    fn of(project: Option<&Project>) -> Self {
        let Some(project) = project else {
            return Self::default();
        };
        Self {
            networks: project
                .networks
                .values()
                .map(|network| match network {
                    Resource::External { name } => name.clone(),
                    Resource::Managed(network) => network.name.clone(),
                })
                .collect(),
            volumes: project
                .volumes
                .values()
                .map(|volume| match volume {
                    Resource::External { name } => name.clone(),
                    Resource::Managed(volume) => volume.name.clone(),
                })
                .collect(),
        }
    }
}

/// What a container is doing, from its records and the kernel's word on its process.
#[must_use]
pub fn state(
    record: &ContainerRecord,
    runtime: Option<&ContainerRuntime>,
    exit: Option<&ExitRecord>,
    has_pair: &dyn Fn() -> bool,
) -> ContainerState {
    let Some(runtime) = runtime else {
        return match (exit, record.intent) {
            (Some(exit), _) => ContainerState::Exited {
                outcome: exit.outcome,
                at: exit.at,
            },
            (None, Intent::Created) => ContainerState::Created,
            // It is being started for the first time.
            (None, Intent::Running | Intent::Stopped) if is_of_this_boot(record) => {
                ContainerState::Created
            }
            // It ran in an earlier boot and nobody saw its end.
            (None, Intent::Running | Intent::Stopped) => ContainerState::Exited {
                outcome: Outcome::Unknown,
                at: record.created_at,
            },
        };
    };
    let is_told = exit.is_some_and(|exit| exit.spawn == runtime.spawn);
    let may_restart = record.intent == Intent::Running
        && record.restart() != RestartPolicy::No
        && !record.auto_remove;
    // One that has just ended counts as running until its end is written down,
    // and until it is known whether that was its last, as long as there is
    // somebody to write it.
    if let Some(process) = &runtime.process
        && (sys::process::is_alive(process) || ((!is_told || may_restart) && has_pair()))
    {
        let (process, since) = (process.clone(), runtime.started_at);
        return if runtime.paused {
            ContainerState::Paused { process, since }
        } else {
            ContainerState::Running { process, since }
        };
    }
    let (outcome, at) = match exit {
        Some(exit) if exit.spawn == runtime.spawn => (exit.outcome, exit.at),
        Some(_) | None => (Outcome::Unknown, runtime.started_at),
    };
    if runtime.restarting_until.is_some() {
        ContainerState::Restarting { outcome, at }
    } else {
        ContainerState::Exited { outcome, at }
    }
}
/// Whether a container was made since the machine was started.
fn is_of_this_boot(record: &ContainerRecord) -> bool {
    let boot = sys::time::now().checked_sub(sys::time::since_boot());
    boot.is_ok_and(|boot| record.created_at >= boot)
}
