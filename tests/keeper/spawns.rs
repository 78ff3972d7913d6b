//! Containers and processes in them.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use rcompose::model::Outcome;
use rcompose::protocol::keeper::{DescriptorRole, ReplyBody, RequestBody, SpawnState, Stdio};
use rcompose::sys::{descriptor, process};

use crate::pair::{Pair, eventually};
use crate::supervisor::{Ask, Tell};

pub(crate) fn a_container_runs_and_its_exit_is_recorded() {
    let pair = Pair::launch();
    let process = pair.start("one", "echo hello; echo oops >&2; exit 7");
    assert!(process.pid > 1);
    assert_eq!(pair.await_exit("one"), Outcome::Code(7));
    // Complete before the exit shows.
    let record = pair.record("one").unwrap();
    assert_eq!(
        (record.spawn.as_str(), record.outcome),
        ("one", Outcome::Code(7))
    );
    let output = pair.output("one");
    assert!(
        output.contains("hello\n") && output.contains("oops\n"),
        "{output}"
    );
    let names = pair.shelf();
    assert!(
        !names.iter().any(|name| name.starts_with("log/")),
        "{names:?}"
    );
    let forget = RequestBody::Forget {
        spawn: "one".to_owned(),
    };
    assert_eq!(pair.keeper(forget), ReplyBody::Done);
    assert!(!pair.shelf().iter().any(|name| name.contains("one")));
    pair.shut_down();
}

pub(crate) fn a_spawn_asked_for_twice_runs_once() {
    let pair = Pair::launch();
    let script = "echo once; exec sleep 1000";
    let first = pair.start("twice", script);
    let second = pair.start("twice", script);
    assert_eq!(first, second);
    eventually("its output", || {
        (!pair.output("twice").is_empty()).then_some(())
    });
    assert_eq!(pair.output("twice"), "once\n");
    assert!(matches!(
        pair.keeper(RequestBody::Shutdown),
        ReplyBody::Failed { .. }
    ));
    kill_and_forget(&pair, "twice");
    let third = pair.start("twice", script);
    assert_ne!(first, third);
    kill_and_forget(&pair, "twice");
    pair.shut_down();
}

fn kill_and_forget(pair: &Pair, spawn: &str) {
    let spawn = spawn.to_owned();
    let signal = RequestBody::Signal {
        spawn: spawn.clone(),
        signal: libc::SIGKILL,
    };
    assert_eq!(pair.keeper(signal), ReplyBody::Done);
    assert_eq!(pair.await_exit(&spawn), Outcome::Signal(9));
    assert_eq!(pair.keeper(RequestBody::Forget { spawn }), ReplyBody::Done);
}

pub(crate) fn what_cannot_start_says_why() {
    let pair = Pair::launch();
    let bundle = pair.engine.bundle("bad", &["no-such-program"]);
    for _ in 0..2 {
        let reply = pair.keeper(pair.spawn_request("bad", bundle.clone()));
        let ReplyBody::SpawnFailed(failure) = reply else {
            panic!("{reply:?}");
        };
        assert_eq!(failure.exit_code, 127);
        assert!(failure.message.contains("no-such-program"), "{failure}");
    }
    assert!(!pair.shelf().iter().any(|name| name.contains("bad")));
    pair.shut_down();
}

fn pipe_pair(pair: &Pair) -> (Vec<OwnedFd>, File, File) {
    let _ = pair;
    let (stdin, stdout) = (descriptor::pipe().unwrap(), descriptor::pipe().unwrap());
    let theirs = vec![stdin.reader, stdout.writer];
    (theirs, File::from(stdin.writer), File::from(stdout.reader))
}

pub(crate) fn processes_run_in_a_container() {
    let pair = Pair::launch();
    let target = pair.start("host", "exec sleep 1000");
    let (theirs, mut stdin, mut stdout) = pipe_pair(&pair);
    let mut exec = pair.exec_request("cat", &target, &["cat"], Stdio::Pipes);
    exec.descriptors = vec![DescriptorRole::Stdin, DescriptorRole::Stdout];
    let ask = Ask::Keeper(RequestBody::Exec(Box::new(exec)));
    let (tell, descriptors) = pair.ask_with(&ask, &theirs);
    assert!(
        matches!(tell, Tell::Reply(ReplyBody::Spawned { .. })),
        "{tell:?}"
    );
    assert_eq!(descriptors.len(), 1, "a pidfd");
    drop(theirs);
    stdin.write_all(b"through the container\n").unwrap();
    drop(stdin);
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through the container\n");
    assert_eq!(pair.await_exit("cat"), Outcome::Code(0));

    let terminal = Stdio::Terminal {
        rows: 33,
        columns: 111,
    };
    let exec = pair.exec_request("tty", &target, &["sh", "-c", "tty; stty size"], terminal);
    let ask = Ask::Keeper(RequestBody::Exec(Box::new(exec)));
    let (tell, descriptors) = pair.ask_with(&ask, &[]);
    assert!(
        matches!(tell, Tell::Reply(ReplyBody::Spawned { .. })),
        "{tell:?}"
    );
    let [_pidfd, master] = <[OwnedFd; 2]>::try_from(descriptors).unwrap();
    let mut bytes = Vec::new();
    // The end of a terminal is an error to its reader.
    let _ = File::from(master).read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    assert!(
        text.contains("/dev/pts/0") && text.contains("33 111"),
        "{text}"
    );
    kill_and_forget(&pair, "host");
    pair.shut_down();
}

pub(crate) fn many_processes_at_once() {
    const COUNT: u32 = 500;
    let pair = Pair::launch();
    let target = pair.start("crowd", "exec sleep 1000");
    for number in 0..COUNT {
        let script = format!("exit {}", number % 200);
        let id = format!("exec-{number}");
        let exec = pair.exec_request(&id, &target, &["sh", "-c", &script], Stdio::Null);
        let reply = pair.keeper(RequestBody::Exec(Box::new(exec)));
        assert!(matches!(reply, ReplyBody::Spawned { .. }), "{reply:?}");
    }
    for number in 0..COUNT {
        let id = format!("exec-{number}");
        let code = u8::try_from(number % 200).unwrap();
        assert_eq!(pair.await_exit(&id), Outcome::Code(code), "{id}");
        let forget = RequestBody::Forget { spawn: id };
        assert_eq!(pair.keeper(forget), ReplyBody::Done);
    }
    // The keeper's children are its log writer, its supervisor and the container.
    let keeper = pair.members()["keeper"];
    let children = std::fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children"));
    assert_eq!(children.unwrap().split_whitespace().count(), 3);
    kill_and_forget(&pair, "crowd");
    pair.shut_down();
}

pub(crate) fn only_pipes_enter() {
    let pair = Pair::launch();
    let target = pair.start("strict", "exec sleep 1000");
    let file = OwnedFd::from(File::open("/proc/self/exe").unwrap());
    let mut exec = pair.exec_request("file", &target, &["cat"], Stdio::Pipes);
    exec.descriptors = vec![DescriptorRole::Stdin];
    let ask = Ask::Keeper(RequestBody::Exec(Box::new(exec)));
    let (tell, _) = pair.ask_with(&ask, &[file]);
    assert!(
        matches!(tell, Tell::Reply(ReplyBody::SpawnFailed(_))),
        "{tell:?}"
    );
    kill_and_forget(&pair, "strict");
    pair.shut_down();
}

pub(crate) fn a_terminal_is_logged() {
    let pair = Pair::launch();
    let mut bundle = pair
        .engine
        .bundle("tty", &["sh", "-c", "tty; read x; echo got $x; exit 4"]);
    bundle.process.tty = true;
    let mut request = pair.spawn_request("tty", bundle);
    if let RequestBody::Spawn(spawn) = &mut request
        && let Stdio::Logged { stdin, .. } = &mut spawn.stdio
    {
        *stdin = true;
    }
    let reply = pair.keeper(request);
    assert!(matches!(reply, ReplyBody::Spawned { .. }), "{reply:?}");
    let mut input = File::from(pair.lend("stdin/tty"));
    input.write_all(b"input\n").unwrap();
    assert_eq!(pair.await_exit("tty"), Outcome::Code(4));
    let output = pair.output("tty");
    assert!(output.contains("/dev/pts/0\r\n"), "{output:?}");
    assert!(output.contains("got input\r\n"), "{output:?}");
    pair.shut_down();
}

pub(crate) fn signals_reach_the_process() {
    let pair = Pair::launch();
    let script = "trap 'exit 9' USR1; echo ready; while :; do sleep 0.01; done";
    let identity = pair.start("trap", script);
    eventually("its word", || {
        (pair.output("trap") == "ready\n").then_some(())
    });
    assert!(matches!(
        pair.state("trap"),
        None | Some(SpawnState::Running { .. })
    ));
    let signal = |signal| RequestBody::Signal {
        spawn: "trap".to_owned(),
        signal,
    };
    assert_eq!(pair.keeper(signal(libc::SIGUSR1)), ReplyBody::Done);
    assert_eq!(pair.await_exit("trap"), Outcome::Code(9));
    assert!(!process::is_alive(&identity));
    assert_eq!(pair.keeper(signal(libc::SIGUSR1)), ReplyBody::Done);
    pair.shut_down();
}
