//! The binary: picks its role from argv before any thread or runtime exists.
//!
//! It knows which word starts which role and nothing of what a role does.

use std::process::ExitCode;

use rcompose::{cli, keeper, logs};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    match args.get(1).and_then(|word| word.to_str()) {
        Some("keeper") => end(keeper::run()),
        Some("log-writer") => end(logs::writer::run()),
        Some(_) | None => cli::run(args, cli::Environment::of_process()),
    }
}

/// A role's end. Its standard error is the project's log.
fn end<E: std::error::Error>(result: Result<(), E>) -> ExitCode {
    use std::io::Write as _;
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(&format!(": {error}"));
        cause = error.source();
    }
    // There is nobody else to tell.
    let _ = writeln!(std::io::stderr(), "rcompose: {line}");
    ExitCode::FAILURE
}
