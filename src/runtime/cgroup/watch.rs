//! What a group's counters say.

use std::time::Duration;

use crate::runtime::cgroup::Usage;
use crate::sys::cgroup::{self as files, Hierarchies};

/// Whether the out-of-memory killer ended a process of the group since it was
/// prepared.
#[must_use]
pub fn oom_killed(path: &str) -> bool {
    let Ok(hosts) = Hierarchies::get() else {
        return false;
    };
    let (folder, file) = match hosts.v1_group("memory", path) {
        Some(folder) => (Some(folder), "memory.oom_control"),
        None => (hosts.v2_group(path), "memory.events"),
    };
    folder
        .and_then(|folder| files::read(&folder, file).ok())
        .and_then(|text| field(&text, "oom_kill"))
        .is_some_and(|count| count > 0)
}

/// What the group uses.
#[must_use]
pub fn usage(path: &str) -> Usage {
    let Ok(hosts) = Hierarchies::get() else {
        return Usage::default();
    };
    let read = |controller: &str, v1: &str, v2: &str| {
        let (folder, file) = match hosts.v1_group(controller, path) {
            Some(folder) => (folder, v1),
            None => (hosts.v2_group(path)?, v2),
        };
        files::read(&folder, file).ok()
    };
    let number = |text: String| text.trim().parse::<u64>().ok();
    let cpu_time = match hosts.v1_group("cpuacct", path) {
        Some(folder) => files::read(&folder, "cpuacct.usage")
            .ok()
            .and_then(number)
            .map(Duration::from_nanos),
        None => read("cpu", "", "cpu.stat")
            .and_then(|text| field(&text, "usage_usec"))
            .map(Duration::from_micros),
    };
    Usage {
        cpu_time,
        memory_bytes: read("memory", "memory.usage_in_bytes", "memory.current").and_then(number),
        memory_bytes_max: read("memory", "memory.limit_in_bytes", "memory.max").and_then(number),
        pids: read("pids", "pids.current", "pids.current").and_then(number),
    }
}

/// The number of a line like `oom_kill 2`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let events = "oom 3\noom_kill 2\noom_group_kill 0\n";
        assert_eq!(field(events, "oom_kill"), Some(2));
        assert_eq!(field(events, "oom"), Some(3));
        assert_eq!(field(events, "max"), None);
        assert_eq!(field("oom_kill many", "oom_kill"), None);
    }
}
