//! Terminals: of the container's own devpts, and the controlling one.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;

use rcompose::runtime::{self, ChildStdio, Joins, Started};

use crate::support::container::{Engine, process, settle, start, status};

fn read_all(master: &mut File) -> String {
    let mut text = Vec::new();
    let mut bytes = [0; 4096];
    // A terminal whose programs are gone gives an error.
    while let Ok(count @ 1..) = master.read(&mut bytes) {
        text.extend(&bytes[..count]);
    }
    String::from_utf8(text).unwrap()
}

fn output(started: Started) -> (i32, String) {
    let mut master = File::from(started.terminal.unwrap());
    let text = read_all(&mut master);
    (status(&started.pidfd), text)
}

const TERMINAL: ChildStdio = ChildStdio::Terminal {
    rows: 30,
    columns: 100,
};

pub(crate) fn a_container_has_one() {
    let engine = Engine::new();
    let script =
        "tty; stty size; ls -l /dev/console | cut -c1; stat -c %u /dev/pts/0; echo hi > /dev/tty";
    let mut bundle = engine.script("one", script);
    bundle.process.tty = true;
    bundle.process.user = "joe".to_owned();
    let starting = runtime::start(&bundle, TERMINAL, Joins::default()).unwrap();
    let (status, text) = output(settle(starting).unwrap());
    assert_eq!(text, "/dev/pts/0\r\n30 100\r\nc\r\n1000\r\nhi\r\n");
    assert_eq!(status, 0);
}

pub(crate) fn keys_are_signals() {
    let engine = Engine::new();
    for init in [false, true] {
        let mut bundle = engine.script(
            "one",
            "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.01; done",
        );
        bundle.init = init;
        let starting = runtime::start(&bundle, TERMINAL, Joins::default()).unwrap();
        let mut started = settle(starting).unwrap();
        let mut master = File::from(started.terminal.take().unwrap());
        let mut ready = [0; 7];
        master.read_exact(&mut ready).unwrap();
        assert_eq!(&ready, b"ready\r\n");
        rcompose::sys::pty::resize(master.as_fd(), 5, 6).unwrap();
        master.write_all(b"\x03").unwrap();
        let text = read_all(&mut master);
        assert!(text.contains("caught"), "{text}");
        assert_eq!(status(&started.pidfd), 9);
    }
}

pub(crate) fn another_process_has_its_own() {
    let engine = Engine::new();
    let container = start(&engine.bundle("one", &["sleep", "1000"])).unwrap();
    for _ in 0..2 {
        let spec = process(&["sh", "-c", "tty; stty size"]);
        let target = container.started.pidfd.as_fd();
        let starting = runtime::exec(target, &spec, "", TERMINAL).unwrap();
        let (status, text) = output(settle(starting).unwrap());
        assert_eq!(text, "/dev/pts/0\r\n30 100\r\n");
        assert_eq!(status, 0);
    }
    container.kill();
}

pub(crate) fn a_false_devpts_is_refused() {
    let engine = Engine::new();
    let mut bundle = engine.bundle("one", &["sleep", "1000"]);
    bundle.mounts = vec![crate::support::container::bind(
        &engine.folder("pts"),
        "/dev/pts",
    )];
    let starting = runtime::start(&bundle, TERMINAL, Joins::default()).unwrap();
    let error = settle(starting).unwrap_err();
    assert!(error.message().contains("devpts"), "{}", error.message());
    let container = start(&bundle).unwrap();
    let target = container.started.pidfd.as_fd();
    let starting = runtime::exec(target, &process(&["tty"]), "", TERMINAL).unwrap();
    assert!(settle(starting).is_err());
    container.kill();
}
