//! What the machine holds, before and after: links, rules, mounts, cgroups,
//! processes, settings and the run folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::patience::patient;

/// How long the kernel may take to remove links after the end. It takes a
/// moment; a crowded machine's kernel has its own queue.
const LINKS_LIMIT: Duration = Duration::from_secs(30);

/// Everything that could be left, one line each.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// Looks at the machine and at an engine's root.
    pub(crate) fn take(root: &Path) -> Self {
        let mut found = BTreeSet::new();
        links(&mut found);
        rules(&mut found);
        mounts(&mut found);
        processes(&mut found);
        settings(&mut found);
        cgroups(root, &mut found);
        files(root, &mut found);
        Self(found)
    }

    /// What is there that was not there before, or the other way round.
    pub(crate) fn difference(&self, before: &Self) -> Vec<String> {
        let gone = before
            .0
            .difference(&self.0)
            .map(|line| format!("missing {line}"));
        self.0.difference(&before.0).cloned().chain(gone).collect()
    }

    /// The difference once nothing more goes away by itself.
    pub(crate) fn settle(before: &Self, root: &Path) -> Vec<String> {
        let end = Instant::now() + patient(LINKS_LIMIT);
        loop {
            let left = Self::take(root).difference(before);
            if left.is_empty() || Instant::now() > end {
                return left;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn links(found: &mut BTreeSet<String>) {
    for line in output_of("ip", &["-o", "link", "show"]).lines() {
        let name = line.split_whitespace().nth(1).unwrap_or_default();
        found.insert(format!("link {}", name.trim_end_matches(':')));
    }
}

fn rules(found: &mut BTreeSet<String>) {
    for line in output_of("nft", &["list", "tables"]).lines() {
        found.insert(format!("nft {line}"));
    }
}

fn mounts(found: &mut BTreeSet<String>) {
    for line in fs::read_to_string("/proc/self/mountinfo").unwrap().lines() {
        let mut fields = line.split(' ').skip(3);
        let (root, place) = (
            fields.next().unwrap_or_default(),
            fields.next().unwrap_or_default(),
        );
        found.insert(format!("mount {place} ({root})"));
    }
}

/// Processes of the machine but for this one's own children and the shell.
fn processes(found: &mut BTreeSet<String>) {
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if pid == 1 || pid == std::process::id() {
            continue;
        }
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        let status = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let status: String = status.chars().skip_while(|c| *c != '(').take(24).collect();
        found.insert(format!("process {pid} {} {status}", arguments.trim()));
    }
}

fn settings(found: &mut BTreeSet<String>) {
    for setting in [
        "ip_forward",
        "conf/all/forwarding",
        "conf/uplink0/forwarding",
        "conf/uplink0/route_localnet",
    ] {
        let value = fs::read_to_string(format!("/proc/sys/net/ipv4/{setting}")).unwrap_or_default();
        found.insert(format!("setting net.ipv4.{setting} = {}", value.trim()));
    }
}

/// Folders in any hierarchy that carry the engine's id, and those below them.
fn cgroups(root: &Path, found: &mut BTreeSet<String>) {
    let record = fs::read_to_string(root.join("state/engine")).unwrap_or_default();
    let Some(id) = engine_id(&record) else { return };
    let mut folders = vec![(Path::new("/sys/fs/cgroup").to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.path().to_string_lossy().contains(&id) {
                found.insert(format!("cgroup {}", entry.path().display()));
            }
            if depth < 5 {
                folders.push((entry.path(), depth + 1));
            }
        }
    }
}

/// The six characters of the engine's id in its record.
fn engine_id(record: &str) -> Option<String> {
    let value = &record[record.find("\"id\"")? + 4..];
    value.split('"').nth(1).map(str::to_owned)
}

/// Sockets, locks and records of projects; what the user keeps and the stores'
/// own locks are not counted.
fn files(root: &Path, found: &mut BTreeSet<String>) {
    for folder in [
        "run/projects",
        "state/projects",
        "state/names",
        "state/networks",
        "state/ingest",
        "state/volumes",
    ] {
        for entry in fs::read_dir(root.join(folder))
            .into_iter()
            .flatten()
            .flatten()
        {
            if !entry.file_name().as_encoded_bytes().starts_with(b".") {
                found.insert(format!("file {folder}/{}", entry.file_name().display()));
            }
        }
    }
}
