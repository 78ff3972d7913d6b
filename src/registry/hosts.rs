//! Which hosts answer for a registry, and how each is spoken to.
//!
//! Pure: settings and a registry's name come in, endpoints go out.

use std::net::IpAddr;

use serde::Deserialize;

/// The registry of names without one.
pub(super) const HUB: &str = "docker.io";
/// The host that answers for it.
const HUB_HOST: &str = "registry-1.docker.io";
/// Most mirrors of one registry.
const MIRRORS_MAX: usize = 16;

/// What a configuration file says about registries; keys as in docker's
/// `daemon.json`, and `mirrors` beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct RegistryConfig {
    /// Mirrors of Docker Hub, in order.
    pub(super) registry_mirrors: Vec<String>,
    /// Hosts (`HOST[:PORT]`) and networks (CIDR) that need no valid certificate.
    pub(super) insecure_registries: Vec<String>,
    /// Mirrors of any registry, by its name.
    pub(super) mirrors: indexmap::IndexMap<String, Vec<String>>,
}

impl RegistryConfig {
    /// Adds what another file says, after what this one does.
    pub(super) fn extend(&mut self, other: Self) {
        self.registry_mirrors.extend(other.registry_mirrors);
        self.insecure_registries.extend(other.insecure_registries);
        for (registry, mirrors) in other.mirrors {
            self.mirrors.entry(registry).or_default().extend(mirrors);
        }
    }
}

/// Whether TLS is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Security {
    /// TLS with a valid certificate.
    Strict,
    /// TLS with any certificate, or none at all.
    Insecure,
    /// No TLS: the address says `http://`.
    Plain,
}

/// A host that answers for a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    /// Host and port.
    pub(super) host: String,
    /// Under which name credentials for it are kept.
    pub(super) account: String,
    /// How it is spoken to.
    pub(super) security: Security,
    /// Whether it stands in for another.
    pub(super) is_mirror: bool,
}

/// The hosts that answer for a registry when something is pulled: its mirrors
/// in order, then itself.
pub(super) fn for_pull(config: &RegistryConfig, registry: &str) -> Result<Vec<Endpoint>, String> {
    let hub: &[String] = if registry == HUB {
        &config.registry_mirrors
    } else {
        &[]
    };
    let named = config.mirrors.get(registry).map_or(&[][..], Vec::as_slice);
    let mirrors = named.iter().chain(hub).take(MIRRORS_MAX);
    let mut endpoints: Vec<Endpoint> = mirrors
        .map(|text| mirror(config, text))
        .collect::<Result<_, _>>()?;
    endpoints.push(origin(config, registry));
    Ok(endpoints)
}

/// The host that a registry's name stands for.
pub(super) fn origin(config: &RegistryConfig, registry: &str) -> Endpoint {
    let host = if registry == HUB { HUB_HOST } else { registry };
    Endpoint {
        host: host.to_owned(),
        account: registry.to_owned(),
        security: security(config, host),
        is_mirror: false,
    }
}

fn mirror(config: &RegistryConfig, text: &str) -> Result<Endpoint, String> {
    let refuse = || format!("mirror {text:?}: write http:// or https:// and HOST[:PORT]");
    let (is_plain, rest) = match text.split_once("://") {
        Some(("https", rest)) => (false, rest),
        Some(("http", rest)) => (true, rest),
        Some(_) => return Err(refuse()),
        None => (false, text),
    };
    let host = rest.trim_end_matches('/');
    if host.is_empty() || host.contains(['/', '@', '?', '#', ' ']) {
        return Err(refuse());
    }
    Ok(Endpoint {
        host: host.to_owned(),
        account: host.to_owned(),
        security: if is_plain {
            Security::Plain
        } else {
            security(config, host)
        },
        is_mirror: true,
    })
}

/// Loopback hosts and those that the user lists need no valid certificate, as
/// with docker.
fn security(config: &RegistryConfig, host: &str) -> Security {
    let name = without_port(host);
    let address: Option<IpAddr> = name.trim_matches(['[', ']']).parse().ok();
    let is_loopback = name == "localhost" || address.is_some_and(|ip| ip.is_loopback());
    let is_listed = config.insecure_registries.iter().any(|listed| {
        listed == host || listed == name || address.is_some_and(|ip| contains(listed, ip))
    });
    if is_loopback || is_listed {
        Security::Insecure
    } else {
        Security::Strict
    }
}

/// Whether a host is this machine, so that no proxy stands between.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = without_port(host);
    let address: Option<IpAddr> = name.trim_matches(['[', ']']).parse().ok();
    name == "localhost" || address.is_some_and(|ip| ip.is_loopback())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

/// Whether a network in CIDR form has an address.
fn contains(network: &str, address: IpAddr) -> bool {
    let Some((base, length)) = network.split_once('/') else {
        return false;
    };
    let (Ok(base), Ok(length)) = (base.parse::<IpAddr>(), length.parse::<u32>()) else {
        return false;
    };
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)) << 96, 32),
        IpAddr::V6(ip) => (u128::from(ip), 128),
    };
    let ((base, base_bits), (ip, ip_bits)) = (bits(base), bits(address));
    let mask = u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0);
    base_bits == ip_bits && length <= base_bits && (base & mask) == (ip & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> RegistryConfig {
        serde_json::from_str(text).unwrap()
    }

    fn hosts(config: &RegistryConfig, registry: &str) -> Vec<String> {
        let endpoints = for_pull(config, registry).unwrap();
        endpoints.into_iter().map(|e| e.host).collect()
    }

    #[test]
    fn the_hub_has_a_host_of_its_own() {
        let plain = RegistryConfig::default();
        assert_eq!(hosts(&plain, "docker.io"), ["registry-1.docker.io"]);
        let hub = origin(&plain, "docker.io");
        assert_eq!(
            (hub.account.as_str(), hub.security),
            ("docker.io", Security::Strict)
        );
        assert_eq!(hosts(&plain, "ghcr.io"), ["ghcr.io"]);
    }

    #[test]
    fn mirrors_come_first_in_their_order() {
        let config = config(
            r#"{"registry-mirrors": ["https://b.example/", "http://c:5000"], "mirrors": {"ghcr.io": ["m:1"], "docker.io": ["a.example"]}}"#,
        );
        assert_eq!(
            hosts(&config, "docker.io"),
            ["a.example", "b.example", "c:5000", "registry-1.docker.io"]
        );
        assert_eq!(hosts(&config, "ghcr.io"), ["m:1", "ghcr.io"]);
        assert_eq!(hosts(&config, "quay.io"), ["quay.io"]);
        let plain = for_pull(&config, "docker.io").unwrap();
        assert_eq!(plain[2].security, Security::Plain);
    }

    #[test]
    fn a_mirror_is_a_host() {
        for text in ["", "ftp://x", "https://x/y", "https://u@x", "a b"] {
            let config = RegistryConfig {
                registry_mirrors: vec![text.to_owned()],
                ..RegistryConfig::default()
            };
            assert!(for_pull(&config, "docker.io").is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_and_listed_hosts_may_be_insecure() {
        let config = config(
            r#"{"insecure-registries": ["reg.lan:5000", "bare.lan", "10.1.0.0/16", "fd00::/8"]}"#,
        );
        for host in [
            "localhost:5000",
            "127.0.0.1",
            "127.9.9.9:80",
            "[::1]:5000",
            "reg.lan:5000",
            "bare.lan:77",
            "10.1.2.3:5000",
            "[fd00::1]:5000",
        ] {
            assert_eq!(security(&config, host), Security::Insecure, "{host}");
        }
        for host in ["reg.lan", "10.2.0.1:5000", "localhost.example", "128.0.0.1"] {
            assert_eq!(security(&config, host), Security::Strict, "{host}");
        }
    }

    #[test]
    fn files_add_to_each_other() {
        let mut first = config(r#"{"mirrors": {"q": ["a"]}, "insecure-registries": ["x"]}"#);
        first.extend(config(
            r#"{"mirrors": {"q": ["b"]}, "insecure-registries": ["y"], "live-restore": true}"#,
        ));
        assert_eq!(first.mirrors["q"], ["a", "b"]);
        assert_eq!(first.insecure_registries, ["x", "y"]);
    }
}
