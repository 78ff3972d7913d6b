//! A container's network namespace: interfaces, routes, settings and the
//! sockets of its DNS, made before the container is.
//!
//! The namespace lives as long as somebody holds its descriptor or runs in it.
//! When the last one lets go, the kernel removes both ends of its veth pairs;
//! nothing is to be torn down, and removing them by hand would take 20 ms each.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::network::error::Error;
use crate::network::forwarding::{optional, write};
use crate::network::netlink::Batch;
use crate::network::nftables::Nftables;
use crate::network::route::{self, LOOPBACK, Link, NewVeth, Route};
use crate::sys::{netns, socket};
use crate::topology::endpoint::{Endpoint, Endpoints};
use crate::topology::firewall::resolver_table;
use crate::topology::resolver::{self, Form};

/// The indexes of interfaces in a namespace begin after the loopback's.
const FIRST_INDEX: u32 = LOOPBACK + 1;

/// Stand in for the last digit of a host link's name that is taken; no name
/// that we make up ends in one of them.
const SPARE_ENDINGS: [char; 4] = ['0', '1', '8', '9'];

/// A sandbox's network to be made.
#[derive(Debug, Clone, Copy)]
pub struct SandboxSpec<'a> {
    /// The container's name, for errors.
    pub container: &'a str,
    /// A fresh namespace to use; a new one is made without.
    pub namespace: Option<BorrowedFd<'a>>,
    /// Its interfaces; none leaves only the loopback (`network_mode: none`).
    pub endpoints: &'a Endpoints,
    /// Whether and how our DNS stands in it.
    pub dns: Form,
}

/// A sandbox's network; everything in it goes on the shelf.
#[derive(Debug)]
pub struct Sandbox {
    /// The namespace.
    pub netns: OwnedFd,
    /// Bound for DNS over UDP, non-blocking; None when DNS is off.
    pub dns_udp: Option<OwnedFd>,
    /// Listening for DNS over TCP, non-blocking; None when DNS is off.
    pub dns_tcp: Option<OwnedFd>,
}

/// Makes the namespace, its interfaces with their host ends on their bridges,
/// addresses, routes and DNS sockets; 1.5 to 3 ms. The calling thread's
/// namespace is the host.
///
/// # Errors
/// When a bridge isn't there or the kernel refuses; nothing is left then.
pub fn create(spec: &SandboxSpec<'_>) -> Result<Sandbox, Error> {
    let mut host = Route::open()?;
    let bridges = spec
        .endpoints
        .endpoints
        .iter()
        .map(|endpoint| host.link(&endpoint.bridge))
        .collect::<Result<Vec<_>, _>>()?;
    let work = || inside(spec, &mut host, &bridges);
    let made = match spec.namespace {
        Some(namespace) => netns::within(namespace, work),
        None => netns::in_new(work),
    };
    made.map_err(|source| namespace_error(spec, source))?
}

/// Binds the DNS sockets of a namespace that lives again, when those that it
/// had are gone with all who held them.
///
/// # Errors
/// When the namespace can't be entered or something else has the ports.
pub fn reopen(netns: OwnedFd, dns: Form) -> Result<Sandbox, Error> {
    let entered = |source| Error::Namespace {
        subject: "a running container".to_owned(),
        source,
    };
    let (dns_udp, dns_tcp) = netns::within(&netns, || bind_dns(dns)).map_err(entered)??;
    Ok(Sandbox {
        netns,
        dns_udp,
        dns_tcp,
    })
}

/// What happens on the thread in the new namespace.
fn inside(spec: &SandboxSpec<'_>, host: &mut Route, bridges: &[Link]) -> Result<Sandbox, Error> {
    let netns = netns::current().map_err(|source| namespace_error(spec, source))?;
    let endpoints = &spec.endpoints.endpoints;
    settings(endpoints)?;
    let mut joined = Vec::with_capacity(endpoints.len());
    for ((endpoint, bridge), index) in endpoints.iter().zip(bridges).zip(FIRST_INDEX..) {
        joined.push(join(host, netns.as_fd(), endpoint, bridge, index)?);
    }
    configure(spec.endpoints)?;
    for (link, bridge) in joined.iter().zip(bridges) {
        host.settle(link)?;
        // A bridge's first port is what makes it run.
        if !bridge.is_running {
            host.settle(&bridge.name)?;
        }
    }
    let (dns_udp, dns_tcp) = bind_dns(spec.dns)?;
    Ok(Sandbox {
        netns,
        dns_udp,
        dns_tcp,
    })
}

/// The DNS sockets of the namespace that the calling thread is in.
fn bind_dns(form: Form) -> Result<(Option<OwnedFd>, Option<OwnedFd>), Error> {
    match form {
        Form::Off => Ok((None, None)),
        Form::Direct => {
            let (udp, tcp) = sockets(resolver::PORT)?;
            Ok((Some(udp), Some(tcp)))
        }
        Form::Nat => {
            let (udp, tcp) = sockets(0)?;
            let port = |fd| socket::local_address(fd).map(|address| address.port());
            let ports = port(&udp).and_then(|udp_port| Ok((udp_port, port(&tcp)?)));
            let (udp_port, tcp_port) = ports.map_err(|source| Error::Socket {
                what: "DNS",
                address: SocketAddr::from((resolver::ADDRESS, 0)),
                source,
            })?;
            let table = resolver_table(resolver::ADDRESS, udp_port, tcp_port);
            Nftables::open()?.replace(&table)?;
            Ok((Some(udp), Some(tcp)))
        }
    }
}

fn namespace_error(spec: &SandboxSpec<'_>, source: std::io::Error) -> Error {
    Error::Namespace {
        subject: spec.container.to_owned(),
        source,
    }
}

/// Docker's defaults for a container, before there are interfaces to which
/// they would have to be repeated.
fn settings(endpoints: &[Endpoint]) -> Result<(), Error> {
    write("net/ipv4/ip_unprivileged_port_start", "0")?;
    write("net/ipv4/ping_group_range", "0 2147483647")?;
    // Another container must not be able to become our router.
    optional("net/ipv6/conf/default/accept_ra", "0")?;
    optional("net/ipv6/conf/default/accept_dad", "0")?;
    if !endpoints.iter().any(has_ipv6) {
        optional("net/ipv6/conf/default/disable_ipv6", "1")?;
    }
    Ok(())
}

/// Makes one veth pair between the namespace and a bridge; gives the name of
/// the host's end.
fn join(
    host: &mut Route,
    namespace: BorrowedFd<'_>,
    endpoint: &Endpoint,
    bridge: &Link,
    index: u32,
) -> Result<String, Error> {
    let stem: String = endpoint.host_link.chars().take(14).collect();
    let mut spares = SPARE_ENDINGS.iter().map(|ending| format!("{stem}{ending}"));
    let mut name = endpoint.host_link.clone();
    loop {
        let mut batch = Batch::new();
        route::add_veth(
            &mut batch,
            &NewVeth {
                host_name: &name,
                bridge_index: bridge.index,
                mtu: bridge.mtu,
                peer_name: &endpoint.interface,
                peer_index: index,
                peer_mac: endpoint.mac,
                peer_namespace: namespace,
            },
        );
        route::set_hairpin(&mut batch, &name);
        match (host.send(batch), spares.next()) {
            (Ok(()), _) => return Ok(name),
            // The pair of an earlier sandbox is still on its way out.
            (Err(error), Some(spare)) if error.is_exists() => name = spare,
            (Err(error), _) => return Err(error),
        }
    }
}

/// Brings the namespace's interfaces up, in one batch.
fn configure(endpoints: &Endpoints) -> Result<(), Error> {
    let some_have_ipv6 = endpoints.endpoints.iter().any(has_ipv6);
    let mut batch = Batch::new();
    route::set_up(&mut batch, LOOPBACK, "lo");
    for (endpoint, index) in endpoints.endpoints.iter().zip(FIRST_INDEX..) {
        if some_have_ipv6 && !has_ipv6(endpoint) {
            let name = &endpoint.interface;
            optional(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1")?;
        }
        for (address, prefix) in &endpoint.addresses {
            route::add_address(&mut batch, index, &endpoint.interface, *address, *prefix);
        }
        route::set_up(&mut batch, index, &endpoint.interface);
    }
    let ipv4 = endpoints.gateway_ipv4.map(IpAddr::V4);
    let ipv6 = endpoints.gateway_ipv6.map(IpAddr::V6);
    for gateway in ipv4.into_iter().chain(ipv6) {
        let reaches = |endpoint: &Endpoint| {
            let mut subnets = endpoint
                .addresses
                .iter()
                .filter_map(|(address, prefix)| crate::topology::Subnet::around(*address, *prefix));
            subnets.any(|subnet| subnet.contains(gateway))
        };
        let mut numbered = endpoints.endpoints.iter().zip(FIRST_INDEX..);
        if let Some((_, index)) = numbered.find(|(endpoint, _)| reaches(endpoint)) {
            route::add_default_route(&mut batch, index, gateway);
        }
    }
    Route::open()?.send(batch)
}

fn has_ipv6(endpoint: &Endpoint) -> bool {
    endpoint
        .addresses
        .iter()
        .any(|(address, _)| address.is_ipv6())
}

/// The sockets of the namespace's DNS; with port 0 any ports.
fn sockets(port: u16) -> Result<(OwnedFd, OwnedFd), Error> {
    let address = SocketAddr::from((resolver::ADDRESS, port));
    let failed = |source| Error::Socket {
        what: "DNS",
        address,
        source,
    };
    Ok((
        socket::bind_udp(address).map_err(failed)?,
        socket::listen_tcp(address).map_err(failed)?,
    ))
}
