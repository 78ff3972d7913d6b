//! Links, addresses and routes (rtnetlink(7)).
//!
//! Functions that add to a [`Batch`] make requests; the ones of [`Route`] ask.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use crate::network::error::Error;
use crate::network::netlink::{Batch, find, flag, text_of, u32_at};
use crate::sys::netlink::{Family, Socket};
use crate::topology::{MacAddress, Subnet};

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;

const LINK_ADDRESS: u16 = 1;
const LINK_NAME: u16 = 3;
const LINK_MTU: u16 = 4;
const LINK_MASTER: u16 = 10;
const LINK_STATE: u16 = 16;
const LINK_INFO: u16 = 18;
const LINK_ALIAS: u16 = 20;
const LINK_GROUP: u16 = 27;
const LINK_NAMESPACE: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const INFO_PORT_KIND: u16 = 4;
const INFO_PORT_DATA: u16 = 5;
const BRIDGE_FORWARD_DELAY: u16 = 1;
const BRIDGE_SPANNING_TREE: u16 = 5;
const BRIDGE_MULTICAST_SNOOPING: u16 = 23;
const PORT_HAIRPIN: u16 = 4;
const VETH_PEER: u16 = 1;

const ADDRESS_ADDRESS: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;
const ADDRESS_BROADCAST: u16 = 4;
const ADDRESS_FLAGS: u16 = 8;
const ADDRESS_NO_DUPLICATE_DETECTION: u32 = 0x2;

const ROUTE_DESTINATION: u16 = 1;
const ROUTE_OUTPUT: u16 = 4;
const ROUTE_GATEWAY: u16 = 5;
const ROUTE_MULTIPATH: u16 = 9;
const ROUTE_TABLE: u16 = 15;
const TABLE_MAIN: u8 = 254;
const TABLE_LOCAL: u32 = 255;
const PROTOCOL_BOOT: u8 = 3;
const TYPE_UNICAST: u8 = 1;
const SCOPE_LINK: u8 = 253;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const FLAG_UP: u32 = 1;
const STATE_UP: u8 = 6;

/// How long a link may take to run.
const SETTLE_TRIES: u32 = 100;
const SETTLE_PAUSE: Duration = Duration::from_micros(500);

/// The loopback's index in every namespace.
pub(super) const LOOPBACK: u32 = 1;

/// A bridge to be made.
#[derive(Debug)]
pub(super) struct NewBridge<'a> {
    pub(super) name: &'a str,
    pub(super) mac: MacAddress,
    pub(super) mtu: u32,
}

/// Adds the making of a bridge, up, without spanning tree, ports open at once.
pub(super) fn add_bridge(batch: &mut Batch, bridge: &NewBridge<'_>) {
    batch.push(
        format!("creation of bridge {}", bridge.name),
        NEW_LINK,
        flag::ACK | flag::CREATE | flag::EXCLUSIVE,
        &link_header(0, FLAG_UP),
        |link| {
            link.text(LINK_NAME, bridge.name);
            link.bytes(LINK_ADDRESS, &bridge.mac.bytes());
            link.u32(LINK_MTU, bridge.mtu);
            link.nested(LINK_INFO, |info| {
                info.text(INFO_KIND, "bridge");
                info.nested(INFO_DATA, |data| {
                    data.u32(BRIDGE_SPANNING_TREE, 0);
                    data.u32(BRIDGE_FORWARD_DELAY, 0);
                    // Without a querier, snooping only loses neighbor discovery.
                    data.u8(BRIDGE_MULTICAST_SNOOPING, 0);
                });
            });
        },
    );
}

/// Adds giving a link an alias, which the kernel takes only once it is there.
pub(super) fn set_alias(batch: &mut Batch, name: &str, alias: &str) {
    batch.push(
        format!("alias of {name}"),
        NEW_LINK,
        flag::ACK,
        &link_header(0, 0),
        |link| {
            link.text(LINK_NAME, name);
            link.bytes(LINK_ALIAS, alias.as_bytes());
        },
    );
}

/// A veth pair to be made.
#[derive(Debug)]
pub(super) struct NewVeth<'a> {
    pub(super) host_name: &'a str,
    pub(super) bridge_index: u32,
    pub(super) mtu: u32,
    pub(super) peer_name: &'a str,
    pub(super) peer_index: u32,
    pub(super) peer_mac: MacAddress,
    pub(super) peer_namespace: BorrowedFd<'a>,
}

/// Adds the making of a veth pair: the host's end up and on its bridge, the
/// other end in its namespace from the beginning (moving it there later costs
/// an RCU grace period), with the index that the namespace's own batch uses.
pub(super) fn add_veth(batch: &mut Batch, veth: &NewVeth<'_>) {
    let namespace = u32::try_from(veth.peer_namespace.as_raw_fd()).unwrap_or(u32::MAX);
    batch.push(
        format!("creation of link {}", veth.host_name),
        NEW_LINK,
        flag::ACK | flag::CREATE | flag::EXCLUSIVE,
        &link_header(0, FLAG_UP),
        |link| {
            link.text(LINK_NAME, veth.host_name);
            link.u32(LINK_MTU, veth.mtu);
            link.u32(LINK_MASTER, veth.bridge_index);
            link.nested(LINK_INFO, |info| {
                info.text(INFO_KIND, "veth");
                info.nested(INFO_DATA, |data| {
                    data.nested(VETH_PEER, |peer| {
                        // Not up: the pair isn't joined yet when the peer is made.
                        peer.raw(&link_header(veth.peer_index, 0));
                        peer.text(LINK_NAME, veth.peer_name);
                        peer.bytes(LINK_ADDRESS, &veth.peer_mac.bytes());
                        peer.u32(LINK_MTU, veth.mtu);
                        peer.u32(LINK_NAMESPACE, namespace);
                    });
                });
            });
        },
    );
}

/// Adds letting a bridge's port send back what came by it: a container that
/// calls itself by a published port gets its own packets back where bridges
/// pass through the IP firewall.
pub(super) fn set_hairpin(batch: &mut Batch, name: &str) {
    batch.push(
        format!("hairpin on link {name}"),
        NEW_LINK,
        flag::ACK,
        &link_header(0, 0),
        |link| {
            link.text(LINK_NAME, name);
            link.nested(LINK_INFO, |info| {
                info.text(INFO_PORT_KIND, "bridge");
                info.nested(INFO_PORT_DATA, |port| {
                    port.u8(PORT_HAIRPIN, 1);
                });
            });
        },
    );
}

/// Adds setting a link up.
pub(super) fn set_up(batch: &mut Batch, index: u32, name: &str) {
    batch.push(
        format!("setting {name} up"),
        NEW_LINK,
        flag::ACK,
        &link_header(index, FLAG_UP),
        |_| {},
    );
}

/// Adds setting a link down and into a group, by name.
pub(super) fn set_down(batch: &mut Batch, name: &str, group: u32) {
    batch.push(
        format!("setting {name} down"),
        SET_LINK,
        flag::ACK,
        &link_header_change(0, 0, FLAG_UP),
        |link| {
            link.text(LINK_NAME, name);
            link.u32(LINK_GROUP, group);
        },
    );
}

/// Adds the removal of every link of a group.
pub(super) fn delete_group(batch: &mut Batch, group: u32) {
    batch.push(
        format!("removal of link group {group}"),
        DELETE_LINK,
        flag::ACK,
        &link_header(0, 0),
        |link| link.u32(LINK_GROUP, group),
    );
}

/// Adds giving a link an address.
pub(super) fn add_address(batch: &mut Batch, index: u32, name: &str, address: IpAddr, prefix: u8) {
    let (family, bytes) = wire(address);
    let mut header = vec![family, prefix, 0, 0];
    header.extend_from_slice(&index.to_ne_bytes());
    batch.push(
        format!("address {address}/{prefix} for {name}"),
        NEW_ADDRESS,
        flag::ACK | flag::CREATE | flag::EXCLUSIVE,
        &header,
        |message| {
            message.bytes(ADDRESS_LOCAL, &bytes);
            message.bytes(ADDRESS_ADDRESS, &bytes);
            match address {
                IpAddr::V4(_) if prefix < 31 => {
                    let broadcast = Subnet::around(address, prefix).map(Subnet::last);
                    message.bytes(ADDRESS_BROADCAST, &wire(broadcast.unwrap_or(address)).1);
                }
                IpAddr::V4(_) => {}
                // Addresses are ours to give; nobody waits a second to make sure.
                IpAddr::V6(_) => message.u32(ADDRESS_FLAGS, ADDRESS_NO_DUPLICATE_DETECTION),
            }
        },
    );
}

/// Adds a default route.
pub(super) fn add_default_route(batch: &mut Batch, index: u32, gateway: IpAddr) {
    let (family, bytes) = wire(gateway);
    let mut header = vec![family, 0, 0, 0, TABLE_MAIN, PROTOCOL_BOOT, 0, TYPE_UNICAST];
    header.extend_from_slice(&[0; 4]);
    batch.push(
        format!("default route by {gateway}"),
        NEW_ROUTE,
        flag::ACK | flag::CREATE | flag::EXCLUSIVE,
        &header,
        |route| {
            route.bytes(ROUTE_GATEWAY, &bytes);
            route.u32(ROUTE_OUTPUT, index);
        },
    );
}

/// A link as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) alias: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) mtu: u32,
    pub(super) is_up: bool,
    /// Whether the kernel has seen that there is something at the other end.
    pub(super) is_running: bool,
}

/// A route of the host, the default ones with a prefix of 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostRoute {
    pub(super) destination: Subnet,
    pub(super) link: u32,
    pub(super) is_on_link: bool,
}

/// A socket to ask and tell the kernel about links, addresses and routes, in
/// the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Route(pub(super) Socket);

impl Route {
    pub(super) fn open() -> Result<Self, Error> {
        Socket::open(Family::Route)
            .map(Self)
            .map_err(|source| Error::Kernel {
                subject: "opening of a route socket".to_owned(),
                text: None,
                source,
            })
    }

    pub(super) fn send(&mut self, batch: Batch) -> Result<(), Error> {
        batch.send(&mut self.0)
    }

    /// The link of this name.
    pub(super) fn link(&mut self, name: &str) -> Result<Link, Error> {
        let mut batch = Batch::new();
        let subject = format!("look-up of link {name}");
        batch.push(
            subject.clone(),
            GET_LINK,
            flag::ACK,
            &link_header(0, 0),
            |link| {
                link.text(LINK_NAME, name);
            },
        );
        let answers = batch.query(&mut self.0).map_err(|error| {
            if error.is_gone() {
                let name = name.to_owned();
                Error::NoLink { name }
            } else {
                error
            }
        })?;
        let link = answers.first().and_then(|(_, body)| read_link(body));
        link.ok_or(Error::Answer { subject })
    }

    /// Waits until a link whose other end came up passes packets. The kernel
    /// notices in its own time, and until then drops what is sent: a container's
    /// first packet, and a second of its start with it. Asking for the link makes
    /// it notice at once on newer kernels; older ones take a moment.
    pub(super) fn settle(&mut self, name: &str) -> Result<(), Error> {
        for _ in 0..SETTLE_TRIES {
            if self.link(name)?.is_running {
                return Ok(());
            }
            thread::sleep(SETTLE_PAUSE);
        }
        // Slow, not broken: the packets get through on their second try.
        tracing::debug!(name, "link doesn't run yet");
        Ok(())
    }

    /// All links.
    pub(super) fn links(&mut self) -> Result<Vec<Link>, Error> {
        let found = self.dump("links", GET_LINK, &link_header(0, 0))?;
        Ok(found.iter().filter_map(|body| read_link(body)).collect())
    }

    /// All addresses, with the indexes of their links and the lengths of their prefixes.
    pub(super) fn addresses(&mut self) -> Result<Vec<(u32, IpAddr, u8)>, Error> {
        let found = self.dump("addresses", GET_ADDRESS, &[0; 8])?;
        Ok(found.iter().filter_map(|body| read_address(body)).collect())
    }

    /// All routes to somewhere else, of every table.
    pub(super) fn routes(&mut self) -> Result<Vec<HostRoute>, Error> {
        let found = self.dump("routes", GET_ROUTE, &[0; 12])?;
        Ok(found.iter().filter_map(|body| read_route(body)).collect())
    }

    fn dump(&mut self, what: &str, kind: u16, header: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let mut batch = Batch::new();
        batch.push(format!("list of {what}"), kind, flag::DUMP, header, |_| {});
        let found = batch.query(&mut self.0)?;
        Ok(found.into_iter().map(|(_, body)| body).collect())
    }
}

fn read_link(body: &[u8]) -> Option<Link> {
    let info = body.get(16..)?;
    let kind = find(info, LINK_INFO).and_then(|info| find(info, INFO_KIND));
    Some(Link {
        index: u32_at(body, 4)?,
        name: find(info, LINK_NAME).map(text_of)?,
        alias: find(info, LINK_ALIAS).map(text_of),
        kind: kind.map(text_of),
        mtu: find(info, LINK_MTU).and_then(|value| u32_at(value, 0))?,
        is_up: u32_at(body, 8)? & FLAG_UP != 0,
        is_running: find(info, LINK_STATE) == Some(&[STATE_UP]),
    })
}

fn read_address(body: &[u8]) -> Option<(u32, IpAddr, u8)> {
    let attributes = body.get(8..)?;
    // On a link with a peer, the local address is its own.
    let value = find(attributes, ADDRESS_LOCAL).or_else(|| find(attributes, ADDRESS_ADDRESS))?;
    Some((u32_at(body, 4)?, address_of(value)?, *body.get(1)?))
}

fn read_route(body: &[u8]) -> Option<HostRoute> {
    let list = body.get(12..)?;
    let family = *body.first()?;
    if (family != AF_INET && family != AF_INET6) || *body.get(7)? != TYPE_UNICAST {
        return None;
    }
    let table = find(list, ROUTE_TABLE).and_then(|value| u32_at(value, 0));
    if table == Some(TABLE_LOCAL) {
        return None;
    }
    let unspecified = if family == AF_INET {
        IpAddr::from([0; 4])
    } else {
        IpAddr::from([0; 16])
    };
    let destination = match find(list, ROUTE_DESTINATION) {
        Some(value) => address_of(value)?,
        None => unspecified,
    };
    let single = find(list, ROUTE_OUTPUT).and_then(|value| u32_at(value, 0));
    // struct rtnexthop: the index follows length, flags and weight.
    let several = || find(list, ROUTE_MULTIPATH).and_then(|value| u32_at(value, 4));
    Some(HostRoute {
        destination: Subnet::around(destination, *body.get(1)?)?,
        link: single.or_else(several)?,
        is_on_link: *body.get(6)? == SCOPE_LINK,
    })
}

fn link_header(index: u32, flags: u32) -> [u8; 16] {
    link_header_change(index, flags, flags)
}

/// struct ifinfomsg; `change` is the mask of the flags that count.
fn link_header_change(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    let parts = [0, index, flags, change];
    for (place, part) in header.chunks_exact_mut(4).zip(parts) {
        place.copy_from_slice(&part.to_ne_bytes());
    }
    header
}

fn wire(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(address) => (AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (AF_INET6, address.octets().to_vec()),
    }
}

fn address_of(value: &[u8]) -> Option<IpAddr> {
    let ipv4 = <[u8; 4]>::try_from(value).ok().map(IpAddr::from);
    ipv4.or_else(|| <[u8; 16]>::try_from(value).ok().map(IpAddr::from))
}
