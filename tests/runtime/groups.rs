//! Control groups with real processes in them.

use std::os::fd::AsFd;

use rcompose::model::{Bundle, DeviceRule};
use rcompose::runtime::cgroup::{self, Motion};
use rcompose::sys::cgroup::Hierarchies;

use crate::support::container::{Engine, Running, eventually, run, start};
use crate::support::isolated;

fn prepare(bundle: &Bundle) -> Vec<cgroup::Warning> {
    cgroup::prepare(&bundle.cgroup, &[], false).unwrap()
}

/// Removes a group and proves that nothing of it is left.
fn clean(bundle: &Bundle) {
    cgroup::remove(&bundle.cgroup.path).unwrap();
    let above = bundle.cgroup.path.split('/').next().unwrap();
    let hosts = Hierarchies::get().unwrap();
    for mount in hosts.v1.iter().map(|known| &known.mount).chain(&hosts.v2) {
        assert!(
            !mount.join(above).exists(),
            "{}",
            mount.join(above).display()
        );
    }
}

fn is_limited(warnings: &[cgroup::Warning], limit: &str) -> bool {
    !warnings.iter().any(|warning| warning.limit == limit)
}

/// Whether the host has any hierarchy beside the masked one.
fn has_groups() -> bool {
    let hosts = Hierarchies::get().unwrap();
    !hosts.v1.is_empty() || hosts.v2.is_some()
}

pub(crate) fn processes_stand_in_their_group() {
    if !has_groups() {
        return;
    }
    let engine = Engine::new();
    let script = "cat /proc/self/cgroup; \
        for folder in /sys/fs/cgroup /sys/fs/cgroup/*; do \
            mkdir $folder/x 2>/dev/null && echo made in $folder; \
        done; \
        cat /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/memory/tasks 2>/dev/null; \
        echo ready; sleep 1000 & wait";
    let bundle = engine.script("one", script);
    assert_eq!(prepare(&bundle), []);
    let mut container = start(&bundle).unwrap();
    let seen: Vec<String> =
        std::iter::from_fn(|| Some(container.line()).filter(|line| line != "ready")).collect();
    let own = std::fs::read_to_string(format!("/proc/{}/cgroup", container.started.pid)).unwrap();
    let expected = format!(":/{}", bundle.cgroup.path);
    assert!(
        groups_of(&own).all(|line| line.ends_with(&expected)),
        "{own}"
    );
    let beside = crate::support::container::process(&["sleep", "1000"]);
    let stdio = rcompose::runtime::ChildStdio::Streams {
        stdin: None,
        stdout: None,
        stderr: None,
    };
    let target = container.started.pidfd.as_fd();
    let starting = rcompose::runtime::exec(target, &beside, &bundle.cgroup.path, stdio).unwrap();
    let beside = crate::support::container::settle(starting).unwrap();
    let own = std::fs::read_to_string(format!("/proc/{}/cgroup", beside.pid)).unwrap();
    assert!(
        groups_of(&own).all(|line| line.ends_with(&expected)),
        "{own}"
    );
    eventually("three processes are counted", || {
        cgroup::usage(&bundle.cgroup.path)
            .pids
            .is_none_or(|pids| pids == 3)
    });
    cgroup::kill(&bundle.cgroup.path).unwrap();
    // In this order: the first process ends when those beside it are reaped.
    assert_eq!(crate::support::container::status(&beside.pidfd), 137);
    assert_eq!(container.finish().status, 137);
    // Its own group is the root of what it sees, and nothing of it can be written.
    let (groups, rest): (Vec<&str>, Vec<&str>) = seen
        .iter()
        .map(String::as_str)
        .partition(|line| line.contains(":/"));
    let groups = groups.join("\n");
    assert!(
        groups_of(&groups).all(|line| line.ends_with(":/")),
        "{seen:?}"
    );
    assert!(rest.contains(&"1"), "{seen:?}");
    assert!(
        !rest.iter().any(|line| line.starts_with("made in")),
        "{seen:?}"
    );
    clean(&bundle);
}

/// The lines of a process's groups, in the hierarchies that are in use.
fn groups_of(text: &str) -> impl Iterator<Item = &str> {
    let has_v2 = Hierarchies::get().unwrap().v2.is_some();
    text.lines()
        .filter(move |line| has_v2 || !line.starts_with("0:"))
}

pub(crate) fn memory_is_limited() {
    let engine = Engine::new();
    let mut bundle = engine.script(
        "one",
        "head -c 100000000 /dev/zero | tail -c 90000000 | wc -c",
    );
    bundle.cgroup.resources.memory_bytes = Some(32 << 20);
    let warnings = prepare(&bundle);
    if is_limited(&warnings, "memory limit") {
        let result = run(&bundle);
        assert_ne!(result.stdout.trim(), "90000000", "{result:?}");
        assert!(cgroup::oom_killed(&bundle.cgroup.path));
        assert_eq!(
            cgroup::usage(&bundle.cgroup.path).memory_bytes_max,
            Some(32 << 20)
        );
        // A new life starts with a clean record.
        prepare(&bundle);
        assert!(!cgroup::oom_killed(&bundle.cgroup.path));
    }
    clean(&bundle);
}

pub(crate) fn processes_and_cpus_are_limited() {
    let engine = Engine::new();
    let mut bundle = engine.script(
        "one",
        "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo done; wait",
    );
    bundle.cgroup.resources.pids = Some(4);
    bundle.cgroup.resources.cpus_milli = Some(500);
    bundle.cgroup.resources.cpuset_cpus = Some("0".to_owned());
    let warnings = prepare(&bundle);
    if is_limited(&warnings, "limit of processes") {
        let result = run(&bundle);
        assert!(result.stderr.contains("can't fork"), "{result:?}");
    }
    if is_limited(&warnings, "CPU set") {
        let mut bundle = engine.bundle("two", &["nproc"]);
        bundle.cgroup.resources.cpuset_cpus = Some("0".to_owned());
        prepare(&bundle);
        assert_eq!(run(&bundle).text(), "1");
        cgroup::remove(&bundle.cgroup.path).unwrap();
    }
    clean(&bundle);
}

pub(crate) fn devices_are_limited() {
    let engine = Engine::new();
    let script = "mknod /sda b 8 0; mknod /null c 1 3; mknod /tun c 10 200; \
        (: < /tun); (: < /sda); echo ok > /null && echo written";
    let bundle = engine.script("one", script);
    assert_eq!(prepare(&bundle), []);
    let result = run(&bundle);
    assert_eq!(
        result.stderr.matches("Operation not permitted").count(),
        2,
        "{result:?}"
    );
    assert_eq!(result.stdout, "written\n");
    let rule = DeviceRule {
        kind: 'c',
        major: Some(10),
        minor: Some(200),
        permissions: "r".to_owned(),
        allow: true,
    };
    cgroup::prepare(&bundle.cgroup, &[rule], false).unwrap();
    let result = run(&engine.script("one", "mknod /tun2 c 10 200; (: < /tun2) && echo opened"));
    assert_eq!(result.stdout, "opened\n", "{result:?}");
    clean(&bundle);
}

pub(crate) fn groups_freeze_and_thaw() {
    if !has_groups() {
        return;
    }
    let engine = Engine::new();
    let bundle = engine.script("one", "while :; do echo x; sleep 0.001; done");
    prepare(&bundle);
    let container = start(&bundle).unwrap();
    cgroup::freeze(&bundle.cgroup.path, Motion::Frozen).unwrap();
    assert!(is_still(&container), "it runs on");
    cgroup::freeze(&bundle.cgroup.path, Motion::Thawed).unwrap();
    eventually("it runs again", || !is_still(&container));
    cgroup::freeze(&bundle.cgroup.path, Motion::Frozen).unwrap();
    cgroup::kill(&bundle.cgroup.path).unwrap();
    cgroup::freeze(&bundle.cgroup.path, Motion::Thawed).unwrap();
    container.kill();
    clean(&bundle);
}

fn is_still(container: &Running) -> bool {
    let switches = || {
        let path = format!("/proc/{}/status", container.started.pid);
        let status = std::fs::read_to_string(path).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("voluntary_ctxt"))
            .unwrap();
        line.to_owned()
    };
    let before = switches();
    std::thread::sleep(std::time::Duration::from_millis(50));
    before == switches()
}

pub(crate) fn a_group_that_is_not_there_is_fine() {
    let path = "rcompose-test-none/at/all";
    cgroup::kill(path).unwrap();
    cgroup::remove(path).unwrap();
    assert!(!cgroup::oom_killed(path));
    assert_eq!(cgroup::usage(path), cgroup::Usage::default());
    assert!(cgroup::freeze(path, Motion::Frozen).is_err());
}

/// What pairs that were killed left, beside a pair's own group.
pub(crate) fn empty_groups_of_that_name_are_swept() {
    let base = isolated::groups();
    let hosts = Hierarchies::get().unwrap();
    let mounts = hosts.v1.iter().map(|known| &known.mount).chain(&hosts.v2);
    let folders: Vec<_> = mounts.map(|mount| mount.join(base)).collect();
    for folder in &folders {
        for name in ["pair-dead", "pair-full/child", "other"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
    }
    cgroup::remove_empty_beside(&format!("{base}/pair-own"), "pair-").unwrap();
    for folder in &folders {
        let is_there = |name| folder.join(name).exists();
        assert!(!is_there("pair-dead") && is_there("pair-full") && is_there("other"));
    }
    cgroup::remove(base).unwrap();
}

/// `cgroup_parent` may name a group that the user made and gave limits.
pub(crate) fn a_group_of_the_users_own_stays() {
    let users = format!("users-{}", isolated::groups());
    let engine = Engine::new();
    let mut bundle = engine.script("one", "true");
    bundle.cgroup.path = format!("{users}/one");
    prepare(&bundle);
    run(&bundle);
    cgroup::remove(&bundle.cgroup.path).unwrap();
    let hosts = Hierarchies::get().unwrap();
    for mount in hosts.v1.iter().map(|known| &known.mount).chain(&hosts.v2) {
        assert!(!mount.join(&bundle.cgroup.path).exists());
        std::fs::remove_dir(mount.join(&users)).expect("the user's group is there");
    }
}
