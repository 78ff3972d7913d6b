//! The binary: picks its role from argv before any thread or runtime exists.
//!
//! It knows which word starts which role and nothing of what a role does.

use std::ffi::OsString;
use std::process::ExitCode;

use rcompose::{cli, keeper, logs, supervisor, sys};

const SUCCESS: u8 = 0;
const FAILURE: u8 = 1;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    // The words of our own processes; no command has these names.
    match args.get(1).and_then(|word| word.to_str()) {
        Some("keeper") => status(keeper::run(member)).into(),
        Some("log-writer" | "supervisor") => member(args).into(),
        Some(cli::TETHERED) => cli::tethered(args),
        Some(_) | None => cli::run(args, cli::Environment::of_process()),
    }
}

/// The life of a keeper's member, forked or executed: its exit status.
fn member(args: Vec<OsString>) -> u8 {
    let role = args.get(1).map(|word| word.to_string_lossy());
    let role = role.unwrap_or_default();
    // Only for people who look at `ps`.
    let _ = sys::birth::set_name(&format!("rcompose-{role}"));
    if role == "log-writer" {
        return status(logs::writer::run());
    }
    match keeper::supervisor_birth(args.iter().cloned()) {
        Ok(birth) => status(supervisor::run(birth)),
        Err(error) => status(Err(error)),
    }
}

/// A role's end. Its standard error is the supervisor's log, or nowhere.
fn status<E: std::error::Error>(result: Result<(), E>) -> u8 {
    match result {
        Ok(()) => SUCCESS,
        Err(error) => {
            supervisor::last_words(&error);
            FAILURE
        }
    }
}
