//! How a container finds its name server: in which form our DNS stands at
//! 127.0.0.11:53, and the text of `resolv.conf`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::model::{PublishedPort, Service};

/// Where every container's name server is; image files name it literally.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// The port of DNS.
pub const PORT: u16 = 53;

/// In which form our DNS stands in a container's namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Bound to port 53 of 127.0.0.11: no other program can bind port 53 of
    /// every address there.
    Direct,
    /// Bound to other ports, with rules that lead queries there: port 53 is
    /// the container's.
    Nat,
    /// Not at all.
    Off,
}

impl Form {
    /// The word for it in `x-rcompose: {dns: …}`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nat => "nat",
            Self::Off => "off",
        }
    }
}

/// The form for a container: as `x-rcompose: {dns: …}` of the service says,
/// else `nat` where port 53 is exposed (by the file or the image, as in
/// `53/udp`) or published, else `direct`.
#[must_use]
pub fn form(service: &Service, exposed: &[String]) -> Form {
    if let Some(form) = service.extension.as_deref().and_then(wish) {
        return form;
    }
    let exposes =
        |text: &String| port_range(text).is_some_and(|(low, high)| low <= PORT && PORT <= high);
    let publishes = |port: &PublishedPort| port.container_port == PORT;
    if exposed.iter().any(exposes)
        || service.expose.iter().any(exposes)
        || service.ports.iter().any(publishes)
    {
        Form::Nat
    } else {
        Form::Direct
    }
}

fn wish(extension: &str) -> Option<Form> {
    let value: serde_json::Value = serde_json::from_str(extension).ok()?;
    let word = value.get("dns")?.as_str()?;
    [Form::Direct, Form::Nat, Form::Off]
        .into_iter()
        .find(|form| form.as_str() == word)
}

/// Both ends of `PORT[-PORT][/PROTOCOL]`.
fn port_range(text: &str) -> Option<(u16, u16)> {
    let ports = text.split_once('/').map_or(text, |(ports, _)| ports);
    let (low, high) = ports.split_once('-').unwrap_or((ports, ports));
    Some((low.parse().ok()?, high.parse().ok()?))
}

/// What matters of a `resolv.conf`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolvConf {
    /// Name servers in order.
    pub servers: Vec<IpAddr>,
    /// Search domains.
    pub search: Vec<String>,
    /// Options.
    pub options: Vec<String>,
}

impl ResolvConf {
    /// Reads a file's text (resolv.conf(5)); what can't be read is left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(words.next().and_then(server)),
                Some("search" | "domain") => conf.search = words.map(str::to_owned).collect(),
                Some("options") => conf.options.extend(words.map(str::to_owned)),
                Some(_) | None => {}
            }
        }
        conf
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for server in &self.servers {
            text.push_str(&format!("nameserver {server}\n"));
        }
        for (key, words) in [("search", &self.search), ("options", &self.options)] {
            if !words.is_empty() {
                text.push_str(&format!("{key} {}\n", words.join(" ")));
            }
        }
        text
    }
}

/// A server's address; a zone (`fe80::1%eth0`) has no meaning in a container.
fn server(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// The container's file when our DNS serves it: our address, the service's
/// search domains and options or else the host's, and `ndots:0`, so that a
/// service's bare name is asked for as it is.
#[must_use]
pub fn served(service: &Service, host: &ResolvConf) -> ResolvConf {
    let mut conf = settled(service, host);
    conf.servers = vec![IpAddr::V4(ADDRESS)];
    if ndots(&conf.options).is_none() {
        conf.options.push("ndots:0".to_owned());
    }
    conf
}

/// The container's file when our DNS doesn't serve it: the service's servers,
/// or else the host's without those on the host's own loopback.
#[must_use]
pub fn unserved(service: &Service, host: &ResolvConf) -> ResolvConf {
    let mut conf = settled(service, host);
    let declared: Vec<IpAddr> = own_servers(service).iter().map(SocketAddr::ip).collect();
    conf.servers = if declared.is_empty() {
        beyond_loopback(host).servers
    } else {
        declared
    };
    conf
}

/// The container's file in the host's own network namespace, when the service
/// says anything about it; None is the host's file as it is. The host's servers
/// are reached as the host reaches them, those on loopback too.
#[must_use]
pub fn beside_the_host(service: &Service, host: &ResolvConf) -> Option<ResolvConf> {
    let declared: Vec<IpAddr> = own_servers(service).iter().map(SocketAddr::ip).collect();
    let mut conf = settled(service, host);
    if declared.is_empty() && (&conf.search, &conf.options) == (&host.search, &host.options) {
        return None;
    }
    conf.servers = match declared.is_empty() {
        true => host.servers.clone(),
        false => declared,
    };
    Some(conf)
}

/// The host's file without the servers on its own loopback, which mean
/// something else in another network namespace.
#[must_use]
pub fn beyond_loopback(host: &ResolvConf) -> ResolvConf {
    let servers = host.servers.iter().copied();
    ResolvConf {
        servers: servers.filter(|address| !address.is_loopback()).collect(),
        ..host.clone()
    }
}

/// The service's own name servers, in order; none means the host's.
#[must_use]
pub fn own_servers(service: &Service) -> Vec<SocketAddr> {
    let servers = service.dns.iter().filter_map(|text| server(text));
    servers
        .map(|address| SocketAddr::new(address, PORT))
        .collect()
}

/// Whether the service itself sets `ndots` above 0: then names without a dot
/// aren't asked outside.
#[must_use]
pub fn wants_dots(service: &Service) -> bool {
    ndots(&service.dns_options).is_some_and(|dots| dots > 0)
}

fn settled(service: &Service, host: &ResolvConf) -> ResolvConf {
    let own_or = |own: &Vec<String>, hosts: &Vec<String>| {
        if own.is_empty() {
            hosts.clone()
        } else {
            own.clone()
        }
    };
    let mut search = own_or(&service.dns_search, &host.search);
    // A lone dot asks for no search list at all.
    search.retain(|domain| domain != ".");
    ResolvConf {
        servers: Vec::new(),
        search,
        options: own_or(&service.dns_options, &host.options),
    }
}

fn ndots(options: &[String]) -> Option<u32> {
    let values = options
        .iter()
        .filter_map(|option| option.strip_prefix("ndots:"));
    values.filter_map(|value| value.parse().ok()).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HostPorts, Protocol};
    use crate::topology::tests::service;

    fn host() -> ResolvConf {
        ResolvConf::parse(
            "# made by hand\nnameserver 127.0.0.53\nnameserver 10.0.0.2 # near\nnameserver x\n\
             search corp.example\nsearch lab.example b.example\noptions edns0 trust-ad\n",
        )
    }

    fn published(container_port: u16) -> PublishedPort {
        PublishedPort {
            host_ip: None,
            host_ports: HostPorts::Fixed(5353),
            container_port,
            protocol: Protocol::Udp,
            name: None,
            app_protocol: None,
        }
    }

    #[test]
    fn reads_a_hosts_file() {
        let conf = host();
        assert_eq!(conf.servers.len(), 2);
        assert_eq!(conf.search, ["lab.example", "b.example"]);
        assert_eq!(conf.options, ["edns0", "trust-ad"]);
        assert_eq!(ResolvConf::parse(&conf.text()), conf);
    }

    #[test]
    fn a_served_container_asks_us_and_keeps_the_hosts_search_list() {
        assert_eq!(
            served(&service("web"), &host()).text(),
            "nameserver 127.0.0.11\nsearch lab.example b.example\noptions edns0 trust-ad ndots:0\n"
        );
    }

    #[test]
    fn the_services_own_settings_win() {
        let mut web = service("web");
        web.dns_search = vec![".".to_owned()];
        web.dns_options = vec!["ndots:2".to_owned(), "timeout:1".to_owned()];
        assert_eq!(
            served(&web, &host()).text(),
            "nameserver 127.0.0.11\noptions ndots:2 timeout:1\n"
        );
        assert!(wants_dots(&web));
        assert!(!wants_dots(&service("web")));
    }

    #[test]
    fn an_unserved_container_gets_servers_that_it_can_reach() {
        let mut web = service("web");
        assert!(
            unserved(&web, &host())
                .text()
                .starts_with("nameserver 10.0.0.2\nsearch")
        );
        web.dns = vec!["9.9.9.9".to_owned()];
        assert!(
            unserved(&web, &host())
                .text()
                .starts_with("nameserver 9.9.9.9\nsearch")
        );
    }

    #[test]
    fn the_hosts_own_file_is_kept_unless_the_service_says_otherwise() {
        let mut web = service("web");
        assert_eq!(beside_the_host(&web, &host()), None);
        web.dns_search = vec!["own.example".to_owned()];
        assert_eq!(
            beside_the_host(&web, &host()).unwrap().text(),
            "nameserver 127.0.0.53\nnameserver 10.0.0.2\nsearch own.example\noptions edns0 trust-ad\n"
        );
        web.dns = vec!["9.9.9.9".to_owned()];
        web.dns_options = vec!["use-vc".to_owned()];
        assert_eq!(
            beside_the_host(&web, &host()).unwrap().text(),
            "nameserver 9.9.9.9\nsearch own.example\noptions use-vc\n"
        );
    }

    #[test]
    fn port_53_is_left_to_containers_that_want_it() {
        let plain = service("web");
        assert_eq!(form(&plain, &[]), Form::Direct);
        let exposed = |text: &str| form(&plain, &[text.to_owned()]);
        assert_eq!(exposed("53/udp"), Form::Nat);
        assert_eq!(exposed("50-60"), Form::Nat);
        assert_eq!(exposed("5353/udp"), Form::Direct);
        assert_eq!(exposed("nonsense"), Form::Direct);
        let mut publishes = service("dns");
        publishes.ports = vec![published(53)];
        assert_eq!(form(&publishes, &[]), Form::Nat);
        let mut exposes = service("dns");
        exposes.expose = vec!["53".to_owned()];
        assert_eq!(form(&exposes, &[]), Form::Nat);
    }

    #[test]
    fn the_file_may_name_the_form() {
        let mut web = service("web");
        for form_wanted in [Form::Direct, Form::Nat, Form::Off] {
            web.extension = Some(format!("{{\"dns\": \"{}\"}}", form_wanted.as_str()));
            assert_eq!(form(&web, &["53".to_owned()]), form_wanted);
        }
        web.extension = Some("{\"dns\": 3}".to_owned());
        assert_eq!(form(&web, &[]), Form::Direct);
    }
}
