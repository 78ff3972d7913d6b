//! rcompose itself in a chroot: its root folder isn't the namespace's root.

use std::os::fd::AsFd;
use std::path::Path;

use rcompose::sys::mount::{self, Reach};

use crate::support::container::{Engine, bind, run, start};

fn enter_jail() {
    let jail = Path::new("/tmp/jail");
    std::fs::create_dir(jail).unwrap();
    let whole = rcompose::sys::fs::folder("/").unwrap();
    let copy = mount::copy_of(whole.as_fd(), Reach::Recursive).unwrap();
    let place = rcompose::sys::fs::folder(jail).unwrap();
    mount::attach(copy.as_fd(), place.as_fd()).unwrap();
    std::fs::write("/tmp/outside", "").unwrap();
    rustix::process::chroot(jail).unwrap();
    rustix::process::chdir("/").unwrap();
    mount::detach("/tmp").unwrap();
    let fresh = mount::Filesystem::open("tmpfs")
        .unwrap()
        .mount(mount::Attributes::NONE)
        .unwrap();
    let place = rcompose::sys::fs::folder("/tmp").unwrap();
    mount::attach(fresh.as_fd(), place.as_fd()).unwrap();
}

pub(crate) fn containers_and_their_processes_see_their_root() {
    enter_jail();
    let engine = Engine::new();
    let data = engine.folder("data");
    std::fs::write(data.join("file"), "bound").unwrap();
    let mut bundle = engine.script(
        "one",
        "ls /; cat /data/file; echo; echo ready; exec sleep 1000",
    );
    bundle.mounts = vec![bind(&data, "/data")];
    let mut container = start(&bundle).unwrap();
    let expected = "bin\ndata\ndev\netc\nhome\nproc\nroot\nsys\ntmp\nbound\nready";
    let seen: Vec<String> =
        std::iter::from_fn(|| Some(container.line()).filter(|line| line != "ready")).collect();
    assert_eq!(format!("{}\nready", seen.join("\n")), expected);
    let text = container.exec(&["ls", "/"]).text();
    assert_eq!(text, "bin\ndata\ndev\netc\nhome\nproc\nroot\nsys\ntmp");
    let text = container.exec(&["ls", "/tmp"]).text();
    assert_eq!(text, "");
    // Nothing but the container's own mounts is in its namespace.
    let mounts = container.exec(&["cat", "/proc/self/mountinfo"]).text();
    assert!(
        !mounts.contains("jail") && !mounts.contains("254:0"),
        "{mounts}"
    );
    container.kill();
    assert_eq!(run(&engine.bundle("two", &["true"])).status, 0);
}
