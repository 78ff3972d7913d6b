//! The binary: picks its role from argv before any thread or runtime exists.
//!
//! It knows which word starts which role and nothing of what a role does.

use std::process::ExitCode;

use rcompose::{cli, keeper, logs, supervisor};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    // The words of our own processes; no command has these names.
    match args.get(1).and_then(|word| word.to_str()) {
        Some("keeper") => role(keeper::run()),
        Some("log-writer") => role(logs::writer::run()),
        Some("supervisor") => match keeper::supervisor_birth(args) {
            Ok(birth) => supervisor::run(birth),
            Err(error) => role(Err(error)),
        },
        Some(cli::TETHERED) => cli::tethered(args),
        Some(_) | None => cli::run(args, cli::Environment::of_process()),
    }
}

/// A role's end. Its standard error is the supervisor's log, or nowhere.
fn role<E: std::error::Error>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            supervisor::last_words(&error);
            ExitCode::FAILURE
        }
    }
}
