//! Asks other name servers what isn't the project's to answer.
//!
//! The container's own message goes out as it came but for its id; from the
//! answer everything is handed back: code, records, flags, EDNS.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::dns::host::HostServers;
use crate::sys::{netns, random, socket};

/// How long one server is waited for before the next is asked.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Servers that are asked, as resolvers do (resolv.conf(5)).
const SERVERS_MAX: usize = 3;

/// The largest message that UDP carries.
const DATAGRAM_BYTES: usize = 65_535;

/// Who is asked what isn't the project's.
#[derive(Debug, Clone)]
pub enum Upstreams {
    /// The host's servers, from the host's namespace, where loopback stubs
    /// and VPNs work.
    Host(Arc<HostServers>),
    /// The service's own, from the container's namespace.
    Own {
        /// The servers in order.
        servers: Vec<SocketAddr>,
        /// The container's network namespace.
        netns: Arc<OwnedFd>,
    },
}

/// How the container asked, and so how it can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// Answers may be cut short.
    Datagram,
    /// Answers must be whole.
    Stream,
}

impl Upstreams {
    /// Asks the servers in order until one answers with more than a refusal.
    pub(super) async fn ask(&self, query: &[u8], transport: Transport) -> io::Result<Message> {
        let servers = match self {
            Self::Host(host) => host.current(),
            Self::Own { servers, .. } => servers.clone(),
        };
        let mut last = Err(io::Error::from(io::ErrorKind::NotFound));
        for server in servers.into_iter().take(SERVERS_MAX) {
            let asked = timeout(ANSWER_TIMEOUT, self.ask_one(server, query, transport)).await;
            match asked.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut))) {
                Ok(answer) if is_refusal(answer.metadata.response_code) => last = Ok(answer),
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    tracing::debug!(%server, %error, "name server doesn't answer");
                    // A refusal is more of an answer than silence.
                    if last.is_err() {
                        last = Err(error);
                    }
                }
            }
        }
        last
    }

    async fn ask_one(
        &self,
        server: SocketAddr,
        query: &[u8],
        transport: Transport,
    ) -> io::Result<Message> {
        let query = with_id(query, random_id()?);
        let answer = self.by_datagram(server, &query).await?;
        if answer.metadata.truncation && transport == Transport::Stream {
            return self.by_stream(server, &query).await;
        }
        Ok(answer)
    }

    async fn by_datagram(&self, server: SocketAddr, query: &[u8]) -> io::Result<Message> {
        let any = match server {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        // A socket a query: its port is as good as 16 further bits of the id.
        let fd = self.make(move || socket::bind_udp((any, 0).into())).await?;
        let socket = UdpSocket::from_std(fd.into())?;
        socket.connect(server).await?;
        socket.send(query).await?;
        let mut buffer = vec![0; DATAGRAM_BYTES];
        loop {
            let length = socket.recv(&mut buffer).await?;
            // Anything else isn't from whom was asked.
            if let Some(answer) = matching(buffer.get(..length).unwrap_or_default(), query) {
                return Ok(answer);
            }
        }
    }

    async fn by_stream(&self, server: SocketAddr, query: &[u8]) -> io::Result<Message> {
        let fd = self.make(move || socket::unconnected_tcp(server)).await?;
        let mut stream: TcpStream = TcpSocket::from_std_stream(fd.into())
            .connect(server)
            .await?;
        let length = u16::try_from(query.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut message = length.to_be_bytes().to_vec();
        message.extend_from_slice(query);
        stream.write_all(&message).await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        matching(&answer, query).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Makes a socket in the namespace that servers are asked from.
    async fn make(
        &self,
        make: impl FnOnce() -> io::Result<OwnedFd> + Send + 'static,
    ) -> io::Result<OwnedFd> {
        match self {
            Self::Host(_) => make(),
            Self::Own { netns, .. } => {
                let netns = Arc::clone(netns);
                tokio::task::spawn_blocking(move || netns::within(netns.as_ref(), make))
                    .await
                    .map_err(io::Error::other)??
            }
        }
    }
}

/// Answers after which another server may know better.
fn is_refusal(code: ResponseCode) -> bool {
    matches!(
        code,
        ResponseCode::ServFail | ResponseCode::Refused | ResponseCode::NotImp
    )
}

/// The message, if it answers the query.
fn matching(answer: &[u8], query: &[u8]) -> Option<Message> {
    if answer.get(..2)? != query.get(..2)? {
        return None;
    }
    let answer = Message::from_vec(answer).ok()?;
    let query = Message::from_vec(query).ok()?;
    let is_same = answer.queries == query.queries;
    // A server that can't read the question may leave it out.
    (is_same || answer.queries.is_empty()).then_some(answer)
}

fn with_id(query: &[u8], id: u16) -> Vec<u8> {
    let mut query = query.to_vec();
    if let Some(place) = query.get_mut(..2) {
        place.copy_from_slice(&id.to_be_bytes());
    }
    query
}

fn random_id() -> io::Result<u16> {
    let [a, b, ..] = random::bytes32()?;
    Ok(u16::from_be_bytes([a, b]))
}
