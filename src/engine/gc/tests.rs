//! Leftovers of every kind in a store of their own.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

use super::*;
use crate::engine::gc::search::{SETTLED, claims, in_project, remaining, run_folders};

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
