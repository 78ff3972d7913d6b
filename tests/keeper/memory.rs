//! What a container learns of the keeper: a spy with CAP_SYS_PTRACE reads the
//! memory of every process that it can see, and tries to write their programs,
//! while processes of another container are started with a secret.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio as Standard};
use std::time::Instant;

use rcompose::model::Outcome;
use rcompose::protocol::keeper::{ReplyBody, RequestBody, Stdio};

use crate::pair::{Pair, eventually, patience};
use crate::support::container::bind;

/// Processes started while the spy looks, at least; `RCOMPOSE_TEST_ROUNDS`
/// times more.
const STARTS: u32 = 150;
/// Processes that the spy has to meet, at least: some that are started while
/// it looks. An emulated machine shows it few.
const MET_MIN: usize = 5;
/// CAP_SYS_PTRACE (capability.h).
const SYS_PTRACE: u64 = 1 << 19;
/// More of one mapping is not read.
const MAPPING_BYTES_MAX: u64 = 16 << 20;
/// Kept backwards, so that no page of this program holds the word itself.
const SECRET: &str = "eettetnegnaluz-rednam-terces";
const DECOY: &str = "eettetnegnaluz-rednam-yoced";

fn forwards(text: &str) -> String {
    text.chars().rev().collect()
}

pub(crate) fn a_spy_learns_nothing() {
    spied(false);
}

pub(crate) fn a_spy_below_an_init_learns_nothing() {
    spied(true);
}

fn spied(init: bool) {
    let pair = Pair::launch();
    let rounds = std::env::var("RCOMPOSE_TEST_ROUNDS").ok();
    let rounds = rounds.and_then(|text| text.parse().ok()).unwrap_or(1);
    let signs = pair.engine.folder("signs");
    let mut spy = pair.engine.probe("spy", "spy");
    // A file of its own: ours is the keeper's too.
    let program = pair.engine.folder("program").join("spy");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    spy.mounts[0] = bind(&program, "/probe");
    spy.mounts.push(bind(&signs, "/signs"));
    spy.process.capabilities |= SYS_PTRACE;
    spy.init = init;
    let spy = pair.start_bundle("spy", spy);
    eventually("the spy", || signs.join("ready").exists().then_some(()));

    let secret = ("SECRET".to_owned(), forwards(SECRET));
    let mut vault = pair
        .engine
        .bundle("vault", &["sh", "-c", "exec sleep 1000"]);
    vault.process.env.push(secret.clone());
    let vault = pair.start_bundle("vault", vault);
    let met = || {
        let text = fs::read_to_string(signs.join("met")).unwrap_or_default();
        text.parse().unwrap_or(0)
    };
    let mut number = 0;
    // Of what it does in all, only the waiting for the spy has a limit.
    let mut waits_since = None;
    while number < STARTS * rounds || met() < MET_MIN {
        if number >= STARTS * rounds {
            let since = *waits_since.get_or_insert_with(Instant::now);
            assert!(since.elapsed() < patience(), "it met {} processes", met());
        }
        number += 1;
        for (id, target, env) in [
            (format!("kept-{number}"), &vault, Some(&secret)),
            (format!("seen-{number}"), &spy, None),
        ] {
            let mut exec = pair.exec_request(&id, target, &["true"], Stdio::Null);
            exec.process.env.extend(env.cloned());
            let reply = pair.keeper(RequestBody::Exec(Box::new(exec)));
            assert!(matches!(reply, ReplyBody::Spawned { .. }), "{reply:?}");
            assert_eq!(pair.await_exit(&id), Outcome::Code(0));
            assert_eq!(
                pair.keeper(RequestBody::Forget { spawn: id }),
                ReplyBody::Done
            );
        }
    }
    fs::write(signs.join("stop"), "").unwrap();
    assert_eq!(pair.await_exit("spy"), Outcome::Code(0));
    let report = pair.output("spy");
    let told = |word: &str| -> Vec<&str> {
        let lines = report.lines();
        lines.filter(|line| line.starts_with(word)).collect()
    };
    // It can read memory: that of a program which it started itself.
    assert!(!told("decoy").is_empty(), "{report}");
    assert!(told("secret").is_empty(), "{report}");
    assert!(told("wrote").is_empty(), "{report}");
    let kill = RequestBody::Signal {
        spawn: "vault".to_owned(),
        signal: libc::SIGKILL,
    };
    assert_eq!(pair.keeper(kill), ReplyBody::Done);
    assert_eq!(pair.await_exit("vault"), Outcome::Signal(9));
    for spawn in ["vault", "spy"] {
        let spawn = spawn.to_owned();
        assert_eq!(pair.keeper(RequestBody::Forget { spawn }), ReplyBody::Done);
    }
    pair.shut_down();
}

/// The spy itself, inside its container.
pub(crate) fn spy() -> u8 {
    let mut decoy = Command::new("/bin/busybox")
        .args(["sleep", "1000"])
        .env("DECOY", forwards(DECOY))
        .stdin(Standard::null())
        .spawn()
        .unwrap();
    let words = [("secret", forwards(SECRET)), ("decoy", forwards(DECOY))];
    let identity = |path: &str| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let known = [identity("/proc/self/exe"), identity("/bin/busybox")];
    let own = std::process::id();
    let mut met = BTreeSet::new();
    let mut report = BTreeSet::new();
    File::create("/signs/ready").unwrap();
    while !Path::new("/signs/stop").exists() {
        fs::write("/signs/met.new", met.len().to_string()).unwrap();
        fs::rename("/signs/met.new", "/signs/met").unwrap();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let pid = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            let Some(pid) = pid.filter(|pid: &u32| *pid != own) else {
                continue;
            };
            // All of its memory first: it may be gone in a moment.
            let memory = memory(pid).unwrap_or_default();
            let program = format!("/proc/{pid}/exe");
            if !known.contains(&identity(&program)) && overwrites(&program) {
                report.insert(format!("wrote the program of {pid}"));
            }
            if !memory.is_empty() {
                met.insert(pid);
            }
            for (name, word) in &words {
                if memory.iter().any(|part| holds(part, word.as_bytes())) {
                    report.insert(format!("{name} in {pid}"));
                }
            }
        }
    }
    decoy.kill().unwrap();
    decoy.wait().unwrap();
    let report: Vec<String> = report.into_iter().map(|line| line + "\n").collect();
    std::io::stdout()
        .write_all(report.concat().as_bytes())
        .unwrap();
    0
}

/// The writable memory of a process, as far as it can be read.
fn memory(pid: u32) -> std::io::Result<Vec<Vec<u8>>> {
    let file = File::open(format!("/proc/{pid}/mem"))?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let mut parts = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else {
            continue;
        };
        let Some((from, to)) = range.split_once('-').filter(|_| rights.starts_with("rw")) else {
            continue;
        };
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let (from, to) = (number(from), number(to));
        let mut part = vec![0; usize::try_from((to - from).min(MAPPING_BYTES_MAX)).unwrap()];
        let mut filled = 0;
        while let Ok(count @ 1..) = file.read_at(&mut part[filled..], from + filled as u64) {
            filled += count;
        }
        part.truncate(filled);
        parts.push(part);
    }
    Ok(parts)
}

fn holds(part: &[u8], word: &[u8]) -> bool {
    let mut rest = part;
    while let Some(at) = rest.iter().position(|byte| *byte == word[0]) {
        rest = &rest[at..];
        if rest.starts_with(word) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// Whether a program's file takes a write; what is written stands there already.
fn overwrites(program: &str) -> bool {
    let mut first = [0];
    let read = File::open(program).and_then(|file| file.read_exact_at(&mut first, 0));
    let written = OpenOptions::new()
        .write(true)
        .open(program)
        .and_then(|file| file.write_all_at(&first, 0));
    read.is_ok() && written.is_ok()
}
