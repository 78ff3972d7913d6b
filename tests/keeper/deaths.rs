//! Whoever of the three dies, whenever.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use rcompose::keeper::{Launched, launch};
use rcompose::model::{Bundle, CgroupSpec, Outcome, ProcessIdentity, Resources};
use rcompose::protocol::keeper::{Adopt, ReplyBody, RequestBody};
use rcompose::runtime;
use rcompose::sys::{descriptor, process, pty};

use crate::pair::{Pair, eventually, kill, processes};
use crate::supervisor::{Ask, Tell};
use crate::support::container::bind;

pub(crate) fn the_shelf_survives_a_supervisor() {
    let pair = Pair::launch();
    let pipe = descriptor::pipe().unwrap();
    let put = |name: &str, descriptor: OwnedFd| {
        let body = RequestBody::Put {
            name: name.to_owned(),
        };
        pair.ask_with(&Ask::Keeper(body), &[descriptor]);
    };
    put("port/web", pipe.reader);
    for _ in 0..3 {
        kill(pair.await_ready()["supervisor"]);
    }
    kill(pair.await_ready()["keeper"]);
    let mut writer = File::from(pipe.writer);
    writer.write_all(b"still there").unwrap();
    drop(writer);
    let mut text = String::new();
    File::from(pair.lend("port/web"))
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "still there");
    let names = vec!["port/web".to_owned(), "unknown".to_owned()];
    assert_eq!(pair.keeper(RequestBody::Drop { names }), ReplyBody::Done);
    assert!(!pair.shelf().contains(&"port/web".to_owned()));
    pair.shut_down();
}

pub(crate) fn a_keeper_may_die_right_after_a_clone() {
    a_spawn_survives("keeper:after-clone");
}

pub(crate) fn a_keeper_may_die_before_it_answers() {
    a_spawn_survives("keeper:before-reply");
}

/// A container that the keeper started and never told of.
fn a_spawn_survives(point: &str) {
    let mut pair = Pair::unlaunched();
    let marker = pair.spec.state_dir.join("die");
    let told = format!("{point}@{}", marker.display());
    let variable = ("RCOMPOSE_TEST_DIE".to_owned(), told);
    pair.spec.environment.push(variable);
    assert_eq!(launch(&pair.spec).unwrap(), Launched::Ready);
    let before = pair.await_ready();
    let bundle = pair.engine.bundle("orphan", &["sleep", "54321"]);
    let group = CgroupSpec {
        path: format!("{}/shop/orphan", pair.groups),
        resources: Resources::default(),
    };
    runtime::cgroup::prepare(&group, &[], true).unwrap();
    let bundle = Bundle {
        cgroup: group.clone(),
        ..bundle
    };
    std::fs::write(&marker, "").unwrap();
    let process = pair.start_bundle("orphan", bundle);
    assert!(!marker.exists(), "{point}: nobody died");
    assert_ne!(pair.members()["keeper"], before["keeper"]);
    let sleepers = || {
        let all = processes().into_iter();
        let sleepers = all.filter(|(_, arguments)| arguments.iter().any(|a| a == "54321"));
        sleepers.map(|(pid, _)| pid).collect::<Vec<_>>()
    };
    eventually("one container", || {
        (sleepers() == [process.pid]).then_some(())
    });
    kill(process.pid);
    assert_eq!(pair.await_exit("orphan"), Outcome::Signal(9));
    runtime::cgroup::remove(&group.path).unwrap();
    pair.shut_down();
}

pub(crate) fn a_supervisor_is_replaced_while_all_goes_on() {
    let pair = Pair::launch();
    let process = pair.start("steady", "exec sleep 1000");
    let before = pair.await_ready();
    let binary = File::open("/proc/self/exe").unwrap().into();
    let ask = Ask::Keeper(RequestBody::ReplaceSupervisor);
    let (tell, _) = pair.ask_with(&ask, &[binary]);
    assert!(matches!(tell, Tell::Reply(ReplyBody::Done)), "{tell:?}");
    let after = eventually("the next supervisor", || {
        let members = pair.await_ready();
        (members["supervisor"] != before["supervisor"]).then_some(members)
    });
    assert_eq!(after["keeper"], before["keeper"]);
    let hello = RequestBody::Hello {
        version: 1,
        build: String::new(),
    };
    let ReplyBody::Hello { deaths, spawns, .. } = pair.keeper(hello) else {
        panic!("no hello");
    };
    assert_eq!(deaths, Vec::<String>::new(), "a replacement is no death");
    assert_eq!(spawns.len(), 1);
    kill(process.pid);
    assert_eq!(pair.await_exit("steady"), Outcome::Signal(9));
    pair.shut_down();
}

/// A supervisor that stands still holds nobody up, and hears the truth later.
pub(crate) fn a_stopped_supervisor_blocks_nobody() {
    let pair = Pair::launch();
    let names: Vec<String> = (0..8).map(|n| format!("brief{}", "z".repeat(n))).collect();
    for name in &names {
        pair.start(name, "sleep 0.3; echo done; exit 3");
    }
    let supervisor = process::identity(pair.await_ready()["supervisor"]).unwrap();
    process::kill(&supervisor, libc::SIGSTOP).unwrap();
    for name in &names {
        let record = || pair.record(name).map(|record| record.outcome);
        let outcome = eventually(&format!("record of {name}"), record);
        assert_eq!(outcome, Outcome::Code(3));
    }
    process::kill(&supervisor, libc::SIGCONT).unwrap();
    for name in &names {
        assert_eq!(pair.await_exit(name), Outcome::Code(3));
    }
    pair.shut_down();
}

/// How long the keeper waits for a log writer that isn't known to hang.
const WAITED_FOR: Duration = Duration::from_secs(5);
/// Ends behind that: so many that not even a crowded machine takes as long for
/// them as waiting for each would.
const LATER: usize = 8;

/// A log writer that hangs, as on a frozen disk, hides no end for long.
pub(crate) fn a_stopped_log_writer_hides_no_exit() {
    let pair = Pair::launch();
    let writer = process::identity(pair.await_ready()["log-writer"]).unwrap();
    process::kill(&writer, libc::SIGSTOP).unwrap();
    for name in ["first", "second", "third"] {
        pair.start(name, "echo late; exit 4");
    }
    for name in ["first", "second", "third"] {
        assert_eq!(pair.await_exit(name), Outcome::Code(4));
        assert_eq!(pair.output(name), "");
    }
    let start = std::time::Instant::now();
    for number in 0..LATER {
        let name = format!("later{}", "w".repeat(number));
        pair.start(&name, "exit 5");
        assert_eq!(pair.await_exit(&name), Outcome::Code(5));
    }
    assert!(
        start.elapsed() < WAITED_FOR * u32::try_from(LATER).unwrap(),
        "it is known to hang"
    );
    process::kill(&writer, libc::SIGCONT).unwrap();
    for name in ["first", "second", "third"] {
        eventually("late lines", || {
            (pair.output(name) == "late\n").then_some(())
        });
        eventually("its record", || pair.record(name));
    }
    pair.shut_down();
}

/// Lines with numbers, in bursts, until it is told to stop.
const COUNTER: &str = "trap 'stop=1' TERM; n=0; while [ -z \"$stop\" ]; do \
     for i in 1 2 3 4 5 6 7 8 9 10; do n=$((n+1)); echo line $n; done; \
     printf 'part of '; sleep 0.002; n=$((n+1)); echo line $n; done; exit 42";

/// What the counter wrote up to its last line, if there is no gap.
fn check_sequence(output: &str) -> Result<u64, String> {
    let mut last = 0;
    for line in output.lines() {
        let number = line
            .rsplit_once(' ')
            .and_then(|(_, n)| n.parse::<u64>().ok());
        let number = number.ok_or_else(|| format!("after {last}: {line:?}"))?;
        if number != last + 1 {
            return Err(format!("{number} follows {last}"));
        }
        last = number;
    }
    Ok(last)
}

struct Counters<'a> {
    pair: &'a Pair,
    processes: BTreeMap<String, ProcessIdentity>,
}

impl<'a> Counters<'a> {
    fn start(pair: &'a Pair, count: usize) -> Self {
        let mut processes = BTreeMap::new();
        for number in 0..count {
            let name = format!("count{}", "x".repeat(number));
            processes.insert(name.clone(), pair.start(&name, COUNTER));
        }
        Self { pair, processes }
    }

    fn assert_alive(&self) {
        for (name, process) in &self.processes {
            assert!(process::is_alive(process), "{name} died");
        }
    }

    fn await_progress(&self) {
        for name in self.processes.keys() {
            let path = self.pair.target(name).path.unwrap();
            let length = || std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
            let before = length();
            eventually(&format!("progress of {name}"), || {
                (length() > before).then_some(())
            });
        }
    }

    fn stop(&self) {
        for name in self.processes.keys() {
            let signal = RequestBody::Signal {
                spawn: name.clone(),
                signal: libc::SIGTERM,
            };
            assert_eq!(self.pair.keeper(signal), ReplyBody::Done);
        }
    }
}

pub(crate) fn any_of_the_three_may_die() {
    let pair = Pair::launch();
    let counters = Counters::start(&pair, 3);
    let subsets: [&[&str]; 6] = [
        &["supervisor"],
        &["keeper"],
        &["log-writer"],
        &["supervisor", "log-writer"],
        &["keeper", "log-writer"],
        &["log-writer"],
    ];
    for (round, roles) in (0..18).zip(subsets.into_iter().cycle()) {
        let members = pair.await_ready();
        // At another point of their turns each time.
        std::thread::sleep(Duration::from_millis(round * 7 % 32));
        for role in roles {
            kill(members[role]);
        }
        counters.await_progress();
        counters.assert_alive();
    }
    pair.await_ready();
    counters.stop();
    for name in counters.processes.keys() {
        let outcome = pair.await_exit(name);
        // Its keeper isn't its parent any more: older kernels don't tell.
        assert!(
            matches!(outcome, Outcome::Code(42) | Outcome::Unknown),
            "{name}: {outcome:?}"
        );
        assert_eq!(pair.record(name).unwrap().outcome, outcome);
        let count = check_sequence(&pair.output(name));
        assert!(count.is_ok(), "{name}: {count:?}");
    }
    pair.shut_down();
}

/// Kills all members of a pair.
fn kill_all_three(pair: &Pair) {
    for pid in pair.await_ready().values() {
        kill(*pid);
    }
    // Both may be started by the other once more before they are killed.
    eventually("nobody", || {
        pair.members().values().for_each(|pid| kill(*pid));
        pair.members().is_empty().then_some(())
    });
}

/// A request to take over a container that the keeper doesn't know.
fn adoption(pair: &Pair, name: &str, process: &ProcessIdentity) -> RequestBody {
    RequestBody::Adopt(Box::new(Adopt {
        id: name.to_owned(),
        process: process.clone(),
        cgroup: pair.engine.bundle(name, &[]).cgroup.path,
        log: pair.target(name),
    }))
}

pub(crate) fn all_three_may_die() {
    let pair = Pair::launch();
    let counters = Counters::start(&pair, 2);
    // Ends when it is told, which is when nobody is there to see it.
    let signs = pair.engine.folder("signs");
    let script = "until test -e /signs/end; do sleep 0.01; done; exit 3";
    let mut bundle = pair.engine.bundle("ended", &["sh", "-c", script]);
    bundle.mounts.push(bind(&signs, "/signs"));
    let ended = pair.start_bundle("ended", bundle);
    counters.await_progress();
    kill_all_three(&pair);
    std::fs::write(signs.join("end"), "").unwrap();
    eventually("the end of one", || {
        // As the host's first process does it: then nobody can ask any more.
        let _ = rustix::process::wait(rustix::process::WaitOptions::NOHANG);
        process::identity(ended.pid).is_err().then_some(())
    });
    counters.assert_alive();
    assert_eq!(launch(&pair.spec).unwrap(), Launched::Ready);
    for (name, process) in counters
        .processes
        .iter()
        .chain([(&"ended".to_owned(), &ended)])
    {
        match pair.keeper(adoption(&pair, name, process)) {
            ReplyBody::Spawned { .. } => assert_ne!(name, "ended"),
            ReplyBody::Done => assert_eq!(name, "ended"),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert_eq!(pair.await_exit("ended"), Outcome::Unknown);
    assert_eq!(pair.record("ended").unwrap().outcome, Outcome::Unknown);
    counters.await_progress();
    counters.assert_alive();
    counters.stop();
    for name in counters.processes.keys() {
        let outcome = pair.await_exit(name);
        assert!(matches!(outcome, Outcome::Code(42) | Outcome::Unknown));
        // Bytes that nobody held may be missing, and nothing else is wrong.
        assert!(pair.output(name).ends_with('\n'));
    }
    pair.shut_down();
}

pub(crate) fn a_containers_own_terminal_is_not_taken() {
    let pair = Pair::launch();
    let process = pair.start_bundle("own", pair.engine.probe("own", "terminal"));
    eventually("output that goes to the terminal", || {
        let output = std::fs::read_link(format!("/proc/{}/fd/1", process.pid)).ok()?;
        output.starts_with("/dev/pts").then_some(())
    });
    kill_all_three(&pair);
    assert_eq!(launch(&pair.spec).unwrap(), Launched::Ready);
    let reply = pair.keeper(adoption(&pair, "own", &process));
    assert!(matches!(reply, ReplyBody::Spawned { .. }), "{reply:?}");
    let keeper = pair.await_ready()["keeper"];
    let stat = std::fs::read_to_string(format!("/proc/{keeper}/stat")).unwrap();
    // tty_nr is the fifth word behind the name (proc_pid_stat(5)).
    let terminal = stat.rsplit_once(") ").unwrap().1.split(' ').nth(4);
    assert_eq!(terminal, Some("0"), "{stat}");
    kill(process.pid);
    pair.await_exit("own");
    pair.shut_down();
}

/// In a container: has a terminal that it made itself as its output.
pub(crate) fn sit_on_a_terminal() -> u8 {
    let devpts = File::open("/dev/pts").unwrap();
    let terminal = pty::open(devpts.as_fd(), 24, 80).unwrap();
    descriptor::replace_standard(1, terminal.slave.as_fd()).unwrap();
    loop {
        std::thread::park();
    }
}

pub(crate) fn a_supervisor_that_keeps_failing_is_explained() {
    let mut pair = Pair::unlaunched();
    pair.spec
        .environment
        .push(("RCOMPOSE_TEST_SUPERVISOR_PANICS".to_owned(), "1".to_owned()));
    assert_eq!(launch(&pair.spec).unwrap(), Launched::Ready);
    let text = eventually("an explanation", || {
        let mut bytes = Vec::new();
        let mut connection = File::from(pair.connect()?);
        // A supervisor that dies with the connection resets it.
        connection.read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.contains("failed").then_some(text)
    });
    assert!(text.contains("poisoned record"), "{text}");
    for pid in pair.members().values() {
        kill(*pid);
    }
}
