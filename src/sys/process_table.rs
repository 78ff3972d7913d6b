//! The kernel's process table, read from `/proc`.
//!
//! Processes come and go while it is read; one that has gone is left out.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

/// One process, as `ps -ef` would show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRow {
    /// Process id.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Effective user id.
    pub uid: u32,
    /// Device number of its terminal; 0 when it has none.
    pub terminal: u64,
    /// CPU time used, in clock ticks.
    pub cpu_ticks: u64,
    /// Start in clock ticks since boot.
    pub start_ticks: u64,
    /// Program and arguments; the name in brackets when it has none.
    pub command: String,
}

/// Clock ticks a second; the kernel's answer to user space is always this.
pub const TICKS_PER_SECOND: u64 = 100;

/// The pid namespace of a process, by the kernel's number for it.
///
/// # Errors
/// When the process has gone or may not be looked at.
pub fn pid_namespace(pid: i32) -> io::Result<u64> {
    Ok(fs::metadata(format!("/proc/{pid}/ns/pid"))?.ino())
}

/// The control groups of a process: one `hierarchy:controllers:path` line each.
///
/// # Errors
/// When the process has gone.
pub fn control_groups(pid: i32) -> io::Result<String> {
    fs::read_to_string(format!("/proc/{pid}/cgroup"))
}

/// All process ids.
///
/// # Errors
/// When `/proc` can't be listed.
pub fn pids() -> io::Result<Vec<i32>> {
    let mut pids: Vec<i32> = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    Ok(pids)
}

/// One process; None when it has gone.
#[must_use]
pub fn process(pid: i32) -> Option<ProcessRow> {
    let folder = format!("/proc/{pid}");
    let uid = fs::metadata(&folder).ok()?.uid();
    // A process may give itself a name that is no text, and must not hide by it.
    let stat = fs::read(format!("{folder}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let arguments = fs::read(format!("{folder}/cmdline")).ok()?;
    parse(pid, uid, &stat, &arguments)
}

/// Reads `stat` (proc(5)); its second field is a name that may hold anything.
fn parse(pid: i32, uid: u32, stat: &str, arguments: &[u8]) -> Option<ProcessRow> {
    let (front, back) = stat.rsplit_once(')')?;
    let (_, name) = front.split_once('(')?;
    let fields: Vec<&str> = back.split_ascii_whitespace().collect();
    // Field 3 of the manual page is the first behind the name.
    let field = |number: usize| fields.get(number - 3).copied();
    let words: Vec<String> = arguments
        .split(|&byte| byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    Some(ProcessRow {
        pid,
        parent: field(4)?.parse().ok()?,
        uid,
        terminal: u64::from(field(7)?.parse::<i32>().ok()?.cast_unsigned()),
        cpu_ticks: field(14)?.parse::<u64>().ok()? + field(15)?.parse::<u64>().ok()?,
        start_ticks: field(22)?.parse().ok()?,
        command: if words.is_empty() {
            format!("[{name}]")
        } else {
            words.join(" ")
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "42 (a) b (c) S 1 42 42 34816 42 4194560 100 0 0 0 7 3 0 0 20 0 1 0 5000 1 1";

    #[test]
    fn a_name_may_hold_brackets() {
        let row = parse(42, 0, STAT, b"sleep\0 100\0").unwrap();
        assert_eq!((row.parent, row.cpu_ticks, row.start_ticks), (1, 10, 5000));
        assert_eq!(row.terminal, 34816);
        assert_eq!(row.command, "sleep  100");
        assert_eq!(parse(42, 0, STAT, b"").unwrap().command, "[a) b (c]");
        assert_eq!(parse(42, 0, "42 (x", b""), None);
    }

    #[test]
    fn we_are_among_them() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(pids().unwrap().contains(&own));
        let row = process(own).unwrap();
        assert_eq!(row.pid, own);
        assert!(pid_namespace(own).is_ok() && control_groups(own).is_ok());
    }
}
