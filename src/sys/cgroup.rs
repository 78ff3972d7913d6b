//! Control groups, both versions, as files.
//!
//! Knows where the hierarchies are mounted and how a group's files are read
//! and written; which limits there are is the runtime's business.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::sys;

/// One mounted v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its controllers, or `name=…` for a named one without any.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
}

/// The hierarchies of this host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hierarchies {
    /// Version 1, in the order of their mounts.
    pub v1: Vec<Hierarchy>,
    /// Version 2, alone or beside version 1.
    pub v2: Option<PathBuf>,
}

impl Hierarchies {
    /// Those that this process sees, read at the first call.
    pub fn get() -> io::Result<&'static Self> {
        static FOUND: OnceLock<Hierarchies> = OnceLock::new();
        if let Some(found) = FOUND.get() {
            return Ok(found);
        }
        let mountinfo = fs::read_to_string("/proc/self/mountinfo")?;
        let mut found = Self::parse(&mountinfo);
        if !sys::features::Features::get().cgroup2 {
            found.v2 = None;
        }
        Ok(FOUND.get_or_init(|| found))
    }

    /// Those of a mount table in the form of `/proc/self/mountinfo`.
    #[must_use]
    pub fn parse(mountinfo: &str) -> Self {
        let mut found = Self::default();
        for line in mountinfo.lines() {
            let Some((mount, after)) = line.split_once(" - ") else {
                continue;
            };
            let mut after = after.split(' ');
            let (kind, options) = (after.next(), after.nth(1));
            let Some(point) = mount.split(' ').nth(4) else {
                continue;
            };
            let point = PathBuf::from(unescape(point));
            match (kind, options) {
                (Some("cgroup"), Some(options)) => found.add_v1(point, options),
                (Some("cgroup2"), _) if found.v2.is_none() => found.v2 = Some(point),
                _ => {}
            }
        }
        found
    }

    fn add_v1(&mut self, mount: PathBuf, options: &str) {
        let controllers: Vec<String> = options
            .split(',')
            .filter(|option| option.starts_with("name=") || V1_CONTROLLERS.contains(option))
            .map(str::to_owned)
            .collect();
        let known = self.v1.iter().any(|known| known.controllers == controllers);
        if !controllers.is_empty() && !known {
            self.v1.push(Hierarchy { controllers, mount });
        }
    }

    /// The v1 hierarchies in which the calling process is below the root, in
    /// a group that somebody made. All where it can't be known.
    #[must_use]
    pub fn v1_below_root(&self) -> Vec<&Hierarchy> {
        match fs::read_to_string("/proc/self/cgroup") {
            Ok(groups) => self.v1_below_root_in(&groups),
            Err(_) => self.v1.iter().collect(),
        }
    }

    /// The same for groups in the form of `/proc/self/cgroup` (cgroups(7)).
    fn v1_below_root_in(&self, groups: &str) -> Vec<&Hierarchy> {
        let at_root: Vec<Vec<&str>> = groups
            .lines()
            .filter_map(|line| line.split_once(':')?.1.split_once(':'))
            .filter(|(_, path)| *path == "/")
            .map(|(controllers, _)| controllers.split(',').collect())
            .collect();
        let below = |hierarchy: &&Hierarchy| !at_root.iter().any(|at| *at == hierarchy.controllers);
        self.v1.iter().filter(below).collect()
    }

    /// The folder of a group in the v1 hierarchy of a controller.
    #[must_use]
    pub fn v1_group(&self, controller: &str, path: &str) -> Option<PathBuf> {
        let hierarchy = self
            .v1
            .iter()
            .find(|known| known.controllers.iter().any(|name| name == controller))?;
        Some(hierarchy.mount.join(path))
    }

    /// The folder of a group in the v2 hierarchy.
    #[must_use]
    pub fn v2_group(&self, path: &str) -> Option<PathBuf> {
        Some(self.v2.as_ref()?.join(path))
    }

    /// Whether v2 is the only version.
    #[must_use]
    pub fn is_unified(&self) -> bool {
        self.v1.is_empty() && self.v2.is_some()
    }
}

const V1_CONTROLLERS: [&str; 14] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "debug",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
];

/// Undoes the octal escapes of a mount table.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

/// Opens a group's folder, to clone into it. None when there is none.
pub fn open(folder: &Path) -> io::Result<Option<OwnedFd>> {
    match sys::fs::folder(folder) {
        Ok(fd) => Ok(Some(fd)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Moves the calling, single-threaded process into a v1 group. Writing `0` to
/// `tasks` costs microseconds where a pid in `cgroup.procs` waits for RCU.
pub fn join_v1(folder: &Path) -> io::Result<()> {
    write(folder, "tasks", "0")
}

/// Writes a value into one of a group's files.
pub fn write(folder: &Path, file: &str, value: &str) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).open(folder.join(file))?;
    sys::fs::write_value(std::os::fd::AsFd::as_fd(&file), value.as_bytes())
}

/// Reads one of a group's files.
pub fn read(folder: &Path, file: &str) -> io::Result<String> {
    fs::read_to_string(folder.join(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
24 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 24 0:26 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
34 30 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
35 30 0:28 / /mnt/again\\040here rw,relatime - cgroup cgroup rw,memory
";

    #[test]
    fn hybrid_hosts_have_both() {
        let found = Hierarchies::parse(HYBRID);
        assert_eq!(found.v1.len(), 3);
        assert_eq!(
            found.v1_group("cpuacct", "a/b").unwrap(),
            Path::new("/sys/fs/cgroup/cpu,cpuacct/a/b")
        );
        assert_eq!(
            found.v1_group("name=systemd", "a").unwrap(),
            Path::new("/sys/fs/cgroup/systemd/a")
        );
        assert_eq!(found.v1_group("pids", "a"), None);
        assert_eq!(
            found.v2_group("a").unwrap(),
            Path::new("/sys/fs/cgroup/unified/a")
        );
        assert!(!found.is_unified());
    }

    #[test]
    fn groups_below_the_root_are_somebodys() {
        let found = Hierarchies::parse(HYBRID);
        let groups = "3:cpu,cpuacct:/\n2:memory:/jobs:1/x\n1:name=systemd:/\n0::/\n";
        let below = found.v1_below_root_in(groups);
        let mounts: Vec<_> = below.iter().map(|known| &known.mount).collect();
        assert_eq!(mounts, [Path::new("/sys/fs/cgroup/memory")]);
        assert_eq!(found.v1_below_root_in("").len(), 3, "nothing is known");
    }

    #[test]
    fn unified_hosts_have_one() {
        let line = "34 30 0:30 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        let found = Hierarchies::parse(line);
        assert!(found.is_unified());
        assert_eq!(found.v2.as_deref(), Some(Path::new("/sys/fs/cgroup")));
    }

    #[test]
    fn a_host_without_any_is_fine() {
        assert_eq!(Hierarchies::parse(""), Hierarchies::default());
        assert_eq!(Hierarchies::parse("garbage - \n"), Hierarchies::default());
    }
}
