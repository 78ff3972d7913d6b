//! The control socket: one task a connection.
//!
//! A connection is checked (same user, same protocol), its request is handed
//! to the host, and what happens is streamed back. A client that goes away
//! cancels what it asked for.

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::event::Event;
use crate::protocol::control::{ClientFrame, Failure, FailureKind, Request, ServerFrame, version};
use crate::protocol::keeper::RequestBody;
use crate::supervisor::channel::{self, Reader, Writer};
use crate::supervisor::host::Host;
use crate::supervisor::live::Task;
use crate::supervisor::{Error, failure};

/// Connections served at once; more wait in the socket's backlog.
const CONNECTIONS_MAX: usize = 256;
/// A client's signals that wait to be passed on.
const SIGNALS_MAX: usize = 16;

/// Accepts connections until the future is dropped.
pub(crate) async fn serve(host: Rc<Host>, listener: UnixListener) {
    let slots = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let host = Rc::clone(&host);
                tokio::task::spawn_local(async move {
                    let client = host.client();
                    if let Err(error) = converse(&host, stream).await {
                        tracing::debug!(%error, "a client's connection ended early");
                    }
                    drop((client, slot));
                });
            }
            Err(error) => {
                // Out of descriptors or memory: let some be given back.
                tracing::warn!(%error, "accept on the control socket failed");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn converse(host: &Rc<Host>, stream: UnixStream) -> Result<(), channel::Error> {
    let (mut reader, writer) = channel::split(stream);
    if !host.admits(writer.peer_uid()?) {
        return refuse(&writer, "the control socket belongs to another user").await;
    }
    match reader.receive::<ClientFrame>().await? {
        Some(ClientFrame::Hello { .. }) => {
            let build = env!("CARGO_PKG_VERSION").to_owned();
            writer
                .send(
                    &ServerFrame::Hello {
                        version: version(),
                        build,
                    },
                    &[],
                )
                .await?;
        }
        Some(_) => return refuse(&writer, "a conversation begins with hello").await,
        None => return Ok(()),
    }
    match reader.receive::<ClientFrame>().await? {
        Some(ClientFrame::Request(request)) => answer(host, *request, reader, writer).await,
        Some(ClientFrame::ReplaceSupervisor) => {
            let binary = reader.take_descriptors();
            match host.link.call(RequestBody::ReplaceSupervisor, binary).await {
                Ok(_) => {
                    host.replaced.notify_one();
                    // The client waits for our end.
                    std::future::pending().await
                }
                Err(error) => refuse(&writer, &format!("replace the supervisor: {error}")).await,
            }
        }
        Some(_) => refuse(&writer, "expected a request").await,
        None => Ok(()),
    }
}

async fn refuse(writer: &Writer, message: &str) -> Result<(), channel::Error> {
    let failure = Failure {
        kind: FailureKind::Internal,
        chain: vec![message.to_owned()],
        others: Vec::new(),
        hint: None,
        evidence: Vec::new(),
        exit_code: None,
    };
    writer.send(&ServerFrame::Failed(failure), &[]).await
}

/// What waits to be written to a client.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A frame with its descriptors.
    Frame(ServerFrame, Vec<OwnedFd>),
    /// Told when everything before it is written.
    Mark(oneshot::Sender<()>),
}

/// What a request being served needs of its connection.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// What is for the client.
    outgoing: mpsc::UnboundedSender<Outgoing>,
    /// Cancelled when the client goes away.
    pub gone: CancellationToken,
    /// Signals for the request's process.
    pub signals: mpsc::Receiver<i32>,
    /// Descriptors that came with the request.
    pub descriptors: Vec<OwnedFd>,
}

/// Somebody who is told what happens while a command is under way, as long
/// as it is.
#[derive(Debug)]
pub(crate) struct Listener(mpsc::WeakUnboundedSender<Outgoing>);

impl Listener {
    /// Whether it is still there.
    pub(crate) fn is_there(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Tells it; false when it has gone.
    pub(crate) fn tell(&self, event: &Event) -> bool {
        let frame = ServerFrame::Event(event.clone());
        self.0
            .upgrade()
            .is_some_and(|outgoing| outgoing.send(Outgoing::Frame(frame, Vec::new())).is_ok())
    }
}

impl Conversation {
    /// Somebody who is told what happens while this conversation lasts.
    pub(crate) fn listener(&self) -> Listener {
        Listener(self.outgoing.downgrade())
    }

    /// Shows the client an event. Their number is bounded by the plan's size and
    /// the limit of each hook's output; whoever has more waits for
    /// [`Conversation::written`].
    pub(crate) fn event(&self, event: Event) {
        self.frame(ServerFrame::Event(event), Vec::new());
    }

    /// Sends a frame with descriptors. A client that went away misses it.
    pub(crate) fn frame(&self, frame: ServerFrame, descriptors: Vec<OwnedFd>) {
        let _ = self.outgoing.send(Outgoing::Frame(frame, descriptors));
    }

    /// Waits until the client has taken everything, or is gone: for whoever
    /// has more to send than any plan.
    pub(crate) async fn written(&self) {
        let (mark, reached) = oneshot::channel();
        let _ = self.outgoing.send(Outgoing::Mark(mark));
        // An error says that nobody writes any more.
        let _ = reached.await;
    }

    /// A conversation with what is for its client.
    fn open(
        gone: CancellationToken,
        signals: mpsc::Receiver<i32>,
        descriptors: Vec<OwnedFd>,
    ) -> (Self, mpsc::UnboundedReceiver<Outgoing>) {
        let (outgoing, receiver) = mpsc::unbounded_channel();
        let conversation = Self {
            outgoing,
            gone,
            signals,
            descriptors,
        };
        (conversation, receiver)
    }

    /// One that no socket is behind.
    #[cfg(test)]
    pub(crate) fn unconnected(
        gone: CancellationToken,
    ) -> (Self, mpsc::UnboundedReceiver<Outgoing>) {
        Self::open(gone, mpsc::channel(1).1, Vec::new())
    }
}

async fn answer(
    host: &Rc<Host>,
    request: Request,
    mut reader: Reader,
    writer: Writer,
) -> Result<(), channel::Error> {
    let (signal_sender, signals) = mpsc::channel(SIGNALS_MAX);
    let gone = CancellationToken::new();
    let descriptors = reader.take_descriptors();
    let (mut conversation, outgoing) = Conversation::open(gone.clone(), signals, descriptors);
    let watch = Task::spawn({
        let gone = gone.clone();
        async move {
            while let Ok(Some(frame)) = reader.receive::<ClientFrame>().await {
                if let ClientFrame::Signal(signal) = frame {
                    // A full queue means that nobody listens to signals.
                    let _ = signal_sender.try_send(signal);
                }
            }
            gone.cancel();
        }
    });
    let serve = async move {
        let last = match host.serve(request, &mut conversation).await {
            Ok(()) => ServerFrame::Finished,
            // Closing without a word makes the client ask again, of another pair.
            Err(Error::Leaving) => return,
            Err(error) => ServerFrame::Failed(failure::describe(&error)),
        };
        conversation.frame(last, Vec::new());
        // Dropping the conversation ends the writer.
    };
    let ((), written) = tokio::join!(serve, write(&writer, outgoing, &gone));
    drop(watch);
    written
}

/// Writes what is for a client until there is no more, or the client is gone.
/// The queue ends with it: nobody may wait for what is left there.
async fn write(
    writer: &Writer,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
    gone: &CancellationToken,
) -> Result<(), channel::Error> {
    while let Some(next) = outgoing.recv().await {
        let (frame, descriptors) = match next {
            Outgoing::Frame(frame, descriptors) => (frame, descriptors),
            Outgoing::Mark(reached) => {
                // Whoever waited may have been cancelled.
                let _ = reached.send(());
                continue;
            }
        };
        let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        if let Err(error) = writer.send(&frame, &borrowed).await {
            gone.cancel();
            return Err(error);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn nobody_waits_for_a_client_that_is_gone() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let (ours, theirs) = tokio::net::UnixStream::pair().unwrap();
            drop(theirs);
            let (_, writer) = channel::split(ours);
            let gone = CancellationToken::new();
            let (conversation, outgoing) = Conversation::unconnected(gone.clone());
            conversation.frame(ServerFrame::Finished, Vec::new());
            let both =
                async { tokio::join!(write(&writer, outgoing, &gone), conversation.written()) };
            let both = tokio::time::timeout(Duration::from_secs(60), both).await;
            let (written, ()) = both.expect("it waits for ever");
            assert!(written.is_err() && gone.is_cancelled());
        });
    }
}
