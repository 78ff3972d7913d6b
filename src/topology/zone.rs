//! Which names containers may resolve, and to what.
//!
//! A [`Zone`] holds everything that is up in a project and on the networks it
//! shares with others; a [`View`] is what one asker may see of it. Looking up
//! is a pure function of both. What the zone doesn't know is for somebody
//! else to answer, unless the project declares the name: then it doesn't
//! exist at the moment, and nobody outside is asked.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::topology::subnet::Subnet;

/// One container on one network, up and with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The network's name on the host.
    pub network: String,
    /// The container's name, which its addresses resolve back to.
    pub name: String,
    /// Everything else that it is called on this network: service, aliases,
    /// the id's first twelve digits.
    pub aliases: Vec<String>,
    /// Its IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
}

/// All names of a project's networks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Zone {
    networks: HashMap<String, Names>,
    declared: HashSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Names {
    forward: HashMap<String, Addresses>,
    reverse: HashMap<IpAddr, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Addresses {
    ipv4: Vec<IpAddr>,
    ipv6: Vec<IpAddr>,
}

/// What one asker may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Its networks by their names on the host, in the order of connection.
    pub networks: Vec<String>,
    /// Their subnets: addresses in them are nobody else's to name.
    pub subnets: Vec<Subnet>,
    /// Which unknown names are asked outside.
    pub forwarding: Forwarding,
    /// Names of its own for others (`links`), with what they stand for.
    pub links: Vec<(String, String)>,
}

impl View {
    /// What a folded name stands for.
    fn linked(&self, name: String) -> String {
        let known = self.links.iter().find(|(alias, _)| fold(alias) == name);
        known.map_or(name, |(_, target)| fold(target))
    }
}

/// Which unknown names are asked outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarding {
    /// All.
    All,
    /// Those with a dot: the service sets `ndots` above 0.
    Dotted,
    /// None: every network of the asker is internal.
    Nothing,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Anything else about a name.
    Other,
}

/// What a lookup comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These addresses.
    Addresses(Vec<IpAddr>),
    /// This name (of an address).
    Name(String),
    /// The name is known and has nothing of that type.
    NoData,
    /// There is no such name.
    NoName,
    /// Somebody else may know.
    Elsewhere,
}

impl Zone {
    /// The zone of `members`; `declared` are the names that the project's
    /// services, containers and aliases have when they are up.
    #[must_use]
    pub fn new(
        members: impl IntoIterator<Item = Member>,
        declared: impl IntoIterator<Item = String>,
    ) -> Self {
        let mut zone = Self {
            networks: HashMap::new(),
            declared: declared.into_iter().map(|name| fold(&name)).collect(),
        };
        for member in members {
            let names = zone.networks.entry(member.network.clone()).or_default();
            let ipv4 = member.ipv4.map(IpAddr::V4);
            let ipv6 = member.ipv6.map(IpAddr::V6);
            let back = format!("{}.{}", member.name, member.network);
            for address in ipv4.iter().chain(&ipv6) {
                names.reverse.insert(*address, back.clone());
            }
            let called: HashSet<String> = std::iter::once(&member.name)
                .chain(&member.aliases)
                .map(|name| fold(name))
                .collect();
            for name in called {
                let addresses = names.forward.entry(name).or_default();
                addresses.ipv4.extend(ipv4);
                addresses.ipv6.extend(ipv6);
            }
        }
        zone
    }

    /// Looks a name up. Several addresses come in an order that `turn`
    /// rotates, so that askers who take the first share them out.
    #[must_use]
    pub fn lookup(&self, view: &View, name: &str, question: Question, turn: usize) -> Answer {
        let name = view.linked(fold(name.strip_suffix('.').unwrap_or(name)));
        let mut is_known = false;
        for network in &view.networks {
            let Some(names) = self.networks.get(network) else {
                continue;
            };
            let found = names.forward.get(&name).or_else(|| {
                let bare = without_network(&name, network)?;
                names.forward.get(bare)
            });
            let Some(addresses) = found else {
                continue;
            };
            is_known = true;
            let mut list = match question {
                Question::A => addresses.ipv4.clone(),
                Question::Aaaa => addresses.ipv6.clone(),
                Question::Other => Vec::new(),
            };
            if let Some(by) = turn.checked_rem(list.len()) {
                list.rotate_left(by);
                return Answer::Addresses(list);
            }
        }
        if is_known {
            return Answer::NoData;
        }
        let is_ours = self.declared.contains(&name)
            || view.networks.iter().any(|network| {
                without_network(&name, network).is_some_and(|bare| self.declared.contains(bare))
            });
        if is_ours {
            return Answer::NoName;
        }
        match view.forwarding {
            Forwarding::All => Answer::Elsewhere,
            Forwarding::Dotted if name.contains('.') => Answer::Elsewhere,
            Forwarding::Dotted | Forwarding::Nothing => Answer::NoName,
        }
    }

    /// Looks an address up.
    #[must_use]
    pub fn reverse(&self, view: &View, address: IpAddr) -> Answer {
        let mut names = view
            .networks
            .iter()
            .filter_map(|network| self.networks.get(network));
        if let Some(name) = names.find_map(|names| names.reverse.get(&address)) {
            return Answer::Name(name.clone());
        }
        let is_ours = view.subnets.iter().any(|subnet| subnet.contains(address));
        if is_ours || view.forwarding == Forwarding::Nothing {
            Answer::NoName
        } else {
            Answer::Elsewhere
        }
    }
}

/// The address that a name below `in-addr.arpa` or `ip6.arpa` stands for.
#[must_use]
pub fn address_of_pointer(name: &str) -> Option<IpAddr> {
    let name = fold(name.strip_suffix('.').unwrap_or(name));
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        let mut octets = [0u8; 4];
        let mut parts = labels.split('.');
        for octet in octets.iter_mut().rev() {
            *octet = parts.next()?.parse().ok()?;
        }
        return parts.next().is_none().then(|| IpAddr::V4(octets.into()));
    }
    let labels = name.strip_suffix(".ip6.arpa")?;
    let mut bits: u128 = 0;
    let mut count = 0;
    for label in labels.rsplit('.') {
        let digit = u128::from_str_radix(label, 16).ok()?;
        if label.len() != 1 || count == 32 {
            return None;
        }
        bits = (bits << 4) | digit;
        count += 1;
    }
    (count == 32).then(|| IpAddr::V6(bits.into()))
}

/// `db` for `db.shop_default` on the network `shop_default`.
fn without_network<'a>(name: &'a str, network: &str) -> Option<&'a str> {
    let split = name.len().checked_sub(network.len())?;
    let (bare, suffix) = (name.get(..split)?, name.get(split..)?);
    let bare = bare.strip_suffix('.')?;
    (suffix.eq_ignore_ascii_case(network) && !bare.is_empty()).then_some(bare)
}

fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(network: &str, name: &str, aliases: &[&str], ipv4: &str) -> Member {
        Member {
            network: network.to_owned(),
            name: name.to_owned(),
            aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
            ipv4: ipv4.parse().ok(),
            ipv6: None,
        }
    }

    fn zone() -> Zone {
        let mut six = member("shop_back", "shop-six-1", &["six"], "10.2.0.9");
        six.ipv6 = "fd00::9".parse().ok();
        Zone::new(
            [
                member(
                    "shop_front",
                    "shop-api-1",
                    &["api", "abc123abc123"],
                    "10.1.0.2",
                ),
                member("shop_front", "shop-web-1", &["web", "Site"], "10.1.0.3"),
                member("shop_front", "shop-web-2", &["web", "site"], "10.1.0.4"),
                member("shop_front", "shop-web-3", &["web"], "10.1.0.5"),
                member("shop_back", "shop-api-1", &["api"], "10.2.0.2"),
                member("shop_back", "shop-db-1", &["db", "db"], "10.2.0.3"),
                six,
            ],
            ["api", "web", "db", "cache", "shop-cache-1"].map(str::to_owned),
        )
    }

    fn view(networks: &[&str], forwarding: Forwarding) -> View {
        View {
            networks: networks.iter().map(|&name| name.to_owned()).collect(),
            subnets: vec!["10.1.0.0/24".parse().expect("cidr")],
            forwarding,
            links: Vec::new(),
        }
    }

    fn front() -> View {
        view(&["shop_front"], Forwarding::All)
    }

    fn a(view: &View, name: &str, turn: usize) -> Answer {
        zone().lookup(view, name, Question::A, turn)
    }

    fn addresses(list: &[&str]) -> Answer {
        Answer::Addresses(list.iter().map(|text| text.parse().expect(text)).collect())
    }

    #[test]
    fn a_link_names_a_service_for_its_asker_alone() {
        let mut linked = front();
        linked.links = vec![("Backend".to_owned(), "api".to_owned())];
        assert_eq!(a(&linked, "backend.", 0), addresses(&["10.1.0.2"]));
        assert_eq!(a(&linked, "api", 0), addresses(&["10.1.0.2"]));
        assert_eq!(a(&front(), "backend", 0), Answer::Elsewhere);
    }

    #[test]
    fn every_name_of_a_container_resolves() {
        for name in [
            "api",
            "API.",
            "shop-api-1",
            "abc123abc123",
            "api.shop_front",
            "Api.SHOP_front.",
        ] {
            assert_eq!(a(&front(), name, 0), addresses(&["10.1.0.2"]), "{name}");
        }
        assert_eq!(a(&front(), "site", 0), addresses(&["10.1.0.3", "10.1.0.4"]));
    }

    #[test]
    fn replicas_take_turns() {
        let all = ["10.1.0.3", "10.1.0.4", "10.1.0.5"];
        assert_eq!(a(&front(), "web", 0), addresses(&all));
        assert_eq!(
            a(&front(), "web", 4),
            addresses(&["10.1.0.4", "10.1.0.5", "10.1.0.3"])
        );
        assert!(matches!(
            a(&front(), "web", usize::MAX),
            Answer::Addresses(_)
        ));
    }

    #[test]
    fn a_name_given_twice_counts_once() {
        let back = view(&["shop_back"], Forwarding::All);
        assert_eq!(a(&back, "db", 0), addresses(&["10.2.0.3"]));
    }

    #[test]
    fn only_shared_networks_are_seen_and_the_first_one_answers() {
        assert_eq!(a(&front(), "db", 0), Answer::NoName);
        let both = view(&["shop_back", "shop_front"], Forwarding::All);
        assert_eq!(a(&both, "api", 0), addresses(&["10.2.0.2"]));
        assert_eq!(a(&both, "api.shop_front", 0), addresses(&["10.1.0.2"]));
        assert_eq!(
            a(&both, "web", 0),
            addresses(&["10.1.0.3", "10.1.0.4", "10.1.0.5"])
        );
        assert_eq!(a(&front(), "api.shop_back", 0), Answer::Elsewhere);
    }

    #[test]
    fn a_known_name_without_the_family_is_no_data() {
        let both = view(&["shop_front", "shop_back"], Forwarding::All);
        let ask = |name, question| zone().lookup(&both, name, question, 0);
        assert_eq!(ask("api", Question::Aaaa), Answer::NoData);
        assert_eq!(ask("api", Question::Other), Answer::NoData);
        assert_eq!(ask("six", Question::Aaaa), addresses(&["fd00::9"]));
    }

    #[test]
    fn a_declared_name_that_is_down_is_not_asked_outside() {
        for name in ["cache", "shop-cache-1", "cache.shop_front", "CACHE."] {
            assert_eq!(a(&front(), name, 0), Answer::NoName, "{name}");
        }
        assert_eq!(a(&front(), "cache.example.com", 0), Answer::Elsewhere);
    }

    #[test]
    fn unknown_names_are_asked_outside_as_far_as_the_view_allows() {
        let ask = |forwarding, name| a(&view(&["shop_front"], forwarding), name, 0);
        assert_eq!(ask(Forwarding::All, "printer"), Answer::Elsewhere);
        assert_eq!(ask(Forwarding::Dotted, "printer"), Answer::NoName);
        assert_eq!(ask(Forwarding::Dotted, "printer."), Answer::NoName);
        assert_eq!(ask(Forwarding::Dotted, "example.com"), Answer::Elsewhere);
        assert_eq!(ask(Forwarding::Nothing, "example.com"), Answer::NoName);
    }

    #[test]
    fn addresses_resolve_back() {
        let ask = |view: &View, address: &str| zone().reverse(view, address.parse().expect("ip"));
        let name = |text: &str| Answer::Name(text.to_owned());
        assert_eq!(ask(&front(), "10.1.0.4"), name("shop-web-2.shop_front"));
        assert_eq!(ask(&front(), "10.1.0.99"), Answer::NoName);
        assert_eq!(ask(&front(), "10.2.0.3"), Answer::Elsewhere);
        let closed = view(&["shop_back"], Forwarding::Nothing);
        assert_eq!(ask(&closed, "fd00::9"), name("shop-six-1.shop_back"));
        assert_eq!(ask(&closed, "8.8.8.8"), Answer::NoName);
    }

    #[test]
    fn pointer_names_are_read_strictly() {
        let read = |name: &str| address_of_pointer(name).map(|address| address.to_string());
        assert_eq!(read("4.0.1.10.in-addr.arpa."), Some("10.1.0.4".to_owned()));
        assert_eq!(read("4.0.1.10.IN-ADDR.ARPA"), Some("10.1.0.4".to_owned()));
        for bad in [
            "0.1.10.in-addr.arpa",
            "1.4.0.1.10.in-addr.arpa",
            "x.0.1.10.in-addr.arpa",
            "db",
            "in-addr.arpa",
            "ip6.arpa",
            "1.2.ip6.arpa",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_address_survives_its_pointer_name(bits in any::<u128>()) {
            let address = Ipv6Addr::from_bits(bits);
            let mut name = String::new();
            for nibble in 0..32 {
                name.push_str(&format!("{:x}.", (bits >> (4 * nibble)) & 15));
            }
            name.push_str("ip6.arpa.");
            prop_assert_eq!(address_of_pointer(&name), Some(IpAddr::V6(address)));
        }

        #[test]
        fn pointer_names_never_panic(name in "[0-9a-f.]{0,70}(ip6.arpa|in-addr.arpa)?\\.?") {
            let _ = address_of_pointer(&name);
        }
    }
}
