//! The text of `/etc/hosts`.
//!
//! It is written into the container's folder, beside `hostname` and
//! `resolv.conf`, and bind-mounted, so that it never becomes part of an image's
//! layer (Docker does the same).

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

/// `/etc/hosts` in the host's own network: the host's, and the user's lines.
#[must_use]
pub fn host_hosts(host: &str, extra: &[ExtraHost]) -> String {
    let mut text = host.trim_end().to_owned();
    text.push('\n');
    for host in extra.iter().filter(|host| host.address != "host-gateway") {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}\t{}", host.address, host.name);
    }
    text
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
}
