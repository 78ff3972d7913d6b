//! Listening sockets with exactly the options that a published port needs.
//!
//! std's listeners can't be told IPV6_V6ONLY or the backlog; these can. They
//! are made in the calling thread's network namespace.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with};

/// How many connections wait while nobody accepts, as during a restart of the
/// supervisor; the kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// A listening TCP socket, non-blocking.
///
/// # Errors
/// As bind(2) and listen(2).
pub fn listen_tcp(address: SocketAddr) -> io::Result<OwnedFd> {
    let fd = bound(address, SocketType::STREAM, ReuseAddress::Yes)?;
    listen(&fd, BACKLOG)?;
    Ok(fd)
}

/// A bound UDP socket, non-blocking.
///
/// # Errors
/// As bind(2).
pub fn bind_udp(address: SocketAddr) -> io::Result<OwnedFd> {
    bound(address, SocketType::DGRAM, ReuseAddress::No)
}

/// A TCP socket that isn't connected yet, non-blocking, for an address of the
/// family of `peer`.
///
/// # Errors
/// As socket(2).
pub fn unconnected_tcp(peer: SocketAddr) -> io::Result<OwnedFd> {
    unbound(peer, SocketType::STREAM)
}

/// The address that a socket is bound to.
///
/// # Errors
/// When it isn't an internet socket.
pub fn local_address(fd: impl AsFd) -> io::Result<SocketAddr> {
    SocketAddr::try_from(getsockname(fd)?).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

/// A TCP listener that reuses its address may come back while connections of
/// its forerunner linger; two UDP sockets that did so would both be bound.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReuseAddress {
    Yes,
    No,
}

fn bound(address: SocketAddr, kind: SocketType, reuse: ReuseAddress) -> io::Result<OwnedFd> {
    let fd = unbound(address, kind)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, true)?;
    }
    if reuse == ReuseAddress::Yes {
        sockopt::set_socket_reuseaddr(&fd, true)?;
    }
    bind(&fd, &address)?;
    Ok(fd)
}

fn unbound(address: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let fd = socket_with(
        family,
        kind,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn both_families_can_hold_one_port() {
        let first = listen_tcp((Ipv4Addr::LOCALHOST, 0).into()).expect("v4");
        let port = local_address(&first).expect("address").port();
        let second = listen_tcp((Ipv6Addr::LOCALHOST, port).into()).expect("v6");
        assert_eq!(local_address(&second).expect("address").port(), port);
        let again = listen_tcp((Ipv4Addr::LOCALHOST, port).into());
        assert_eq!(
            again.expect_err("taken").kind(),
            io::ErrorKind::AddrInUse,
            "port {port}"
        );
    }

    #[test]
    fn a_udp_port_is_held_alone() {
        let first = bind_udp((Ipv4Addr::LOCALHOST, 0).into()).expect("first");
        let address = local_address(&first).expect("address");
        assert!(bind_udp(address).is_err());
    }
}
