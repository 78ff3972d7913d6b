//! Files that no one writes by mistake: whatever they hold, loading ends in
//! bounded time and memory, with an exit code and words.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::engine::{Done, Engine, done};

/// Seconds of processor time: a hang is ended by the kernel.
const SECONDS_MAX: u32 = 60;

/// Address space in KiB.
const MEMORY_MAX: u32 = 3 << 20;

/// A user without any rights.
const NOBODY: u32 = 65_534;

/// Runs a command under the limits.
fn limited(engine: &Engine, words: &[&str]) -> Done {
    let plain = engine.command(words);
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!(
            "ulimit -t {SECONDS_MAX}; ulimit -v {MEMORY_MAX}; exec \"$0\" \"$@\""
        ))
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(plain.get_current_dir().unwrap())
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    done(&mut command)
}

/// `config -q` over files by name, the first of which is the Compose file.
fn config(files: &[(&str, &[u8])]) -> Done {
    let engine = Engine::new();
    let here = engine.dir.path().join("here");
    for (name, bytes) in files {
        fs::write(here.join(name), bytes).unwrap();
    }
    limited(&engine, &["config", "-q"])
}

fn refused(name: &str, files: &[(&str, &[u8])], words: &str) {
    let done = config(files);
    assert_eq!(done.code, Some(1), "{name}: {}", tail(&done.err));
    assert!(
        done.err.contains(words) && !done.err.contains("panicked"),
        "{name}: no {words:?} in {}",
        tail(&done.err)
    );
}

fn loads(name: &str, text: &[u8]) {
    let done = config(&[("compose.yaml", text)]);
    assert_eq!(done.code, Some(0), "{name}: {}", tail(&done.err));
}

fn tail(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    letters[letters.len().saturating_sub(2_000)..]
        .iter()
        .collect()
}

#[test]
fn bombs_are_refused() {
    let mut aliases = "x-0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    let mut merges = "x-0: &a0 {k: v}\n".to_owned();
    for i in 1..30 {
        let before = i - 1;
        let nine = vec![format!("*a{before}"); 9].join(", ");
        writeln!(aliases, "x-{i}: &a{i} [{nine}]").unwrap();
        writeln!(
            merges,
            "x-{i}: &a{i} {{<<: [*a{before}, *a{before}], k{i}: v}}"
        )
        .unwrap();
    }
    refused(
        "aliases",
        &[("compose.yaml", aliases.as_bytes())],
        "compose.yaml",
    );
    let merged = config(&[("compose.yaml", merges.as_bytes())]);
    assert!(merged.code.is_some(), "ended by a signal");
    let itself = "x-a: &a [*a]\nservices: {a: {image: x}}\n";
    refused(
        "itself",
        &[("compose.yaml", itself.as_bytes())],
        "cycle detected",
    );
}

#[test]
fn depths_are_refused() {
    let brackets = format!("x-a: {}", "[".repeat(100_000));
    refused(
        "brackets",
        &[("compose.yaml", brackets.as_bytes())],
        "levels deep",
    );
    let braces = format!("x-a: {}", "{a: ".repeat(100_000));
    refused(
        "braces",
        &[("compose.yaml", braces.as_bytes())],
        "levels deep",
    );
    let indents: String = (0..1_000).map(|i| " ".repeat(i) + "a:\n").collect();
    refused(
        "indents",
        &[("compose.yaml", indents.as_bytes())],
        "levels deep",
    );
    let nested = format!(
        "services: {{a: {{image: \"{}\"}}}}",
        "${A:-".repeat(100_000)
    );
    refused(
        "defaults",
        &[("compose.yaml", nested.as_bytes())],
        "invalid interpolation format",
    );
}

#[test]
fn large_files_load_within_bounds() {
    let mut services = "services:\n".to_owned();
    for i in 0..10_000 {
        writeln!(
            services,
            "  s{i}: {{image: x, ports: [\"{}:80\"]}}",
            10_000 + i
        )
        .unwrap();
    }
    loads("10,000 services", services.as_bytes());
    let mut lines = "services: {a: {image: x}}\nx-lines:\n".to_owned();
    while lines.len() < 10 << 20 {
        lines.push_str("  - a line of a file that is ten megabytes long, and says nothing in any of its lines\n");
    }
    loads("10 MB of lines", lines.as_bytes());
    let one = format!(
        "services: {{a: {{image: x}}}}\nx-one: {}\n",
        "a".repeat(10 << 20)
    );
    loads("10 MB in one line", one.as_bytes());
    let documents = "---\nservices: {a: {image: x}}\n".repeat(2_000);
    loads("2,000 documents", documents.as_bytes());
}

#[test]
fn files_that_name_one_another_are_refused() {
    refused(
        "includes itself",
        &[(
            "compose.yaml",
            b"include: [compose.yaml]\nservices: {a: {image: x}}\n",
        )],
        "include cycle detected",
    );
    refused(
        "includes in a circle",
        &[
            ("compose.yaml", b"include: [b.yaml]\n"),
            ("b.yaml", b"include: [c.yaml]\n"),
            ("c.yaml", b"include: [b.yaml]\n"),
        ],
        "include cycle detected",
    );
    refused(
        "extends itself",
        &[("compose.yaml", b"services: {a: {extends: a}}\n")],
        "Circular reference",
    );
    let many: String = (0..6_000).map(|i| format!("  - x{i}.yaml\n")).collect();
    let many = format!("include:\n{many}services: {{a: {{image: x}}}}\n");
    refused(
        "6,000 includes",
        &[("compose.yaml", many.as_bytes())],
        "x0.yaml",
    );
    refused(
        "remote includes",
        &[("compose.yaml", b"include: [oci://example/project]\n")],
        "loading fetches nothing",
    );
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    refused(
        "NUL",
        &[("compose.yaml", b"services: {a: {image: \"\0\"}}\n")],
        "compose.yaml",
    );
    refused(
        "no UTF-8",
        &[("compose.yaml", b"services: {a: {image: \"\xff\"}}\n")],
        "UTF-8",
    );
    refused(
        "tab",
        &[("compose.yaml", b"services:\n\ta: {image: x}\n")],
        "indent with spaces",
    );
    loads(
        "byte order mark",
        b"\xef\xbb\xbfservices: {a: {image: x}}\n",
    );
    loads("carriage returns", b"services:\r\n  a:\r\n    image: x\r\n");
    refused(
        "an open quote in .env",
        &[
            ("compose.yaml", b"services: {a: {image: x}}\n"),
            (".env", b"A=\"b\n"),
        ],
        ".env",
    );
    let long = [b"A=".as_slice(), &vec![b'$'; 1 << 20]].concat();
    let done = config(&[
        ("compose.yaml", b"services: {a: {image: x}}\n"),
        (".env", &long),
    ]);
    assert!(done.code.is_some(), "ended by a signal");
}

#[test]
fn what_is_no_file_is_refused() {
    let engine = Engine::new();
    let here = engine.dir.path().join("here");
    fs::create_dir(here.join("folder.yaml")).unwrap();
    let made = Command::new("mkfifo").arg(here.join("fifo.yaml")).status();
    assert!(made.unwrap().success());
    let socket = std::os::unix::net::UnixListener::bind(here.join("socket.yaml"));
    let _socket = socket.unwrap();
    let cases = [
        ("folder.yaml", "is a directory"),
        ("fifo.yaml", "not a regular file"),
        ("socket.yaml", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        ("nothing.yaml", "no such file or directory"),
    ];
    for (name, words) in cases {
        let done = limited(&engine, &["-f", name, "config", "-q"]);
        assert_eq!(done.code, Some(1), "{name}");
        assert!(done.err.contains(words), "{name}: {}", done.err);
    }
}

#[test]
fn what_may_not_be_read_is_refused() {
    // Root may read everything: a copy of the program runs as nobody.
    let engine = Engine::new();
    let here = engine.dir.path().join("here");
    let program = engine.dir.path().join("rcompose");
    fs::copy(env!("CARGO_BIN_EXE_rcompose"), &program).unwrap();
    fs::set_permissions(engine.dir.path(), Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(here.join("closed")).unwrap();
    let text = "services: {a: {image: x}}\n";
    for name in ["open.yaml", "secret.yaml", "closed/compose.yaml"] {
        fs::write(here.join(name), text).unwrap();
    }
    fs::write(
        here.join("refers.yaml"),
        "services: {a: {image: x, env_file: secret.env}}\n",
    )
    .unwrap();
    fs::write(here.join("secret.env"), "A=1\n").unwrap();
    for name in ["secret.yaml", "secret.env", "closed"] {
        fs::set_permissions(here.join(name), Permissions::from_mode(0o000)).unwrap();
    }
    let as_nobody = |name: &str| {
        let plain = engine.command(&["-f", name, "config", "-q"]);
        let mut command = Command::new(&program);
        command
            .args(plain.get_args())
            .env_clear()
            .current_dir(&here);
        done(command.env("PATH", "/usr/bin:/bin").uid(NOBODY).gid(NOBODY))
    };
    let fine = as_nobody("open.yaml");
    assert_eq!(fine.code, Some(0), "{}", fine.err);
    for name in ["secret.yaml", "closed/compose.yaml", "refers.yaml"] {
        let refused = as_nobody(name);
        assert_eq!(refused.code, Some(1), "{name}: {}", refused.err);
        assert!(
            refused.err.contains("permission denied"),
            "{name}: {}",
            refused.err
        );
    }
}
