//! Errors to exit codes and to what the user reads last.
//!
//! Every error that leaves a command passes here once: it gets a kind, the
//! kind gets a code. docker compose ends with 1 for nearly everything, so the
//! kinds differ in what they print rather than in their number.

use std::io;

use crate::cli::output;

/// A command's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit(u8);

impl Exit {
    /// All went well.
    pub(crate) const SUCCESS: Self = Self(0);
    /// Something failed and has been told.
    pub(crate) const FAILURE: Self = Self(1);
    /// The user broke it off.
    pub(crate) const INTERRUPTED: Self = Self(130);

    /// A code that comes from a container; the system keeps eight bits of it.
    pub(crate) fn of_container(code: i32) -> Self {
        Self(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
    }

    /// The number.
    pub(crate) fn code(self) -> u8 {
        self.0
    }
}

/// What an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The command line.
    Usage,
    /// The project: its files, or a name that isn't in them.
    Project,
    /// The machine: rights, disk, kernel.
    Environment,
    /// An image.
    Image,
    /// A build.
    Build,
    /// A container.
    Container,
    /// Us.
    Internal,
}

impl Kind {
    /// The exit code.
    pub(crate) fn exit(self) -> Exit {
        match self {
            Self::Usage
            | Self::Project
            | Self::Environment
            | Self::Image
            | Self::Build
            | Self::Container
            | Self::Internal => Exit::FAILURE,
        }
    }
}

/// How every part of the program says that a service isn't there, those that
/// answer from afar too.
pub(crate) const NO_SUCH_SERVICE: &str = "no such service: ";

/// An error that knows its kind and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
    hint: Option<String>,
    exit: Option<Exit>,
}

impl Failure {
    /// An error of a kind.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            exit: None,
        }
    }

    /// A service that the project doesn't have, in docker compose's words.
    pub(crate) fn no_such_service(name: &impl std::fmt::Display) -> Self {
        Self::project(format!("{NO_SUCH_SERVICE}{name}"))
    }

    /// A wrong command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// A wrong project, or a name that it doesn't have.
    pub(crate) fn project(message: impl Into<String>) -> Self {
        Self::new(Kind::Project, message)
    }

    /// Gives it an exit code of its own, as `run` and `exec` have.
    pub(crate) fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = Some(exit);
        self
    }

    /// Whether it says what to do.
    pub(crate) fn has_hint(&self) -> bool {
        self.hint.is_some()
    }

    /// Adds what to do.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The command ends with this code and has said all there is to say.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("exit code {0:?}")]
pub(crate) struct Silent(pub(crate) Exit);

/// Prints an error and gives its exit code.
pub(crate) fn report(error: &anyhow::Error) -> u8 {
    if let Some(Silent(exit)) = error.downcast_ref() {
        return exit.code();
    }
    if is_closed_pipe(error) {
        // The reader has left, as in `rcompose logs | head`: 128 + SIGPIPE.
        return 141;
    }
    let failure = error.downcast_ref::<Failure>();
    let hint = failure.and_then(|failure| failure.hint.as_deref());
    output::error(error, hint);
    failure
        .map_or(Kind::Internal.exit(), |failure| {
            failure.exit.unwrap_or(failure.kind.exit())
        })
        .code()
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<output::Closed>()
        .is_some_and(|closed| closed.0.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_s_code_keeps_eight_bits() {
        assert_eq!(Exit::of_container(137).code(), 137);
        assert_eq!(Exit::of_container(256).code(), 0);
        assert_eq!(Exit::of_container(-1).code(), 255);
    }

    #[test]
    fn a_silent_end_keeps_its_code() {
        assert_eq!(report(&anyhow::Error::from(Silent(Exit::INTERRUPTED))), 130);
    }

    #[test]
    fn a_closed_pipe_is_not_an_error_to_tell() {
        let closed = output::Closed(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(report(&anyhow::Error::from(closed)), 141);
    }
}
