//! The name server of each sandbox.
//!
//! Its sockets are bound inside the sandbox (see
//! [`network::sandbox`](crate::network::sandbox)) and served from here, one
//! server a container: what a container may see is its own [`View`] of the
//! project's [`Zone`], which answers all that is the project's. The rest is
//! asked of the host's name servers from the host's namespace, or of the
//! service's own (`dns:`) from the container's.

mod handler;
mod host;
mod stream;
mod upstream;

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use hickory_server::Server;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::dns::handler::{Handler, Shared};
use crate::topology::{View, Zone};

pub use host::HostServers;
pub use upstream::Upstreams;

/// The zone as it is and as it changes; all of a project's containers share it.
pub type ZoneReceiver = watch::Receiver<Arc<Zone>>;

/// A container's running name server. It ends when it is dropped.
#[derive(Debug)]
pub struct NameServer {
    task: JoinHandle<()>,
}

impl NameServer {
    /// Ends it and waits until its sockets are let go.
    pub async fn stop(mut self) {
        self.task.abort();
        // It was cancelled or had ended; either is what was wanted.
        let _ = (&mut self.task).await;
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves a sandbox's DNS sockets on tasks of the current runtime.
///
/// # Errors
/// When the descriptors aren't a UDP socket and a TCP listener.
pub fn serve(
    udp: OwnedFd,
    tcp: OwnedFd,
    zone: ZoneReceiver,
    view: View,
    upstreams: Upstreams,
) -> io::Result<NameServer> {
    let udp = UdpSocket::from(udp);
    udp.set_nonblocking(true)?;
    let tcp = TcpListener::from(tcp);
    tcp.set_nonblocking(true)?;
    let handler = Arc::new(Handler::new(zone, view, upstreams));
    let mut server = Server::new(Shared(Arc::clone(&handler)));
    server.register_socket(tokio::net::UdpSocket::from_std(udp)?);
    let streams = stream::serve(tokio::net::TcpListener::from_std(tcp)?, handler);
    let task = tokio::spawn(async move {
        tokio::select! {
            ended = server.block_until_done() => if let Err(error) = ended {
                tracing::warn!(%error, "a container's name server ended");
            },
            () = streams => {}
        }
    });
    Ok(NameServer { task })
}

#[cfg(test)]
mod tests;
