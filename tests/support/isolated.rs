//! A test harness whose every case is a single-threaded process, alone in pid,
//! mount, network and IPC namespaces of its own, with an empty tmpfs at /tmp.
//! What a case leaves behind ends with it.
//!
//! `cargo test --test NAME [-- FILTER…]` runs the cases whose names hold a
//! filter, two at a time; `--list` names them; `--exact` wants whole names.

use std::io::{self, Write};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use rcompose::sys::clone::{self, Ending, NamespaceSet, Parent};
use rcompose::sys::mount::{self, Attributes, Filesystem};

use crate::support::patience::patient;

/// One case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its body, which panics when it fails.
    pub(crate) body: fn(),
    /// Kernel features that it does without, as `RCOMPOSE_TEST_FEATURES_OFF`.
    pub(crate) without: &'static str,
}

/// A process inside a container that is this test binary: reports by its
/// output and its status.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its body.
    pub(crate) body: fn() -> u8,
}

/// Cases from functions, by their names, and what they do without.
#[macro_export]
macro_rules! cases {
    ($($module:ident, without $off:literal: { $($name:ident),* $(,)? })*) => {
        &[$(cases!(@each $module, $off, [$($name)*])),*]
    };
    (@each $module:ident, $off:literal, [$($name:ident)*]) => {
        &[$($crate::support::isolated::Case {
            name: concat!(stringify!($module), "::", stringify!($name)),
            body: $module::$name,
            without: $off,
        }),*] as &[$crate::support::isolated::Case]
    };
}

impl Case {
    /// Its name and what it does without.
    fn label(&self) -> String {
        if self.without.is_empty() {
            self.name.to_owned()
        } else {
            format!("{}-without-{}", self.name, self.without)
        }
    }
}

/// Cases that run at the same time.
const PARALLEL: usize = 2;
/// How long a case may take.
const CASE_TIMEOUT: Duration = Duration::from_secs(300);
/// Marks the process that runs one case.
const CASE: &str = "--isolated-case";
/// Marks a probe inside a container.
pub(crate) const PROBE: &str = "--probe";

/// The test binary's main function.
pub(crate) fn main(groups: &[&'static [Case]], probes: &'static [Probe]) -> ExitCode {
    let cases: Vec<&Case> = groups.iter().copied().flatten().collect();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name] = arguments.as_slice()
        && flag == PROBE
    {
        let probe = probes.iter().find(|probe| probe.name == name);
        return ExitCode::from((probe.expect("a probe").body)());
    }
    if let [flag, name] = arguments.as_slice()
        && flag == CASE
    {
        let case = cases.iter().find(|case| case.label() == *name);
        return isolate(case.expect("a case"));
    }
    let exact = arguments.iter().any(|argument| argument == "--exact");
    let filters: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let chosen: Vec<&Case> = cases
        .into_iter()
        .filter(|case| {
            let matches = |filter: &&String| {
                if exact {
                    case.label() == filter.as_str()
                } else {
                    case.label().contains(filter.as_str())
                }
            };
            filters.is_empty() || filters.iter().any(matches)
        })
        .collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for case in chosen {
            say(&format!("{}: test\n", case.label()));
        }
        return ExitCode::SUCCESS;
    }
    if !rustix::process::geteuid().is_root() {
        return skip(&chosen);
    }
    run_all(&chosen)
}

/// Without root nothing here can run: said by name, and a failure where CI
/// wants every tier.
fn skip(chosen: &[&Case]) -> ExitCode {
    for case in chosen {
        say(&format!("test {} ... skipped: needs root\n", case.label()));
    }
    let must_run = std::env::var("CI").is_ok_and(|ci| !["", "0", "false"].contains(&ci.as_str()));
    if must_run && !chosen.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn run_all(chosen: &[&Case]) -> ExitCode {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    say(&format!("running {} tests\n", chosen.len()));
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                while let Some(case) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (passed, output) = run_one(case);
                    let verdict = if passed { "ok" } else { "FAILED" };
                    say(&format!("test {} ... {verdict}\n", case.label()));
                    if !passed {
                        failures.lock().unwrap().push((case.label(), output));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    for (name, output) in &failures {
        say(&format!("\n---- {name} ----\n{output}\n"));
    }
    say(&format!(
        "\ntest result: {} passed; {} failed\n",
        chosen.len() - failures.len(),
        failures.len()
    ));
    if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run_one(case: &Case) -> (bool, String) {
    let output = tempfile::NamedTempFile::new().unwrap();
    // One place in the file for both, or they would write over each other.
    let stdout = output.reopen().unwrap();
    let stderr = stdout.try_clone().unwrap();
    let mut child = Command::new("/proc/self/exe")
        .args([CASE, &case.label()])
        .env("RCOMPOSE_TEST_FEATURES_OFF", case.without)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + patient(CASE_TIMEOUT);
    let passed = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.success();
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            let text = std::fs::read_to_string(output.path()).unwrap_or_default();
            return (false, format!("{text}\ntimed out"));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let text = std::fs::read(output.path()).unwrap();
    (passed, String::from_utf8_lossy(&text).into_owned())
}

fn say(text: &str) {
    io::stdout().write_all(text.as_bytes()).unwrap();
}

/// The folder of a case's control groups, which are the whole host's.
pub(crate) fn groups() -> &'static str {
    static GROUPS: OnceLock<String> = OnceLock::new();
    GROUPS.get_or_init(|| format!("rcompose-test-{}", std::process::id()))
}

/// Runs a case as the first process of new namespaces.
fn isolate(case: &Case) -> ExitCode {
    // Named while the process's id is the host's.
    let groups = groups();
    let namespaces = NamespaceSet::MOUNT
        .with(NamespaceSet::PID)
        .with(NamespaceSet::NET)
        .with(NamespaceSet::IPC)
        .with(NamespaceSet::UTS);
    let child = clone::spawn(namespaces, None, Parent::Caller, || {
        // Nothing of the case may outlive a harness that is killed.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
            .unwrap();
        mount::make_all_private().unwrap();
        mount_over("proc", "/proc");
        mount_over("tmpfs", "/tmp");
        rcompose::sys::loopback::raise().unwrap();
        (case.body)();
        0
    })
    .unwrap();
    let pidfd = std::os::fd::AsFd::as_fd(&child.pidfd);
    let ending = clone::reap(pidfd).unwrap();
    // A case that failed may have left them.
    rcompose::runtime::cgroup::remove(groups).unwrap();
    match ending {
        Some(Ending::Exited(0)) => ExitCode::SUCCESS,
        Some(ending) => {
            say(&format!("the case ended: {ending:?}\n"));
            ExitCode::FAILURE
        }
        None => ExitCode::FAILURE,
    }
}

fn mount_over(kind: &str, target: &str) {
    let mounted = Filesystem::open(kind)
        .unwrap()
        .mount(Attributes::NONE)
        .unwrap();
    let target = rcompose::sys::fs::folder(target).unwrap();
    mount::attach(
        std::os::fd::AsFd::as_fd(&mounted),
        std::os::fd::AsFd::as_fd(&target),
    )
    .unwrap();
}
