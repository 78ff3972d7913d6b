//! Who holds a port of the host, for the message that it is taken.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// TCP_LISTEN as the kernel's tables print it.
const LISTENING: &str = "0A";

/// How much of a command line is told.
const COMMAND_CHARS_MAX: usize = 80;

/// The process that holds a socket in the way of `address`, as
/// `process 12 (nginx -g daemon off;)`; None when it can't be told, as for
/// sockets of processes in other pid namespaces.
pub(super) fn of(address: SocketAddr, is_tcp: bool) -> Option<String> {
    let tables = if is_tcp {
        ["tcp", "tcp6"]
    } else {
        ["udp", "udp6"]
    };
    let inode = tables.iter().find_map(|table| {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{table}")).ok()?;
        inode_in(&text, address, is_tcp)
    })?;
    holder(&format!("socket:[{inode}]"))
}

/// The inode of the socket in the kernel's table that clashes with `address`.
fn inode_in(table: &str, address: SocketAddr, is_tcp: bool) -> Option<String> {
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let local = words.nth(1).and_then(socket_address)?;
        let state = words.nth(1)?;
        let inode = words.nth(5)?;
        let clashes = local.port() == address.port()
            && (local.ip() == address.ip()
                || local.ip().is_unspecified()
                || address.ip().is_unspecified());
        (clashes && (!is_tcp || state == LISTENING)).then(|| inode.to_owned())
    })
}

/// Reads `0100007F:1F90`: 32-bit words in the host's order, then the port.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words = (0..address.len() / 8).map(|index| {
        let digits = address.get(index * 8..index * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    });
    let bytes = words.collect::<Option<Vec<[u8; 4]>>>()?.concat();
    let ipv4 = <[u8; 4]>::try_from(bytes.as_slice()).map(Ipv4Addr::from);
    let ipv6 = || <[u8; 16]>::try_from(bytes.as_slice()).map(Ipv6Addr::from);
    let ip = ipv4
        .map(IpAddr::V4)
        .or_else(|_| ipv6().map(IpAddr::V6))
        .ok()?;
    Some(SocketAddr::new(ip, port))
}

/// The first process with a descriptor that links to `target`.
fn holder(target: &str) -> Option<String> {
    let processes = fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let name = process.file_name();
        let pid: u32 = name.to_str()?.parse().ok()?;
        let descriptors = fs::read_dir(process.path().join("fd")).ok()?;
        let mut links = descriptors
            .flatten()
            .map(|entry| fs::read_link(entry.path()));
        links
            .any(|link| link.is_ok_and(|link| link == Path::new(target)))
            .then(|| name_of(pid, &command(&process.path())))
    })
}

/// A process as users know it: one of a pair of ours stands for its project.
fn name_of(pid: u32, command: &str) -> String {
    let mut words = command.split(' ').skip(1);
    match (words.next(), words.next()) {
        (Some("keeper" | "supervisor"), Some(project)) if command.starts_with("rcompose ") => {
            format!("project {project} of rcompose (process {pid})")
        }
        _ => format!("process {pid} ({command})"),
    }
}

fn command(process: &Path) -> String {
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line)
        .trim_end_matches('\0')
        .replace('\0', " ");
    let line = if line.is_empty() {
        fs::read_to_string(process.join("comm")).unwrap_or_default()
    } else {
        line
    };
    let mut text: String = line
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(COMMAND_CHARS_MAX)
        .collect();
    if text.chars().count() < line.trim().chars().count() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0\n\
             1: 0100007F:1F91 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0\n";
        let find = |text: &str, is_tcp| inode_in(table, text.parse().expect(text), is_tcp);
        assert_eq!(find("127.0.0.1:8080", true).as_deref(), Some("4711"));
        assert_eq!(find("0.0.0.0:8080", true).as_deref(), Some("4711"));
        assert_eq!(find("127.0.0.2:8080", true), None);
        assert_eq!(
            find("127.0.0.1:8081", true),
            None,
            "connected, not listening"
        );
        assert_eq!(find("127.0.0.1:8081", false).as_deref(), Some("4712"));
    }

    #[test]
    fn ipv6_addresses_are_read() {
        let address = socket_address("00000000000000000000000001000000:0050").expect("read");
        assert_eq!(address, "[::1]:80".parse().expect("address"));
        assert_eq!(socket_address("xyz:0050"), None);
        assert_eq!(socket_address(""), None);
    }

    #[test]
    fn a_listener_of_our_own_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let owner = of(listener.local_addr().expect("address"), true).expect("an owner");
        assert!(
            owner.starts_with(&format!("process {} (", std::process::id())),
            "{owner}"
        );
    }
}
