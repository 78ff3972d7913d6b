//! The plain life of a container: start, exit, a process beside the first.

use crate::support::container::{Engine, run, start};

pub(crate) fn runs_as_pid_one() {
    let engine = Engine::new();
    let bundle = engine.bundle("one", &["sh", "-c", "echo $$; hostname; pwd; id -u; env"]);
    let text = run(&bundle).text();
    assert_eq!(
        text.lines().collect::<Vec<_>>()[..4],
        ["1", "box", "/", "0"],
        "{text}"
    );
    assert!(text.contains("HOME=/root"), "{text}");
}

pub(crate) fn reports_exit_codes() {
    let engine = Engine::new();
    assert_eq!(run(&engine.bundle("a", &["true"])).status, 0);
    assert_eq!(
        run(&engine.bundle("b", &["sh", "-c", "exit 42"])).status,
        42
    );
    let bundle = engine.bundle("c", &["sleep", "1000"]);
    assert_eq!(start(&bundle).unwrap().kill().status, 137);
}

pub(crate) fn has_a_tree_of_its_own() {
    let engine = Engine::new();
    let script = "ls /; echo hello > /root/file; ls /engine; cut -d' ' -f5 /proc/self/mountinfo";
    let result = run(&engine.bundle("one", &["sh", "-c", script]));
    assert!(result.stderr.contains("/engine"), "{result:?}");
    for place in [
        "/proc",
        "/dev",
        "/dev/pts",
        "/dev/shm",
        "/dev/mqueue",
        "/sys",
    ] {
        assert!(
            result.stdout.lines().any(|line| line == place),
            "{place}: {result:?}"
        );
    }
    let written = std::fs::read_to_string(engine.upper("one").join("root/file")).unwrap();
    assert_eq!(written, "hello\n");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("containers/one"), "{mounts}");
}

pub(crate) fn refuses_what_cannot_run() {
    let engine = Engine::new();
    let code = |name: &str, argv: &[&str]| {
        let error = start(&engine.bundle(name, argv)).unwrap_err();
        (error.exit_code(), error.message())
    };
    assert_eq!(
        code("a", &["nope"]),
        (
            127,
            "exec: \"nope\": executable file not found in $PATH".into()
        )
    );
    assert_eq!(
        code("b", &["/nope/nope"]),
        (
            127,
            "exec: \"/nope/nope\": no such file or directory".into()
        )
    );
    assert_eq!(
        code("c", &["/etc/passwd"]),
        (126, "exec: \"/etc/passwd\": permission denied".into())
    );
    assert_eq!(
        code("d", &["/etc"]),
        (126, "exec: \"/etc\": is a directory".into())
    );
    assert_eq!(code("e", &[""]).0, 125);
}

pub(crate) fn runs_another_process() {
    let engine = Engine::new();
    let container = start(&engine.bundle("one", &["sleep", "1000"])).unwrap();
    let text = container
        .exec(&["sh", "-c", "hostname; cat /proc/1/comm; ls /"])
        .text();
    assert!(text.starts_with("box\nsleep\n"), "{text}");
    assert!(!text.contains("engine"), "{text}");
    assert_eq!(container.exec(&["sh", "-c", "exit 3"]).status, 3);
    assert_eq!(container.kill().status, 137);
}
