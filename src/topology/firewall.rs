//! The firewall's rules as values; `network::firewall` speaks them to the kernel.
//!
//! There are four kinds of tables. A bridge's own lives and dies
//! with the bridge: egress, isolation and the guard of the host's loopback. A
//! project's holds its published ports. A third kind stands inside a
//! container's own namespace when the container wants port 53 for itself, and
//! those of the uplinks, shared by all engines of a host, keep the host from
//! becoming a router for its neighbors.
//!
//! An accept ends only the chain that it stands in: the host's own firewall
//! still has its say, and a drop anywhere is final.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::{EngineId, PortBinding, ProjectName, Protocol};
use crate::topology::subnet::Subnet;

/// What the names of all our tables begin with.
pub const TABLE_PREFIX: &str = "rcompose-";

/// What the names of tables shared by all engines of a host begin with (see
/// [`uplink_guard`]); the uplink's name follows.
pub const GUARD_PREFIX: &str = "rcompose-forwarding-";

/// A table of both address families.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// A text that is kept with it, for whoever lists tables.
    pub note: String,
    /// Its chains.
    pub chains: Vec<Chain>,
}

/// A chain at one of the kernel's hooks; what it doesn't decide is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Where it stands.
    pub place: Place,
    /// Its rules in order.
    pub rules: Vec<Rule>,
}

/// The places where our chains stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Whatever arrives, before connection tracking.
    RawPrerouting,
    /// Whatever arrives, where destinations are rewritten.
    NatPrerouting,
    /// What the host sends itself, where destinations are rewritten.
    NatOutput,
    /// Whatever leaves, where sources are rewritten.
    NatPostrouting,
    /// What passes through the host.
    Forward,
    /// What the host receives.
    Input,
}

impl Place {
    /// The chain's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RawPrerouting => "raw-prerouting",
            Self::NatPrerouting => "prerouting",
            Self::NatOutput => "output",
            Self::NatPostrouting => "postrouting",
            Self::Forward => "forward",
            Self::Input => "input",
        }
    }
}

/// Conditions that all must hold, and what happens then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The conditions.
    pub matches: Vec<Match>,
    /// What happens.
    pub verdict: Verdict,
}

/// A condition on a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// It is of this family.
    Is(Family),
    /// It came in by this link.
    InputLink(String),
    /// It goes out by this link.
    OutputLink(String),
    /// It goes out by another link.
    NotOutputLink(String),
    /// It goes out by a link of this kind, such as `bridge` (never a physical one).
    OutputKind(&'static str),
    /// Its source lies in a subnet.
    Source(Subnet),
    /// Its destination lies in a subnet.
    Destination(Subnet),
    /// It is IPv6 and its destination lies outside a subnet.
    NotDestination(Subnet),
    /// It is of the family of the address, and its destination is one of the
    /// host's own.
    DestinationIsLocal(Family),
    /// Its destination is this port.
    Port(Protocol, u16),
    /// It belongs to a flow whose destination was rewritten.
    IsDnat,
    /// It begins a flow.
    IsNew,
    /// It belongs to a flow that is under way, or to one that such a flow asked for.
    IsEstablished,
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }
}

/// What happens to a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This chain lets it pass.
    Accept,
    /// It is gone.
    Drop,
    /// Its source becomes the address of the link that it leaves by.
    Masquerade,
    /// Its destination becomes this one.
    Dnat(IpAddr, u16),
}

/// What is to be known of a bridge for its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeRules {
    /// The bridge.
    pub bridge: String,
    /// Its network's name on the host.
    pub network: String,
    /// Its network's subnets.
    pub subnets: Vec<Subnet>,
    /// Whether it leads nowhere.
    pub is_internal: bool,
    /// Whether what leaves takes the host's address.
    pub is_masqueraded: bool,
}

/// A published port and the container that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The port.
    pub binding: PortBinding,
    /// The container's address, of the family of the binding's.
    pub to: IpAddr,
}

/// The name of a bridge's table.
#[must_use]
pub fn bridge_table_name(bridge: &str) -> String {
    format!("{TABLE_PREFIX}{bridge}")
}

/// The name of a project's table.
#[must_use]
pub fn project_table_name(engine: &EngineId, project: &ProjectName) -> String {
    format!("{TABLE_PREFIX}{engine}-{project}")
}

const LOOPBACK_IPV4: Subnet = Subnet::constant(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8);
const LOOPBACK_IPV6: Subnet = Subnet::constant(IpAddr::V6(Ipv6Addr::LOCALHOST), 128);
const LINK_LOCAL_IPV6: Subnet =
    Subnet::constant(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10);

/// The table of a bridge.
///
/// New flows enter the bridge only from itself or by a published port; what
/// leaves takes the host's address; the host's loopback stays out of reach
/// although the bridge routes it (see `bridge::create`). An internal bridge
/// exchanges nothing with the outside and begins nothing with the host.
#[must_use]
pub fn bridge_table(spec: &BridgeRules) -> Table {
    let input = || Match::InputLink(spec.bridge.clone());
    let output = || Match::OutputLink(spec.bridge.clone());
    // Neither to the host's loopback nor, to a service that trusts it, from there:
    // with it routed, the kernel takes such a source for an ordinary one.
    let loopback = [
        Match::Destination(LOOPBACK_IPV4),
        Match::Source(LOOPBACK_IPV4),
    ];
    let raw = loopback.map(|end| rule([input(), end], Verdict::Drop));
    let within = rule([input(), output()], Verdict::Accept);
    let mut chains = vec![Chain {
        place: Place::RawPrerouting,
        rules: raw.to_vec(),
    }];
    if spec.is_internal {
        chains.push(Chain {
            place: Place::Forward,
            rules: vec![
                within,
                rule([input()], Verdict::Drop),
                rule([output()], Verdict::Drop),
            ],
        });
        chains.push(Chain {
            place: Place::Input,
            rules: vec![rule([input(), Match::IsNew], Verdict::Drop)],
        });
        return Table {
            name: bridge_table_name(&spec.bridge),
            note: spec.network.clone(),
            chains,
        };
    }
    chains.push(Chain {
        place: Place::Forward,
        rules: vec![
            within,
            rule([output(), Match::IsEstablished], Verdict::Accept),
            rule([output(), Match::IsDnat], Verdict::Accept),
            rule([output()], Verdict::Drop),
        ],
    });
    let mut masquerade = vec![rule(
        [output(), Match::Source(LOOPBACK_IPV4)],
        Verdict::Masquerade,
    )];
    for subnet in &spec.subnets {
        let outside = Match::NotOutputLink(spec.bridge.clone());
        masquerade.push(rule([Match::Source(*subnet), outside], Verdict::Masquerade));
        // A container that calls its own network's published port: the answer
        // has to come back this way, not straight from its neighbor.
        masquerade.push(rule(
            [output(), Match::Source(*subnet), Match::IsDnat],
            Verdict::Masquerade,
        ));
    }
    chains.push(Chain {
        place: Place::NatPostrouting,
        rules: masquerade,
    });
    Table {
        name: bridge_table_name(&spec.bridge),
        note: spec.network.clone(),
        chains,
    }
}

/// The table of a project's published ports.
///
/// What it leaves to the listeners: IPv6 loopback and link-local destinations,
/// which can't be routed, and ports whose container lacks the family.
#[must_use]
pub fn publishing_table(engine: &EngineId, project: &ProjectName, forwards: &[Forward]) -> Table {
    let mut prerouting = Vec::new();
    let mut output = Vec::new();
    for forward in forwards {
        let Some(destination) = destination(forward.binding.host_ip) else {
            continue;
        };
        let port = Match::Port(forward.binding.protocol, forward.binding.host_port);
        let matches = destination.into_iter().chain([port]);
        let rule = rule(
            matches,
            Verdict::Dnat(forward.to, forward.binding.container_port),
        );
        // A neighbor's packet for 127.0.0.1 would be rewritten before the
        // kernel could see that it came from outside.
        if !forward.binding.host_ip.is_loopback() {
            prerouting.push(rule.clone());
        }
        output.push(rule);
    }
    Table {
        name: project_table_name(engine, project),
        note: project.to_string(),
        chains: vec![
            Chain {
                place: Place::NatPrerouting,
                rules: prerouting,
            },
            Chain {
                place: Place::NatOutput,
                rules: output,
            },
        ],
    }
}

/// What a packet to a published port's address looks like; None when only a
/// listener can serve it.
fn destination(host_ip: IpAddr) -> Option<Vec<Match>> {
    match host_ip {
        IpAddr::V4(address) if address.is_unspecified() => {
            Some(vec![Match::DestinationIsLocal(Family::V4)])
        }
        IpAddr::V6(address) if address.is_unspecified() => Some(vec![
            Match::DestinationIsLocal(Family::V6),
            Match::NotDestination(LOOPBACK_IPV6),
            Match::NotDestination(LINK_LOCAL_IPV6),
        ]),
        IpAddr::V6(address) if address.is_loopback() || LINK_LOCAL_IPV6.contains(host_ip) => None,
        IpAddr::V4(_) | IpAddr::V6(_) => Some(vec![Match::Destination(Subnet::of_one(host_ip))]),
    }
}

/// The table that leads a container's queries for 127.0.0.11:53 to other
/// ports, inside the container's own namespace.
#[must_use]
pub fn resolver_table(address: Ipv4Addr, udp_port: u16, tcp_port: u16) -> Table {
    let to = |protocol, port| {
        rule(
            [
                Match::Destination(Subnet::of_one(IpAddr::V4(address))),
                Match::Port(protocol, 53),
            ],
            Verdict::Dnat(IpAddr::V4(address), port),
        )
    };
    Table {
        name: format!("{TABLE_PREFIX}resolver"),
        note: String::new(),
        chains: vec![Chain {
            place: Place::NatOutput,
            rules: vec![to(Protocol::Udp, udp_port), to(Protocol::Tcp, tcp_port)],
        }],
    }
}

/// The table that goes with switching forwarding on for `uplink`, where it was
/// off: what neighbors send through it may reach bridges, which have rules of
/// their own, but no other link of the host, and none of `others` even if one
/// is a bridge. It holds for the families that were switched on.
#[must_use]
pub fn uplink_guard(uplink: &str, others: &[String], families: &[Family], note: String) -> Table {
    let mut rules = Vec::new();
    for family in families {
        let input = || [Match::Is(*family), Match::InputLink(uplink.to_owned())];
        let with =
            |more: &[Match], verdict| rule(input().into_iter().chain(more.to_vec()), verdict);
        for other in others {
            let output = Match::OutputLink(other.clone());
            rules.push(with(&[output, Match::IsNew], Verdict::Drop));
        }
        for kind in ["bridge", "veth"] {
            rules.push(with(&[Match::OutputKind(kind)], Verdict::Accept));
        }
        rules.push(with(&[Match::IsNew], Verdict::Drop));
    }
    Table {
        name: format!("{GUARD_PREFIX}{uplink}"),
        note,
        chains: vec![Chain {
            place: Place::Forward,
            rules,
        }],
    }
}

fn rule(matches: impl IntoIterator<Item = Match>, verdict: Verdict) -> Rule {
    Rule {
        matches: matches.into_iter().collect(),
        verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge(is_internal: bool) -> Table {
        bridge_table(&BridgeRules {
            bridge: "rcabcdefaaaaaa".to_owned(),
            network: "shop_default".to_owned(),
            is_masqueraded: true,
            subnets: vec!["10.208.0.0/24".parse().expect("cidr")],
            is_internal,
        })
    }

    fn rules(table: &Table, place: Place) -> Vec<Rule> {
        let chain = table.chains.iter().find(|chain| chain.place == place);
        chain.map(|chain| chain.rules.clone()).unwrap_or_default()
    }

    fn forward(host_ip: &str, to: &str) -> Forward {
        Forward {
            binding: PortBinding {
                host_ip: host_ip.parse().expect(host_ip),
                host_port: 8080,
                container_port: 80,
                protocol: Protocol::Tcp,
            },
            to: to.parse().expect(to),
        }
    }

    fn publishing(forwards: &[Forward]) -> (Vec<Rule>, Vec<Rule>) {
        let engine = "abcdef".parse().expect("engine");
        let project = "shop".parse().expect("project");
        let table = publishing_table(&engine, &project, forwards);
        assert_eq!(table.name, "rcompose-abcdef-shop");
        (
            rules(&table, Place::NatPrerouting),
            rules(&table, Place::NatOutput),
        )
    }

    #[test]
    fn the_last_word_on_flows_into_a_bridge_is_drop() {
        for is_internal in [false, true] {
            let forward = rules(&bridge(is_internal), Place::Forward);
            let last = forward.last().expect("rules");
            assert_eq!(last.verdict, Verdict::Drop);
            assert_eq!(
                last.matches,
                [Match::OutputLink("rcabcdefaaaaaa".to_owned())]
            );
        }
    }

    #[test]
    fn an_internal_bridge_masquerades_nothing_and_takes_no_published_port() {
        let table = bridge(true);
        assert!(rules(&table, Place::NatPostrouting).is_empty());
        let forward = rules(&table, Place::Forward);
        assert!(
            !forward
                .iter()
                .any(|rule| rule.matches.contains(&Match::IsDnat))
        );
        assert_eq!(rules(&table, Place::Input).len(), 1);
        assert!(rules(&bridge(false), Place::Input).is_empty());
    }

    #[test]
    fn the_hosts_loopback_is_guarded_on_every_bridge() {
        for is_internal in [false, true] {
            let raw = rules(&bridge(is_internal), Place::RawPrerouting);
            let loopback = "127.0.0.0/8".parse().expect("cidr");
            for end in [Match::Destination(loopback), Match::Source(loopback)] {
                assert!(
                    raw.iter()
                        .any(|rule| rule.verdict == Verdict::Drop && rule.matches.contains(&end)),
                    "{end:?}"
                );
            }
        }
    }

    #[test]
    fn a_loopback_publish_is_rewritten_for_the_host_alone() {
        let (prerouting, output) = publishing(&[forward("127.0.0.1", "10.208.0.2")]);
        assert_eq!((prerouting.len(), output.len()), (0, 1));
    }

    #[test]
    fn a_wildcard_publish_is_rewritten_for_all() {
        let (prerouting, output) = publishing(&[forward("0.0.0.0", "10.208.0.2")]);
        assert_eq!(prerouting, output);
        let rule = prerouting.first().expect("one");
        assert_eq!(
            rule.matches,
            [
                Match::DestinationIsLocal(Family::V4),
                Match::Port(Protocol::Tcp, 8080)
            ]
        );
        assert_eq!(
            rule.verdict,
            Verdict::Dnat("10.208.0.2".parse().expect("ip"), 80)
        );
    }

    #[test]
    fn ipv6_loopback_and_link_local_are_left_to_the_listener() {
        for address in ["::1", "fe80::1"] {
            let (prerouting, output) = publishing(&[forward(address, "fd00::2")]);
            assert_eq!((prerouting.len(), output.len()), (0, 0), "{address}");
        }
        let (prerouting, _) = publishing(&[forward("::", "fd00::2")]);
        let rule = prerouting.first().expect("one");
        assert!(rule.matches.contains(&Match::NotDestination(LOOPBACK_IPV6)));
    }

    #[test]
    fn a_guarded_uplink_reaches_bridges_only() {
        let table = uplink_guard("eth0", &["br0".to_owned()], &[Family::V4], "4".to_owned());
        let rules = rules(&table, Place::Forward);
        let position = |wanted: &[Match]| {
            let from = [Match::Is(Family::V4), Match::InputLink("eth0".to_owned())];
            let wanted: Vec<_> = from.iter().chain(wanted).cloned().collect();
            let found = rules.iter().position(|rule| rule.matches == wanted);
            found.expect("rule")
        };
        let across = position(&[Match::OutputLink("br0".to_owned()), Match::IsNew]);
        let bridges = position(&[Match::OutputKind("bridge")]);
        let rest = position(&[Match::IsNew]);
        assert!(across < bridges && bridges < rest);
        assert!(
            !rules
                .iter()
                .any(|rule| rule.matches.contains(&Match::Is(Family::V6)))
        );
    }

    #[test]
    fn the_resolvers_table_covers_both_transports() {
        let table = resolver_table(Ipv4Addr::new(127, 0, 0, 11), 40000, 40001);
        let verdicts: Vec<_> = rules(&table, Place::NatOutput)
            .into_iter()
            .map(|rule| rule.verdict)
            .collect();
        let to = |port| Verdict::Dnat(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11)), port);
        assert_eq!(verdicts, [to(40000), to(40001)]);
    }
}
