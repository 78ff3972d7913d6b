//! The keeper's supervisor: its process, its socket and its last words.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;

use crate::keeper::Error;
use crate::keeper::link::Link;
use crate::keeper::member::Program;
use crate::model::{Outcome, ProcessIdentity};
use crate::sys::poll::{Interest, Poller};
use crate::sys::{descriptor, pidfd, process};

/// Last words that are kept.
const WORDS_BYTES_MAX: usize = 4 << 10;

/// Whoever is served: a supervisor, or a tethered keeper's owner.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    pub(crate) link: Option<Link>,
    process: Option<Process>,
    words: Option<OwnedFd>,
    last_words: Vec<u8>,
}

#[derive(Debug)]
struct Process {
    pidfd: OwnedFd,
    is_child: bool,
}

/// Tokens for the poller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tokens {
    pub(crate) socket: u64,
    pub(crate) process: u64,
    pub(crate) words: u64,
}

/// What a new supervisor is told in its argv.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arguments<'a> {
    pub(crate) name: &'a str,
    pub(crate) state_dir: &'a Path,
    pub(crate) run_dir: &'a Path,
}

impl Arguments<'_> {
    fn to_words(self) -> Vec<OsString> {
        let folders = [self.state_dir, self.run_dir].map(OsString::from);
        let mut words = vec!["supervisor".into(), self.name.into()];
        words.extend(folders);
        words
    }
}

impl Supervisor {
    /// Somebody who is there already: an owner, or a supervisor that started
    /// this keeper.
    pub(crate) fn adopt(
        socket: OwnedFd,
        identity: Option<&ProcessIdentity>,
        tokens: Tokens,
        poller: &Poller,
    ) -> Result<Self, Error> {
        let mut supervisor = Self {
            link: Some(Link::new(socket, tokens.socket, poller).map_err(Error::Socket)?),
            ..Self::default()
        };
        if let Some(identity) = identity
            && let Ok(Some(pidfd)) = process::open(identity)
        {
            supervisor.watch(pidfd, false, tokens, poller)?;
        }
        Ok(supervisor)
    }

    /// Starts one.
    pub(crate) fn start(
        program: &Program,
        arguments: Arguments<'_>,
        tokens: Tokens,
        poller: &Poller,
    ) -> Result<Self, Error> {
        let (socket, theirs) = descriptor::stream_pair().map_err(Error::Socket)?;
        let words = descriptor::pipe().map_err(Error::Socket)?;
        let pidfd = program.start(arguments.to_words(), theirs, Some(words.writer))?;
        let mut supervisor = Self {
            link: Some(Link::new(socket, tokens.socket, poller).map_err(Error::Socket)?),
            ..Self::default()
        };
        descriptor::set_nonblocking(&words.reader, true).map_err(Error::Socket)?;
        poller
            .add(&words.reader, tokens.words, Interest::Read)
            .map_err(Error::Socket)?;
        supervisor.words = Some(words.reader);
        supervisor.watch(pidfd, true, tokens, poller)?;
        Ok(supervisor)
    }

    fn watch(
        &mut self,
        pidfd: OwnedFd,
        is_child: bool,
        tokens: Tokens,
        poller: &Poller,
    ) -> Result<(), Error> {
        poller
            .add(&pidfd, tokens.process, Interest::Read)
            .map_err(Error::Socket)?;
        self.process = Some(Process { pidfd, is_child });
        Ok(())
    }

    /// Whether nothing of it is left.
    pub(crate) fn is_gone(&self) -> bool {
        self.link.is_none() && self.process.is_none()
    }

    /// Whether its socket is closed. It was killed at that, so it does nothing
    /// more, but the kernel may take its time to end it.
    pub(crate) fn has_hung_up(&self) -> bool {
        self.link.is_none()
    }

    pub(crate) fn kill(&self) {
        if let Some(process) = &self.process {
            // One that has ended is as well.
            let _ = pidfd::send_signal(&process.pidfd, 9);
        }
    }

    /// Its socket is at its end: so is it, or it will be.
    pub(crate) fn hang_up(&mut self, poller: &Poller) {
        if let Some(link) = self.link.take() {
            link.close(poller);
        }
        self.kill();
    }

    /// Reads what it says on standard error; the end of it is kept.
    pub(crate) fn listen(&mut self, poller: &Poller) {
        let mut buffer = [0u8; 4096];
        while let Some(words) = &self.words {
            match descriptor::read(words, &mut buffer) {
                Ok(count) if count > 0 => {
                    let heard = buffer.get(..count).unwrap_or_default();
                    self.last_words.extend_from_slice(heard);
                    let excess = self.last_words.len().saturating_sub(WORDS_BYTES_MAX);
                    self.last_words.drain(..excess);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => {
                    let _ = poller.remove(words);
                    self.words = None;
                }
            }
        }
    }

    /// Reaps it if it has ended, and says how it did.
    pub(crate) fn reap(&mut self, poller: &Poller) -> Option<String> {
        let process = self.process.as_ref()?;
        let outcome = if process.is_child {
            match pidfd::wait(&process.pidfd) {
                Ok(None) => return None,
                Ok(Some(outcome)) => outcome,
                Err(_) => Outcome::Unknown,
            }
        } else {
            Outcome::Unknown
        };
        let _ = poller.remove(&process.pidfd);
        self.process = None;
        self.listen(poller);
        if let Some(words) = self.words.take() {
            let _ = poller.remove(&words);
        }
        if let Some(link) = self.link.take() {
            link.close(poller);
        }
        let end = match outcome {
            Outcome::Code(code) => format!("exit code {code}"),
            Outcome::Signal(signal) => format!("signal {signal}"),
            Outcome::Unknown => "ended".to_owned(),
        };
        let words = String::from_utf8_lossy(&self.last_words);
        let words = words.trim();
        Some(if words.is_empty() {
            end
        } else {
            format!("{end}: {words}")
        })
    }
}
