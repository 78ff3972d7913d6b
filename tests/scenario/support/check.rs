//! What a step is held to: each check is named for what a user would see.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::command::{self, Output};
use super::patience::patient;
use super::scenario::Scenario;

/// How long `eventually` waits.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a web server may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

type Probe = Box<dyn Fn(&Scenario) -> Result<(), String>>;

/// Something that must be so.
pub(crate) struct Check {
    pub(crate) name: String,
    probe: Probe,
    /// Whether it looks at what the step's command gave, which never changes.
    is_of_output: bool,
}

impl Check {
    /// A check by a function that says what it found instead.
    pub(crate) fn new(
        name: impl Into<String>,
        probe: impl Fn(&Scenario) -> Result<(), String> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            probe: Box::new(probe),
            is_of_output: false,
        }
    }

    /// A check of what the step's command gave.
    fn of_output(
        name: impl Into<String>,
        probe: impl Fn(&Output) -> Result<(), String> + 'static,
    ) -> Self {
        Self {
            is_of_output: true,
            ..Self::new(name, move |scenario| probe(scenario.output()))
        }
    }

    /// Looks.
    pub(crate) fn judge(&self, scenario: &Scenario) -> Result<(), String> {
        (self.probe)(scenario)
    }
}

fn expect(holds: bool, found: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(found.into()) }
}

/// The same, but it may take a while to become so.
pub(crate) fn eventually(check: Check) -> Check {
    assert!(
        !check.is_of_output,
        "{}: waiting changes nothing",
        check.name
    );
    Check::new(format!("eventually {}", check.name), move |scenario| {
        let end = Instant::now() + patient(PATIENCE);
        loop {
            match check.judge(scenario) {
                Ok(()) => return Ok(()),
                Err(found) if Instant::now() > end => return Err(found),
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    })
}

/// The command's exit code.
pub(crate) fn exits(code: i32) -> Check {
    Check::of_output(format!("exits with {code}"), move |output| {
        let found = output.code;
        expect(found == code, found.to_string())
    })
}

/// Any exit code but 0.
pub(crate) fn fails() -> Check {
    Check::of_output("fails", |output| {
        expect(output.code != 0, "it exits with 0")
    })
}

/// Standard output has this text.
pub(crate) fn prints(text: &str) -> Check {
    let text = text.to_owned();
    Check::of_output(format!("prints {text:?}"), move |output| {
        let found = &output.stdout;
        expect(found.contains(&text), found)
    })
}

/// Standard output is this text, but for space around it.
pub(crate) fn prints_exactly(text: &str) -> Check {
    let text = text.to_owned();
    Check::of_output(format!("prints exactly {text:?}"), move |output| {
        let found = &output.stdout;
        expect(found.trim() == text.trim(), found)
    })
}

/// Standard output doesn't have this text.
pub(crate) fn prints_no(text: &str) -> Check {
    let text = text.to_owned();
    Check::of_output(format!("does not print {text:?}"), move |output| {
        let found = &output.stdout;
        expect(!found.contains(&text), found)
    })
}

/// Standard error has this text.
pub(crate) fn says(text: &str) -> Check {
    let text = text.to_owned();
    Check::of_output(format!("says {text:?}"), move |output| {
        let found = &output.stderr;
        expect(found.contains(&text), found)
    })
}

/// A container's state as `ps` tells it; `absent` when it doesn't.
pub(crate) fn state(container: &str, expected: &str) -> Check {
    let (container, expected) = (container.to_owned(), expected.to_owned());
    Check::new(format!("{container} is {expected}"), move |scenario| {
        let output = aside(scenario, "ps -a --format json");
        let found = output
            .stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find(|row| row["Name"] == container.as_str() || row["Service"] == container.as_str())
            .map_or_else(|| "absent".to_owned(), |row| describe(&row));
        expect(
            found.split(' ').any(|word| word == expected),
            format!("{found}\n{output}"),
        )
    })
}

/// `exited 3`, `running healthy`.
fn describe(row: &serde_json::Value) -> String {
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    format!("{} {} {}", text("State"), text("Health"), row["ExitCode"]).replace("  ", " ")
}

fn aside(scenario: &Scenario, arguments: &str) -> Output {
    command::rcompose(&format!("-p demo {arguments}")).run_aside(scenario)
}

/// What a shell in a service's container prints.
pub(crate) fn inside(service: &str, script: &str, expected: &str) -> Check {
    let name = format!("{script:?} in {service} prints {expected:?}");
    let words = shlex::try_join(["exec", "-T", service, "sh", "-c", script]).unwrap();
    let expected = expected.to_owned();
    Check::new(name, move |scenario| {
        let output = aside(scenario, &words);
        expect(
            output.code == 0 && output.stdout.trim() == expected,
            output.to_string(),
        )
    })
}

/// A service's first process has an answer of its own to SIGTERM. A shell is
/// running before it has come to its `trap`.
pub(crate) fn traps_term(service: &str) -> Check {
    // SIGTERM is the 15th of the mask's bits (proc_pid_status(5)).
    let script = "grep -c '^SigCgt:.*[4-7c-f][0-9a-f]\\{3\\}$' /proc/1/status";
    eventually(inside(service, script, "1"))
}

/// What a shell on the machine prints.
pub(crate) fn shell_says(script: &str, expected: &str) -> Check {
    let (script, expected) = (script.to_owned(), expected.to_owned());
    Check::new(format!("{script:?} prints {expected:?}"), move |scenario| {
        let output = command::shell(&script).run_aside(scenario);
        expect(output.stdout.trim() == expected, output.to_string())
    })
}

/// A file of the project has exactly this text.
pub(crate) fn file(path: &str, expected: &str) -> Check {
    let (path, expected) = (path.to_owned(), expected.to_owned());
    Check::new(format!("{path} has {expected:?}"), move |scenario| {
        let found =
            fs::read_to_string(scenario.project().join(&path)).map_err(|e| e.to_string())?;
        expect(found == expected, found)
    })
}

/// A web server at an address answers with this text in its body.
pub(crate) fn answers(address: &str, text: &str) -> Check {
    let (address, text) = (address.to_owned(), text.to_owned());
    Check::new(format!("{address} answers {text:?}"), move |_| {
        let found = get(&address).map_err(|error| error.to_string())?;
        expect(found.contains(&text), found)
    })
}

fn get(address: &str) -> std::io::Result<String> {
    let address: SocketAddr = address.parse().expect("an address");
    let limit = patient(ANSWER_LIMIT);
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// How many processes have all these words as arguments.
pub(crate) fn processes(words: &[&'static str], count: usize) -> Check {
    let words = words.to_vec();
    Check::new(format!("{count} processes with {words:?}"), move |_| {
        let found = command::processes_with(&words);
        expect(found.len() == count, format!("{found:?}"))
    })
}
