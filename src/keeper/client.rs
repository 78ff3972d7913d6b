//! The supervisor's side of the conversation with its keeper: a state machine
//! over a socket, without any waiting, for whatever loop drives it.
//!
//! It mirrors the shelf: every descriptor that the keeper shelves or hands
//! back is kept here too, under its name, so that a keeper's death loses
//! nothing and [`Client::shelf`] can be handed to the next one. Requests are
//! kept until they are answered, and asked again of the next keeper
//! ([`Client::reconnect`]); ids of spawns make that safe.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::keeper::shelf::{self, Shelf};
use crate::keeper::{Error, launch};
use crate::protocol::frame::{self, Assembler};
use crate::protocol::keeper::{Message, ReplyBody, Request, RequestBody, SpawnId, SpawnState};
use crate::sys::scm::{self, Outbox};
use crate::sys::{descriptor, poll};

/// A conversation with a keeper.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    incoming: Assembler<OwnedFd>,
    outbox: Outbox,
    next_id: u64,
    unanswered: BTreeMap<u64, Unanswered>,
    shelf: Shelf,
    /// Messages read while a blocking caller waited for another one.
    early: Vec<(Message, Vec<OwnedFd>)>,
}

#[derive(Debug)]
struct Unanswered {
    body: RequestBody,
    descriptors: Vec<OwnedFd>,
}

impl Client {
    /// Begins a conversation.
    ///
    /// # Errors
    /// When the socket can't be made non-blocking.
    pub fn new(socket: OwnedFd) -> Result<Self, Error> {
        descriptor::set_nonblocking(&socket, true).map_err(Error::Socket)?;
        Ok(Self {
            socket,
            incoming: Assembler::default(),
            outbox: Outbox::default(),
            next_id: 1,
            unanswered: BTreeMap::new(),
            shelf: Shelf::default(),
            early: Vec::new(),
        })
    }

    /// Asks for something; gives the id that its reply will have. The
    /// descriptors go along, at most `sys::scm::DESCRIPTORS_MAX`.
    ///
    /// # Errors
    /// When it is longer than a frame may be, or out of descriptors.
    pub fn enqueue(&mut self, body: RequestBody, descriptors: Vec<OwnedFd>) -> Result<u64, Error> {
        let id = self.next_id;
        self.next_id += 1;
        self.mirror_request(&body, &descriptors)?;
        let kept = Unanswered {
            descriptors: duplicates(&descriptors)?,
            body,
        };
        self.push(id, &kept.body, descriptors)?;
        self.unanswered.insert(id, kept);
        Ok(id)
    }

    fn push(
        &mut self,
        id: u64,
        body: &RequestBody,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), Error> {
        let request = Request {
            id,
            body: body.clone(),
        };
        self.outbox.push(frame::encode(&request)?, descriptors);
        Ok(())
    }

    fn mirror_request(&mut self, body: &RequestBody, descriptors: &[OwnedFd]) -> Result<(), Error> {
        match body {
            RequestBody::Put { name } => {
                if let Some(descriptor) = descriptors.first() {
                    let twin = descriptor::duplicate(descriptor).map_err(Error::Socket)?;
                    self.shelf.put(name.clone(), twin);
                }
            }
            RequestBody::Drop { names } => {
                for name in names {
                    self.shelf.remove(name);
                }
            }
            RequestBody::Forget { spawn } => self.shelf.remove_spawn(spawn),
            RequestBody::Hello { .. }
            | RequestBody::Spawn(_)
            | RequestBody::Exec(_)
            | RequestBody::Signal { .. }
            | RequestBody::Shelf
            | RequestBody::ReplaceSupervisor
            | RequestBody::Shutdown
            | RequestBody::Tee { .. }
            | RequestBody::Adopt(_) => {}
        }
        Ok(())
    }

    /// Whether [`Client::flush`] has something to do once the socket is writable.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Sends what the socket takes.
    ///
    /// # Errors
    /// [`Error::Gone`] when the keeper is.
    pub fn flush(&mut self) -> Result<(), Error> {
        match self.outbox.flush(&self.socket) {
            Ok(_) => Ok(()),
            Err(error) if is_gone(&error) => Err(Error::Gone),
            Err(source) => Err(Error::Socket(source)),
        }
    }

    /// Takes what has come. Descriptors of the shelf aren't among those given:
    /// they are in [`Client::shelf`] by the names that the message tells.
    ///
    /// # Errors
    /// [`Error::Gone`] when the keeper is, once all it sent was taken.
    pub fn read(&mut self) -> Result<Vec<(Message, Vec<OwnedFd>)>, Error> {
        let mut messages = std::mem::take(&mut self.early);
        let end = self.fill();
        while let Some((message, descriptors)) = self.incoming.take()? {
            let descriptors = self.mirror_message(&message, descriptors)?;
            messages.push((message, descriptors));
        }
        match end {
            Err(error) if messages.is_empty() => Err(error),
            // The next read meets the same end with nothing before it.
            Ok(()) | Err(_) => Ok(messages),
        }
    }

    fn fill(&mut self) -> Result<(), Error> {
        let mut buffer = vec![0u8; 64 << 10];
        loop {
            match scm::receive(&self.socket, &mut buffer) {
                Ok(got) if got.count == 0 => return Err(Error::Gone),
                Ok(got) => {
                    let bytes = buffer.get(..got.count).unwrap_or_default();
                    self.incoming.push(bytes, got.descriptors);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is_gone(&error) => return Err(Error::Gone),
                Err(source) => return Err(Error::Socket(source)),
            }
        }
    }

    fn mirror_message(
        &mut self,
        message: &Message,
        mut descriptors: Vec<OwnedFd>,
    ) -> Result<Vec<OwnedFd>, Error> {
        match message {
            Message::Shelved { names } => {
                self.shelf.extend(names.iter().cloned().zip(descriptors));
                descriptors = Vec::new();
            }
            Message::Reply { id, body } => {
                if let ReplyBody::Shelf { names, more } = body {
                    self.shelf.extend(names.iter().cloned().zip(descriptors));
                    if *more {
                        return Ok(Vec::new());
                    }
                    descriptors = Vec::new();
                }
                let asked = self.unanswered.remove(id);
                if let (ReplyBody::Spawned { .. }, Some(spawn), Some(pidfd)) = (
                    body,
                    asked.and_then(|a| spawn_of(&a.body)),
                    descriptors.first(),
                ) {
                    let twin = descriptor::duplicate(pidfd).map_err(Error::Socket)?;
                    self.shelf.put(shelf::pidfd(&spawn), twin);
                }
            }
            Message::State { spawn, state } => match state {
                SpawnState::Exited { .. } => self.shelf.remove_streams(spawn),
                SpawnState::Running { .. } => {}
            },
            Message::LogTrouble { .. } => {}
        }
        Ok(descriptors)
    }

    /// What this side holds of the shelf. Complete after the answer to
    /// [`RequestBody::Shelf`], which every new supervisor asks for.
    #[must_use]
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// Starts another keeper in the place of one that is gone, hands it the
    /// shelf, and asks everything unanswered again.
    ///
    /// # Errors
    /// As [`launch::relaunch`] and [`Client::reconnect`].
    pub fn revive(&mut self) -> Result<(), Error> {
        let socket = launch::relaunch(&self.shelf)?;
        self.reconnect(socket)
    }

    /// Goes on with another keeper, one that was started with this client's
    /// shelf: everything unanswered is asked again, with the same ids.
    ///
    /// # Errors
    /// As [`Client::new`] and [`Client::enqueue`].
    pub fn reconnect(&mut self, socket: OwnedFd) -> Result<(), Error> {
        descriptor::set_nonblocking(&socket, true).map_err(Error::Socket)?;
        self.socket = socket;
        self.incoming = Assembler::default();
        self.outbox = Outbox::default();
        let unanswered = std::mem::take(&mut self.unanswered);
        for (id, kept) in &unanswered {
            self.push(*id, &kept.body, duplicates(&kept.descriptors)?)?;
        }
        self.unanswered = unanswered;
        Ok(())
    }

    /// Asks and waits for the answer, for a program that has nothing else to
    /// do. What else comes meanwhile is given by the next [`Client::read`].
    ///
    /// # Errors
    /// [`Error::Silent`] after the limit, or as the other verbs.
    pub fn ask(
        &mut self,
        body: RequestBody,
        descriptors: Vec<OwnedFd>,
        limit: Duration,
    ) -> Result<(ReplyBody, Vec<OwnedFd>), Error> {
        let asked = self.enqueue(body, descriptors)?;
        let mut others = Vec::new();
        let answer = self.await_message(limit, |message, descriptors| match message {
            Message::Reply { id, body } if id == asked => Some((body, descriptors)),
            other => {
                others.push((other, descriptors));
                None
            }
        });
        others.append(&mut self.early);
        self.early = others;
        answer
    }

    /// Waits for a message that `pick` takes; it is shown every message.
    ///
    /// # Errors
    /// [`Error::Silent`] after the limit, or as the other verbs.
    pub fn await_message<T>(
        &mut self,
        limit: Duration,
        mut pick: impl FnMut(Message, Vec<OwnedFd>) -> Option<T>,
    ) -> Result<T, Error> {
        let start = std::time::Instant::now();
        loop {
            self.flush()?;
            let mut messages = self.read()?.into_iter();
            while let Some((message, descriptors)) = messages.next() {
                if let Some(picked) = pick(message, descriptors) {
                    self.early.extend(messages);
                    return Ok(picked);
                }
            }
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(Error::Silent(limit));
            }
            // Short, because there may be something to write as well.
            let turn = if self.wants_write() {
                left.min(Duration::from_millis(5))
            } else {
                left
            };
            poll::wait_readable(&self.socket, Some(turn)).map_err(Error::Socket)?;
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn spawn_of(body: &RequestBody) -> Option<SpawnId> {
    match body {
        RequestBody::Spawn(spawn) => Some(spawn.id.clone()),
        RequestBody::Exec(exec) => Some(exec.id.clone()),
        RequestBody::Adopt(adopt) => Some(adopt.id.clone()),
        RequestBody::Hello { .. }
        | RequestBody::Signal { .. }
        | RequestBody::Put { .. }
        | RequestBody::Drop { .. }
        | RequestBody::Shelf
        | RequestBody::Forget { .. }
        | RequestBody::ReplaceSupervisor
        | RequestBody::Tee { .. }
        | RequestBody::Shutdown => None,
    }
}

fn duplicates(descriptors: &[OwnedFd]) -> Result<Vec<OwnedFd>, Error> {
    let twins = descriptors.iter().map(descriptor::duplicate);
    twins.collect::<io::Result<_>>().map_err(Error::Socket)
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}
