//! Volumes as they come, are filled and go.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use indexmap::IndexMap;

use super::*;

fn scratch() -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(&dir.path().join("state"), &dir.path().join("run")).unwrap();
    (dir, root)
}

fn declared(name: &str, options: &[(&str, &str)]) -> Volume {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Volume {
        name: name.to_owned(),
        driver: None,
        driver_opts: options.iter().map(pair).collect(),
        labels: IndexMap::new(),
    }
}

fn owner() -> Option<(String, String)> {
    Some(("p".to_owned(), "db".to_owned()))
}

/// One layer with a folder of somebody else's and a link to it.
fn image(dir: &tempfile::TempDir) -> Vec<PathBuf> {
    let layer = dir.path().join("layer");
    fs::create_dir_all(layer.join("var/lib/db/base")).unwrap();
    fs::write(layer.join("var/lib/db/conf"), "x").unwrap();
    fs::set_permissions(layer.join("var/lib/db"), fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(layer.join("var/lib/db"), Some(70), Some(71)).unwrap();
    std::os::unix::fs::chown(layer.join("var/lib/db/conf"), Some(70), Some(71)).unwrap();
    std::os::unix::fs::symlink("/var/lib/db", layer.join("data")).unwrap();
    fs::create_dir(layer.join("empty")).unwrap();
    fs::set_permissions(layer.join("empty"), fs::Permissions::from_mode(0o1777)).unwrap();
    vec![layer]
}

#[test]
fn a_volume_is_made_once() {
    let (_dir, root) = scratch();
    create(&root, &declared("p_db", &[]), owner()).unwrap();
    let data = data_dir(&root, "p_db").unwrap();
    fs::write(data.join("f"), "kept").unwrap();
    let first = get(&root, "p_db").unwrap().unwrap();
    create(&root, &declared("p_db", &[]), None).unwrap();
    assert_eq!(get(&root, "p_db").unwrap().unwrap(), first);
    assert_eq!(
        (first.owner.clone(), first.applied.is_some()),
        (owner(), true)
    );
    assert_eq!(list(&root).unwrap(), [first]);
    assert_eq!(
        fs::metadata(&data).unwrap().permissions().mode() & 0o7777,
        0o755
    );
    assert_eq!(fs::read_to_string(data.join("f")).unwrap(), "kept");
}

#[test]
fn a_volume_that_was_broken_off_is_made_anew() {
    let (_dir, root) = scratch();
    let half = root.volumes_dir().join(".tmp-coming/_data");
    fs::create_dir_all(&half).unwrap();
    fs::write(half.join("of another"), "").unwrap();
    assert_eq!(list(&root).unwrap(), []);
    create(&root, &declared("shop_data", &[]), owner()).unwrap();
    let made = list(&root).unwrap();
    assert!(made.len() == 1 && made[0].owner == owner());
    let data = data_dir(&root, "shop_data").unwrap();
    assert_eq!(fs::read_dir(data).unwrap().count(), 0);
    assert!(!root.volumes_dir().join(".tmp-coming").exists());
}

#[test]
fn a_volume_without_a_record_is_adopted() {
    let (_dir, root) = scratch();
    create(&root, &declared("v1", &[]), owner()).unwrap();
    let data = data_dir(&root, "v1").unwrap();
    fs::write(data.join("f"), "kept").unwrap();
    for damage in ["", "garbage"] {
        fs::write(root.volumes_dir().join("v1/record"), damage).unwrap();
        let found = get(&root, "v1").unwrap().unwrap();
        assert_eq!((found.applied, found.owner), (None, None));
        assert_eq!(data_dir(&root, "v1").unwrap(), data);
        create(&root, &declared("v1", &[]), owner()).unwrap();
        assert_eq!(get(&root, "v1").unwrap().unwrap().owner, owner());
        assert_eq!(fs::read_to_string(data.join("f")).unwrap(), "kept");
    }
}

#[test]
fn a_fresh_volume_takes_the_images_content() {
    let (dir, root) = scratch();
    let lowers = image(&dir);
    create(&root, &declared("v1", &[]), owner()).unwrap();
    // Through a link of the image's.
    copy_up(&root, "v1", &lowers, "/data").unwrap();
    let data = data_dir(&root, "v1").unwrap();
    let seen = fs::metadata(&data).unwrap();
    assert_eq!(
        (seen.uid(), seen.gid(), seen.permissions().mode() & 0o7777),
        (70, 71, 0o700)
    );
    assert_eq!(fs::metadata(data.join("conf")).unwrap().uid(), 70);
    assert!(data.join("base").is_dir());
    // Once: what the user made of it stays.
    fs::remove_file(data.join("conf")).unwrap();
    copy_up(&root, "v1", &lowers, "/data").unwrap();
    assert!(!data.join("conf").exists());
}

#[test]
fn an_empty_folder_of_the_image_gives_its_mode() {
    let (dir, root) = scratch();
    let lowers = image(&dir);
    create(&root, &declared("v1", &[]), owner()).unwrap();
    copy_up(&root, "v1", &lowers, "/empty").unwrap();
    let data = data_dir(&root, "v1").unwrap();
    assert_eq!(
        fs::metadata(&data).unwrap().permissions().mode() & 0o7777,
        0o1777
    );
    // Nothing there, or a file: the volume stays as it is.
    create(&root, &declared("v2", &[]), owner()).unwrap();
    for target in ["/nowhere", "/var/lib/db/conf"] {
        copy_up(&root, "v2", &lowers, target).unwrap();
    }
    assert_eq!(
        fs::read_dir(data_dir(&root, "v2").unwrap())
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_broken_off_copy_is_done_again() {
    let (dir, root) = scratch();
    let lowers = image(&dir);
    create(&root, &declared("v1", &[]), owner()).unwrap();
    let path = root.volumes_dir().join("v1/record");
    let mut record = records::read::<VolumeRecord>(&path).unwrap().unwrap();
    record.is_filling = true;
    records::write_atomic(&path, &record).unwrap();
    let data = data_dir(&root, "v1").unwrap();
    fs::write(data.join("conf"), "ha").unwrap();
    fs::write(data.join("own"), "kept").unwrap();
    copy_up(&root, "v1", &lowers, "/var/lib/db").unwrap();
    assert_eq!(fs::read_to_string(data.join("conf")).unwrap(), "x");
    assert_eq!(fs::read_to_string(data.join("own")).unwrap(), "kept");
    assert!(
        !records::read::<VolumeRecord>(&path)
            .unwrap()
            .unwrap()
            .is_filling
    );
}

#[test]
fn removal_is_whole_and_repeatable() {
    let (_dir, root) = scratch();
    create(&root, &declared("v1", &[]), owner()).unwrap();
    let data = data_dir(&root, "v1").unwrap();
    fs::create_dir_all(data.join("a/b")).unwrap();
    // What a killed removal left.
    fs::create_dir_all(root.volumes_dir().join(".tmp-leaving-1-x/_data/y")).unwrap();
    assert_eq!(list(&root).unwrap().len(), 1);
    remove(&root, "v1").unwrap();
    remove(&root, "v1").unwrap();
    assert_eq!(list(&root).unwrap(), []);
    assert!(!root.volumes_dir().join(".tmp-leaving-1-x").exists());
    assert!(matches!(data_dir(&root, "v1"), Err(Error::NotFound(_))));
}

#[test]
fn anonymous_volumes_are_labelled() {
    let (_dir, root) = scratch();
    let name = "ab".repeat(32);
    let labels = [("of".to_owned(), "mine".to_owned())].into_iter().collect();
    create_anonymous(&root, &name, "p", &labels).unwrap();
    let found = get(&root, &name).unwrap().unwrap();
    assert_eq!(found.owner, None);
    let labels = found.applied.unwrap().labels;
    assert!(labels.contains_key(ANONYMOUS_LABEL));
    assert_eq!(labels["of"], "mine");
}

#[test]
fn names_and_drivers_are_checked() {
    let (_dir, root) = scratch();
    for bad in ["", ".", "..", "../x", "a/b", ".tmp-x", "-a", "a b"] {
        assert!(
            matches!(
                create(&root, &declared(bad, &[]), None),
                Err(Error::Name(_))
            ),
            "{bad:?}"
        );
        assert!(remove(&root, bad).is_err(), "{bad:?}");
    }
    let mut volume = declared("v1", &[]);
    volume.driver = Some("rexray".to_owned());
    assert!(matches!(
        create(&root, &volume, None),
        Err(Error::Driver { .. })
    ));
    assert_eq!(list(&root).unwrap(), []);
}

#[test]
fn a_volume_may_stand_for_a_folder_of_the_host() {
    let (dir, root) = scratch();
    let host = dir.path().join("host");
    let options = [
        ("type", "none"),
        ("o", "bind"),
        ("device", host.to_str().unwrap()),
    ];
    create(&root, &declared("v1", &options), owner()).unwrap();
    assert!(matches!(data_dir(&root, "v1"), Err(Error::NoBindSource(_))));
    fs::create_dir(&host).unwrap();
    fs::write(host.join("f"), "kept").unwrap();
    assert_eq!(data_dir(&root, "v1").unwrap(), host);
    remove(&root, "v1").unwrap();
    assert!(host.join("f").exists());
}

#[test]
fn a_volume_may_be_memory() {
    let (_dir, root) = scratch();
    let options = [
        ("type", "tmpfs"),
        ("o", "size=1m,uid=5,noexec"),
        ("device", "tmpfs"),
    ];
    create(&root, &declared("v1", &options), owner()).unwrap();
    std::thread::scope(|scope| {
        let mounted = scope.spawn(|| {
            crate::sys::netns::leave_host().unwrap();
            let data = data_dir(&root, "v1").unwrap();
            assert_eq!(data_dir(&root, "v1").unwrap(), data);
            assert!(is_mounted(&data));
            assert_eq!(fs::metadata(&data).unwrap().uid(), 5);
            fs::write(data.join("f"), "x").unwrap();
            release(&root, "v1").unwrap();
            release(&root, "v1").unwrap();
            assert!(!is_mounted(&data) && !data.join("f").exists());
            data_dir(&root, "v1").unwrap();
            remove(&root, "v1").unwrap();
        });
        mounted.join().unwrap();
    });
    assert_eq!(list(&root).unwrap(), []);
}

#[test]
fn a_failed_mount_names_the_volume() {
    let (_dir, root) = scratch();
    let options = [("type", "nosuchfs"), ("device", "x")];
    create(&root, &declared("v1", &options), owner()).unwrap();
    let error = data_dir(&root, "v1").unwrap_err().to_string();
    assert!(error.contains("failed to mount local volume v1"), "{error}");
}
