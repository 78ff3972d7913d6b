//! The host's name servers, as its `resolv.conf` says at the moment.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::topology::resolver::{PORT, ResolvConf};

/// The name servers in a `resolv.conf`, read again when the file is another
/// one: a VPN that comes up changes it under running containers.
#[derive(Debug)]
pub struct HostServers {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    version: Option<Version>,
    servers: Vec<SocketAddr>,
}

/// What changes when a file does.
type Version = (u64, u64, i64, i64, u64);

impl HostServers {
    /// The servers in the file at `path`, `/etc/resolv.conf` as a rule.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            known: Mutex::default(),
        }
    }

    /// The servers as of now; the local one where the file names none
    /// (resolv.conf(5)).
    #[must_use]
    pub fn current(&self) -> Vec<SocketAddr> {
        let version = fs::metadata(&self.path).ok().map(|file| {
            let time = (file.mtime(), file.mtime_nsec());
            (file.dev(), file.ino(), time.0, time.1, file.size())
        });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.servers.is_empty() || known.version != version {
            let text = fs::read_to_string(&self.path).unwrap_or_default();
            let mut servers = ResolvConf::parse(&text).servers;
            if servers.is_empty() {
                servers.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
            }
            known.servers = servers
                .into_iter()
                .map(|address| SocketAddr::new(address, PORT))
                .collect();
            known.version = version;
        }
        known.servers.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_again() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("resolv.conf");
        let servers = HostServers::new(&path);
        let texts =
            || -> Vec<String> { servers.current().iter().map(ToString::to_string).collect() };
        assert_eq!(texts(), ["127.0.0.1:53"]);
        fs::write(&path, "nameserver 10.0.0.2\nnameserver fd00::2\n").expect("write");
        assert_eq!(texts(), ["10.0.0.2:53", "[fd00::2]:53"]);
        let next = folder.path().join("next");
        fs::write(&next, "nameserver 10.0.0.3\nnameserver fd00::3\n").expect("write");
        fs::rename(&next, &path).expect("rename");
        assert_eq!(texts(), ["10.0.0.3:53", "[fd00::3]:53"]);
    }
}
