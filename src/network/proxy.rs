//! Serves a published port's listener from the host: what the kernel's own
//! path doesn't cover (IPv6 loopback, a container without IPv6, a host where
//! rules can't be set) goes through here, byte for byte.
//!
//! The proxy ends with the sender of its target; streams under way end with it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::model::Protocol;

/// Where a port leads: the container's address and port, or nowhere while it
/// isn't up. Connections to nowhere are closed at once.
pub type Target = watch::Receiver<Option<SocketAddr>>;

/// Streams at one time; more wait in the listener's backlog.
const STREAMS_MAX: usize = 8192;

/// Buffer of each direction of a stream.
const BUFFER_BYTES: usize = 64 * 1024;

/// How long the container may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after the host ran out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// UDP clients at one time; the longest silent one makes room.
const SESSIONS_MAX: usize = 1024;

/// How long the container may be silent to a UDP client.
const SESSION_TIMEOUT: Duration = Duration::from_secs(90);

/// The largest UDP payload.
const DATAGRAM_BYTES: usize = 65_535;

/// Serves `listener` on a task of the current runtime.
///
/// # Errors
/// When the descriptor isn't what `protocol` says.
pub fn serve(listener: OwnedFd, protocol: Protocol, target: Target) -> io::Result<JoinHandle<()>> {
    match protocol {
        Protocol::Tcp => {
            let listener = std::net::TcpListener::from(listener);
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            Ok(tokio::spawn(serve_tcp(listener, target)))
        }
        Protocol::Udp => {
            let socket = std::net::UdpSocket::from(listener);
            socket.set_nonblocking(true)?;
            let socket = UdpSocket::from_std(socket)?;
            Ok(tokio::spawn(serve_udp(Arc::new(socket), target)))
        }
        Protocol::Sctp => Err(io::Error::from(io::ErrorKind::Unsupported)),
    }
}

async fn serve_tcp(listener: TcpListener, mut target: Target) {
    let mut streams = JoinSet::new();
    loop {
        let has_room = streams.len() < STREAMS_MAX;
        tokio::select! {
            accepted = listener.accept(), if has_room => match accepted {
                Ok((client, _)) => {
                    let to = *target.borrow();
                    if let Some(to) = to {
                        streams.spawn(relay(client, to));
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "published port: accept");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = streams.join_next() => {}
            changed = target.changed() => if changed.is_err() { break },
        }
    }
}

/// Copies both ways until both sides are done; each side's end of data is
/// passed on while the other may go on sending.
async fn relay(mut client: TcpStream, to: SocketAddr) {
    let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(to)).await;
    let Ok(Ok(mut container)) = connected else {
        return;
    };
    // Neither side may wait for more data that the other already has sent.
    let _ = (client.set_nodelay(true), container.set_nodelay(true));
    let copied =
        copy_bidirectional_with_sizes(&mut client, &mut container, BUFFER_BYTES, BUFFER_BYTES);
    if let Err(error) = copied.await {
        tracing::trace!(%error, "published port: stream");
    }
}

/// A UDP client's way to the container.
#[derive(Debug)]
struct Session {
    /// Tells a client's session from an earlier one of the same client.
    number: u64,
    socket: Arc<UdpSocket>,
    used: Instant,
    task: tokio::task::AbortHandle,
}

async fn serve_udp(socket: Arc<UdpSocket>, mut target: Target) {
    let mut sessions: HashMap<SocketAddr, Session> = HashMap::new();
    let mut tasks: JoinSet<(SocketAddr, u64)> = JoinSet::new();
    let mut opened: u64 = 0;
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        tokio::select! {
            received = socket.recv_from(&mut buffer) => {
                // A port unreachable of an earlier client isn't this one's trouble.
                let Ok((length, client)) = received else { continue };
                let to = *target.borrow();
                let Some(to) = to else { continue };
                if !sessions.contains_key(&client) {
                    if sessions.len() >= SESSIONS_MAX {
                        make_room(&mut sessions);
                    }
                    opened += 1;
                    let way = Way { client, to, number: opened };
                    let Ok(session) = open(way, &socket, &mut tasks).await else { continue };
                    sessions.insert(client, session);
                }
                if let (Some(session), Some(datagram)) = (sessions.get_mut(&client), buffer.get(..length)) {
                    session.used = Instant::now();
                    // A datagram that can't be sent is lost, as on any way.
                    let _ = session.socket.send(datagram).await;
                }
            }
            Some(ended) = tasks.join_next() => {
                if let Ok((client, number)) = ended
                    && sessions.get(&client).is_some_and(|session| session.number == number)
                {
                    sessions.remove(&client);
                }
            }
            changed = target.changed() => {
                if changed.is_err() { break }
                for (_, session) in sessions.drain() {
                    session.task.abort();
                }
            }
        }
    }
}

/// From whom to where.
#[derive(Debug, Clone, Copy)]
struct Way {
    client: SocketAddr,
    to: SocketAddr,
    number: u64,
}

async fn open(
    way: Way,
    listener: &Arc<UdpSocket>,
    tasks: &mut JoinSet<(SocketAddr, u64)>,
) -> io::Result<Session> {
    let Way { client, to, number } = way;
    let any: SocketAddr = if to.is_ipv4() {
        ([0; 4], 0).into()
    } else {
        ([0; 16], 0).into()
    };
    let socket = Arc::new(UdpSocket::bind(any).await?);
    socket.connect(to).await?;
    let (answers, listener) = (Arc::clone(&socket), Arc::clone(listener));
    let task = tasks.spawn(async move {
        let mut buffer = vec![0; DATAGRAM_BYTES];
        let mut deadline = Instant::now() + SESSION_TIMEOUT;
        while let Ok(received) = timeout_at(deadline, answers.recv(&mut buffer)).await {
            deadline = Instant::now() + SESSION_TIMEOUT;
            // An unreachable port answers with an error, which the client learns by silence.
            if let Some(datagram) = received.ok().and_then(|length| buffer.get(..length)) {
                let _ = listener.send_to(datagram, client).await;
            }
        }
        (client, number)
    });
    Ok(Session {
        number,
        socket,
        used: Instant::now(),
        task,
    })
}

fn make_room(sessions: &mut HashMap<SocketAddr, Session>) {
    let oldest = sessions.iter().min_by_key(|(_, session)| session.used);
    if let Some(client) = oldest.map(|(client, _)| *client)
        && let Some(session) = sessions.remove(&client)
    {
        session.task.abort();
    }
}
