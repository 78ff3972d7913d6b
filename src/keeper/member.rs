//! The other members of the pair, as processes: the supervisor and the log
//! writer, which the keeper starts again and again.
//!
//! A member is a fork of the keeper, which has one thread, as long as it is of
//! the keeper's own program: executing it again takes a millisecond on a
//! virtual machine (what the C library asks of the processor, and the loader's
//! page faults). Once a later program has taken over, its
//! members are executed.

use std::ffi::OsString;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::keeper::{Error, Step};
use crate::sys::{birth, clone, descriptor, pidfd};

/// What a member does with its arguments, the first of which is the program's
/// name and the second its role. Its keeper's socket is standard input. Gives
/// its exit status.
pub type Life = fn(Vec<OsString>) -> u8;

/// The name of the program among its arguments.
const NAME: &str = "rcompose";
/// The exit status of a member that could not begin.
const STILLBORN: u8 = 125;

/// What members are made from.
#[derive(Debug)]
pub(crate) enum Program {
    /// The keeper's own program.
    Own(Life),
    /// The program that took over from it.
    Successor(OwnedFd),
}

impl Program {
    /// Starts a member with these arguments after the program's name, the
    /// socket as its standard input and, where given, its standard error; the
    /// keeper's is its own otherwise. Gives its pidfd.
    pub(crate) fn start(
        &self,
        arguments: Vec<OsString>,
        socket: OwnedFd,
        errors: Option<OwnedFd>,
    ) -> Result<OwnedFd, Error> {
        let step = || format!("start of {}", role(&arguments));
        match self {
            Self::Own(life) => {
                let null = descriptor::null().step(step)?;
                let words = [vec![OsString::from(NAME)], arguments.clone()].concat();
                let child = clone::fork(|| {
                    let errors = errors.as_ref().map(|fd| fd.as_fd());
                    let begin = birth::take_streams(socket.as_fd(), null.as_fd(), errors)
                        .and_then(|()| birth::close_inherited());
                    if begin.is_err() {
                        return STILLBORN;
                    }
                    // Only for people who look at `ps`.
                    let _ = birth::set_arguments(&words);
                    life(words)
                });
                Ok(child.step(step)?.pidfd)
            }
            Self::Successor(binary) => {
                let mut command = Command::new(program(binary));
                command.arg0(NAME).args(&arguments).stdin(socket);
                if let Some(errors) = errors {
                    command.stderr(errors);
                }
                let child = command.stdout(Stdio::null()).spawn().step(step)?;
                pidfd::open(child.id().cast_signed()).step(step)
            }
        }
    }
}

fn role(arguments: &[OsString]) -> String {
    let role = arguments.first().map(|word| word.to_string_lossy());
    role.unwrap_or_default().into_owned()
}

/// The path by which a descriptor is executed.
pub(crate) fn program(binary: &OwnedFd) -> PathBuf {
    Path::new("/proc/self/fd").join(binary.as_raw_fd().to_string())
}
