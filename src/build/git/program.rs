//! Runs the user's `git`: without questions, hooks or a terminal, for a bounded
//! time, in a process group of its own that ends with the build.

use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::build::request::Cancel;
use crate::oci::DEFAULT_PATH;
use crate::sys;

/// Longest answer that is read, in bytes; `ls-remote` of a big repository.
const ANSWER_BYTES_MAX: u64 = 32 << 20;
/// What is kept of what it complains of, in bytes.
const COMPLAINT_BYTES_MAX: u64 = 64 << 10;
/// Lines of that which are told.
const COMPLAINT_LINES: usize = 4;
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(5);
/// Settings that hold whatever the user's own are.
const SETTINGS: [(&str, &str); 7] = [
    ("core.hooksPath", "/dev/null"),
    ("core.autocrlf", "false"),
    ("protocol.ext.allow", "never"),
    ("advice.detachedHead", "false"),
    ("init.defaultBranch", "main"),
    // A server that sends nothing for so many seconds is given up.
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "30"),
];

/// Why git didn't do it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "git isn't installed, and repositories are fetched with it: install git, or clone it first and build from the folder"
    )]
    Missing,
    #[error("git could not be run: {0}")]
    Start(io::Error),
    #[error("it didn't answer for {} seconds", .0.as_secs())]
    Silent(Duration),
    #[error("{0}")]
    Refused(String),
    #[error("cancelled")]
    Cancelled,
}

/// How git is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How<'a> {
    /// The user's environment.
    pub(crate) environment: &'a [(String, String)],
    /// Further settings by name, which no list of processes shows.
    pub(crate) settings: &'a [(String, String)],
    /// The socket of an SSH agent, when the build was given one.
    pub(crate) agent: Option<&'a Path>,
    /// Ends it.
    pub(crate) cancel: &'a Cancel,
}

/// Runs git with some words in a folder; gives what it answers.
pub(super) fn git(
    words: &[&str],
    folder: &Path,
    patience: Duration,
    how: &How<'_>,
) -> Result<String, Error> {
    let mut child = match command(words, folder, how).spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::Missing),
        Err(error) => return Err(Error::Start(error)),
    };
    let answer = read_aside(child.stdout.take(), ANSWER_BYTES_MAX);
    let complaint = read_aside(child.stderr.take(), COMPLAINT_BYTES_MAX);
    let ended = attend(&mut child, patience, how.cancel);
    if ended.is_err() {
        // It is ours; that it is gone already is as well.
        let _ = sys::process::kill_group(child.id());
        let _ = child.wait();
    }
    // Readers end with the last process that holds the pipes.
    let text = |reader: std::thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
    };
    let (answer, complaint) = (text(answer), text(complaint));
    match ended? {
        true => Ok(answer),
        false => Err(Error::Refused(reason(&complaint))),
    }
}

fn command(words: &[&str], folder: &Path, how: &How<'_>) -> Command {
    let mut command = Command::new("git");
    command
        .args(words)
        .current_dir(folder)
        .env_clear()
        .env("PATH", DEFAULT_PATH)
        .envs(how.environment.iter().map(|(name, value)| (name, value)))
        .env("LC_ALL", "C")
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    // What the user's shell stands in is no matter here.
    for name in [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_ASKPASS",
        "SSH_ASKPASS",
    ] {
        command.env_remove(name);
    }
    if !how
        .environment
        .iter()
        .any(|(name, _)| name == "GIT_SSH_COMMAND")
    {
        command.env(
            "GIT_SSH_COMMAND",
            "ssh -o BatchMode=yes -o ConnectTimeout=30",
        );
    }
    if let Some(agent) = how.agent {
        command.env("SSH_AUTH_SOCK", agent);
    }
    let own = SETTINGS.iter().map(|(name, value)| (*name, *value));
    let given = how.settings.iter();
    let given = given.map(|(name, value)| (name.as_str(), value.as_str()));
    let mut count = 0;
    for (number, (name, value)) in own.chain(given).enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{number}"), name);
        command.env(format!("GIT_CONFIG_VALUE_{number}"), value);
        count = number + 1;
    }
    command.env("GIT_CONFIG_COUNT", count.to_string());
    command
}

/// Waits for its end; whether it went well.
fn attend(child: &mut Child, patience: Duration, cancel: &Cancel) -> Result<bool, Error> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(Error::Start)? {
            return Ok(status.success());
        }
        if cancel.is_set() {
            return Err(Error::Cancelled);
        }
        if begun.elapsed() > patience {
            return Err(Error::Silent(patience));
        }
        std::thread::sleep(LOOK);
    }
}

/// Reads a pipe to its end, keeping so much of it.
fn read_aside(
    pipe: Option<impl Read + Send + 'static>,
    bytes_max: u64,
) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What can't be read is an answer that isn't there.
            let _ = pipe.by_ref().take(bytes_max).read_to_end(&mut bytes);
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
        bytes
    })
}

/// The last lines of a complaint, in one.
fn reason(complaint: &str) -> String {
    let lines: Vec<&str> = complaint
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let skipped = lines.len().saturating_sub(COMPLAINT_LINES);
    match lines.get(skipped..) {
        None | Some([]) => "git failed and didn't say why".to_owned(),
        Some(last) => last.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str], patience: Duration, cancel: &Cancel) -> Result<String, Error> {
        let environment: Vec<(String, String)> = std::env::vars().collect();
        let how = How {
            environment: &environment,
            settings: &[("alias.slow".to_owned(), "!sleep 100 & wait".to_owned())],
            agent: None,
            cancel,
        };
        git(words, Path::new("/"), patience, &how)
    }

    #[test]
    fn it_answers_complains_or_is_given_up() {
        let cancel = Cancel::default();
        let long = Duration::from_secs(60);
        assert!(
            run(&["version"], long, &cancel)
                .unwrap()
                .starts_with("git version")
        );
        let error = run(&["-C", "/none", "status"], long, &cancel).unwrap_err();
        assert!(error.to_string().contains("/none"), "{error}");
        // Its children end with it, or the readers would wait for them.
        let slow = run(&["slow"], Duration::from_millis(50), &cancel).unwrap_err();
        assert!(matches!(slow, Error::Silent(_)), "{slow}");
        cancel.set();
        let cut = run(&["slow"], long, &cancel).unwrap_err();
        assert!(matches!(cut, Error::Cancelled), "{cut}");
    }

    #[test]
    fn the_end_of_a_complaint_is_told() {
        assert_eq!(reason("a\n\nb\n"), "a; b");
        assert_eq!(reason("1\n2\n3\n4\n5\n"), "2; 3; 4; 5");
        assert!(reason("").contains("didn't say"));
    }
}
