//! The surface: words in, words out.
//!
//! It knows the command line, the terminal and docker compose's wording; what
//! a command means is decided below. Reading goes in three steps: what was
//! typed (`args`), what it means together with the environment (`settings`,
//! `context`), and the command's own file in `commands/`.

mod args;
mod attach;
mod attached;
mod attaching;
mod bring_up;
mod build;
mod commands;
mod complete;
mod context;
mod docker_config;
mod docker_words;
mod dry_run;
mod environment;
mod examples;
mod exit;
mod filters;
mod flags;
mod follow;
mod images;
mod menu;
mod named;
mod near;
mod output;
mod parse;
mod plugin;
mod process;
mod project;
mod records;
#[cfg(test)]
mod reference;
mod session;
mod settings;
mod sightings;
mod source;
mod target;
mod terminal;
mod tethered;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

pub use environment::Environment;
pub use tethered::{TETHERED, tethered};

/// Runs one command line and gives the process's exit code.
#[must_use]
pub fn run(args: Vec<OsString>, environment: Environment) -> ExitCode {
    crate::sys::interrupt::end_on_interrupts();
    let args = docker_words::translate(args);
    if let Some(metadata) = plugin::metadata(&args) {
        return match output::print(&metadata) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    if let Some(answer) = complete::answer(&args, &environment) {
        return match output::print(&answer) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let result = parse::parse(&plugin::own_args(args)).and_then(|parsed| match parsed {
        parse::Parsed::Command(root) => dispatch(*root, environment),
        parse::Parsed::Text(text) => {
            output::print(&text)?;
            Ok(exit::Exit::SUCCESS)
        }
    });
    ExitCode::from(match result {
        Ok(exit) => exit.code(),
        Err(error) => exit::report(&error),
    })
}

fn dispatch(root: args::Root, environment: Environment) -> anyhow::Result<exit::Exit> {
    plugin::end_with_client(&environment);
    let found = match root.command {
        Some(_) => context::Found::look(&root.globals, &environment),
        None => context::Found::default(),
    };
    let said = found.environment(&environment);
    let settings = settings::Settings::settle(&root.globals, &said)?;
    let context = context::Context::new(root.globals, settings, environment)?.with(found);
    match root.command {
        Some(command) => command
            .run(&context)
            .map_err(|error| near::improve(error, &context)),
        None if root.version => commands::version::Args::default().run(&context),
        None => {
            output::print(&parse::help(&[])?)?;
            Ok(exit::Exit::SUCCESS)
        }
    }
}
