//! Making a container: folders, volumes and the record. Nothing runs yet.
//!
//! The record settles everything that a service and an image leave open, so
//! that a start needs neither the Compose file nor the image's config.

use std::io::ErrorKind::NotFound;
use std::path::PathBuf;

use indexmap::IndexMap;

use crate::image::Image;
use crate::model::{
    BindMount, ContainerId, ContainerName, ContainerRecord, FileSource, Intent, Mount, MountRecord,
    Project, Resource, ResourceKey, Resources, Service, Signal, VolumeMount, VolumeSource,
};
use crate::store::{self, Owner, ProjectStore, Root};
use crate::{oci, snapshot, sys, volume};

/// Docker's grace period.
const GRACE_PERIOD: std::time::Duration = std::time::Duration::from_secs(10);

/// Why a container could not be made. What was begun is undone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image and the service leave nothing to run.
    #[error("service {service}")]
    Image {
        /// The service.
        service: String,
        /// What is wrong.
        #[source]
        source: oci::Error,
    },
    /// A stop signal that isn't one.
    #[error("stop_signal of service {service}")]
    StopSignal {
        /// The service.
        service: String,
        /// The text.
        #[source]
        source: crate::model::InvalidSignal,
    },
    /// A working folder that the user wrote and that isn't absolute.
    #[error("the working directory '{path}' is invalid, it needs to be an absolute path")]
    WorkingDir {
        /// As written.
        path: String,
    },
    /// A bind source that isn't there and may not, or can't, be made.
    #[error("bind {path}")]
    Bind {
        /// The path on the host.
        path: PathBuf,
        /// Why.
        #[source]
        source: volume::Error,
    },
    /// A volume that the project doesn't declare.
    #[error("service {service} uses volume {key}, which is not declared")]
    UndeclaredVolume {
        /// The service.
        service: String,
        /// The key.
        key: ResourceKey,
    },
    /// A volume that can't be made or filled.
    #[error("volume {name}")]
    Volume {
        /// Its name on the host.
        name: String,
        /// Why.
        #[source]
        source: volume::Error,
    },
    /// `volumes_from` names something that has no container.
    #[error("volumes_from of service {service}: no container of {source_name}")]
    VolumesFrom {
        /// The service.
        service: String,
        /// What was named.
        source_name: String,
    },
    /// The name is another container's.
    #[error("the container name {name:?} is already in use")]
    NameTaken {
        /// The name.
        name: String,
        /// By whom.
        #[source]
        source: store::Error,
    },
    /// The container's own layer can't be made.
    #[error("file system of container {name}")]
    Snapshot {
        /// The container's name.
        name: String,
        /// Why.
        #[source]
        source: snapshot::Error,
    },
    /// Records can't be written.
    #[error("write the records of container {name}")]
    Store {
        /// The container's name.
        name: String,
        /// Why.
        #[source]
        source: store::Error,
    },
    /// A memory limit that not even the start of a program fits in.
    #[error("minimum memory limit allowed is 6MB")]
    LittleMemory,
    /// The file of a secret or config isn't there.
    #[error("{what} {key}: bind source path does not exist: {}", path.display())]
    NoFile {
        /// `secret` or `config`.
        what: &'static str,
        /// Its key.
        key: ResourceKey,
        /// Its file on the host.
        path: PathBuf,
    },
    /// No randomness for a volume's name.
    #[error("name an anonymous volume")]
    Random(#[source] std::io::Error),
}

/// What a container is made from.
#[derive(Debug)]
pub struct Creation<'a> {
    /// The project.
    pub project: &'a Project,
    /// The service.
    pub service: &'a Service,
    /// The image.
    pub image: &'a Image,
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// Its number; None for one-off containers.
    pub number: Option<u32>,
    /// Random id of a one-off container.
    pub slug: Option<String>,
    /// Whether it goes away by itself at its end.
    pub auto_remove: bool,
    /// Whether a one-off container is called by its service's name too.
    pub use_aliases: bool,
    /// The container whose anonymous volumes it takes over.
    pub predecessor: Option<&'a ContainerRecord>,
    /// Containers for `volumes_from`, by what names them there.
    pub volume_sources: Vec<(String, &'a ContainerRecord)>,
}

/// Makes the container.
///
/// # Errors
/// [`Error`]; no record, claim, folder or fresh anonymous volume is left then.
pub fn create(
    root: &Root,
    store: &ProjectStore,
    creation: &Creation<'_>,
) -> Result<ContainerRecord, Error> {
    check(creation)?;
    let claims = store::Claims::new(root.names_dir());
    let owner = Owner {
        project: creation.project.name.clone(),
        container: creation.id.clone(),
        names: Vec::new(),
    };
    claim_name(root, store, &claims, creation.name.as_str(), &owner)?;
    let mut made = Vec::new();
    let result = mounts(root, creation, &mut made)
        .and_then(|mounts| record(creation, mounts))
        .and_then(|record| {
            keep(root, store, &record, &creation.image.layers)?;
            Ok(record)
        });
    if result.is_err() {
        // The first failure is what the user needs; leftovers are swept by `gc`.
        for name in made {
            let _ = volume::remove(root, &name);
        }
        let _ = std::fs::remove_dir_all(store.container_dir(&creation.id));
        let _ = claims.release(creation.name.as_str(), &creation.id);
    }
    result
}

/// Refuses what could never start, before anything that it is to replace is
/// stopped.
fn check(creation: &Creation<'_>) -> Result<(), Error> {
    let (project, service) = (creation.project, creation.service);
    let memory = service.resources.memory_bytes;
    if memory.is_some_and(|bytes| bytes < Resources::MEMORY_BYTES_MIN) {
        return Err(Error::LittleMemory);
    }
    for (what, mounts, resources) in [
        ("secret", &service.secrets, &project.secrets),
        ("config", &service.configs, &project.configs),
    ] {
        for mount in mounts {
            let Some(Resource::Managed(resource)) = resources.get(&mount.source) else {
                continue;
            };
            if let FileSource::File(path) = &resource.source
                && std::fs::metadata(path).is_err_and(|error| error.kind() == NotFound)
            {
                return Err(Error::NoFile {
                    what,
                    key: mount.source.clone(),
                    path: path.clone(),
                });
            }
        }
    }
    Ok(())
}

/// Claims a container's name and makes its folder. The folder comes first: a
/// claim whose owner has none is void, and would be somebody else's for the
/// taking until the container is made.
fn claim_name(
    root: &Root,
    store: &ProjectStore,
    claims: &store::Claims,
    name: &str,
    owner: &Owner,
) -> Result<(), Error> {
    let folder = store.container_dir(&owner.container);
    store::make_private_dir(&folder).map_err(|source| Error::Store {
        name: name.to_owned(),
        source,
    })?;
    let taken = claims.take(name, owner, &|owner| is_void(root, owner));
    taken.map_err(|source| {
        // It is empty yet; what stays of it is swept by `gc`.
        let _ = std::fs::remove_dir(&folder);
        Error::NameTaken {
            name: name.to_owned(),
            source,
        }
    })
}

/// Whether a claim's owner is gone: its container has no folder.
#[must_use]
pub fn is_void(root: &Root, owner: &Owner) -> bool {
    !root
        .project(&owner.project)
        .container_dir(&owner.container)
        .exists()
}

/// Writes the folders and, last, the record: a folder without a record is a
/// creation that was cut off.
fn keep(
    root: &Root,
    store: &ProjectStore,
    record: &ContainerRecord,
    layers: &[oci::Digest],
) -> Result<(), Error> {
    let layered = |source| Error::Snapshot {
        name: record.name.to_string(),
        source,
    };
    let failed = |source| Error::Store {
        name: record.name.to_string(),
        source,
    };
    let lowers = snapshot::lowers(root, layers).map_err(layered)?;
    snapshot::prepare(&store.container_dir(&record.id), &lowers).map_err(layered)?;
    store.write_container(record).map_err(failed)
}

fn record(creation: &Creation<'_>, mounts: Vec<MountRecord>) -> Result<ContainerRecord, Error> {
    let (service, image) = (creation.service, creation.image);
    let process = &service.process;
    let config = &image.config;
    let argv = config
        .argv(process.entrypoint.as_deref(), process.command.as_deref())
        .map_err(|source| Error::Image {
            service: service.name.to_string(),
            source,
        })?;
    let stop_signal = config
        .stop_signal(process.stop_signal.as_deref())
        .map_or(Ok(Signal::TERM), str::parse)
        .map_err(|source| Error::StopSignal {
            service: service.name.to_string(),
            source,
        })?;
    if let Some(path) = process.working_dir.as_deref()
        && !path.is_empty()
        && !path.starts_with('/')
    {
        let path = path.to_owned();
        return Err(Error::WorkingDir { path });
    }
    let mut probe = config.probe(service.health.as_ref());
    if let Some(probe) = &mut probe {
        settle_shell(probe, &config.shell());
    }
    Ok(ContainerRecord {
        id: creation.id.clone(),
        name: creation.name.clone(),
        project: creation.project.name.clone(),
        service: service.clone(),
        number: creation.number,
        slug: creation.slug.clone(),
        created_at: sys::time::now(),
        image_id: image.id.to_string(),
        layers: image.layers.iter().map(ToString::to_string).collect(),
        argv,
        env: environment(creation),
        cwd: config.working_dir(process.working_dir.as_deref()),
        user: config.user(process.user.as_deref()),
        labels: labels(creation),
        exposed: exposed(creation),
        probe,
        stop_signal: stop_signal.number(),
        stop_grace_period: process.stop_grace_period.unwrap_or(GRACE_PERIOD),
        mounts,
        intent: Intent::Created,
        auto_remove: creation.auto_remove,
        updates: None,
        use_aliases: creation.use_aliases,
    })
}

/// A `CMD-SHELL` probe becomes the image's shell and its text.
fn settle_shell(probe: &mut crate::model::HealthProbe, shell: &[String]) {
    use crate::model::ProbeCommand;
    if let ProbeCommand::Shell(text) = &probe.command {
        let argv = shell.iter().cloned().chain([text.clone()]).collect();
        probe.command = ProbeCommand::Exec(argv);
    }
}

/// The image's and the service's, and HOSTNAME as Docker sets it.
fn environment(creation: &Creation<'_>) -> Vec<(String, String)> {
    let mut env = creation
        .image
        .config
        .environment(&creation.service.process.environment);
    // In Docker's order: behind PATH, before all that images and users say.
    let mut place = usize::from(env.first().is_some_and(|(name, _)| name == "PATH"));
    let mut add = |key: &str, value: &str| {
        if !env.iter().any(|(name, _)| name == key) {
            env.insert(place, (key.to_owned(), value.to_owned()));
            place += 1;
        }
    };
    let hostname = creation
        .service
        .hostname
        .as_deref()
        .unwrap_or_else(|| creation.id.short());
    add("HOSTNAME", hostname);
    env
}

/// The image's labels, the user's over them, Compose's over both.
fn labels(creation: &Creation<'_>) -> IndexMap<String, String> {
    let (project, service) = (creation.project, creation.service);
    let mut labels = creation.image.config.run.labels.clone();
    labels.extend(service.labels.clone());
    let paths = |paths: &[PathBuf]| {
        paths
            .iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(",")
    };
    let depends_on: Vec<String> = service
        .depends_on
        .iter()
        .map(|(name, on)| format!("{name}:{}:{}", on.condition.as_str(), on.restart))
        .collect();
    let mut set = |key: &str, value: String| {
        labels.insert(format!("com.docker.compose.{key}"), value);
    };
    set("config-hash", service.config_hash.clone());
    match (creation.number, &creation.slug) {
        (Some(number), _) => set("container-number", number.to_string()),
        (None, Some(slug)) => set("slug", slug.clone()),
        (None, None) => {}
    }
    set("depends_on", depends_on.join(","));
    set("image", creation.image.id.to_string());
    set(
        "oneoff",
        if creation.number.is_some() {
            "False"
        } else {
            "True"
        }
        .to_owned(),
    );
    set("project", project.name.to_string());
    set("project.config_files", paths(&project.config_files));
    set(
        "project.working_dir",
        project.working_dir.display().to_string(),
    );
    if !project.environment_files.is_empty() {
        set(
            "project.environment_file",
            paths(&project.environment_files),
        );
    }
    set("service", service.name.to_string());
    set("version", env!("CARGO_PKG_VERSION").to_owned());
    labels
}

/// Ports of the image and the file, as `80/tcp`, each once.
fn exposed(creation: &Creation<'_>) -> Vec<String> {
    let with_protocol = |port: &String| {
        if port.contains('/') {
            port.clone()
        } else {
            format!("{port}/tcp")
        }
    };
    let published = creation
        .service
        .ports
        .iter()
        .map(|port| format!("{}/{}", port.container_port, port.protocol.as_str()));
    let declared = creation
        .image
        .config
        .run
        .exposed_ports
        .iter()
        .chain(&creation.service.expose);
    let mut ports: Vec<String> = declared.map(with_protocol).chain(published).collect();
    ports.sort();
    ports.dedup();
    ports
}

/// Settles every mount; names of fresh anonymous volumes go to `made`.
fn mounts(
    root: &Root,
    creation: &Creation<'_>,
    made: &mut Vec<String>,
) -> Result<Vec<MountRecord>, Error> {
    let mut records = Vec::new();
    for (name, source) in &creation.volume_sources {
        let read_only = name.ends_with(":ro");
        for mount in source.mounts.iter().filter(|mount| mount.source.is_some()) {
            let mut mount = mount.clone();
            mount.read_only |= read_only;
            // The volumes stay the other container's to remove.
            mount.anonymous = false;
            records.push(mount);
        }
    }
    for mount in &creation.service.mounts {
        let record = match mount {
            Mount::Bind(bind) => bind_record(bind)?,
            Mount::Volume(volume) => volume_record(root, creation, volume, made)?,
            Mount::Tmpfs { target, .. } => plain_record("tmpfs", target),
            Mount::Image { target, .. } => plain_record("image", target),
        };
        records.retain(|earlier: &MountRecord| earlier.target != record.target);
        records.push(record);
    }
    for target in &creation.image.config.run.volumes {
        if !records.iter().any(|record| record.target == *target) {
            let of_image = VolumeMount {
                source: VolumeSource::Anonymous,
                target: target.clone(),
                read_only: false,
                no_copy: false,
                subpath: None,
                labels: IndexMap::new(),
            };
            records.push(anonymous(root, creation, &of_image, made)?);
        }
    }
    Ok(records)
}

fn plain_record(kind: &str, target: &str) -> MountRecord {
    MountRecord {
        kind: kind.to_owned(),
        volume: None,
        anonymous: false,
        source: None,
        target: target.to_owned(),
        read_only: kind == "image",
    }
}

fn bind_record(bind: &BindMount) -> Result<MountRecord, Error> {
    let path = &bind.source;
    volume::ensure_bind_source(path, bind.create_host_path).map_err(|source| Error::Bind {
        path: path.clone(),
        source,
    })?;
    Ok(MountRecord {
        kind: "bind".to_owned(),
        volume: None,
        anonymous: false,
        source: Some(path.clone()),
        target: bind.target.clone(),
        read_only: bind.read_only,
    })
}

fn volume_record(
    root: &Root,
    creation: &Creation<'_>,
    mount: &VolumeMount,
    made: &mut Vec<String>,
) -> Result<MountRecord, Error> {
    let VolumeSource::Named(key) = &mount.source else {
        let mut record = anonymous(root, creation, mount, made)?;
        record.read_only = mount.read_only;
        return Ok(record);
    };
    let name = match creation.project.volumes.get(key) {
        Some(Resource::External { name }) => name,
        Some(Resource::Managed(volume)) => &volume.name,
        None => {
            return Err(Error::UndeclaredVolume {
                service: creation.service.name.to_string(),
                key: key.clone(),
            });
        }
    };
    let source = fill(root, creation, name, &mount.target, mount.no_copy)?;
    Ok(MountRecord {
        kind: "volume".to_owned(),
        volume: Some(name.clone()),
        anonymous: false,
        source: Some(source),
        target: mount.target.clone(),
        read_only: mount.read_only,
    })
}

/// A volume of this container alone: its predecessor's at the same place, or a fresh one.
fn anonymous(
    root: &Root,
    creation: &Creation<'_>,
    wanted: &VolumeMount,
    made: &mut Vec<String>,
) -> Result<MountRecord, Error> {
    let target = &wanted.target;
    let inherited = creation.predecessor.and_then(|record| {
        record
            .mounts
            .iter()
            .find(|mount| mount.anonymous && mount.target == *target)
    });
    if let Some(mount) = inherited {
        return Ok(mount.clone());
    }
    let random = sys::random::bytes32().map_err(Error::Random)?;
    let name = ContainerId::from_random(random).to_string();
    let project = creation.project.name.as_str();
    volume::create_anonymous(root, &name, project, &wanted.labels).map_err(|source| {
        Error::Volume {
            name: name.clone(),
            source,
        }
    })?;
    made.push(name.clone());
    let source = fill(root, creation, &name, target, wanted.no_copy)?;
    Ok(MountRecord {
        kind: "volume".to_owned(),
        volume: Some(name),
        anonymous: true,
        source: Some(source),
        target: target.clone(),
        read_only: false,
    })
}

/// Gives the volume's folder, after it took the image's content if it is fresh.
fn fill(
    root: &Root,
    creation: &Creation<'_>,
    name: &str,
    target: &str,
    no_copy: bool,
) -> Result<PathBuf, Error> {
    let failed = |source| Error::Volume {
        name: name.to_owned(),
        source,
    };
    if !no_copy {
        let lowers =
            snapshot::lowers(root, &creation.image.layers).map_err(|source| Error::Snapshot {
                name: creation.name.to_string(),
                source,
            })?;
        volume::copy_up(root, name, &lowers, target).map_err(failed)?;
    }
    volume::data_dir(root, name).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_while_its_container_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("s"), &dir.path().join("r")).unwrap();
        let claims = store::Claims::new(root.names_dir());
        let claim = |project: &str| {
            let owner = Owner {
                project: project.parse().unwrap(),
                container: ContainerId::from_random([project.as_bytes()[0]; 32]),
                names: Vec::new(),
            };
            let store = root.project(&owner.project);
            claim_name(&root, &store, &claims, "db", &owner)?;
            Ok::<PathBuf, Error>(store.container_dir(&owner.container))
        };
        let made = claim("one").unwrap();
        let refused = claim("two").unwrap_err();
        assert!(matches!(refused, Error::NameTaken { .. }), "{refused}");
        let two = root.project(&"two".parse().unwrap());
        assert_eq!(two.container_ids().unwrap(), [], "nothing is left of it");
        std::fs::remove_dir(made).unwrap();
        claim("two").unwrap();
    }
}
