//! What a step does: the real binary, a shell, a signal.

use std::env;
use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::process::{self, Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill as send};
use nix::unistd::Pid;

use super::image;
use super::patience::patient;
use super::scenario::Scenario;

/// A command that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);
/// How long its output may stay open after its end. Longer means that
/// something in the background has inherited it, and `$(rcompose up -d)` hangs.
const OUTPUT_LIMIT: Duration = Duration::from_secs(10);

/// What a step does.
pub(crate) enum Command {
    Look,
    Run(Vec<String>),
    Start(String, Vec<String>),
    Interrupt(String),
    Join(String),
    Kill(Vec<String>),
    /// The same, where there may be none.
    KillSome(Vec<String>),
}

/// Nothing; the checks look at what is there.
pub(crate) fn look() -> Command {
    Command::Look
}

/// The binary with these arguments, split as a shell would.
pub(crate) fn rcompose(arguments: &str) -> Command {
    let mut words = vec![binary()];
    words.extend(shlex::split(arguments).expect("balanced quotes"));
    Command::Run(words)
}

/// A shell script in the project's folder; `$RCOMPOSE` is the binary.
pub(crate) fn shell(script: &str) -> Command {
    Command::Run(vec!["sh".to_owned(), "-euc".to_owned(), script.to_owned()])
}

/// A shell command that gets a signal as soon as another one succeeds; prints
/// `code` and its exit code.
pub(crate) fn cut_short(command: &str, ready: &str, signal: &str) -> Command {
    shell(&format!(
        "{command} & until {ready}; do sleep 0.05; done; kill -{signal} $!; code=0; wait $! || code=$?; echo code $code"
    ))
}

/// Whether the shell's last background command has a handler of SIGINT (the
/// 2nd of the mask's bits, see proc_pid_status(5)), which such commands ignore
/// until they have.
pub(crate) const HEARS_INT: &str = "grep -q '^SigCgt:.*[2367abef]$' /proc/$!/status";

/// A shell script in the network behind the uplink.
pub(crate) fn shell_in_world(script: &str) -> Command {
    let words = ["ip", "netns", "exec", "world", "sh", "-euc", script];
    Command::Run(words.map(str::to_owned).to_vec())
}

/// Starts a command and goes on; `join` waits for it.
pub(crate) fn background(name: &str, command: Command) -> Command {
    let Command::Run(words) = command else {
        panic!("only a program runs in the background")
    };
    Command::Start(name.to_owned(), words)
}

/// Ctrl-C to a command in the background.
pub(crate) fn interrupt(name: &str) -> Command {
    Command::Interrupt(name.to_owned())
}

/// Waits for a command in the background; its output is the step's.
pub(crate) fn join(name: &str) -> Command {
    Command::Join(name.to_owned())
}

/// `kill -9` of every process whose arguments have all these words.
pub(crate) fn kill(words: &[&str]) -> Command {
    Command::Kill(words.iter().map(|&word| word.to_owned()).collect())
}

/// The same as [`kill`], if there are any at the moment.
pub(crate) fn kill_some(words: &[&str]) -> Command {
    Command::KillSome(words.iter().map(|&word| word.to_owned()).collect())
}

/// What a command gave.
#[derive(Debug, Default, Clone)]
pub(crate) struct Output {
    pub(crate) words: Vec<String>,
    /// Exit code, or 128 and the signal.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl fmt::Display for Output {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.words.is_empty() {
            return Ok(());
        }
        writeln!(out, "$ {}", self.words.join(" "))?;
        for (mark, text) in [("", &self.stdout), ("! ", &self.stderr)] {
            for line in text.lines() {
                writeln!(out, "  {mark}{line}")?;
            }
        }
        writeln!(out, "  = {} after {:?}", self.code, self.took)
    }
}

/// A command that runs beside the steps.
pub(crate) struct Background {
    child: Child,
    words: Vec<String>,
    began: Instant,
    stdout: mpsc::Receiver<String>,
    stderr: mpsc::Receiver<String>,
}

impl Command {
    /// Does it.
    pub(crate) fn run(self, scenario: &mut Scenario) -> Output {
        match self {
            Self::Look => Output::default(),
            Self::Run(words) => Background::start(words, scenario).join(),
            Self::Start(name, words) => {
                let started = Background::start(words, scenario);
                scenario.background().insert(name, started);
                Output::default()
            }
            Self::Interrupt(name) => {
                let running = scenario.background().get(&name).expect("it was started");
                signal(running.child.id(), Signal::SIGINT);
                Output::default()
            }
            Self::Join(name) => scenario
                .background()
                .remove(&name)
                .expect("it was started")
                .join(),
            Self::Kill(words) => {
                let killed = kill_all(&words);
                assert!(killed > 0, "no process has {words:?} in its arguments");
                Output::default()
            }
            Self::KillSome(words) => {
                kill_all(&words);
                Output::default()
            }
        }
    }

    /// Runs a program without touching the scenario.
    pub(crate) fn run_aside(self, scenario: &Scenario) -> Output {
        match self {
            Self::Run(words) => Background::start(words, scenario).join(),
            _ => Output::default(),
        }
    }
}

impl Background {
    fn start(words: Vec<String>, scenario: &Scenario) -> Self {
        let began = Instant::now();
        let mut child = process::Command::new(&words[0])
            .args(&words[1..])
            .current_dir(scenario.project())
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", scenario.project())
            .env("RCOMPOSE", binary())
            .env("RCOMPOSE_ROOT", scenario.root())
            .env("BUSYBOX_ARCHIVE", image::busybox())
            .env("XDG_CACHE_HOME", cache_folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{words:?}: {error}"));
        let stdout = read_aside(child.stdout.take().unwrap());
        let stderr = read_aside(child.stderr.take().unwrap());
        Self {
            child,
            words,
            began,
            stdout,
            stderr,
        }
    }

    /// Waits for its end, which has to come soon from now on.
    fn join(mut self) -> Output {
        let asked = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if asked.elapsed() > patient(LIMIT) {
                self.child.kill().unwrap();
                let words = self.words.join(" ");
                let (stdout, stderr) = (collect(&self.stdout), collect(&self.stderr));
                panic!("{words} took longer than {LIMIT:?}\n{stdout:?}\n{stderr:?}");
            }
            thread::sleep(Duration::from_millis(1));
        };
        let took = self.began.elapsed();
        let words = self.words;
        let text = |stream| {
            collect(stream)
                .unwrap_or_else(|| panic!("the output of {words:?} is still open after its end"))
        };
        let (stdout, stderr) = (text(&self.stdout), text(&self.stderr));
        Output {
            code: exit_code(status),
            stdout,
            stderr,
            took,
            words,
        }
    }
}

fn read_aside(mut stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

fn collect(stream: &mpsc::Receiver<String>) -> Option<String> {
    stream.recv_timeout(patient(OUTPUT_LIMIT)).ok()
}

fn exit_code(status: process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

fn kill_all(words: &[String]) -> usize {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let found = processes_with(&words);
    found.iter().for_each(|&pid| signal(pid, Signal::SIGKILL));
    found.len()
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap());
    let _ = send(pid, signal);
}

/// The caller's own cache, where the example's images are.
fn cache_folder() -> PathBuf {
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache");
    env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from)
}

/// The binary under test.
pub(crate) fn binary() -> String {
    env::var("RCOMPOSE_TEST_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_rcompose").to_owned())
}

/// The processes of the machine whose arguments have all these words.
pub(crate) fn processes_with(words: &[&str]) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(arguments) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        let has = |word: &&str| {
            arguments
                .split('\0')
                .any(|own| own == *word || own.ends_with(&format!("/{word}")))
        };
        if words.iter().all(has) {
            found.push(pid);
        }
    }
    found
}
