//! What an init stage tells its starter: whole messages over `sys::sync`.
//!
//! A start's stage sends `ready` (with a terminal's master), then closes by
//! executing the program; or `failed`. An exec's helper sends `process` first.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::runtime::error::Error;
use crate::sys::clone::Child;
use crate::sys::sync::{self, Received};

const PROCESS: u8 = b'P';
const READY: u8 = b'R';
const FAILED: u8 = b'F';

/// The stage's end.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

impl Channel {
    /// Wraps a descriptor.
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Whether the starter is gone.
    pub(crate) fn is_closed(&self) -> bool {
        sync::is_closed(&self.0)
    }

    /// Tells of the process that an exec's helper made.
    pub(crate) fn process(&self, child: &Child) -> std::io::Result<()> {
        let mut bytes = vec![PROCESS];
        bytes.extend(child.pid.to_le_bytes());
        sync::send(self.0.as_fd(), &bytes, Some(child.pidfd.as_fd()))
    }

    /// Tells that only the program itself is left to execute.
    pub(crate) fn ready(&self, master: Option<OwnedFd>) -> std::io::Result<()> {
        let master = master.as_ref().map(AsFd::as_fd);
        sync::send(self.0.as_fd(), &[READY], master)
    }

    /// Tells of a failure. When the starter is gone, nobody is left to tell.
    pub(crate) fn failed(&self, error: &Error) {
        let mut bytes = vec![FAILED];
        bytes.extend(error.to_bytes());
        let _ = sync::send(self.0.as_fd(), &bytes, None);
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What a starter hears.
#[derive(Debug)]
pub(crate) enum News {
    /// The process of an exec.
    Process(Child),
    /// The program is about to be executed.
    Ready(Option<OwnedFd>),
    /// It could not be.
    Failed(Error),
    /// Nothing yet.
    Nothing,
    /// Nothing more: the program runs, or the stage is dead.
    End,
}

/// Takes the next news without waiting.
pub(crate) fn hear(fd: BorrowedFd<'_>) -> Result<News, Error> {
    let step = "read of the init stage's answer";
    let (bytes, fd) = match sync::receive(fd).map_err(|error| Error::new(step, error))? {
        Received::Empty => return Ok(News::Nothing),
        Received::Closed => return Ok(News::End),
        Received::Message(bytes, fd) => (bytes, fd),
    };
    match (bytes.split_first(), fd) {
        (Some((&READY, [])), master) => Ok(News::Ready(master)),
        (Some((&FAILED, rest)), _) => Ok(News::Failed(Error::from_bytes(rest))),
        (Some((&PROCESS, rest)), Some(pidfd)) => match rest.try_into() {
            Ok(pid) => Ok(News::Process(Child {
                pid: i32::from_le_bytes(pid),
                pidfd,
            })),
            Err(_) => Err(Error::because(step, "malformed")),
        },
        _ => Err(Error::because(step, "malformed")),
    }
}
