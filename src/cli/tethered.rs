//! The process that becomes a test's command: it ends when who started it
//! does, however that ends.
//!
//! It is a role of its own because nothing may run between fork and exec in a
//! process with threads.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use crate::cli::output;
use crate::sys;

/// The word that makes this program become a test's command.
pub const TETHERED: &str = "tethered";

/// Shell's codes for a program that can't be run, and for one that isn't there.
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Becomes the command: the words are our name, the role, the parent's pid and
/// the command. Returns only when that fails.
#[must_use]
pub fn tethered(words: Vec<OsString>) -> ExitCode {
    let mut words = words.into_iter().skip(2);
    let parent = words.next().and_then(|text| text.to_str()?.parse().ok());
    let (Some(parent), Some(program)) = (parent, words.next()) else {
        return ExitCode::from(NOT_RUNNABLE);
    };
    match sys::process::end_with_parent(parent) {
        Ok(true) => {}
        // It is gone already.
        Ok(false) => return ExitCode::FAILURE,
        Err(error) => return told(&program, &error),
    }
    told(&program, &Command::new(&program).args(words).exec())
}

fn told(program: &OsString, error: &io::Error) -> ExitCode {
    output::notice(&format!("error: start of {}: {error}", program.display()));
    ExitCode::from(match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_RUNNABLE,
    })
}
