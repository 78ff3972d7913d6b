//! Host paths in a container, and what hostile content tries with them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rcompose::model::{BundleMount, Propagation};
use rcompose::sys::mount::{self, Attributes, Filesystem, Sharing};

use crate::support::container::{Engine, bind, bind_read_only, refusal, run, start};

pub(crate) fn folders_and_files_are_bound() {
    let engine = Engine::new();
    let data = engine.folder("data");
    fs::write(data.join("file"), "content").unwrap();
    let script =
        "cat /deep/er/data/file /single; echo more > /deep/er/data/made; echo new > /single";
    let mut bundle = engine.script("one", script);
    bundle.mounts = vec![
        bind(&data, "/deep/er/data"),
        bind(&data.join("file"), "/single"),
    ];
    assert_eq!(run(&bundle).text(), "contentcontent");
    assert_eq!(fs::read_to_string(data.join("made")).unwrap(), "more\n");
    assert_eq!(fs::read_to_string(data.join("file")).unwrap(), "new\n");
}

pub(crate) fn read_only_reaches_submounts() {
    let engine = Engine::new();
    let data = engine.folder("data");
    mount_tmpfs(&engine.folder("data/below"));
    let script = "touch /data/x; touch /data/below/x; ls /data/below";
    let mut bundle = engine.script("one", script);
    bundle.mounts = vec![bind_read_only(&data, "/data")];
    let result = run(&bundle);
    assert_eq!(result.stderr.matches("Read-only").count(), 2, "{result:?}");

    if let BundleMount::Bind {
        submounts_writable, ..
    } = &mut bundle.mounts[0]
    {
        *submounts_writable = true;
    }
    let result = run(&bundle);
    assert_eq!(result.stderr.matches("Read-only").count(), 1, "{result:?}");
    assert_eq!(result.stdout, "x\n");

    if let BundleMount::Bind {
        recursive,
        read_only,
        ..
    } = &mut bundle.mounts[0]
    {
        *recursive = false;
        *read_only = false;
    }
    assert_eq!(run(&bundle).stdout, "x\n", "the empty folder below is seen");
    assert!(data.join("below/x").exists());
}

fn mount_tmpfs(place: &Path) {
    use std::os::fd::AsFd;
    let mounted = Filesystem::open("tmpfs")
        .unwrap()
        .mount(Attributes::NONE)
        .unwrap();
    let place = rcompose::sys::fs::folder(place).unwrap();
    mount::attach(mounted.as_fd(), place.as_fd()).unwrap();
}

pub(crate) fn propagation_is_as_asked() {
    use std::os::fd::AsFd;
    let engine = Engine::new();
    let data = engine.folder("data");
    mount_tmpfs(&data);
    let folder = rcompose::sys::fs::folder(&data).unwrap();
    mount::share(folder.as_fd(), Sharing::Shared, mount::Reach::One).unwrap();
    fs::create_dir(data.join("late")).unwrap();
    let mut containers = Vec::new();
    for (name, propagation) in [
        ("none", None),
        ("slave", Some(Propagation::Slave)),
        ("shared", Some(Propagation::Shared)),
    ] {
        let mut bundle = engine.bundle(name, &["sleep", "1000"]);
        let mut mount = bind(&data, "/data");
        if let BundleMount::Bind {
            propagation: field, ..
        } = &mut mount
        {
            *field = propagation;
        }
        bundle.mounts = vec![mount];
        containers.push(start(&bundle).unwrap());
    }
    mount_tmpfs(&data.join("late"));
    fs::write(data.join("late/file"), "").unwrap();
    let seen: Vec<String> = containers
        .iter()
        .map(|container| container.exec(&["ls", "/data/late"]).text())
        .collect();
    assert_eq!(seen, ["", "file", "file"]);
    for container in containers {
        container.kill();
    }
}

pub(crate) fn hostile_targets_stay_inside() {
    let engine = Engine::new();
    let data = engine.folder("data");
    fs::write(data.join("mine"), "").unwrap();
    let victim = engine.folder("victim");
    let hostile = engine.layer("hostile");
    let up = "../".repeat(20);
    symlink(&victim, hostile.join("absolute")).unwrap();
    symlink(
        format!("{up}{}", victim.display()),
        hostile.join("relative"),
    )
    .unwrap();
    symlink("/proc/1/root/tmp/engine/host/victim", hostile.join("magic")).unwrap();
    symlink("/proc/sys/kernel", hostile.join("kernel")).unwrap();
    for (name, target) in [
        ("a", "/absolute/data"),
        ("b", "/relative/data"),
        ("c", "/../../../../tmp/engine/host/victim/data"),
        ("d", "/absolute"),
    ] {
        let mut bundle = engine.script(name, "find / -name mine -xdev 2>/dev/null; true");
        bundle.root.lowers.insert(0, hostile.clone());
        bundle.mounts = vec![bind(&data, target)];
        assert_eq!(run(&bundle).status, 0, "{target}");
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 0, "{target}");
    }
    for (name, target) in [("e", "/magic/data"), ("f", "/kernel"), ("g", "/kernel/x")] {
        let mut bundle = engine.bundle(name, &["true"]);
        bundle.root.lowers.insert(0, hostile.clone());
        bundle.mounts = vec![bind(&data, target)];
        let (code, message) = refusal(&bundle);
        assert!(code == 125 || code == 126, "{message}");
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 0, "{target}");
    }
}

pub(crate) fn subpaths_stay_inside() {
    let engine = Engine::new();
    let data = engine.folder("data");
    fs::create_dir(data.join("sub")).unwrap();
    fs::write(data.join("sub/file"), "inside").unwrap();
    fs::write(engine.folder("outside").join("file"), "outside").unwrap();
    symlink("../../outside", data.join("link")).unwrap();
    symlink(engine.folder("outside"), data.join("absolute")).unwrap();
    let with = |path: &str| {
        let mut mount = bind(&data, "/data");
        if let BundleMount::Bind { subpath, .. } = &mut mount {
            *subpath = Some(path.to_owned());
        }
        let mut bundle = engine.bundle("one", &["cat", "/data/file"]);
        bundle.mounts = vec![mount];
        bundle
    };
    assert_eq!(run(&with("sub")).text(), "inside");
    for path in ["link", "absolute", "../outside", "missing"] {
        let (code, message) = refusal(&with(path));
        assert_eq!(code, 125);
        assert!(message.ends_with("no such file or directory"), "{message}");
    }
}

pub(crate) fn mistakes_are_named() {
    let engine = Engine::new();
    let data = engine.folder("data");
    fs::write(data.join("file"), "").unwrap();
    let with = |source: &Path, target: &str| {
        let mut bundle = engine.bundle("one", &["true"]);
        bundle.mounts = vec![bind(source, target)];
        refusal(&bundle)
    };
    assert_eq!(
        with(&data.join("missing"), "/data"),
        (
            125,
            "bind of /tmp/engine/host/data/missing at /data: no such file or directory".into()
        )
    );
    let (code, message) = with(&data, "/etc/passwd");
    assert_eq!(code, 126);
    assert!(
        message.contains("mount a directory onto a file"),
        "{message}"
    );
    let (code, message) = with(&data.join("file"), "/etc");
    assert_eq!(code, 126);
    assert!(
        message.contains("mount a directory onto a file"),
        "{message}"
    );
    assert_eq!(
        with(&data, "/"),
        (125, "mount at /: the target must not be /".into())
    );
    assert_eq!(
        with(&data, "/x/.."),
        (125, "mount at /x/..: the target must not be /".into())
    );
}

pub(crate) fn default_mounts_can_be_replaced() {
    let engine = Engine::new();
    let shm = engine.folder("shm");
    fs::write(shm.join("mine"), "").unwrap();
    let mut bundle = engine.bundle("one", &["ls", "/dev/shm"]);
    bundle.mounts = vec![bind(&shm, "/dev/shm/")];
    assert_eq!(run(&bundle).text(), "mine");

    let mut bundle = engine.script("two", "ls /dev; wc -c < /proc/timer_list");
    let dev = engine.folder("dev");
    fs::write(dev.join("only"), "").unwrap();
    bundle.mounts = vec![bind(&dev, "/dev")];
    assert_eq!(run(&bundle).text(), "only\n0");
}

pub(crate) fn targets_swapped_while_starting_stay_inside() {
    use std::sync::atomic::{AtomicBool, Ordering};
    // The volume's content is somebody else's, who swaps a folder for a link.
    let engine = Engine::new();
    let volume = engine.folder("volume");
    let victim = engine.folder("victim");
    let data = engine.folder("data");
    fs::create_dir(volume.join("place")).unwrap();
    symlink(
        format!("{}{}", "../".repeat(12), victim.display()),
        volume.join("link"),
    )
    .unwrap();
    // A process of its own: the starter must have no second thread.
    let swapper = rcompose::sys::clone::spawn(
        rcompose::sys::clone::NamespaceSet::EMPTY,
        None,
        rcompose::sys::clone::Parent::Caller,
        || {
            let running = AtomicBool::new(true);
            let (place, link) = (volume.join("place"), volume.join("link"));
            while running.load(Ordering::Relaxed) {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                let _ = rustix::fs::renameat_with(
                    rustix::fs::CWD,
                    &place,
                    rustix::fs::CWD,
                    &link,
                    exchange,
                );
            }
            0
        },
    )
    .unwrap();
    let mut bundle = engine.bundle("one", &["true"]);
    bundle.mounts = vec![
        bind(&volume, "/volume"),
        bind(&data, "/volume/place/sub/deep"),
    ];
    for _ in 0..150 {
        if let Ok(container) = start(&bundle) {
            container.finish();
        }
    }
    let pidfd = std::os::fd::AsFd::as_fd(&swapper.pidfd);
    rcompose::sys::clone::kill(pidfd).unwrap();
    rcompose::sys::clone::reap(pidfd).unwrap();
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
}
