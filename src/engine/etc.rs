//! The texts of `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`.
//!
//! They are written into the container's folder and bind-mounted, so they
//! never become part of an image's layer (Docker does the same).

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::model::ExtraHost;

/// `/etc/hosts`: loopback, the user's lines, then the container's own addresses.
///
/// `host_gateway` stands in for `host-gateway`; an extra host that asks for
/// it is left out when there is none.
#[must_use]
pub fn hosts(
    hostname: &str,
    domainname: Option<&str>,
    extra: &[ExtraHost],
    addresses: &[IpAddr],
    host_gateway: Option<IpAddr>,
) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
    );
    for host in extra {
        let address = match (host.address.as_str(), host_gateway) {
            ("host-gateway", Some(gateway)) => gateway.to_string(),
            ("host-gateway", None) => continue,
            (address, _) => address.to_owned(),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{address}\t{}", host.name);
    }
    for address in addresses {
        let _ = match domainname {
            Some(domain) => writeln!(text, "{address}\t{hostname}.{domain} {hostname}"),
            None => writeln!(text, "{address}\t{hostname}"),
        };
    }
    text
}

/// `/etc/resolv.conf` with the given servers, search list and options.
#[must_use]
pub fn resolv_conf(servers: &[String], search: &[String], options: &[String]) -> String {
    let mut text = String::new();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    // `dns_search: .` means an empty list.
    let search: Vec<&str> = search
        .iter()
        .map(String::as_str)
        .filter(|s| *s != ".")
        .collect();
    if !search.is_empty() {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    text
}

/// The parts of a `resolv.conf` (resolv.conf(5)).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolvConf {
    /// `nameserver` lines.
    pub servers: Vec<String>,
    /// The last `search` or `domain` line.
    pub search: Vec<String>,
    /// `options` lines, joined.
    pub options: Vec<String>,
}

impl ResolvConf {
    /// Reads a file's text; what it doesn't know is passed over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parsed = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let rest =
                |words: std::str::SplitWhitespace<'_>| words.map(str::to_owned).collect::<Vec<_>>();
            match words.next() {
                Some("nameserver") => parsed.servers.extend(words.next().map(str::to_owned)),
                Some("search" | "domain") => parsed.search = rest(words),
                Some("options") => parsed.options.extend(rest(words)),
                Some(_) | None => {}
            }
        }
        parsed
    }

    /// The same without servers that mean something else inside a container.
    #[must_use]
    pub fn without_loopback(mut self) -> Self {
        self.servers.retain(|server| {
            server
                .parse::<IpAddr>()
                .map_or(true, |address| !address.is_loopback())
        });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_names_the_container_on_each_network() {
        let extra = [
            ExtraHost {
                name: "db".into(),
                address: "10.0.0.9".into(),
            },
            ExtraHost {
                name: "host".into(),
                address: "host-gateway".into(),
            },
        ];
        let addresses = ["10.1.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        let text = hosts(
            "web",
            Some("lan"),
            &extra,
            &addresses,
            Some("10.1.0.1".parse().unwrap()),
        );
        let lines: Vec<&str> = text.lines().skip(6).collect();
        assert_eq!(
            lines,
            [
                "10.0.0.9\tdb",
                "10.1.0.1\thost",
                "10.1.0.2\tweb.lan web",
                "fd00::2\tweb.lan web"
            ]
        );
        assert!(!hosts("web", None, &extra, &[], None).contains("\thost\n"));
    }

    #[test]
    fn resolv_conf_round_trips() {
        let text = "# comment\nnameserver 127.0.0.53\nnameserver 9.9.9.9\nsearch a b\noptions ndots:2\noptions edns0\n";
        let parsed = ResolvConf::parse(text);
        assert_eq!(parsed.servers, ["127.0.0.53", "9.9.9.9"]);
        assert_eq!(parsed.options, ["ndots:2", "edns0"]);
        let outside = parsed.without_loopback();
        assert_eq!(
            resolv_conf(&outside.servers, &outside.search, &outside.options),
            "nameserver 9.9.9.9\nsearch a b\noptions ndots:2 edns0\n"
        );
        assert_eq!(resolv_conf(&[], &[".".to_owned()], &[]), "");
    }
}
