//! A rule's conditions and its verdict as the kernel's expressions.
//!
//! It knows their numbers and the layout of packets, and nothing of tables and
//! chains.

use std::net::IpAddr;

use crate::model::Protocol;
use crate::network::netlink::Attributes;
use crate::network::nftables::number;
use crate::topology::Subnet;
use crate::topology::firewall::{Family, Match, Verdict};

const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;

const META_OUTPUT_NAME: u32 = 7;
const META_INPUT_NAME: u32 = 6;
const META_FAMILY: u32 = 15;
const META_TRANSPORT: u32 = 16;
const META_OUTPUT_KIND: u32 = 27;
const TRACKING_STATE: u32 = 0;
const TRACKING_STATUS: u32 = 2;
const STATUS_DNAT: u32 = 0x20;
const STATE_ESTABLISHED_OR_RELATED: u32 = 2 | 4;
const STATE_NEW: u32 = 8;
const BASE_NETWORK: u32 = 1;
const BASE_TRANSPORT: u32 = 2;
const ROUTE_TYPE_LOCAL: u32 = 2;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;

/// A rule's expressions: each loads into register 1 and compares it.
#[derive(Debug)]
pub(super) struct Expressions<'a, 'b> {
    list: &'a mut Attributes<'b>,
    /// The address family that holds already at this point.
    family: Option<u8>,
}

impl<'a, 'b> Expressions<'a, 'b> {
    /// Writes into a rule's list, in a table of this family, or of both.
    pub(super) fn new(list: &'a mut Attributes<'b>, family: Option<u8>) -> Self {
        Self { list, family }
    }

    /// Goes on only with packets for which this holds.
    pub(super) fn condition(&mut self, condition: &Match) {
        match condition {
            Match::Is(family) => self.of_family(number(*family)),
            Match::InputLink(name) => self.link(META_INPUT_NAME, name, EQUAL),
            Match::OutputLink(name) => self.link(META_OUTPUT_NAME, name, EQUAL),
            Match::NotOutputLink(name) => self.link(META_OUTPUT_NAME, name, NOT_EQUAL),
            Match::OutputKind(kind) => self.link(META_OUTPUT_KIND, kind, EQUAL),
            Match::Source(subnet) => self.subnet(*subnet, Side::Source, EQUAL),
            Match::Destination(subnet) => self.subnet(*subnet, Side::Destination, EQUAL),
            Match::NotDestination(subnet) => self.subnet(*subnet, Side::Destination, NOT_EQUAL),
            Match::DestinationIsLocal(family) => {
                self.of_family(number(*family));
                self.push("fib", |fib| {
                    fib.be32(1, 1);
                    // The type of the route to the destination.
                    fib.be32(2, 3);
                    fib.be32(3, 2);
                });
                self.compare(EQUAL, &ROUTE_TYPE_LOCAL.to_ne_bytes());
            }
            Match::Port(protocol, port) => {
                self.meta(META_TRANSPORT);
                let number = match protocol {
                    Protocol::Tcp => 6,
                    Protocol::Udp => 17,
                    Protocol::Sctp => 132,
                };
                self.compare(EQUAL, &[number]);
                self.payload(BASE_TRANSPORT, 2, 2);
                self.compare(EQUAL, &port.to_be_bytes());
            }
            Match::IsDnat => self.tracking(TRACKING_STATUS, STATUS_DNAT),
            Match::IsNew => self.tracking(TRACKING_STATE, STATE_NEW),
            Match::IsEstablished => self.tracking(TRACKING_STATE, STATE_ESTABLISHED_OR_RELATED),
        }
    }

    /// What becomes of the packets that are left.
    pub(super) fn verdict(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Accept => self.decide(1),
            Verdict::Drop => self.decide(0),
            Verdict::Masquerade => self.push("masq", |_| {}),
            Verdict::Dnat(address, port) => {
                self.immediate(1, &octets(*address));
                self.immediate(2, &port.to_be_bytes());
                let family = u32::from(number(Family::of(*address)));
                self.push("nat", |nat| {
                    nat.be32(1, 1);
                    nat.be32(2, family);
                    nat.be32(3, 1);
                    nat.be32(5, 2);
                });
            }
        }
    }

    /// Counts the packets that are left: other programs' listings expect that of
    /// every rule.
    pub(super) fn count(&mut self) {
        self.push("counter", |_| {});
    }

    fn push(&mut self, name: &str, data: impl FnOnce(&mut Attributes<'_>)) {
        self.list.nested(LIST_ELEMENT, |expression| {
            expression.text(EXPRESSION_NAME, name);
            expression.nested(EXPRESSION_DATA, data);
        });
    }

    fn meta(&mut self, key: u32) {
        self.push("meta", |meta| {
            meta.be32(1, 1);
            meta.be32(2, key);
        });
    }

    fn compare(&mut self, operator: u32, value: &[u8]) {
        self.push("cmp", |compare| {
            compare.be32(1, 1);
            compare.be32(2, operator);
            compare.nested(3, |data| data.bytes(DATA_VALUE, value));
        });
    }

    fn payload(&mut self, base: u32, offset: u32, length: u32) {
        self.push("payload", |payload| {
            payload.be32(1, 1);
            payload.be32(2, base);
            payload.be32(3, offset);
            payload.be32(4, length);
        });
    }

    fn mask(&mut self, mask: &[u8]) {
        let length = u32::try_from(mask.len()).unwrap_or(0);
        self.push("bitwise", |bitwise| {
            bitwise.be32(1, 1);
            bitwise.be32(2, 1);
            bitwise.be32(3, length);
            bitwise.nested(4, |data| data.bytes(DATA_VALUE, mask));
            bitwise.nested(5, |data| data.bytes(DATA_VALUE, &vec![0; mask.len()]));
        });
    }

    fn immediate(&mut self, register: u32, value: &[u8]) {
        self.push("immediate", |immediate| {
            immediate.be32(1, register);
            immediate.nested(2, |data| data.bytes(DATA_VALUE, value));
        });
    }

    fn decide(&mut self, code: u32) {
        self.push("immediate", |immediate| {
            immediate.be32(1, 0);
            immediate.nested(2, |data| {
                data.nested(DATA_VERDICT, |verdict| verdict.be32(VERDICT_CODE, code));
            });
        });
    }

    /// Compares a name of the kernel's, which fills 16 bytes.
    fn link(&mut self, key: u32, name: &str, operator: u32) {
        self.meta(key);
        let mut bytes = [0; 16];
        for (place, byte) in bytes.iter_mut().zip(name.bytes()) {
            *place = byte;
        }
        self.compare(operator, &bytes);
    }

    fn tracking(&mut self, key: u32, mask: u32) {
        self.push("ct", |tracking| {
            tracking.be32(1, 1);
            tracking.be32(2, key);
        });
        self.mask(&mask.to_ne_bytes());
        self.compare(NOT_EQUAL, &[0; 4]);
    }

    fn of_family(&mut self, family: u8) {
        if self.family != Some(family) {
            self.family = Some(family);
            self.meta(META_FAMILY);
            self.compare(EQUAL, &[family]);
        }
    }

    fn subnet(&mut self, subnet: Subnet, side: Side, operator: u32) {
        self.of_family(number(Family::of(subnet.first())));
        let offset = match (subnet.first(), side) {
            (IpAddr::V4(_), Side::Source) => 12,
            (IpAddr::V4(_), Side::Destination) => 16,
            (IpAddr::V6(_), Side::Source) => 8,
            (IpAddr::V6(_), Side::Destination) => 24,
        };
        let first = octets(subnet.first());
        self.payload(
            BASE_NETWORK,
            offset,
            u32::try_from(first.len()).unwrap_or(0),
        );
        if Subnet::of_one(subnet.first()) != subnet {
            let last = octets(subnet.last());
            // Where the ends differ are the host's bits.
            let mask: Vec<u8> = first.iter().zip(last).map(|(a, b)| !(a ^ b)).collect();
            self.mask(&mask);
        }
        self.compare(operator, &first);
    }
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Source,
    Destination,
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
