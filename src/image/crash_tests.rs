//! Loads, removals and look-ups at once, while loaders are killed.
//!
//! The loaders are processes of their own: this test binary again, told by
//! the environment to be one. What a kill leaves must be invisible, and gone
//! with the next removal.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::archive::testing::Tar;
use crate::image::testing::{amd64, config, docker_archive};
use crate::image::{Error, Source, hold, layer_path, list, load, prune, remove, resolve};
use crate::store::Root;

/// Where a child finds its store and its archive.
const STORE: &str = "RCOMPOSE_TEST_LOAD_STORE";
const ARCHIVE: &str = "RCOMPOSE_TEST_LOAD_ARCHIVE";
const ROUNDS: u32 = 25;
const FILES: usize = 120;

fn open(dir: &Path) -> Root {
    Root::open(&dir.join("state"), &dir.join("run")).unwrap()
}

/// A loader, when this process is told to be one.
#[test]
fn loader() {
    let (Some(store), Some(archive)) = (std::env::var_os(STORE), std::env::var_os(ARCHIVE)) else {
        return;
    };
    let source = Source::open(Path::new(&archive)).unwrap();
    load(&open(Path::new(&store)), source, &amd64()).unwrap();
}

fn spawn(store: &Path, archive: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "image::crash_tests::loader", "--nocapture"])
        .env(STORE, store)
        .env(ARCHIVE, archive)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Two images upon one base.
fn archives(dir: &Path) -> Vec<(String, PathBuf)> {
    let many = |prefix: &str| {
        let add = |tar: Tar, n| {
            tar.file(
                &format!("{prefix}/{n}"),
                &format!("{prefix}{n}").repeat(500),
            )
        };
        (0..FILES).fold(Tar::new(), add).end()
    };
    let base = many("base");
    ["one", "two"]
        .map(|name| {
            let layers = vec![base.clone(), many(name)];
            let path = dir.join(format!("{name}.tar"));
            let reference = format!("{name}:1");
            let files = docker_archive(&reference, &config(&layers, |_| {}), &layers);
            std::fs::write(&path, files.tar()).unwrap();
            (reference, path)
        })
        .to_vec()
}

/// An image is there whole or not at all.
fn check(root: &Root, name: &str) -> bool {
    let _guard = hold(root).unwrap();
    let Some(found) = resolve(root, name).unwrap_or_else(|error| panic!("{name}: {error}")) else {
        return false;
    };
    assert_eq!(found.image.layers.len(), 2);
    for layer in &found.image.layers {
        let folders: Vec<_> = std::fs::read_dir(layer_path(root, layer))
            .unwrap()
            .collect();
        assert_eq!(folders.len(), 1);
        let files = std::fs::read_dir(folders[0].as_ref().unwrap().path()).unwrap();
        assert_eq!(files.count(), FILES);
    }
    true
}

#[test]
fn kills_leave_whole_images_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let root = open(dir.path());
    let archives = archives(dir.path());
    let begun = Instant::now();
    assert!(spawn(dir.path(), &archives[0].1).wait().unwrap().success());
    let whole_load = begun.elapsed();
    for round in 0..ROUNDS {
        let mut children: Vec<Child> = (0..4)
            .map(|n| spawn(dir.path(), &archives[n % 2].1))
            .collect();
        // Spread over the whole of a load, the start of the process included.
        let deadline = Instant::now() + whole_load * 2 * round / ROUNDS;
        while Instant::now() < deadline {
            for (name, _) in &archives {
                check(&root, name);
            }
        }
        children
            .iter_mut()
            .take(3)
            .for_each(|child| child.kill().unwrap());
        if round % 3 == 0 {
            match remove(&root, &archives[0].0, true, &|_| None) {
                Ok(_) | Err(Error::NotFound(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        for (number, mut child) in children.into_iter().enumerate() {
            let status = child.wait().unwrap();
            assert!(
                number < 3 || status.success(),
                "the last loader was left alone"
            );
        }
        for (name, _) in &archives {
            check(&root, name);
        }
    }
    for (name, path) in &archives {
        load(&root, Source::open(path).unwrap(), &amd64()).unwrap();
        assert!(check(&root, name));
    }
    for (image, _) in list(&root).unwrap() {
        remove(&root, &image.id.to_string(), true, &|_| None).unwrap();
    }
    prune(&root).unwrap();
    for place in [
        "layers",
        "blobs/sha256",
        "images/ids",
        "images/names",
        "ingest",
    ] {
        let names = crate::store::record::names(&root.state_dir().join(place)).unwrap();
        assert_eq!(names, Vec::<String>::new(), "{place}");
    }
}
