//! Listeners for published ports: they reserve the ports from the moment of
//! choice, lie on the shelf, and serve whatever the kernel's own path doesn't.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use crate::model::{HostPorts, PortBinding, Protocol};
use crate::network::error::Error;
use crate::network::owner;
use crate::sys::socket;
use crate::topology::publish::Request;

/// How often another ephemeral port is tried when the one that the first
/// address got is taken at the second.
const EPHEMERAL_TRIES: usize = 32;

/// A reserved port.
#[derive(Debug)]
pub struct Listener {
    /// The port with its real number.
    pub binding: PortBinding,
    /// Listening (TCP) or bound (UDP), non-blocking.
    pub fd: OwnedFd,
}

/// Reserves one port at each address of the request, the same at all.
///
/// # Errors
/// When the port, or every port of the range, is taken; a taken port's error
/// names who has it. Nothing stays reserved then.
pub fn bind(request: &Request) -> Result<Vec<Listener>, Error> {
    match request.host_ports {
        HostPorts::Fixed(port) => bind_at(request, port),
        HostPorts::AnyOf(low, high) => {
            for port in low..=high {
                match bind_at(request, port) {
                    Err(Error::PortTaken { .. }) => {}
                    other => return other,
                }
            }
            Err(Error::RangeTaken {
                low,
                high,
                protocol: request.protocol.as_str(),
            })
        }
        HostPorts::Ephemeral => bind_ephemeral(request),
    }
}

/// Reserves ports for all requests, or none.
///
/// # Errors
/// As [`bind`].
pub fn bind_all(requests: &[Request]) -> Result<Vec<Listener>, Error> {
    let mut listeners = Vec::new();
    // Fixed ports first: a range or an ephemeral port must not take them.
    let is_fixed = |request: &&Request| matches!(request.host_ports, HostPorts::Fixed(_));
    let fixed = requests.iter().filter(is_fixed);
    let others = requests.iter().filter(|request| !is_fixed(request));
    for request in fixed.chain(others) {
        listeners.extend(bind(request)?);
    }
    Ok(listeners)
}

/// Reserves a port that was published before, when its socket is gone with all
/// who held it.
///
/// # Errors
/// As [`bind`].
pub fn bind_again(binding: &PortBinding) -> Result<OwnedFd, Error> {
    let request = Request {
        host_ips: vec![binding.host_ip],
        host_ports: HostPorts::Fixed(binding.host_port),
        container_port: binding.container_port,
        protocol: binding.protocol,
    };
    let bound = bind_one(&request, binding.host_ip, binding.host_port, true)?;
    bound.map(|listener| listener.fd).ok_or(Error::RangeTaken {
        low: binding.host_port,
        high: binding.host_port,
        protocol: binding.protocol.as_str(),
    })
}

fn bind_ephemeral(request: &Request) -> Result<Vec<Listener>, Error> {
    let mut tried = HashSet::new();
    // Ports that were refused are held, so that the kernel offers others.
    let mut held = Vec::new();
    let mut refused = None;
    while tried.len() < EPHEMERAL_TRIES {
        let Some(first) = bind_first(request)? else {
            break;
        };
        let port = first.binding.host_port;
        let rest: Vec<IpAddr> = request
            .host_ips
            .iter()
            .copied()
            .skip_while(|ip| *ip != first.binding.host_ip)
            .skip(1)
            .collect();
        let rest = Request {
            host_ips: rest,
            ..request.clone()
        };
        match bind_each(&rest, port, 1) {
            Ok(mut listeners) => {
                listeners.insert(0, first);
                return Ok(listeners);
            }
            Err(error @ Error::PortTaken { .. }) => {
                tried.insert(port);
                held.push(first);
                refused = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or(Error::RangeTaken {
        low: 0,
        high: u16::MAX,
        protocol: request.protocol.as_str(),
    }))
}

/// Binds any port at the first address whose family the host has.
fn bind_first(request: &Request) -> Result<Option<Listener>, Error> {
    let count = request.host_ips.len();
    for (index, host_ip) in request.host_ips.iter().enumerate() {
        let is_last = index + 1 == count;
        if let Some(listener) = bind_one(request, *host_ip, 0, is_last)? {
            return Ok(Some(listener));
        }
    }
    Ok(None)
}

fn bind_at(request: &Request, port: u16) -> Result<Vec<Listener>, Error> {
    bind_each(request, port, 0)
}

/// Binds a port at each address; `before` says how many addresses of the
/// request have it already.
fn bind_each(request: &Request, port: u16, before: usize) -> Result<Vec<Listener>, Error> {
    let mut listeners = Vec::new();
    let count = request.host_ips.len();
    for (index, host_ip) in request.host_ips.iter().enumerate() {
        let is_needed = index + 1 == count && listeners.is_empty() && before == 0;
        listeners.extend(bind_one(request, *host_ip, port, is_needed)?);
    }
    Ok(listeners)
}

/// None when the host lacks the address's family and the address isn't needed.
fn bind_one(
    request: &Request,
    host_ip: IpAddr,
    port: u16,
    is_needed: bool,
) -> Result<Option<Listener>, Error> {
    let address = SocketAddr::new(host_ip, port);
    let protocol = request.protocol.as_str();
    let bound = match request.protocol {
        Protocol::Tcp => socket::listen_tcp(address),
        Protocol::Udp => socket::bind_udp(address),
        Protocol::Sctp => {
            return Err(Error::Transport {
                port: request.container_port,
                protocol,
            });
        }
    };
    let failed = |source| Error::Socket {
        what: "published",
        address,
        source,
    };
    match bound {
        Ok(fd) => {
            let host_port = socket::local_address(&fd).map_err(failed)?.port();
            Ok(Some(Listener {
                binding: PortBinding {
                    host_ip,
                    host_port,
                    container_port: request.container_port,
                    protocol: request.protocol,
                },
                fd,
            }))
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Error::PortTaken {
            address,
            protocol,
            owner: owner::of(address, request.protocol == Protocol::Tcp),
        }),
        Err(error) if lacks_family(&error) && host_ip.is_unspecified() && !is_needed => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// EAFNOSUPPORT, or EADDRNOTAVAIL with IPv6 switched off.
fn lacks_family(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};

    use super::*;
    use crate::network::testbed;

    fn request(host_ports: HostPorts, protocol: Protocol) -> Request {
        Request {
            host_ips: vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            host_ports,
            container_port: 80,
            protocol,
        }
    }

    fn ports(listeners: &[Listener]) -> Vec<(IpAddr, u16)> {
        let bindings = listeners.iter().map(|listener| &listener.binding);
        bindings
            .map(|binding| (binding.host_ip, binding.host_port))
            .collect()
    }

    #[test]
    fn both_families_get_the_same_port() {
        testbed::on_a_host("both_families_get_the_same_port", |_| {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                for host_ports in [HostPorts::Fixed(8080), HostPorts::Ephemeral] {
                    let bound = bind(&request(host_ports, protocol)).expect("bound");
                    let ports: HashSet<u16> = ports(&bound).into_iter().map(|(_, p)| p).collect();
                    assert_eq!((bound.len(), ports.len()), (2, 1));
                }
            }
        });
    }

    #[test]
    fn a_taken_port_names_its_owner() {
        testbed::on_a_host("a_taken_port_names_its_owner", |_| {
            let _taken = TcpListener::bind("127.0.0.1:8080").expect("bind");
            let error = bind(&request(HostPorts::Fixed(8080), Protocol::Tcp)).expect_err("taken");
            let text = error.to_string();
            assert!(
                text.starts_with("port 0.0.0.0:8080/tcp is already in use by process "),
                "{text}"
            );
            let _taken = UdpSocket::bind("[::]:8081").expect("bind");
            let error = bind(&request(HostPorts::Fixed(8081), Protocol::Udp)).expect_err("taken");
            assert!(
                error.to_string().contains("8081/udp is already in use by"),
                "{error}"
            );
        });
    }

    #[test]
    fn a_range_gives_its_first_free_port_until_none_is_left() {
        testbed::on_a_host(
            "a_range_gives_its_first_free_port_until_none_is_left",
            |_| {
                let wanted = request(HostPorts::AnyOf(9000, 9002), Protocol::Tcp);
                // Taken at one family only: still not free.
                let _taken = TcpListener::bind("[::1]:9000").expect("bind");
                let first = bind(&wanted).expect("first");
                assert!(ports(&first).iter().all(|(_, port)| *port == 9001));
                let second = bind(&wanted).expect("second");
                assert!(ports(&second).iter().all(|(_, port)| *port == 9002));
                let error = bind(&wanted).expect_err("none left").to_string();
                assert_eq!(error, "no port of 9000-9002/tcp is free");
            },
        );
    }

    #[test]
    fn fixed_ports_come_before_ranges_whatever_the_order() {
        testbed::on_a_host("fixed_ports_come_before_ranges_whatever_the_order", |_| {
            let range = request(HostPorts::AnyOf(9000, 9001), Protocol::Tcp);
            let fixed = request(HostPorts::Fixed(9000), Protocol::Tcp);
            let bound = bind_all(&[range, fixed]).expect("bound");
            assert_eq!(bound.len(), 4);
        });
    }

    #[test]
    fn a_host_without_ipv6_serves_ipv4() {
        testbed::on_a_host("a_host_without_ipv6_serves_ipv4", |_| {
            for scope in ["all", "lo"] {
                let path = format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6");
                std::fs::write(path, "1").expect("sysctl");
            }
            let mut lone = request(HostPorts::Ephemeral, Protocol::Tcp);
            lone.host_ips = vec![Ipv6Addr::LOCALHOST.into()];
            assert!(bind(&lone).is_err());
            let bound = bind(&request(HostPorts::Fixed(8080), Protocol::Tcp)).expect("bound");
            assert!(!bound.is_empty());
        });
    }

    #[test]
    fn sctp_is_refused_by_name() {
        let error = bind(&request(HostPorts::Fixed(80), Protocol::Sctp)).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "port 80/sctp can't be published: only tcp and udp can"
        );
    }
}
