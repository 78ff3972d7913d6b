//! Output in bulk, and disks that refuse it.

use rcompose::model::Outcome;
use rcompose::protocol::keeper::RequestBody;
use rcompose::sys::mount::{self, Attributes, Filesystem};
use rcompose::sys::process;
use std::os::fd::AsFd as _;

use crate::pair::{Pair, eventually};
use crate::supervisor::{Ask, Tell};

fn mount_tiny(target: &std::path::Path) {
    std::fs::create_dir_all(target).unwrap();
    let tiny = Filesystem::open("tmpfs")
        .unwrap()
        .set("size", "64k")
        .unwrap();
    let tiny = tiny.mount(Attributes::NONE).unwrap();
    let target = rcompose::sys::fs::folder(target).unwrap();
    mount::attach(tiny.as_fd(), target.as_fd()).unwrap();
}

pub(crate) fn a_full_disk_blocks_nobody_else() {
    let pair = Pair::unlaunched();
    let folder = pair.spec.state_dir.join("tiny");
    mount_tiny(&folder);
    rcompose::keeper::launch(&pair.spec).unwrap();
    let script = "n=0; while [ $n -lt 50000 ]; do n=$((n+1)); echo line $n; done; exit 5";
    let bundle = pair.engine.bundle("full", &["sh", "-c", script]);
    let mut request = pair.spawn_request("full", bundle);
    let log = folder.join("log");
    if let RequestBody::Spawn(spawn) = &mut request
        && let rcompose::protocol::keeper::Stdio::Logged { log: target, .. } = &mut spawn.stdio
    {
        target.path = Some(log.clone());
    }
    let reply = pair.keeper(request);
    let rcompose::protocol::keeper::ReplyBody::Spawned { process } = reply else {
        panic!("{reply:?}");
    };
    let message = eventually("trouble", || {
        match pair.ask(Ask::Trouble("full".to_owned())) {
            Tell::Trouble(message) => message,
            other => panic!("{other:?}"),
        }
    });
    assert!(message.contains("tiny/log"), "{message}");
    // Others come and go at their pace.
    for number in 0..3 {
        let name = format!("well{}", "y".repeat(number));
        pair.start(&name, "echo fine; exit 1");
        assert_eq!(pair.await_exit(&name), Outcome::Code(1));
        assert_eq!(pair.output(&name), "fine\n");
    }
    assert!(process::is_alive(&process), "it waits for its disk");
    // An attempt that finds no room stands there until it is cut off again.
    eventually("whole lines alone", || {
        let saved = std::fs::read_to_string(&log).unwrap();
        // None at all where the first attempt was more than the disk holds.
        (saved.is_empty() || saved.ends_with("}\n")).then_some(())
    });
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount_remount(&folder, flags, c"size=16m").unwrap();
    assert_eq!(pair.await_exit("full"), Outcome::Code(5));
    std::fs::copy(&log, pair.target("full").path.unwrap()).unwrap();
    let expect: String = (1..=50000).map(|n| format!("line {n}\n")).collect();
    assert!(pair.output("full") == expect, "a gap or a repetition");
    pair.shut_down();
}

pub(crate) fn a_flood_is_written_whole() {
    let pair = Pair::launch();
    let script = "yes 0123456789012345678901234567890123456789 | head -n 200000; exit 6";
    pair.start("flood", script);
    assert_eq!(pair.await_exit("flood"), Outcome::Code(6));
    assert_eq!(pair.output("flood").lines().count(), 200_000);
    pair.shut_down();
}
