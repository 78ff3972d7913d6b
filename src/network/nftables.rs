//! Firewall tables as nftables messages.
//!
//! It knows how [`topology::firewall`](crate::topology::firewall)'s tables,
//! chains and rules are written, and how they are listed. Which tables there
//! should be is not its business. Numbers in attributes are big-endian; what is
//! compared is as the packet or the kernel has it.

mod expression;

use crate::network::error::Error;
use crate::network::netlink::{Batch, find, flag, text_of};
use crate::network::nftables::expression::Expressions;
use crate::sys::netlink::{Family as Netlink, Socket};
use crate::topology::firewall::{Chain, Family, Place, Rule, Table};

const SUBSYSTEM: u16 = 10 << 8;
const NEW_TABLE: u16 = SUBSYSTEM;
const GET_TABLE: u16 = SUBSYSTEM | 1;
const DELETE_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const GET_CHAIN: u16 = SUBSYSTEM | 4;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const GET_RULE: u16 = SUBSYSTEM | 7;
const DELETE_RULE: u16 = SUBSYSTEM | 8;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

/// The family of tables that see both IPv4 and IPv6.
const BOTH: u8 = 1;
const IPV4: u8 = 2;
const IPV6: u8 = 10;

const TABLE_NAME: u16 = 1;
const TABLE_NOTE: u16 = 6;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const HOOK_FORWARD: u32 = 2;
const POLICY_DROP: u32 = 0;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_NOTE: u16 = 7;

/// An address family's tables that other programs fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ForeignChain {
    pub(super) family: Family,
    pub(super) table: &'static str,
    pub(super) chain: &'static str,
}

/// A socket to tell and ask the kernel about nftables, in the network
/// namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Nftables {
    /// None only while it is dropped.
    socket: Option<Socket>,
    /// Whether it removed something.
    has_removed: bool,
}

/// Closing a netfilter socket waits until the kernel is rid of everything that
/// was removed: some ten milliseconds, for which nobody has to wait.
impl Drop for Nftables {
    fn drop(&mut self) {
        let socket = self.socket.take();
        if self.has_removed {
            // Where there can be no thread, the closure and its socket are
            // dropped here.
            let closing = std::thread::Builder::new().name("nftables-close".to_owned());
            drop(closing.spawn(move || drop(socket)));
        }
    }
}

impl Nftables {
    pub(super) fn open() -> Result<Self, Error> {
        let socket = Socket::open(Netlink::Netfilter).map_err(|source| Error::Kernel {
            subject: "opening of a netfilter socket".to_owned(),
            text: None,
            source,
        })?;
        Ok(Self {
            socket: Some(socket),
            has_removed: false,
        })
    }

    fn send(&mut self, batch: Batch) -> Result<(), Error> {
        batch.send(self.socket())
    }

    fn socket(&mut self) -> &mut Socket {
        self.socket.as_mut().expect("it is taken only by drop")
    }

    /// Puts a table in the place of the one of its name, if there is one, in
    /// one transaction: no packet sees less than either.
    pub(super) fn replace(&mut self, table: &Table) -> Result<(), Error> {
        if !self.has_table(&table.name)? {
            let mut batch = begin();
            push_table(
                &mut batch,
                NEW_TABLE,
                flag::EXCLUSIVE,
                &table.name,
                &table.note,
            );
            push_chains(&mut batch, table);
            match self.send(end(batch)) {
                // Somebody else made it just now.
                Err(error) if error.is_taken() => {}
                result => return result,
            }
        }
        let mut batch = begin();
        // Deleting what isn't there is an error; making what is there isn't.
        push_table(&mut batch, NEW_TABLE, 0, &table.name, "");
        push_table(&mut batch, DELETE_TABLE, 0, &table.name, "");
        push_table(&mut batch, NEW_TABLE, 0, &table.name, &table.note);
        push_chains(&mut batch, table);
        self.has_removed = true;
        self.send(end(batch))
    }

    fn has_table(&mut self, name: &str) -> Result<bool, Error> {
        let mut batch = Batch::new();
        let subject = format!("firewall table {name}");
        batch.push(subject, GET_TABLE, flag::ACK, &header(BOTH, 0), |table| {
            table.text(TABLE_NAME, name);
        });
        match batch.query(self.socket()) {
            Ok(_) => Ok(true),
            Err(error) if error.is_gone() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes tables, all or none.
    pub(super) fn remove(&mut self, names: &[String]) -> Result<(), Error> {
        if names.is_empty() {
            return Ok(());
        }
        let mut batch = begin();
        for name in names {
            push_table(&mut batch, DELETE_TABLE, 0, name, "");
        }
        self.has_removed = true;
        self.send(end(batch))
    }

    /// Our family's tables, name and note.
    pub(super) fn tables(&mut self) -> Result<Vec<(String, String)>, Error> {
        let mut batch = Batch::new();
        let subject = "list of firewall tables";
        batch.push(subject, GET_TABLE, flag::DUMP, &header(BOTH, 0), |_| {});
        let found = batch.query(self.socket())?;
        Ok(found
            .iter()
            .filter_map(|(_, body)| {
                let table = body.get(4..)?;
                let note = find(table, TABLE_NOTE).map(text_of);
                Some((text_of(find(table, TABLE_NAME)?), note.unwrap_or_default()))
            })
            .collect())
    }

    /// The chains of others that drop what they don't know on its way through
    /// the host.
    pub(super) fn forward_drops(&mut self) -> Result<Vec<ForeignDrop>, Error> {
        let mut batch = Batch::new();
        let subject = "list of firewall chains";
        batch.push(subject, GET_CHAIN, flag::DUMP, &header(0, 0), |_| {});
        let found = batch.query(self.socket())?;
        Ok(found
            .iter()
            .filter_map(|(_, body)| read_drop(body))
            .collect())
    }

    /// Whether a chain that others made is there.
    pub(super) fn has(&mut self, chain: ForeignChain) -> Result<bool, Error> {
        let mut batch = Batch::new();
        let family = number(chain.family);
        batch.push(
            format!("look-up of firewall chain {}", chain.chain),
            GET_CHAIN,
            flag::ACK,
            &header(family, 0),
            |message| {
                message.text(CHAIN_TABLE, chain.table);
                message.text(CHAIN_NAME, chain.chain);
            },
        );
        match batch.query(self.socket()) {
            Ok(_) => Ok(true),
            Err(error) if error.is_gone() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts rules at the head of a chain that others made, in the place of those
    /// there with the same comment.
    pub(super) fn insert(
        &mut self,
        chain: ForeignChain,
        comment: &str,
        rules: &[Rule],
    ) -> Result<(), Error> {
        let former = self.commented(chain, comment)?;
        let mut batch = begin();
        for handle in &former {
            push_removal(&mut batch, chain, handle);
        }
        let place = Location {
            family: number(chain.family),
            table: chain.table,
            chain: chain.chain,
        };
        for rule in rules {
            let subject = format!("rule in firewall chain {}", chain.chain);
            push_rule(&mut batch, subject, &place, 0, Some(comment), rule);
        }
        self.has_removed |= !former.is_empty();
        self.send(end(batch))
    }

    /// Removes the rules with this comment from a chain that others made.
    pub(super) fn withdraw(&mut self, chain: ForeignChain, comment: &str) -> Result<(), Error> {
        let former = self.commented(chain, comment)?;
        if former.is_empty() {
            return Ok(());
        }
        let mut batch = begin();
        for handle in &former {
            push_removal(&mut batch, chain, handle);
        }
        self.has_removed = true;
        self.send(end(batch))
    }

    /// How many rules with this comment a chain that others made has.
    pub(super) fn count(&mut self, chain: ForeignChain, comment: &str) -> Result<usize, Error> {
        Ok(self.commented(chain, comment)?.len())
    }

    /// The handles of the rules with this comment.
    fn commented(&mut self, chain: ForeignChain, comment: &str) -> Result<Vec<Vec<u8>>, Error> {
        let wanted = comment_note(comment);
        let family = number(chain.family);
        let mut list = Batch::new();
        let subject = format!("list of firewall chain {}", chain.chain);
        list.push(
            subject,
            GET_RULE,
            flag::DUMP,
            &header(family, 0),
            |message| {
                message.text(RULE_TABLE, chain.table);
                message.text(RULE_CHAIN, chain.chain);
            },
        );
        let rules = list.query(self.socket())?;
        let handle = |(_, body): (_, Vec<u8>)| {
            let rule = body.get(4..).unwrap_or_default();
            let is_wanted = find(rule, RULE_NOTE) == Some(wanted.as_slice());
            find(rule, RULE_HANDLE)
                .filter(|_| is_wanted)
                .map(<[u8]>::to_vec)
        };
        Ok(rules.into_iter().filter_map(handle).collect())
    }
}

fn push_removal(batch: &mut Batch, chain: ForeignChain, handle: &[u8]) {
    batch.push(
        format!("removal from firewall chain {}", chain.chain),
        DELETE_RULE,
        flag::ACK,
        &header(number(chain.family), 0),
        |message| {
            message.text(RULE_TABLE, chain.table);
            message.text(RULE_CHAIN, chain.chain);
            message.bytes(RULE_HANDLE, handle);
        },
    );
}

/// A chain of others whose last word is drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForeignDrop {
    /// None for tables of both families.
    pub(super) family: Option<Family>,
    pub(super) table: String,
    pub(super) chain: String,
}

fn read_drop(body: &[u8]) -> Option<ForeignDrop> {
    let chain = body.get(4..)?;
    let number = |value: &[u8]| value.try_into().ok().map(u32::from_be_bytes);
    let hook = find(find(chain, CHAIN_HOOK)?, HOOK_NUMBER).and_then(number);
    let policy = find(chain, CHAIN_POLICY).and_then(number);
    let family = match *body.first()? {
        IPV4 => Some(Family::V4),
        IPV6 => Some(Family::V6),
        BOTH => None,
        _ => return None,
    };
    (hook == Some(HOOK_FORWARD) && policy == Some(POLICY_DROP)).then_some(ForeignDrop {
        family,
        table: text_of(find(chain, CHAIN_TABLE)?),
        chain: text_of(find(chain, CHAIN_NAME)?),
    })
}

/// struct nfgenmsg.
fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

fn begin() -> Batch {
    let mut batch = Batch::new();
    let header = header(0, SUBSYSTEM >> 8);
    batch.push("firewall transaction", BATCH_BEGIN, 0, &header, |_| {});
    batch
}

fn end(mut batch: Batch) -> Batch {
    let header = header(0, SUBSYSTEM >> 8);
    batch.push("firewall transaction", BATCH_END, 0, &header, |_| {});
    batch
}

fn push_table(batch: &mut Batch, kind: u16, more: u16, name: &str, note: &str) {
    let create = if kind == NEW_TABLE { flag::CREATE } else { 0 };
    let flags = flag::ACK | create | more;
    let subject = format!("firewall table {name}");
    batch.push(subject, kind, flags, &header(BOTH, 0), |table| {
        table.text(TABLE_NAME, name);
        if !note.is_empty() {
            table.bytes(TABLE_NOTE, note.as_bytes());
        }
    });
}

fn push_chains(batch: &mut Batch, table: &Table) {
    for chain in &table.chains {
        push_chain(batch, &table.name, chain);
        for rule in &chain.rules {
            let chain = chain.place.name();
            let subject = format!("rule in {chain} of firewall table {}", table.name);
            let place = Location {
                family: BOTH,
                table: &table.name,
                chain,
            };
            push_rule(batch, subject, &place, flag::APPEND, None, rule);
        }
    }
}

fn push_chain(batch: &mut Batch, table: &str, chain: &Chain) {
    let (kind, hook, priority): (&str, u32, i32) = match chain.place {
        Place::RawPrerouting => ("filter", 0, -300),
        Place::NatPrerouting => ("nat", 0, -100),
        Place::Input => ("filter", 1, 0),
        Place::Forward => ("filter", 2, 0),
        Place::NatOutput => ("nat", 3, -100),
        Place::NatPostrouting => ("nat", 4, 100),
    };
    batch.push(
        format!("chain {} of firewall table {table}", chain.place.name()),
        NEW_CHAIN,
        flag::ACK | flag::CREATE,
        &header(BOTH, 0),
        |message| {
            message.text(CHAIN_TABLE, table);
            message.text(CHAIN_NAME, chain.place.name());
            message.nested(CHAIN_HOOK, |place| {
                place.be32(HOOK_NUMBER, hook);
                place.bytes(HOOK_PRIORITY, &priority.to_be_bytes());
            });
            message.text(CHAIN_TYPE, kind);
        },
    );
}

#[derive(Debug)]
struct Location<'a> {
    family: u8,
    table: &'a str,
    chain: &'a str,
}

fn push_rule(
    batch: &mut Batch,
    subject: String,
    place: &Location<'_>,
    order: u16,
    comment: Option<&str>,
    rule: &Rule,
) {
    batch.push(
        subject,
        NEW_RULE,
        flag::ACK | flag::CREATE | order,
        &header(place.family, 0),
        |message| {
            message.text(RULE_TABLE, place.table);
            message.text(RULE_CHAIN, place.chain);
            message.nested(RULE_EXPRESSIONS, |list| {
                let family = (place.family != BOTH).then_some(place.family);
                let mut rule_so_far = Expressions::new(list, family);
                for condition in &rule.matches {
                    rule_so_far.condition(condition);
                }
                if comment.is_some() {
                    rule_so_far.count();
                }
                rule_so_far.verdict(&rule.verdict);
            });
            if let Some(comment) = comment {
                message.bytes(RULE_NOTE, &comment_note(comment));
            }
        },
    );
}

/// A comment in the form that `nft list` shows: kind 0, length, text, zero.
fn comment_note(comment: &str) -> Vec<u8> {
    let text = comment.as_bytes();
    let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    let mut note = vec![0, length];
    note.extend_from_slice(text);
    note.push(0);
    note
}

fn number(family: Family) -> u8 {
    match family {
        Family::V4 => IPV4,
        Family::V6 => IPV6,
    }
}
