//! What a running container uses, read from its control group and `/proc`.
//!
//! A value that this kernel or this hierarchy doesn't keep is zero.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sys::cgroup::{self, Hierarchies};

/// What a container uses, counted since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// CPU time.
    pub cpu: Duration,
    /// Memory that can't be given back at once.
    pub memory_bytes: u64,
    /// Its limit; None when there is none.
    pub memory_limit_bytes: Option<u64>,
    /// Bytes that came in.
    pub received_bytes: u64,
    /// Bytes that went out.
    pub sent_bytes: u64,
    /// Bytes read from block devices.
    pub read_bytes: u64,
    /// Bytes written to block devices.
    pub written_bytes: u64,
    /// Processes and threads.
    pub processes: u64,
}

/// Memory limits from here on are "none" (v1 has a number where v2 has `max`).
const NO_LIMIT: u64 = 1 << 60;

/// What the container of a first process uses.
///
/// # Errors
/// When the process has gone, or the mount table can't be read.
pub fn of_container(pid: i32) -> io::Result<Usage> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let folders = Folders::find(Hierarchies::get()?, &groups);
    let network = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let (received_bytes, sent_bytes) = network_bytes(&network);
    let mut usage = folders.usage();
    usage.received_bytes = received_bytes;
    usage.sent_bytes = sent_bytes;
    Ok(usage)
}

/// Bytes of memory of this machine.
///
/// # Errors
/// When `/proc/meminfo` can't be read.
pub fn memory_total_bytes() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    Ok(keyed(&text, "MemTotal:").unwrap_or(0) * 1024)
}

/// A process's groups as folders.
#[derive(Debug, Default)]
struct Folders {
    unified: Option<PathBuf>,
    v1: HashMap<String, PathBuf>,
}

impl Folders {
    /// Finds them by `/proc/PID/cgroup`.
    fn find(hierarchies: &Hierarchies, groups: &str) -> Self {
        let mut folders = Self::default();
        for line in groups.lines() {
            let mut fields = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let path = path.trim_start_matches('/');
            if controllers.is_empty() {
                folders.unified = hierarchies.v2_group(path);
            }
            for controller in controllers.split(',').filter(|name| !name.is_empty()) {
                if let Some(folder) = hierarchies.v1_group(controller, path) {
                    folders.v1.insert(controller.to_owned(), folder);
                }
            }
        }
        folders
    }

    fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        if let Some(folder) = &self.unified {
            unified(folder, &mut usage);
        }
        if let Some(folder) = self.v1.get("cpuacct") {
            usage.cpu = Duration::from_nanos(number(folder, "cpuacct.usage"));
        }
        if let Some(folder) = self.v1.get("memory") {
            let stat = text(folder, "memory.stat");
            let cache = keyed(&stat, "total_inactive_file").unwrap_or(0);
            usage.memory_bytes = number(folder, "memory.usage_in_bytes").saturating_sub(cache);
            usage.memory_limit_bytes = limit(&text(folder, "memory.limit_in_bytes"));
        }
        if let Some(folder) = self.v1.get("pids") {
            usage.processes = number(folder, "pids.current");
        }
        if let Some(folder) = self.v1.get("blkio") {
            let stat = text(folder, "blkio.throttle.io_service_bytes");
            (usage.read_bytes, usage.written_bytes) = device_bytes_v1(&stat);
        }
        usage
    }
}

fn unified(folder: &Path, usage: &mut Usage) {
    let cpu = keyed(&text(folder, "cpu.stat"), "usage_usec").unwrap_or(0);
    usage.cpu = Duration::from_micros(cpu);
    let stat = text(folder, "memory.stat");
    let cache = keyed(&stat, "inactive_file").unwrap_or(0);
    usage.memory_bytes = number(folder, "memory.current").saturating_sub(cache);
    usage.memory_limit_bytes = limit(&text(folder, "memory.max"));
    usage.processes = number(folder, "pids.current");
    (usage.read_bytes, usage.written_bytes) = device_bytes_v2(&text(folder, "io.stat"));
}

fn text(folder: &Path, file: &str) -> String {
    cgroup::read(folder, file).unwrap_or_default()
}

fn number(folder: &Path, file: &str) -> u64 {
    text(folder, file).trim().parse().unwrap_or(0)
}

fn limit(text: &str) -> Option<u64> {
    text.trim()
        .parse()
        .ok()
        .filter(|&bytes: &u64| bytes < NO_LIMIT)
}

/// The number behind a key at a line's start.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next()? == key).then(|| words.next()?.parse().ok())?
    })
}

/// `8:0 Read 4096` lines; Docker counts reads and writes of all devices.
fn device_bytes_v1(text: &str) -> (u64, u64) {
    let sum = |kind: &str| {
        text.lines()
            .filter_map(|line| {
                let mut words = line.split_ascii_whitespace().skip(1);
                (words.next()? == kind).then(|| words.next()?.parse::<u64>().ok())?
            })
            .sum()
    };
    (sum("Read"), sum("Write"))
}

/// `8:0 rbytes=1 wbytes=2 …` lines.
fn device_bytes_v2(text: &str) -> (u64, u64) {
    let sum = |key: &str| {
        text.split_ascii_whitespace()
            .filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok())
            .sum()
    };
    (sum("rbytes="), sum("wbytes="))
}

/// Bytes in and out of all interfaces but the loopback.
fn network_bytes(text: &str) -> (u64, u64) {
    let mut total = (0, 0);
    for line in text.lines() {
        let Some((name, numbers)) = line.split_once(':') else {
            continue;
        };
        if name.trim() == "lo" {
            continue;
        }
        let numbers: Vec<u64> = numbers
            .split_ascii_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect();
        total.0 += numbers.first().copied().unwrap_or(0);
        total.1 += numbers.get(8).copied().unwrap_or(0);
    }
    total
}

/// What a folder's files take on the disk, in bytes; a file with many names
/// counts once, links and other file systems are not followed. What can't be
/// read counts as nothing: it may be going away.
#[must_use]
pub fn folder_bytes(folder: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(top) = std::fs::symlink_metadata(folder) else {
        return 0;
    };
    let mut bytes = 0;
    let mut counted = std::collections::HashSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.dev() != top.dev() {
                continue;
            }
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.nlink() == 1 || counted.insert(metadata.ino()) {
                // In units of 512 bytes, whatever the file system's block is.
                bytes += metadata.blocks() * 512;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_both_versions_are_read() {
        assert_eq!(
            device_bytes_v1("8:0 Read 10\n8:0 Write 20\n8:16 Read 5\nTotal 35\n"),
            (15, 20)
        );
        assert_eq!(
            device_bytes_v2("8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=5 wbytes=0\n"),
            (15, 20)
        );
        assert_eq!(limit("max\n"), None);
        assert_eq!(limit("9223372036854771712\n"), None);
        assert_eq!(limit("1048576\n"), Some(1_048_576));
        assert_eq!(
            keyed("anon 1\ninactive_file 42\n", "inactive_file"),
            Some(42)
        );
    }

    #[test]
    fn the_loopback_does_not_count() {
        let table = "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes\n\
            \x20   lo: 99 1 0 0 0 0 0 0 99 1 0 0 0 0 0 0\n\
            \x20 eth0: 1500 3 0 0 0 0 0 0 700 2 0 0 0 0 0 0\n";
        assert_eq!(network_bytes(table), (1500, 700));
    }

    #[test]
    fn a_two_version_host_takes_each_value_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (new, old) = (dir.path().join("new"), dir.path().join("old"));
        for (folder, file, value) in [
            (&new, "cpu.stat", "usage_usec 5\n"),
            (&old, "cpuacct.usage", "7000000\n"),
            (&old, "memory.usage_in_bytes", "100\n"),
            (&old, "memory.stat", "total_inactive_file 30\n"),
        ] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join(file), value).unwrap();
        }
        let folders = Folders {
            unified: Some(new),
            v1: ["cpuacct", "memory"]
                .map(|name| (name.to_owned(), old.clone()))
                .into(),
        };
        let usage = folders.usage();
        assert_eq!(usage.cpu, Duration::from_millis(7));
        assert_eq!((usage.memory_bytes, usage.memory_limit_bytes), (70, None));
    }

    #[test]
    fn we_use_something() {
        let own = i32::try_from(std::process::id()).unwrap();
        of_container(own).unwrap();
        assert!(memory_total_bytes().unwrap() > 0);
    }

    #[test]
    fn a_folder_is_measured_with_every_file_once() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(folder_bytes(&dir.path().join("missing")), 0);
        assert_eq!(folder_bytes(dir.path()), 0);
        let below = dir.path().join("below");
        std::fs::create_dir(&below).unwrap();
        std::fs::write(below.join("a"), vec![1; 10_000]).unwrap();
        let once = folder_bytes(dir.path());
        assert!(once >= 10_000 - 512, "{once}");
        std::fs::hard_link(below.join("a"), dir.path().join("b")).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("c")).unwrap();
        assert!(folder_bytes(dir.path()) < once * 2);
    }
}
