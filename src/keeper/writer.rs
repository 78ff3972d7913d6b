//! The keeper's log writer: started, restarted, told and heard.

use std::os::fd::OwnedFd;
use std::time::Duration;

use serde::Serialize;

use crate::keeper::Error;
use crate::keeper::link::Link;
use crate::keeper::member::Program;
use crate::sys::poll::{Interest, Poller};
use crate::sys::{descriptor, pidfd};

const DELAY_FIRST: Duration = Duration::from_millis(10);
const DELAY_MAX: Duration = Duration::from_secs(5);
/// Time alive after which a death is a first one again.
const STEADY_AFTER: Duration = Duration::from_secs(30);

/// The log writer, present or to come.
#[derive(Debug)]
pub(crate) struct Writer {
    member: Option<Member>,
    /// When the next one is started, after a death.
    start_at: Option<Duration>,
    delay: Duration,
    /// Whether it didn't finish something in time, and nothing was heard of
    /// it since: it hangs on a disk.
    pub(crate) is_stuck: bool,
}

#[derive(Debug)]
struct Member {
    link: Option<Link>,
    pidfd: OwnedFd,
    started_at: Duration,
}

/// Tokens for the poller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tokens {
    pub(crate) socket: u64,
    pub(crate) process: u64,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self {
            member: None,
            start_at: None,
            delay: DELAY_FIRST,
            is_stuck: false,
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.member.is_some()
    }

    pub(crate) fn start_at(&self) -> Option<Duration> {
        self.start_at
    }

    /// Starts one. It knows nothing: all streams have to be opened for it.
    pub(crate) fn start(
        &mut self,
        program: &Program,
        name: &str,
        tokens: Tokens,
        poller: &Poller,
        now: Duration,
    ) -> Result<(), Error> {
        self.start_at = None;
        let (socket, theirs) = descriptor::stream_pair().map_err(Error::Socket)?;
        let words = vec!["log-writer".into(), name.into()];
        let pidfd = program.start(words, theirs, None)?;
        poller
            .add(&pidfd, tokens.process, Interest::Read)
            .map_err(Error::Socket)?;
        let link = Link::new(socket, tokens.socket, poller).map_err(Error::Socket)?;
        self.member = Some(Member {
            link: Some(link),
            pidfd,
            started_at: now,
        });
        Ok(())
    }

    pub(crate) fn link(&mut self) -> Option<&mut Link> {
        self.member.as_mut()?.link.as_mut()
    }

    /// Tells it something, if it is there; else it will be told at its start.
    pub(crate) fn tell<T: Serialize>(&mut self, message: &T, descriptors: Vec<OwnedFd>) {
        if let Some(link) = self.link() {
            link.push(message, descriptors);
        }
    }

    /// Closes its socket, at which it ends once it has written what it read.
    pub(crate) fn dismiss(&mut self, poller: &Poller) {
        if let Some(member) = &mut self.member
            && let Some(link) = member.link.take()
        {
            link.close(poller);
        }
    }

    /// Ends one that doesn't end by itself.
    pub(crate) fn kill(&self) {
        if let Some(member) = &self.member {
            // One that has ended is as well.
            let _ = pidfd::send_signal(&member.pidfd, 9);
        }
    }

    /// Reaps it if it has ended; the next one's time is set.
    pub(crate) fn reap(&mut self, poller: &Poller, now: Duration) {
        let Some(member) = &mut self.member else {
            return;
        };
        if matches!(pidfd::wait(&member.pidfd), Ok(None)) {
            return;
        }
        let _ = poller.remove(&member.pidfd);
        if let Some(link) = member.link.take() {
            link.close(poller);
        }
        if now.saturating_sub(member.started_at) > STEADY_AFTER {
            self.delay = DELAY_FIRST;
        }
        self.member = None;
        self.retry(now);
    }

    /// Sets the time of the next attempt.
    pub(crate) fn retry(&mut self, now: Duration) {
        self.start_at = Some(now + self.delay);
        self.delay = (self.delay * 2).min(DELAY_MAX);
    }
}
