//! The supervisor's end of the keeper's socket, for callers that wait.
//!
//! [`keeper::Client`] knows the conversation; this drives it: one task waits
//! for the socket, callers await their answers, states of spawned processes
//! go to the driver. When the keeper dies the client starts another and asks
//! again what was unanswered; spawns carry ids, so nothing runs twice.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;

use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::keeper;
use crate::protocol::keeper::{Message, ReplyBody, RequestBody, SpawnId, SpawnState, VERSION};
use crate::supervisor::failure;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The keeper is gone and no other could be started.
    #[error("keeper is gone")]
    Lost,
    /// It can't be asked.
    #[error("ask the keeper")]
    Keeper(#[source] keeper::Error),
    /// The keeper refused.
    #[error("keeper refused: {0}")]
    Refused(String),
    /// The keeper answered something that doesn't fit the question.
    #[error("keeper gave an answer that doesn't fit: {0}")]
    Unexpected(String),
    /// A descriptor could not be duplicated.
    #[error("duplicate a descriptor")]
    Duplicate(#[source] io::Error),
}

/// What the keeper tells unasked.
#[derive(Debug)]
pub(crate) enum News {
    /// A spawned process is in this state.
    State(SpawnId, SpawnState),
    /// A container's log can't be written, or can again.
    LogTrouble(SpawnId, Option<String>),
}

/// An answer with the descriptors that came along.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What was answered.
    pub(crate) body: ReplyBody,
    /// In the order that the protocol gives.
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// A handle on the link; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Link(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    client: RefCell<keeper::Client>,
    waiting: RefCell<HashMap<u64, oneshot::Sender<Answer>>>,
    /// Told when there is something to write.
    writes: Notify,
    news: mpsc::UnboundedSender<News>,
}

/// What a keeper says to a supervisor that begins.
#[derive(Debug)]
pub(crate) struct Greeting {
    /// Every spawn that it knows.
    pub(crate) spawns: Vec<(SpawnId, SpawnState)>,
    /// Whether an earlier supervisor died, so that something may be left of it.
    pub(crate) is_successor: bool,
}

impl Link {
    /// Makes a link over a keeper's socket. [`Link::serve`] has to run for it.
    ///
    /// # Errors
    /// When the socket can't be used.
    pub(crate) fn new(
        socket: OwnedFd,
        news: mpsc::UnboundedSender<News>,
    ) -> Result<Self, keeper::Error> {
        Ok(Self(Rc::new(Inner {
            client: RefCell::new(keeper::Client::new(socket)?),
            waiting: RefCell::new(HashMap::new()),
            writes: Notify::new(),
            news,
        })))
    }

    /// Asks the keeper and waits for its answer.
    ///
    /// # Errors
    /// [`Error::Lost`], [`Error::Keeper`] or [`Error::Refused`].
    pub(crate) async fn call(
        &self,
        body: RequestBody,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Answer, Error> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut client = self.0.client.borrow_mut();
            let id = client.enqueue(body, descriptors).map_err(Error::Keeper)?;
            self.0.waiting.borrow_mut().insert(id, sender);
            // A keeper that is gone is met by the task that reads.
            let _ = client.flush();
            if client.wants_write() {
                self.0.writes.notify_one();
            }
        }
        let answer = receiver.await.map_err(|_| Error::Lost)?;
        match answer.body {
            ReplyBody::Failed { message } => Err(Error::Refused(message)),
            body => Ok(Answer {
                body,
                descriptors: answer.descriptors,
            }),
        }
    }

    /// Opens the conversation and takes over the shelf; gives every spawn that
    /// the keeper knows, and whether a supervisor died under it.
    ///
    /// # Errors
    /// As [`Link::call`].
    pub(crate) async fn greet(&self) -> Result<Greeting, Error> {
        let build = env!("CARGO_PKG_VERSION").to_owned();
        let hello = self
            .call(
                RequestBody::Hello {
                    version: VERSION,
                    build,
                },
                Vec::new(),
            )
            .await?;
        self.call(RequestBody::Shelf, Vec::new()).await?;
        match hello.body {
            ReplyBody::Hello { spawns, deaths, .. } => Ok(Greeting {
                spawns,
                is_successor: !deaths.is_empty(),
            }),
            other => Err(Error::Unexpected(format!("{other:?}"))),
        }
    }

    /// Puts a descriptor on the shelf. The caller keeps its own.
    ///
    /// # Errors
    /// [`Error::Duplicate`], or as [`Link::call`].
    pub(crate) async fn put(&self, name: &str, descriptor: &OwnedFd) -> Result<(), Error> {
        let twin = descriptor.try_clone().map_err(Error::Duplicate)?;
        self.call(
            RequestBody::Put {
                name: name.to_owned(),
            },
            vec![twin],
        )
        .await?;
        Ok(())
    }

    /// Puts descriptors on the shelf, all at once: the keeper is asked for the
    /// next before it has answered for the last.
    ///
    /// # Errors
    /// As [`Link::put`]; what others there are may lie on the shelf then.
    pub(crate) async fn put_all(&self, shelved: &[(String, &OwnedFd)]) -> Result<(), Error> {
        let puts = shelved.iter().map(|(name, fd)| self.put(name, fd));
        futures_util::future::try_join_all(puts).await?;
        Ok(())
    }

    /// A duplicate of a shelved descriptor; None when there is none.
    ///
    /// # Errors
    /// [`Error::Duplicate`].
    pub(crate) fn get(&self, name: &str) -> Result<Option<OwnedFd>, Error> {
        let client = self.0.client.borrow();
        let shelved = client.shelf().get(name);
        shelved
            .map(|fd| fd.try_clone_to_owned())
            .transpose()
            .map_err(Error::Duplicate)
    }

    /// Names on the shelf that begin with `prefix`.
    #[must_use]
    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        let client = self.0.client.borrow();
        let names = client
            .shelf()
            .names()
            .filter(|name| name.starts_with(prefix));
        names.map(str::to_owned).collect()
    }

    /// Takes descriptors off the shelf.
    ///
    /// # Errors
    /// As [`Link::call`].
    pub(crate) async fn drop_names(&self, names: Vec<String>) -> Result<(), Error> {
        if names.is_empty() {
            return Ok(());
        }
        self.call(RequestBody::Drop { names }, Vec::new()).await?;
        Ok(())
    }

    /// Carries messages until no keeper can be had.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn serve(self) -> Result<(), keeper::Error> {
        loop {
            let error = self.carry().await;
            let next = if matches!(error, keeper::Error::Gone) {
                tracing::warn!("the keeper is gone; starting another");
                self.0.client.borrow_mut().revive()
            } else {
                Err(error)
            };
            if let Err(error) = next {
                tracing::warn!(causes = ?failure::chain(&error), "there is no keeper any more");
                // Whoever waits for an answer waits in vain.
                self.0.waiting.borrow_mut().clear();
                return Err(error);
            }
        }
    }

    /// Carries messages until the socket fails.
    async fn carry(&self) -> keeper::Error {
        let twin = self.0.client.borrow().as_fd().try_clone_to_owned();
        let socket = match twin.and_then(ready_stream) {
            Ok(socket) => socket,
            Err(error) => return keeper::Error::Socket(error),
        };
        loop {
            let wants_write = self.0.client.borrow().wants_write();
            let turn = tokio::select! {
                ready = socket.readable() => ready.map(|()| {
                    forget_readiness(&socket, tokio::io::Interest::READABLE);
                    self.0.client.borrow_mut().read().map(Some)
                }),
                ready = socket.writable(), if wants_write => ready.map(|()| {
                    forget_readiness(&socket, tokio::io::Interest::WRITABLE);
                    self.0.client.borrow_mut().flush().map(|()| None)
                }),
                () = self.0.writes.notified() => continue,
            };
            match turn {
                Ok(Ok(Some(messages))) => self.deliver(messages),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => return error,
                Err(error) => return keeper::Error::Socket(error),
            }
        }
    }

    fn deliver(&self, messages: Vec<(Message, Vec<OwnedFd>)>) {
        for (message, descriptors) in messages {
            let news = match message {
                Message::State { spawn, state } => News::State(spawn, state),
                Message::LogTrouble { spawn, message } => News::LogTrouble(spawn, message),
                Message::Shelved { .. }
                | Message::Reply {
                    body: ReplyBody::Shelf { more: true, .. },
                    ..
                } => continue,
                Message::Reply { id, body } => {
                    let waiting = self.0.waiting.borrow_mut().remove(&id);
                    if let Some(waiting) = waiting {
                        // Whoever asked may have gone away.
                        let _ = waiting.send(Answer { body, descriptors });
                    }
                    continue;
                }
            };
            // The driver goes away only at the very end.
            let _ = self.0.news.send(news);
        }
    }
}

/// A stream whose readiness stands for the client's own socket.
fn ready_stream(twin: OwnedFd) -> io::Result<UnixStream> {
    UnixStream::from_std(std::os::unix::net::UnixStream::from(twin))
}

/// The client reads and writes by itself until the kernel has no more; what
/// was known of the socket's readiness is void then.
fn forget_readiness(socket: &UnixStream, interest: tokio::io::Interest) {
    let _: io::Result<()> = socket.try_io(interest, || Err(io::ErrorKind::WouldBlock.into()));
}
