//! Flows that the kernel remembers to a container that is gone.
//!
//! A UDP client that keeps asking keeps its flow alive, and with it the address
//! that its packets are rewritten to: rules are asked only for new flows. So
//! when a published port leads elsewhere, its old flows are forgotten.

use std::net::IpAddr;

use crate::model::Protocol;
use crate::network::error::Error;
use crate::network::netlink::{Batch, find, flag, u16_at};
use crate::sys::netlink::{Family, Socket};
use crate::topology::firewall::Forward;

const SUBSYSTEM: u16 = 1 << 8;
const GET_FLOW: u16 = SUBSYSTEM | 1;
const DELETE_FLOW: u16 = SUBSYSTEM | 2;

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const FLOW_ID: u16 = 12;
const FLOW_ZONE: u16 = 18;
const TUPLE_ADDRESSES: u16 = 1;
const TUPLE_TRANSPORT: u16 = 2;
const SOURCE_IPV4: u16 = 1;
const SOURCE_IPV6: u16 = 3;
const TRANSPORT_NUMBER: u16 = 1;
const DESTINATION_PORT: u16 = 3;
const UDP: u8 = 17;

/// Marks an attribute that holds attributes.
const NESTED: u16 = 0x8000;

/// Forgets the UDP flows to ports of `forwards` that lead somewhere else.
pub(super) fn forget_stale(forwards: &[Forward]) -> Result<(), Error> {
    let is_udp = |forward: &&Forward| forward.binding.protocol == Protocol::Udp;
    let forwards: Vec<&Forward> = forwards.iter().filter(is_udp).collect();
    for family in [2u8, 10] {
        let of_family = |forward: &&&Forward| forward.to.is_ipv4() == (family == 2);
        let wanted: Vec<&Forward> = forwards.iter().filter(of_family).copied().collect();
        if !wanted.is_empty() {
            forget(family, &wanted)?;
        }
    }
    Ok(())
}

fn forget(family: u8, forwards: &[&Forward]) -> Result<(), Error> {
    let opened = Socket::open(Family::Netfilter);
    let mut socket = opened.map_err(|source| Error::Kernel {
        subject: "opening of a netfilter socket".to_owned(),
        text: None,
        source,
    })?;
    let header = [family, 0, 0, 0];
    let mut list = Batch::new();
    list.push("list of flows", GET_FLOW, flag::DUMP, &header, |_| {});
    for (_, body) in list.query(&mut socket)? {
        let flow = body.get(4..).unwrap_or_default();
        if !is_stale(flow, forwards) {
            continue;
        }
        let mut batch = Batch::new();
        batch.push(
            "removal of a flow",
            DELETE_FLOW,
            flag::ACK,
            &header,
            |message| {
                for (kind, mark) in [(TUPLE_ORIGINAL, NESTED), (FLOW_ZONE, 0), (FLOW_ID, 0)] {
                    if let Some(value) = find(flow, kind) {
                        message.bytes(kind | mark, value);
                    }
                }
            },
        );
        match batch.send(&mut socket) {
            // It ended by itself in between.
            Err(error) if error.is_gone() => {}
            other => other?,
        }
    }
    Ok(())
}

/// Whether a flow is to one of the ports, but not with its present container.
fn is_stale(flow: &[u8], forwards: &[&Forward]) -> bool {
    let stale = || {
        let original = find(flow, TUPLE_ORIGINAL)?;
        let transport = find(original, TUPLE_TRANSPORT)?;
        if find(transport, TRANSPORT_NUMBER)? != [UDP] {
            return Some(false);
        }
        let port = u16::from_be(u16_at(find(transport, DESTINATION_PORT)?, 0)?);
        let forward = forwards.iter().find(|one| one.binding.host_port == port)?;
        Some(answered_by(flow)? != forward.to)
    };
    stale().unwrap_or(false)
}

/// Whoever the flow's answers come from.
fn answered_by(flow: &[u8]) -> Option<IpAddr> {
    let addresses = find(find(flow, TUPLE_REPLY)?, TUPLE_ADDRESSES)?;
    let ipv4 = find(addresses, SOURCE_IPV4);
    let ipv6 = || find(addresses, SOURCE_IPV6);
    let value = ipv4.or_else(ipv6)?;
    let four = <[u8; 4]>::try_from(value).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from))
        .ok()
}
