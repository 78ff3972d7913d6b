//! Finds what crashes have left: everything of the engine's that no project
//! which still exists answers for. Nothing is changed here.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::engine::create::is_void;
use crate::engine::gc::{Error, Leftover};
use crate::engine::networks;
use crate::model::{ProjectName, Resource};
use crate::store::{self, Claims, NetworkStore, Root};
use crate::sys::cgroup::Hierarchies;
use crate::{network, sys};

/// Files and folders that were just made may be in use before their owner has
/// told whose they are.
pub(super) const SETTLED: Duration = Duration::from_secs(60);

/// A retired bridge is removed by its supervisor within this time.
const REMOVAL: Duration = Duration::from_secs(1);

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

/// Whether something is old enough to be judged.
pub(super) fn is_settled(path: &Path) -> bool {
    let changed = std::fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| {
        SystemTime::now()
            .duration_since(changed)
            .is_ok_and(|age| age >= SETTLED)
    })
}

/// Searches the projects; gives those that stay. What belongs to an empty one
/// is of a project that is gone.
pub(super) fn remaining(
    root: &Root,
    found: &mut Vec<Leftover>,
) -> Result<BTreeSet<ProjectName>, Error> {
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
pub(super) fn in_project(
    root: &Root,
    project: &ProjectName,
    found: &mut Vec<Leftover>,
) -> Result<(), Error> {
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

pub(super) fn claims(root: &Root, found: &mut Vec<Leftover>) -> Result<(), Error> {
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

pub(super) fn run_folders(
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
