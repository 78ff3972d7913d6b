//! The binary: picks its role from argv before any thread or runtime exists.
//!
//! It knows which word starts which role and nothing of what a role does.

use std::process::ExitCode;

use rcompose::cli;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    cli::run(args, cli::Environment::of_process())
}
