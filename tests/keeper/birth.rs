//! How a pair comes and goes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as ProcessStdio};

use rcompose::keeper::{Launched, launch, tether};
use rcompose::model::Outcome;
use rcompose::protocol::keeper::{Message, ReplyBody, RequestBody, Spawn, SpawnState, Stdio};
use rcompose::sys::cgroup::Hierarchies;
use rcompose::sys::process;

use crate::pair::{Pair, eventually, patience, processes};

fn status(pid: i32, key: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_once(':').unwrap().1.trim().to_owned()
}

pub(crate) fn a_launched_pair_is_nobodys() {
    let pair = Pair::unlaunched();
    // A caller with everything that must not be passed on: ignored signals, a
    // umask, a niceness, a working folder, an open file, a variable, groups.
    let script = "trap '' HUP PIPE INT; umask 077; cd /tmp; exec 7</proc/self/status; \
                  program=$0; groups=$1; shift; \
                  for folder; do echo $$ >\"$folder/cgroup.procs\" || exit; done; \
                  exec nice -n 5 \"$program\" launch \"$groups\"";
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script]).arg(own_path()).arg(pair.groups);
    shell.args(groups_of_the_starter(pair.groups));
    shell.env("SECRET", "hunter2");
    assert!(shell.status().unwrap().success());
    for (role, pid) in pair.await_members(&[]) {
        assert_eq!(status(pid, "Umask"), "0022", "{role}");
        let ignored = u64::from_str_radix(&status(pid, "SigIgn"), 16).unwrap();
        assert_eq!(ignored & 0b11, 0, "{role} ignores HUP or INT: {ignored:x}");
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        assert!(
            !String::from_utf8_lossy(&environment).contains("hunter2"),
            "{role}"
        );
        let folder = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
        assert_eq!(folder, Path::new("/"), "{role}");
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let after = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = after.split_whitespace().collect();
        assert_eq!(fields[16], "0", "{role} is nice");
        assert_ne!(fields[3], "1", "{role} is in a session of its own");
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
            let target = std::fs::read_link(entry.unwrap().path()).unwrap();
            assert!(!target.ends_with("status"), "{role} inherited a descriptor");
        }
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        assert!(groups.contains("/shop/pair"), "{role}: {groups}");
        assert!(!groups.contains("/starter"), "{role}: {groups}");
    }
    let binary = std::fs::File::options()
        .write(true)
        .open(format!("/proc/{}/exe", pair.members()["keeper"]));
    assert!(
        binary.is_err(),
        "our binary can be written through a process"
    );
    pair.shut_down();
}

/// Groups in a hierarchy of each version that the host has.
fn groups_of_the_starter(groups: &str) -> Vec<PathBuf> {
    let path = format!("{groups}/starter");
    let hosts = Hierarchies::get().unwrap();
    let folders = [hosts.v1_group("freezer", &path), hosts.v2_group(&path)];
    let folders: Vec<_> = folders.into_iter().flatten().collect();
    for folder in &folders {
        std::fs::create_dir_all(folder).unwrap();
    }
    folders
}

fn own_path() -> PathBuf {
    std::fs::read_link("/proc/self/exe").unwrap()
}

pub(crate) fn orders_may_be_more_than_a_socket_holds() {
    let mut pair = Pair::unlaunched();
    let long = "x".repeat(100 << 10);
    for name in ["RCOMPOSE_TEST_A", "RCOMPOSE_TEST_B", "RCOMPOSE_TEST_C"] {
        let variable = (name.to_owned(), long.clone());
        pair.spec.environment.push(variable);
    }
    assert_eq!(launch(&pair.spec).unwrap(), Launched::Ready);
    pair.await_members(&[]);
    pair.shut_down();
}

pub(crate) fn a_taken_project_is_busy() {
    let pair = Pair::launch();
    assert_eq!(launch(&pair.spec).unwrap(), Launched::Busy);
    let before = pair.await_members(&[]);
    assert_eq!(launch(&pair.spec).unwrap(), Launched::Busy);
    assert_eq!(pair.members(), before);
    pair.shut_down();
    assert_eq!(launch(&pair.spec).unwrap(), Launched::Ready);
    pair.shut_down();
}

pub(crate) fn a_command_substitution_returns() {
    let pair = Pair::unlaunched();
    let output = Command::new("/bin/sh")
        .args([
            "-c",
            "answer=$(\"$0\" launch \"$1\" 2>&1); echo \"returned $answer\"",
        ])
        .arg(own_path())
        .arg(pair.groups)
        .stdin(ProcessStdio::null())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "returned \n");
    pair.await_members(&[]);
    pair.shut_down();
}

pub(crate) fn a_pair_leaves_nothing() {
    let pair = Pair::launch();
    pair.start("gone", "exit 0");
    assert_eq!(pair.await_exit("gone"), Outcome::Code(0));
    pair.shut_down();
    assert_eq!(pair.log(), "");
}

pub(crate) fn a_tethered_keeper_ends_with_its_owner() {
    let pair = Pair::unlaunched();
    let mut client = tether("build", None, Vec::new()).unwrap();
    let bundle = pair.engine.bundle("step", &["sleep", "1000"]);
    let spawn = |id: &str, stdio| {
        RequestBody::Spawn(Box::new(Spawn {
            id: id.to_owned(),
            bundle: bundle.clone(),
            stdio,
            descriptors: Vec::new(),
        }))
    };
    let (reply, _) = client
        .ask(spawn("step", Stdio::Null), Vec::new(), patience())
        .unwrap();
    let ReplyBody::Spawned { process } = reply else {
        panic!("{reply:?}");
    };
    let kill = RequestBody::Signal {
        spawn: "step".to_owned(),
        signal: libc::SIGKILL,
    };
    client.enqueue(kill, Vec::new()).unwrap();
    let state = client.await_message(patience(), |message, _| match message {
        Message::State { state, .. } => Some(state),
        _ => None,
    });
    assert!(matches!(
        state.unwrap(),
        SpawnState::Exited {
            outcome: Outcome::Signal(9),
            ..
        }
    ));
    assert!(!process::is_alive(&process));

    let (reply, _) = client
        .ask(spawn("again", Stdio::Null), Vec::new(), patience())
        .unwrap();
    let ReplyBody::Spawned { process } = reply else {
        panic!("{reply:?}");
    };
    drop(client);
    eventually("the end of everything", || {
        let is_keeper_alive = processes()
            .iter()
            .any(|(_, arguments)| arguments.get(2).is_some_and(|name| name == "build"));
        (!process::is_alive(&process) && !is_keeper_alive).then_some(())
    });
}
