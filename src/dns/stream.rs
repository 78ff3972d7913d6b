//! Questions over TCP (RFC 7766), answered one after the other as a client asks
//! them.
//!
//! Every connection is a descriptor and a task of the supervisor's, which has
//! more than one container to care for: so a container has a limited number of
//! both, and what it opens beyond that waits in its own socket's queue.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use hickory_proto::op::MessageType;
use hickory_server::net::BufDnsStreamHandle;
use hickory_server::net::runtime::TokioTime;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler as _, ResponseHandle};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::dns::handler::Handler;

/// Connections of one container that are served at one time.
pub(super) const CONNECTIONS_MAX: usize = 32;

/// How long a client may take to ask, and to take an answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long nobody is let in after a failure: of descriptors, say, which come
/// back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves a container's listener until it is dropped, and its clients with it.
pub(super) async fn serve(listener: TcpListener, handler: Arc<Handler>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, client)) => {
                    let handler = Arc::clone(&handler);
                    connections.spawn(async move {
                        if let Err(error) = attend(stream, client, &handler).await {
                            tracing::debug!(%client, %error, "a container's question by TCP");
                        }
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "a container's connection to its name server");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Answers one client until it hangs up, is silent or makes no sense.
async fn attend(mut stream: TcpStream, client: SocketAddr, handler: &Handler) -> io::Result<()> {
    loop {
        let question = timeout(CLIENT_TIMEOUT, read_message(&mut stream)).await??;
        let Ok(request) = Request::from_bytes(question, client, Protocol::Tcp) else {
            return Ok(());
        };
        if request.metadata.message_type != MessageType::Query {
            return Ok(());
        }
        let (handle, mut answers) = BufDnsStreamHandle::new(client);
        let responder = ResponseHandle::new(client, handle, Protocol::Tcp);
        handler
            .handle_request::<_, TokioTime>(&request, responder)
            .await;
        let Some(answer) = answers.next().await else {
            return Ok(());
        };
        timeout(CLIENT_TIMEOUT, write_message(&mut stream, answer.bytes())).await??;
    }
}

/// A message with its length in front.
async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    // In one write: a client may take the first segment for all of it.
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(message);
    stream.write_all(&bytes).await
}
