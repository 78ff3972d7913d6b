//! Whom a process runs as and what it may do.

use std::os::fd::AsFd;

use rcompose::model::{Rlimit, Seccomp};
use rcompose::runtime::{self, Joins};

use crate::support::container::{Engine, process, refusal, run, start};

const STATUS: &str =
    "grep -E '^(Cap|Seccomp:|NoNewPrivs|SigIgn|SigBlk|Groups)' /proc/self/status | tr '\\t' ' '";

fn status_of(text: &str, key: &str) -> String {
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{key}:")));
    line.unwrap().split_once(": ").unwrap().1.trim().to_owned()
}

pub(crate) fn users_are_the_images() {
    let engine = Engine::new();
    let who = |user: &str, groups: &[&str]| {
        let mut bundle = engine.script("one", "id -u; id -g; id -G; echo $HOME");
        bundle.process.user = user.to_owned();
        bundle.process.groups = groups.iter().map(|&group| group.to_owned()).collect();
        run(&bundle).text().replace('\n', "|")
    };
    assert_eq!(who("", &[]), "0|0|0 10|/root");
    assert_eq!(who("joe", &[]), "1000|1001|1001 10|/home/joe");
    assert_eq!(
        who("1000", &["extra", "77"]),
        "1000|1001|1001 10 77 2000|/home/joe"
    );
    assert_eq!(who("joe:extra", &[]), "1000|2000|2000|/home/joe");
    assert_eq!(who("4000:4001", &[]), "4000|4001|4001|/");
    let mut bundle = engine.bundle("two", &["true"]);
    bundle.process.user = "ghost".to_owned();
    assert_eq!(
        refusal(&bundle),
        (
            125,
            "user \"ghost\": unable to find user ghost: no matching entries in passwd file".into()
        )
    );
    let mut bundle = engine.script("three", "echo $HOME");
    bundle
        .process
        .env
        .push(("HOME".to_owned(), "/set".to_owned()));
    assert_eq!(run(&bundle).text(), "/set");
}

pub(crate) fn capabilities_are_dockers() {
    let engine = Engine::new();
    let text = run(&engine.script("root", STATUS)).text();
    assert_eq!(status_of(&text, "CapInh"), "0000000000000000");
    assert_eq!(status_of(&text, "CapPrm"), "00000000a80425fb");
    assert_eq!(status_of(&text, "CapEff"), "00000000a80425fb");
    assert_eq!(status_of(&text, "CapBnd"), "00000000a80425fb");
    assert_eq!(status_of(&text, "CapAmb"), "0000000000000000");
    assert_eq!(status_of(&text, "Seccomp"), "2");
    assert_eq!(status_of(&text, "NoNewPrivs"), "0");

    let mut bundle = engine.script("joe", STATUS);
    bundle.process.user = "joe".to_owned();
    bundle.process.no_new_privileges = true;
    bundle.process.capabilities = runtime::capabilities(&["NET_ADMIN".into()], &[], false).unwrap();
    let text = run(&bundle).text();
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status_of(&text, set), "0000000000000000", "{set}");
    }
    assert_eq!(status_of(&text, "CapBnd"), "00000000a80435fb");
    assert_eq!(status_of(&text, "NoNewPrivs"), "1");

    let mut bundle = engine.script("all", STATUS);
    bundle.process.capabilities = runtime::capabilities(&[], &[], true).unwrap();
    bundle.process.seccomp = Seccomp::Unconfined;
    let text = run(&bundle).text();
    assert_eq!(status_of(&text, "CapEff"), status_of(&text, "CapBnd"));
    assert!(status_of(&text, "CapEff").starts_with("000001ff"), "{text}");
    assert_eq!(status_of(&text, "Seccomp"), "0");
}

pub(crate) fn nothing_of_the_starters_is_left() {
    let engine = Engine::new();
    // What a keeper does to itself: Rust ignores SIGPIPE already.
    std::fs::write("/proc/self/oom_score_adj", "500").unwrap();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let affinity = {
        let mut set = rustix::thread::CpuSet::new();
        set.set(0);
        set
    };
    rustix::thread::sched_setaffinity(None, &affinity).unwrap();
    let script = format!("{STATUS}; umask; cat /proc/self/oom_score_adj; nproc; ulimit -n");
    let mut bundle = engine.script("one", &script);
    bundle.process.rlimits = vec![Rlimit {
        name: "nofile".to_owned(),
        soft: 123,
        hard: 456,
    }];
    let text = run(&bundle).text();
    assert_eq!(status_of(&text, "SigIgn"), "0000000000000000", "{text}");
    assert_eq!(status_of(&text, "SigBlk"), "0000000000000000", "{text}");
    let cpus = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    let cpus = cpus
        .trim()
        .rsplit('-')
        .next()
        .unwrap()
        .parse::<u32>()
        .unwrap()
        + 1;
    assert!(text.ends_with(&format!("\n0022\n0\n{cpus}\n123")), "{text}");

    let mut bundle = engine.script("two", "cat /proc/self/oom_score_adj");
    bundle.process.oom_score_adj = Some(300);
    assert_eq!(run(&bundle).text(), "300");
    bundle.process.rlimits = vec![Rlimit {
        name: "nonsense".to_owned(),
        soft: 1,
        hard: 1,
    }];
    assert_eq!(
        refusal(&bundle).1,
        "limit nonsense=1:1: there is no such limit"
    );
}

pub(crate) fn the_filter_holds() {
    let engine = Engine::new();
    // A user namespace needs no capability, so only the filter can refuse it.
    let denied = run(&engine.bundle("one", &["unshare", "-U", "true"]));
    assert!(
        denied.stderr.contains("Operation not permitted"),
        "{denied:?}"
    );
    let mut open = engine.bundle("two", &["unshare", "-U", "true"]);
    open.process.seccomp = Seccomp::Unconfined;
    assert_eq!(run(&open).status, 0);
    let mut user = engine.bundle("three", &["unshare", "-U", "true"]);
    user.process.user = "joe".to_owned();
    assert!(run(&user).stderr.contains("Operation not permitted"));

    let result = run(&engine.probe("four", "clone3"));
    assert_eq!(
        (result.status, result.stdout.trim()),
        (0, "Some(38)"),
        "{result:?}"
    );

    let mut with = engine.script("five", "mkdir /m; mount -t tmpfs none /m && echo mounted");
    with.process.capabilities = runtime::capabilities(&["SYS_ADMIN".into()], &[], false).unwrap();
    assert_eq!(run(&with).text(), "mounted");
    let mut without = engine.script("six", "mkdir /m; mount -t tmpfs none /m");
    assert!(run(&without).stderr.contains("ermission"));
    without.process.capabilities = 0;
    assert!(run(&without).stderr.contains("ermission"));
}

/// What clone3(2) says in a container.
pub(crate) fn probe_clone3() -> u8 {
    use rcompose::sys::clone::{self, NamespaceSet, Parent};
    let result = clone::spawn(NamespaceSet::EMPTY, None, Parent::Caller, || 0);
    let errno = result.err().and_then(|error| error.raw_os_error());
    println!("{errno:?}");
    0
}

pub(crate) fn profiles_are_used() {
    let engine = Engine::new();
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}"#;
    let mut bundle = engine.bundle("one", &["mkdir", "/x"]);
    bundle.process.seccomp = Seccomp::Profile(profile.to_owned());
    bundle.process.user = "joe".to_owned();
    let result = run(&bundle);
    assert!(result.stderr.contains("No space left"), "{result:?}");
    bundle.process.seccomp = Seccomp::Profile("{\"defaultAction\": \"X\"}".to_owned());
    assert_eq!(
        refusal(&bundle),
        (125, "seccomp profile: unknown action X".into())
    );
}

pub(crate) fn every_process_is_confined_alike() {
    let engine = Engine::new();
    let container = start(&engine.bundle("one", &["sleep", "1000"])).unwrap();
    let text = container.exec(&["sh", "-c", STATUS]).text();
    assert_eq!(status_of(&text, "CapBnd"), "00000000a80425fb");
    assert_eq!(status_of(&text, "Seccomp"), "2");
    assert_eq!(status_of(&text, "SigIgn"), "0000000000000000");
    let mut beside = process(&[
        "sh",
        "-c",
        "ls -l /proc/self/fd | wc -l; readlink /proc/self/fd/0",
    ]);
    beside.user = "joe".to_owned();
    let text = container.exec_with(&beside).unwrap().finish().text();
    // The header's line, the three streams and the folder that ls reads.
    assert_eq!(text, "5\n/dev/null");
    container.kill();
}

pub(crate) fn a_dead_reader_is_no_signal() {
    let engine = Engine::new();
    let script =
        "echo one; while [ ! -e /go ]; do sleep 0.01; done; echo two; touch /mark; exec sleep 1000";
    let bundle = engine.script("one", script);
    let mut container = start(&bundle).unwrap();
    assert_eq!(container.line(), "one");
    let pid = container.started.pid;
    let pidfd = container.started.pidfd.try_clone().unwrap();
    drop(container);
    std::fs::write(format!("/proc/{pid}/root/go"), "").unwrap();
    crate::support::container::eventually("a line without a reader", || {
        engine.upper("one").join("mark").exists()
    });
    // A new reader gets what is there and what comes.
    let mut again = std::fs::File::open(format!("/proc/{pid}/fd/1")).unwrap();
    let mut bytes = [0; 4];
    std::io::Read::read_exact(&mut again, &mut bytes).unwrap();
    assert_eq!(&bytes, b"two\n");
    rcompose::sys::clone::kill(pidfd.as_fd()).unwrap();
    assert_eq!(crate::support::container::status(&pidfd), 137);
}

pub(crate) fn namespaces_are_joined() {
    let engine = Engine::new();
    let first = engine.script(
        "first",
        "touch /dev/shm/mine; hostname first; exec sleep 1000",
    );
    let mut bundle = first;
    bundle.process.capabilities = runtime::capabilities(&["SYS_ADMIN".into()], &[], false).unwrap();
    let first = start(&bundle).unwrap();
    crate::support::container::eventually("the first is ready", || {
        first.exec(&["hostname"]).text() == "first"
    });
    let other = || Some(first.started.pidfd.try_clone().unwrap());
    let script =
        "hostname; ls /dev/shm; ps -o comm | grep -c sleep; echo $$; readlink /proc/self/ns/net";
    let mut second = engine.script("second", script);
    for kind in [
        &mut second.namespaces.pid,
        &mut second.namespaces.ipc,
        &mut second.namespaces.uts,
        &mut second.namespaces.net,
    ] {
        *kind = rcompose::model::Namespace::Join;
    }
    let net = std::fs::File::open(format!("/proc/{}/ns/net", first.started.pid)).unwrap();
    let joins = Joins {
        net: Some(net.into()),
        pid_of: other(),
        ipc_of: other(),
        uts_of: other(),
    };
    let text = crate::support::container::start_with(&second, joins)
        .unwrap()
        .finish()
        .text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], ["first", "mine", "1"], "{text}");
    assert_ne!(lines[3], "1", "{text}");
    let net = std::fs::read_link(format!("/proc/{}/ns/net", first.started.pid)).unwrap();
    assert_eq!(lines[4], net.to_str().unwrap());
    // The starter's own children are in its own namespace again.
    assert_eq!(run(&engine.script("third", "echo $$")).text(), "1");
    let (code, message) = refusal(&second);
    assert_eq!(code, 125);
    assert!(message.contains("no descriptor to join"), "{message}");
    first.kill();
}
