//! What crashes leave on the host, found and removed.
//!
//! A supervisor heals its own project when it is started again; here is what
//! has no project any more, or belongs to one that nobody will start. Whatever
//! is younger than `SETTLED` may be somebody's work under way and is left
//! alone. What the user owns (volumes, images, containers with a record) is
//! never touched.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::engine::create::is_void;
use crate::engine::networks;
use crate::model::{ProjectName, Resource};
use crate::runtime::cgroup;
use crate::store::{self, Claims, NetworkStore, Root};
use crate::sys::cgroup::Hierarchies;
use crate::{network, snapshot, sys};

/// Files and folders that were just made may be in use before their owner has
/// told whose they are.
const SETTLED: Duration = Duration::from_secs(60);

/// A retired bridge is removed by its supervisor within this time.
const REMOVAL: Duration = Duration::from_secs(1);

/// Why the host can't be searched, or something can't be removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Records can't be listed or removed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The kernel's networks can't be listed or removed.
    #[error("networks of this engine")]
    Network(#[source] network::Error),
    /// A network can't be removed.
    #[error(transparent)]
    Remove(#[from] networks::Error),
    /// A container's files can't be removed.
    #[error("files of container {id}")]
    Snapshot {
        /// The container's id, cut.
        id: String,
        /// Why.
        #[source]
        source: snapshot::Error,
    },
    /// A control group can't be removed.
    #[error("control group {path}")]
    Cgroup {
        /// The group.
        path: String,
        /// Why.
        #[source]
        source: cgroup::Error,
    },
    /// A folder can't be removed.
    #[error("remove {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Something that nobody needs any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leftover {
    /// The files of a container whose making or removal was cut off.
    ContainerFiles(PathBuf),
    /// A project's folder without anything in it.
    ProjectFolder(ProjectName),
    /// A network whose project is gone, by name.
    Network(String),
    /// A bridge that no network has, by link name.
    Bridge(String),
    /// A firewall table whose project is gone.
    FirewallTable(String),
    /// An empty control group whose project is gone.
    ControlGroup(String),
    /// A container name whose owner is gone.
    Name(String),
    /// An address whose owner is gone: network and address.
    Address(String, String),
    /// A folder of sockets and locks whose project is gone.
    RunFolder(PathBuf),
}

impl fmt::Display for Leftover {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContainerFiles(path) => write!(out, "container files {}", path.display()),
            Self::ProjectFolder(name) => write!(out, "empty project {name}"),
            Self::Network(name) => write!(out, "network {name}"),
            Self::Bridge(name) => write!(out, "bridge {name}"),
            Self::FirewallTable(name) => write!(out, "firewall table {name}"),
            Self::ControlGroup(path) => write!(out, "control group {path}"),
            Self::Name(name) => write!(out, "claim on container name {name}"),
            Self::Address(network, address) => {
                write!(out, "claim on address {address} of network {network}")
            }
            Self::RunFolder(path) => write!(out, "run folder {}", path.display()),
        }
    }
}

/// A project that is to go down, although nobody said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abandoned {
    /// Which.
    pub project: ProjectName,
    /// Whether its named volumes go too.
    pub removes_volumes: bool,
}

/// Projects whose owner has ended while no supervisor was there to see it, and
/// those of containers that are gone.
///
/// # Errors
/// When the projects can't be listed.
pub fn abandoned(root: &Root) -> Result<Vec<Abandoned>, Error> {
    let mut found = Vec::new();
    for project in root.projects()? {
        let store = root.project(&project);
        if store.has_pair() {
            continue;
        }
        let lease = store.lease().ok().flatten();
        let ended = lease.filter(|lease| !sys::process::is_alive(&lease.owner));
        let is_spent = store.is_throw_away() && store.container_ids()?.is_empty();
        if let Some(lease) = ended {
            found.push(Abandoned {
                project,
                removes_volumes: lease.removes_volumes,
            });
        } else if is_spent && is_settled(store.state_dir()) {
            found.push(Abandoned {
                project,
                removes_volumes: true,
            });
        }
    }
    Ok(found)
}

/// Everything that is left over, in the order in which it can be removed.
///
/// # Errors
/// When the host can't be searched.
pub fn find(root: &Root) -> Result<Vec<Leftover>, Error> {
    let mut found = Vec::new();
    let projects = remaining(root, &mut found)?;
    networks_and_bridges(root, &projects, &mut found)?;
    control_groups(root, &projects, &mut found);
    claims(root, &mut found)?;
    run_folders(root, &projects, &mut found)?;
    found.sort();
    Ok(found)
}

/// Removes one of them. Its absence is fine.
///
/// # Errors
/// [`Error`], with the subject.
pub fn remove(root: &Root, leftover: &Leftover) -> Result<(), Error> {
    match leftover {
        Leftover::ContainerFiles(path) => {
            let id = path.file_name().unwrap_or_default().to_string_lossy();
            snapshot::remove(path).map_err(|source| Error::Snapshot {
                id: id.chars().take(12).collect(),
                source,
            })
        }
        Leftover::ProjectFolder(name) => Ok(root.project(name).remove()?),
        Leftover::Network(name) => Ok(networks::remove(root, name)?),
        Leftover::Bridge(name) => {
            let names = std::slice::from_ref(name);
            network::bridge::retire(names)
                .and_then(|()| network::bridge::remove(names))
                .map_err(Error::Network)
        }
        Leftover::FirewallTable(name) => {
            network::firewall::remove_tables(std::slice::from_ref(name)).map_err(Error::Network)
        }
        Leftover::ControlGroup(path) => cgroup::remove(path).map_err(|source| Error::Cgroup {
            path: path.clone(),
            source,
        }),
        Leftover::Name(name) => release(&Claims::new(root.names_dir()), root, name),
        Leftover::Address(network, address) => {
            release(&NetworkStore::new(root).claims(network)?, root, address)
        }
        Leftover::RunFolder(path) => match std::fs::remove_dir_all(path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::Folder {
                path: path.clone(),
                source,
            }),
            Ok(()) | Err(_) => Ok(()),
        },
    }
}

fn release(claims: &Claims, root: &Root, name: &str) -> Result<(), Error> {
    match claims.owner(name)? {
        Some(owner) if is_void(root, &owner) => Ok(claims.release(name, &owner.container)?),
        Some(_) | None => Ok(()),
    }
}

/// Whether something is old enough to be judged.
fn is_settled(path: &Path) -> bool {
    let changed = std::fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| {
        SystemTime::now()
            .duration_since(changed)
            .is_ok_and(|age| age >= SETTLED)
    })
}

/// Searches the projects; gives those that stay. What belongs to an empty one
/// is of a project that is gone.
fn remaining(root: &Root, found: &mut Vec<Leftover>) -> Result<BTreeSet<ProjectName>, Error> {
    let mut projects: BTreeSet<ProjectName> = root.projects()?.into_iter().collect();
    for project in &projects {
        in_project(root, project, found)?;
    }
    for leftover in found {
        if let Leftover::ProjectFolder(project) = leftover {
            projects.remove(project);
        }
    }
    Ok(projects)
}

/// Without a pair nobody makes or removes containers.
fn in_project(root: &Root, project: &ProjectName, found: &mut Vec<Leftover>) -> Result<(), Error> {
    let store = root.project(project);
    if store.has_pair() {
        return Ok(());
    }
    let ids = store.container_ids()?;
    for id in &ids {
        let folder = store.container_dir(id);
        if matches!(store.container(id), Ok(None)) && is_settled(&folder) {
            found.push(Leftover::ContainerFiles(folder));
        }
    }
    let has_model = !matches!(store.model(), Ok(None));
    let is_bare = ids.is_empty() && !has_model && !store.is_throw_away();
    if is_bare && is_settled(store.state_dir()) {
        found.push(Leftover::ProjectFolder(project.clone()));
    }
    Ok(())
}

/// Bridges that were retired, and whose supervisor does not remove them.
fn lingering(root: &Root) -> Result<BTreeSet<String>, Error> {
    let retired = || -> Result<BTreeSet<String>, Error> {
        let bridges = network::observe::bridges().map_err(Error::Network)?;
        Ok(bridges
            .into_iter()
            .filter(|bridge| bridge.engine == root.engine().as_str() && !bridge.is_up)
            .map(|bridge| bridge.name)
            .collect())
    };
    let before = retired()?;
    if before.is_empty() {
        return Ok(before);
    }
    std::thread::sleep(REMOVAL);
    Ok(&before & &retired()?)
}

fn networks_and_bridges(
    root: &Root,
    projects: &BTreeSet<ProjectName>,
    found: &mut Vec<Leftover>,
) -> Result<(), Error> {
    let store = NetworkStore::new(root);
    let retired = lingering(root)?;
    // Whoever makes a network holds it from the bridge to the record.
    let _lock = store.lock()?;
    let all = store.list()?;
    for (name, error) in &all.damaged {
        // What a later rcompose wrote, or the disk holds back, is no leftover.
        if matches!(error, store::Error::Damaged { .. })
            && networks::users(root, name)?.is_empty()
            && !is_declared(root, projects, name)
        {
            found.push(Leftover::Network(name.clone()));
        }
    }
    let is_gone = |name: &str| !projects.iter().any(|project| project.as_str() == name);
    for record in &all.records {
        let owner = record.owner.as_ref();
        if owner.is_some_and(|(project, _)| is_gone(project))
            && networks::users(root, &record.name)?.is_empty()
        {
            found.push(Leftover::Network(record.name.clone()));
        }
    }
    let engine = root.engine();
    for bridge in network::observe::bridges().map_err(Error::Network)? {
        // One whose network's record can't be read goes with that network.
        let is_known = all
            .records
            .iter()
            .any(|record| record.bridge == bridge.name)
            || all.damaged.iter().any(|(name, _)| *name == bridge.network);
        let is_unused = bridge.is_up || retired.contains(&bridge.name);
        if bridge.engine == engine.as_str() && is_unused && !is_known {
            found.push(Leftover::Bridge(bridge.name));
        }
    }
    for (table, project) in network::observe::project_tables(engine).map_err(Error::Network)? {
        if is_gone(&project) {
            found.push(Leftover::FirewallTable(table));
        }
    }
    Ok(())
}

/// Whether a project that exists declares a network of this name, and will make
/// it again; so does one whose model can't be read.
fn is_declared(root: &Root, projects: &BTreeSet<ProjectName>, name: &str) -> bool {
    projects
        .iter()
        .any(|project| match root.project(project).model() {
            Ok(Some(model)) => model.networks.values().any(
                |network| matches!(network, Resource::Managed(network) if network.name == name),
            ),
            Ok(None) => false,
            Err(_) => true,
        })
}

/// Empty groups of projects that are gone. One with processes is not ours to
/// judge: it may be a build's.
fn control_groups(root: &Root, projects: &BTreeSet<ProjectName>, found: &mut Vec<Leftover>) {
    let base = root.cgroup_base();
    let Ok(hosts) = Hierarchies::get() else {
        return;
    };
    let mounts = hosts.v1.iter().map(|known| &known.mount).chain(&hosts.v2);
    let mut names: BTreeSet<ProjectName> = BTreeSet::new();
    for mount in mounts.clone() {
        let entries = std::fs::read_dir(mount.join(&base));
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.parse().ok());
            if let Some(name) = name.filter(|name| !projects.contains(name))
                && entry.file_type().is_ok_and(|kind| kind.is_dir())
                && is_settled(&entry.path())
            {
                names.insert(name);
            }
        }
    }
    for name in names {
        let path = format!("{base}/{name}");
        if mounts
            .clone()
            .all(|mount| is_empty_group(&mount.join(&path)))
        {
            found.push(Leftover::ControlGroup(path));
        }
    }
}

fn is_empty_group(folder: &Path) -> bool {
    if !folder.is_dir() {
        return true;
    }
    let own = sys::cgroup::read(folder, "cgroup.procs");
    let below = std::fs::read_dir(folder).into_iter().flatten().flatten();
    own.is_ok_and(|pids| pids.trim().is_empty())
        && below
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .all(|entry| is_empty_group(&entry.path()))
}

fn claims(root: &Root, found: &mut Vec<Leftover>) -> Result<(), Error> {
    let void = |claims: &Claims| -> Result<Vec<String>, Error> {
        let all = claims.list()?.into_iter();
        let gone = all.filter(|(name, owner)| {
            is_settled(&claims.folder().join(name)) && is_void(root, owner)
        });
        Ok(gone.map(|(name, _)| name).collect())
    };
    for name in void(&Claims::new(root.names_dir()))? {
        found.push(Leftover::Name(name));
    }
    let networks = NetworkStore::new(root);
    for network in networks.list()?.records {
        for address in void(&networks.claims(&network.name)?)? {
            found.push(Leftover::Address(network.name.clone(), address));
        }
    }
    Ok(())
}

fn run_folders(
    root: &Root,
    projects: &BTreeSet<ProjectName>,
    found: &mut Vec<Leftover>,
) -> Result<(), Error> {
    let folder = root.run_dir().join("projects");
    for name in store::record::names(&folder)? {
        let Ok(project) = name.parse::<ProjectName>() else {
            continue;
        };
        let path = folder.join(&name);
        let is_unused = !projects.contains(&project) && !root.project(&project).has_pair();
        if is_unused && is_settled(&path) {
            found.push(Leftover::RunFolder(path));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("s"), &dir.path().join("r")).unwrap();
        (dir, root)
    }

    fn age(path: &Path) {
        let old = SystemTime::now() - SETTLED * 2;
        std::fs::File::open(path)
            .unwrap()
            .set_modified(old)
            .unwrap();
    }

    fn lease(pid: i32, start_ticks: u64) -> store::LeaseRecord {
        let own = sys::process::own_identity().unwrap();
        store::LeaseRecord {
            owner: crate::model::ProcessIdentity {
                pid,
                start_ticks,
                boot_id: own.boot_id,
            },
            removes_volumes: true,
        }
    }

    #[test]
    fn a_project_goes_when_its_owner_has_ended() {
        let (_dir, root) = root();
        let name: ProjectName = "shop".parse().unwrap();
        let store = root.project(&name);
        store.make().unwrap();
        assert_eq!(abandoned(&root).unwrap(), []);
        let own = sys::process::own_identity().unwrap();
        store.write_lease(&lease(own.pid, own.start_ticks)).unwrap();
        assert_eq!(abandoned(&root).unwrap(), []);
        // The same number, another process.
        store
            .write_lease(&lease(own.pid, own.start_ticks + 1))
            .unwrap();
        let found = abandoned(&root).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].project == name && found[0].removes_volumes);
    }

    #[test]
    fn a_spent_project_goes_once_it_has_settled() {
        let (_dir, root) = root();
        let store = root.project(&"container-1".parse().unwrap());
        store.make().unwrap();
        store.mark_throw_away().unwrap();
        assert_eq!(abandoned(&root).unwrap(), []);
        age(store.state_dir());
        assert_eq!(abandoned(&root).unwrap().len(), 1);
    }

    #[test]
    fn files_without_a_record_are_found_when_they_are_old() {
        let (_dir, root) = root();
        let name: ProjectName = "shop".parse().unwrap();
        let store = root.project(&name);
        store.make().unwrap();
        let id = crate::model::ContainerId::from_random([1; 32]);
        let folder = store.container_dir(&id);
        std::fs::create_dir_all(&folder).unwrap();
        let mut found = Vec::new();
        in_project(&root, &name, &mut found).unwrap();
        assert_eq!(found, []);
        age(&folder);
        in_project(&root, &name, &mut found).unwrap();
        assert_eq!(found, [Leftover::ContainerFiles(folder.clone())]);
        remove(&root, &found[0]).unwrap();
        remove(&root, &found[0]).unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn an_empty_project_is_gone_for_what_belongs_to_it() {
        let (_dir, root) = root();
        let name: ProjectName = "shop".parse().unwrap();
        root.project(&name).make().unwrap();
        let mut found = Vec::new();
        assert_eq!(
            remaining(&root, &mut found).unwrap(),
            BTreeSet::from([name.clone()])
        );
        age(root.project(&name).state_dir());
        assert_eq!(remaining(&root, &mut found).unwrap(), BTreeSet::new());
        assert_eq!(found, [Leftover::ProjectFolder(name)]);
    }

    #[test]
    fn void_claims_and_run_folders_are_found() {
        let (_dir, root) = root();
        let names = Claims::new(root.names_dir());
        let owner = store::Owner {
            project: "gone".parse().unwrap(),
            container: crate::model::ContainerId::from_random([2; 32]),
            names: Vec::new(),
        };
        names.take("web", &owner, &|_| false).unwrap();
        let folder = root.run_dir().join("projects/gone");
        std::fs::create_dir_all(&folder).unwrap();
        let look = || {
            let mut found = Vec::new();
            claims(&root, &mut found).unwrap();
            run_folders(&root, &BTreeSet::new(), &mut found).unwrap();
            found
        };
        assert_eq!(look(), []);
        age(&root.names_dir().join("web"));
        age(&folder);
        let found = look();
        assert_eq!(
            found,
            [Leftover::Name("web".into()), Leftover::RunFolder(folder)]
        );
        for leftover in &found {
            remove(&root, leftover).unwrap();
        }
        assert_eq!(look(), []);
    }
}
