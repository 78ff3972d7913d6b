//! Why a process could not be started, and how that travels from the init
//! stage to its starter.

use std::io;

use serde::{Deserialize, Serialize};

/// Docker's status for a program that can't be executed.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// Docker's status for a program that isn't there.
pub(crate) const NOT_FOUND: u8 = 127;
/// Docker's status for every other failure to start.
pub(crate) const ENGINE: u8 = 125;

/// A failure to start a process.
#[derive(Debug, thiserror::Error)]
#[error("{step}")]
pub struct Error {
    step: String,
    #[source]
    source: io::Error,
    exit_code: u8,
}

impl Error {
    /// A failed `step`, a phrase with its subject such as `mount at /data`.
    pub(crate) fn new(step: impl Into<String>, source: io::Error) -> Self {
        Self {
            step: step.into(),
            source,
            exit_code: ENGINE,
        }
    }

    /// A failed step whose reason isn't the system's.
    pub(crate) fn because(step: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(step, io::Error::other(reason.into()))
    }

    /// The same with another exit code.
    #[must_use]
    pub(crate) fn with_exit_code(mut self, exit_code: u8) -> Self {
        self.exit_code = exit_code;
        self
    }

    /// What was being done, and on what.
    #[must_use]
    pub fn step(&self) -> &str {
        &self.step
    }

    /// The step and the reason in one line.
    #[must_use]
    pub fn message(&self) -> String {
        format!("{}: {}", self.step, reason(&self.source))
    }

    /// Docker's exit code for it: 126 not executable, 127 not found, 125 the rest.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// As bytes for the channel.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let wire = Wire {
            step: cut(&self.step),
            reason: cut(&reason(&self.source)),
            errno: self.source.raw_os_error(),
            exit_code: self.exit_code,
        };
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// Back from bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        match serde_json::from_slice::<Wire>(bytes) {
            Ok(wire) => Self {
                step: wire.step,
                source: wire.errno.map_or_else(
                    || io::Error::other(wire.reason),
                    io::Error::from_raw_os_error,
                ),
                exit_code: wire.exit_code,
            },
            Err(error) => Self::new("read of the init stage's answer", error.into()),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Wire {
    step: String,
    reason: String,
    errno: Option<i32>,
    exit_code: u8,
}

/// Keeps a text within what fits a message of the channel, however it is escaped.
fn cut(text: &str) -> String {
    text.chars().take(600).collect()
}

/// The system's own words, without the number and the capital.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let Some(number) = error.raw_os_error() else {
        return text;
    };
    let text = text
        .strip_suffix(&format!(" (os error {number})"))
        .unwrap_or(&text);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}

/// Adds the step to a system call's failure.
pub(crate) trait Step<T> {
    /// Names what failed.
    fn step(self, step: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Step<T> for io::Result<T> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::new(step(), source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crosses_the_channel_whole() {
        let error = Error::new("mount at /data", io::Error::from_raw_os_error(20))
            .with_exit_code(NOT_EXECUTABLE);
        let back = Error::from_bytes(&error.to_bytes());
        assert_eq!(back.message(), "mount at /data: not a directory");
        assert_eq!(back.exit_code(), 126);
        assert_eq!(back.step(), "mount at /data");
    }

    #[test]
    fn fits_the_channel_however_long() {
        let error = Error::because("\u{1}".repeat(100_000), "\"".repeat(100_000));
        assert!(error.to_bytes().len() < crate::sys::sync::MESSAGE_BYTES_MAX);
    }

    #[test]
    fn garbage_is_an_error_too() {
        assert_eq!(Error::from_bytes(b"{").exit_code(), ENGINE);
    }
}
