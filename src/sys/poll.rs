//! Waiting for descriptors: one of them, or many by epoll.
//!
//! Level-triggered throughout: what isn't dealt with is reported again.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec};

/// What to wait for on a descriptor. Hang-ups are always reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Nothing but a hang-up.
    Nothing,
    /// Bytes to read, a connection to accept, the end of a process.
    Read,
    /// Room to write.
    Write,
    /// Either.
    ReadWrite,
}

impl Interest {
    /// Reading, and writing too if there is something to write.
    #[must_use]
    pub fn read_and(wants_write: bool) -> Self {
        if wants_write {
            Self::ReadWrite
        } else {
            Self::Read
        }
    }

    fn flags(self) -> EventFlags {
        match self {
            Self::Nothing => EventFlags::empty(),
            Self::Read => EventFlags::IN,
            Self::Write => EventFlags::OUT,
            Self::ReadWrite => EventFlags::IN | EventFlags::OUT,
        }
    }
}

/// One descriptor's readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The number it was added with.
    pub token: u64,
    /// Whether reading gives something: bytes, end of file or an error.
    pub is_readable: bool,
    /// Whether writing gets somewhere.
    pub is_writable: bool,
    /// Whether the other side is gone.
    pub is_hung_up: bool,
}

/// A set of descriptors that are waited for together.
pub struct Poller {
    epoll: OwnedFd,
    buffer: Vec<epoll::Event>,
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Poller")
            .field("epoll", &self.epoll)
            .finish_non_exhaustive()
    }
}

/// Events taken from the kernel at once; more come with the next wait.
const EVENTS_MAX: usize = 256;

impl Poller {
    /// An empty set.
    ///
    /// # Errors
    /// epoll_create1(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            buffer: Vec::with_capacity(EVENTS_MAX),
        })
    }

    /// Adds a descriptor. It has to be removed before it is closed if any
    /// duplicate of it stays open anywhere.
    ///
    /// # Errors
    /// epoll_ctl(2): `EEXIST`, or `EPERM` for plain files.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        let data = EventData::new_u64(token);
        Ok(epoll::add(&self.epoll, fd, data, interest.flags())?)
    }

    /// Changes what is waited for.
    ///
    /// # Errors
    /// epoll_ctl(2): `ENOENT`.
    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        let data = EventData::new_u64(token);
        Ok(epoll::modify(&self.epoll, fd, data, interest.flags())?)
    }

    /// Takes a descriptor out.
    ///
    /// # Errors
    /// epoll_ctl(2): `ENOENT`.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Waits until something is ready or the time is over (None: for ever).
    /// A signal handler's run ends the wait with no events.
    ///
    /// # Errors
    /// epoll_wait(2).
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Vec<Event>> {
        let timeout = timeout.map(timespec);
        self.buffer.clear();
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut self.buffer),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.buffer.iter().map(event).collect())
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn event(raw: &epoll::Event) -> Event {
    let flags = raw.flags;
    let is_hung_up = flags.intersects(EventFlags::HUP | EventFlags::ERR);
    Event {
        token: raw.data.u64(),
        is_readable: flags.contains(EventFlags::IN) || is_hung_up,
        is_writable: flags.contains(EventFlags::OUT) || is_hung_up,
        is_hung_up,
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// Waits until one descriptor can be read (or has hung up); false when the
/// time is over first.
///
/// # Errors
/// poll(2).
pub fn wait_readable(fd: impl AsFd, timeout: Option<Duration>) -> io::Result<bool> {
    wait_for(&fd, PollFlags::IN, timeout)
}

fn wait_for(fd: &impl AsFd, flags: PollFlags, timeout: Option<Duration>) -> io::Result<bool> {
    let start = std::time::Instant::now();
    loop {
        let left = timeout.map(|limit| timespec(limit.saturating_sub(start.elapsed())));
        let mut set = [PollFd::new(fd, flags)];
        match rustix::event::poll(&mut set, left.as_ref()) {
            Ok(count) => return Ok(count > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::descriptor;

    #[test]
    fn readiness_carries_its_token() {
        let pipe = descriptor::pipe().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(&pipe.reader, 7, Interest::Read).unwrap();
        assert!(poller.wait(Some(Duration::ZERO)).unwrap().is_empty());
        rustix::io::write(&pipe.writer, b"x").unwrap();
        let events = poller.wait(None).unwrap();
        assert_eq!(events.len(), 1);
        assert!(events[0].token == 7 && events[0].is_readable && !events[0].is_hung_up);
        drop(pipe.writer);
        assert!(poller.wait(None).unwrap()[0].is_hung_up);
        poller.remove(&pipe.reader).unwrap();
        assert!(poller.wait(Some(Duration::ZERO)).unwrap().is_empty());
    }

    #[test]
    fn interest_can_be_silenced() {
        let (one, other) = descriptor::stream_pair().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(&one, 1, Interest::ReadWrite).unwrap();
        assert!(poller.wait(None).unwrap()[0].is_writable);
        poller.modify(&one, 1, Interest::Nothing).unwrap();
        assert!(poller.wait(Some(Duration::ZERO)).unwrap().is_empty());
        drop(other);
        assert!(poller.wait(None).unwrap()[0].is_hung_up);
    }

    #[test]
    fn one_descriptor_times_out() {
        let pipe = descriptor::pipe().unwrap();
        assert!(!wait_readable(&pipe.reader, Some(Duration::from_millis(1))).unwrap());
    }
}
