//! The life of a container: start, exit, a process beside the first.

use std::os::fd::AsFd;

use rcompose::runtime::{self, ChildStdio, Joins};
use rcompose::sys::clone;

use crate::support::container::{Engine, process, refusal, run, start, status, wait_readable};

pub(crate) fn runs_as_pid_one() {
    let engine = Engine::new();
    let text = run(&engine.script("one", "echo $$; hostname; pwd; id -u; env")).text();
    assert!(text.starts_with("1\nbox\n/\n0\n"), "{text}");
    assert!(text.contains("HOME=/root"), "{text}");
}

pub(crate) fn reports_exit_codes() {
    let engine = Engine::new();
    assert_eq!(run(&engine.bundle("a", &["true"])).status, 0);
    assert_eq!(run(&engine.script("b", "exit 42")).status, 42);
    let bundle = engine.bundle("c", &["sleep", "1000"]);
    assert_eq!(start(&bundle).unwrap().kill().status, 137);
}

pub(crate) fn refuses_what_cannot_run() {
    let engine = Engine::new();
    let code = |argv: &[&str]| refusal(&engine.bundle("one", argv));
    assert_eq!(
        code(&["nope"]),
        (
            127,
            "exec: \"nope\": executable file not found in $PATH".into()
        )
    );
    assert_eq!(
        code(&["/nope/nope"]),
        (
            127,
            "exec: \"/nope/nope\": no such file or directory".into()
        )
    );
    assert_eq!(
        code(&["/etc/passwd"]),
        (126, "exec: \"/etc/passwd\": permission denied".into())
    );
    assert_eq!(
        code(&["/etc"]),
        (126, "exec: \"/etc\": is a directory".into())
    );
    assert_eq!(code(&[""]), (125, "exec: no command specified".into()));
    assert_eq!(code(&[]), (125, "exec: no command specified".into()));
    let script = engine.base().join("script");
    std::fs::write(&script, "#!/no/such/shell\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(
        code(&["/script"]),
        (127, "exec: \"/script\": no such file or directory".into())
    );
    std::fs::write(&script, "no program\n").unwrap();
    assert_eq!(
        code(&["/script"]),
        (126, "exec: \"/script\": exec format error".into())
    );
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
    let failure = |argv: &[&str]| container.exec_with(&process(argv)).unwrap_err().exit_code();
    assert_eq!(failure(&["nope"]), 127);
    assert_eq!(failure(&["/etc/passwd"]), 126);
    let mut elsewhere = process(&["pwd"]);
    elsewhere.cwd = "/nowhere".to_owned();
    assert_eq!(
        container.exec_with(&elsewhere).unwrap_err().exit_code(),
        127
    );
    elsewhere.cwd = "/home/joe".to_owned();
    elsewhere.user = "joe".to_owned();
    let text = container.exec_with(&elsewhere).unwrap().finish().text();
    assert_eq!(text, "/home/joe");
    assert_eq!(container.kill().status, 137);
}

pub(crate) fn an_ended_container_takes_no_process() {
    let engine = Engine::new();
    let container = start(&engine.bundle("one", &["true"])).unwrap();
    wait_readable(container.started.pidfd.as_fd());
    let error = container.exec_with(&process(&["true"])).unwrap_err();
    assert_eq!(error.message(), "exec: the container is not running");
    assert_eq!(error.exit_code(), 125);
    assert_eq!(container.finish().status, 0);
}

pub(crate) fn many_processes_at_once_while_it_is_killed() {
    let engine = Engine::new();
    let container = start(&engine.bundle("one", &["sleep", "1000"])).unwrap();
    let null = || ChildStdio::Streams {
        stdin: None,
        stdout: None,
        stderr: None,
    };
    let sleeper = process(&["sleep", "1000"]);
    let mut starting = Vec::new();
    for at in 0..100 {
        let target = container.started.pidfd.as_fd();
        starting.push(runtime::exec(target, &sleeper, "", null()).unwrap());
        if at == 60 {
            clone::kill(target).unwrap();
        }
    }
    let mut ran = 0;
    for mut one in starting {
        loop {
            wait_readable(one.sync());
            match one.advance() {
                Ok(None) => {}
                Ok(Some(started)) => {
                    assert_eq!(status(&started.pidfd), 137);
                    ran += 1;
                    break;
                }
                Err(_) => break,
            }
        }
    }
    assert!(ran < 100);
    assert_eq!(container.finish().status, 137);
    let left = rustix::process::waitpid(None, rustix::process::WaitOptions::NOHANG);
    assert_eq!(
        left.unwrap_err(),
        rustix::io::Errno::CHILD,
        "zombies are left"
    );
}

pub(crate) fn an_aborted_start_leaves_nothing() {
    let engine = Engine::new();
    let stdio = ChildStdio::Streams {
        stdin: None,
        stdout: None,
        stderr: None,
    };
    let bundle = engine.bundle("one", &["sleep", "1000"]);
    let starting = runtime::start(&bundle, stdio, Joins::default()).unwrap();
    for slow in starting.abort() {
        clone::reap(slow.as_fd()).unwrap();
    }
    let left = rustix::process::waitpid(None, rustix::process::WaitOptions::NOHANG);
    assert_eq!(left.unwrap_err(), rustix::io::Errno::CHILD);
}

pub(crate) fn an_orphaned_start_goes_no_further() {
    let engine = Engine::new();
    let stdio = ChildStdio::Streams {
        stdin: None,
        stdout: None,
        stderr: None,
    };
    let bundle = engine.script("one", "echo ran > /mark");
    let starting = runtime::start(&bundle, stdio, Joins::default()).unwrap();
    let pidfd = starting.pidfd().unwrap().try_clone_to_owned().unwrap();
    // What the kernel does when the starter dies.
    drop(starting);
    assert_eq!(status(&pidfd), 125);
    assert!(!engine.upper("one").join("mark").exists());
}

pub(crate) fn init_takes_statuses_and_forwards_signals() {
    let engine = Engine::new();
    let mut bundle = engine.script("one", "echo $$; cat /proc/1/comm; exit 7");
    bundle.init = true;
    let result = run(&bundle);
    assert_eq!(
        (result.status, result.stdout.as_str()),
        (7, "2\nrcompose-init\n")
    );

    let trap = "trap 'echo got it; exit 5' USR1; (sleep 0.01 &) ; echo ready; while :; do sleep 0.01; done";
    let mut bundle = engine.script("two", trap);
    bundle.init = true;
    let mut container = start(&bundle).unwrap();
    assert_eq!(container.line(), "ready");
    rustix::process::pidfd_send_signal(&container.started.pidfd, rustix::process::Signal::USR1)
        .unwrap();
    let result = container.finish();
    assert_eq!((result.status, result.stdout.as_str()), (5, "got it\n"));

    let mut bundle = engine.bundle("three", &["sleep", "1000"]);
    bundle.init = true;
    bundle.process.user = "joe".to_owned();
    let container = start(&bundle).unwrap();
    // An orphan that ends is not left as a zombie.
    container.exec(&["sh", "-c", "(sleep 0.01 &)"]).text();
    rustix::process::pidfd_send_signal(&container.started.pidfd, rustix::process::Signal::TERM)
        .unwrap();
    assert_eq!(container.finish().status, 143);

    let mut bundle = engine.bundle("four", &["nope"]);
    bundle.init = true;
    assert_eq!(refusal(&bundle).0, 127);
}
