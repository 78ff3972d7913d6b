//! `top`: the processes of containers, from the kernel's table.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::cli::commands::values::check_services;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::output::table::{Layout, Table};
use crate::cli::{output, records};
use crate::model::{ContainerState, ObservedContainer};
use crate::sys::process_table::{self, ProcessRow, TICKS_PER_SECOND};
use crate::view::Moment;

const HEADINGS: [&str; 10] = [
    "SERVICE", "#", "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD",
];

/// Flags of `top`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Args {
    /// Prints them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let name = context.project_name()?;
        let known = context.declared_services()?;
        check_services(known.as_deref(), &self.services)?;
        let containers = records::containers(context.store()?, &name)?;
        let host = Host::look(context.moment())?;
        let mut table = Table::new(Layout::TOP, &HEADINGS);
        let mut is_empty = true;
        for container in &containers {
            let service = container.record.service_name().as_str();
            if !self.services.is_empty() && !self.services.iter().any(|name| name == service) {
                continue;
            }
            let number = container
                .record
                .number
                .map_or_else(|| "-".to_owned(), |number| number.to_string());
            for process in host.processes_of(container) {
                let mut row = vec![service.to_owned(), number.clone()];
                row.extend(host.cells(&process));
                table.row(row);
                is_empty = false;
            }
        }
        if !is_empty {
            output::print(&table.text())?;
        }
        Ok(Exit::SUCCESS)
    }
}

/// The processes of one container as a table, in docker's columns.
pub(crate) fn of_container(
    context: &Context,
    container: &ObservedContainer,
) -> anyhow::Result<String> {
    let host = Host::look(context.moment())?;
    let headings: Vec<&str> = HEADINGS.iter().skip(2).copied().collect();
    let mut table = Table::new(Layout::TOP, &headings);
    for process in host.processes_of(container) {
        table.row(host.cells(&process));
    }
    Ok(table.text())
}

/// The host's side of the table, read once.
struct Host {
    pids: Vec<i32>,
    namespaces: HashMap<i32, u64>,
    users: HashMap<u32, String>,
    booted: Timestamp,
    moment: Moment,
}

impl Host {
    fn look(moment: Moment) -> anyhow::Result<Self> {
        let pids = process_table::pids()?;
        let namespaces = pids
            .iter()
            .filter_map(|&pid| Some((pid, process_table::pid_namespace(pid).ok()?)))
            .collect();
        Ok(Self {
            pids,
            namespaces,
            users: users(&std::fs::read_to_string("/etc/passwd").unwrap_or_default()),
            booted: boot_time(&std::fs::read_to_string("/proc/stat")?),
            moment,
        })
    }

    /// The processes of a container's pid namespace, or of its control group
    /// where it shares the namespace.
    fn processes_of(&self, container: &ObservedContainer) -> Vec<ProcessRow> {
        let (ContainerState::Running { process, .. } | ContainerState::Paused { process, .. }) =
            &container.state
        else {
            return Vec::new();
        };
        let own = self.own_namespace();
        let theirs = self.namespaces.get(&process.pid).copied();
        let shares = theirs.is_none() || theirs == own;
        let group = shares
            .then(|| process_table::control_groups(process.pid).ok())
            .flatten();
        let belongs = |pid: &&i32| {
            if shares {
                **pid == process.pid
                    || group.is_some() && process_table::control_groups(**pid).ok() == group
            } else {
                self.namespaces.get(pid).copied() == theirs
            }
        };
        self.pids
            .iter()
            .filter(belongs)
            .filter_map(|&pid| process_table::process(pid))
            .collect()
    }

    fn own_namespace(&self) -> Option<u64> {
        let own = i32::try_from(std::process::id()).ok()?;
        self.namespaces.get(&own).copied()
    }

    /// The columns of `ps -ef`.
    fn cells(&self, process: &ProcessRow) -> Vec<String> {
        let started =
            self.booted + std::time::Duration::from_secs(process.start_ticks / TICKS_PER_SECOND);
        let age = self.moment.since(started).as_secs();
        let used = process.cpu_ticks / TICKS_PER_SECOND;
        let share = (used * 100).checked_div(age).unwrap_or(0).min(99);
        let user = self.users.get(&process.uid).cloned();
        vec![
            user.unwrap_or_else(|| process.uid.to_string()),
            process.pid.to_string(),
            process.parent.to_string(),
            share.to_string(),
            start_text(started, &self.moment),
            terminal_text(process.terminal),
            clock_text(used),
            process.command.clone(),
        ]
    }
}

/// Names by user id, out of a passwd file.
fn users(passwd: &str) -> HashMap<u32, String> {
    let mut users = HashMap::new();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(uid)) = (fields.next(), fields.nth(1))
            && let Ok(uid) = uid.parse()
        {
            users.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    users
}

/// `btime` of `/proc/stat`.
fn boot_time(stat: &str) -> Timestamp {
    stat.lines()
        .find_map(|line| line.strip_prefix("btime "))
        .and_then(|seconds| seconds.trim().parse().ok())
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The time of day of today's, the day of others.
fn start_text(started: Timestamp, moment: &Moment) -> String {
    let start = started.to_zoned(moment.zone.clone());
    let today = moment.now.to_zoned(moment.zone.clone()).date();
    let form = if start.date() == today {
        "%H:%M"
    } else if start.year() == today.year() {
        "%b%d"
    } else {
        "%Y"
    };
    start.strftime(form).to_string()
}

/// A terminal's name by its device number; `?` without one.
fn terminal_text(device: u64) -> String {
    const PTS_MAJORS: std::ops::RangeInclusive<u64> = 136..=143;
    let major = (device >> 8) & 0xfff;
    let minor = (device & 0xff) | ((device >> 12) & 0xfff00);
    match major {
        0 => "?".to_owned(),
        major if PTS_MAJORS.contains(&major) => {
            format!("pts/{}", minor + (major - PTS_MAJORS.start()) * 256)
        }
        4 => format!("tty{minor}"),
        major => format!("{major}:{minor}"),
    }
}

/// Seconds as `00:01:05`.
fn clock_text(seconds: u64) -> String {
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn texts_of_ps() {
        assert_eq!(clock_text(3665), "01:01:05");
        assert_eq!(terminal_text(0), "?");
        assert_eq!(terminal_text(34816), "pts/0");
        assert_eq!(terminal_text(34819), "pts/3");
        assert_eq!(terminal_text(1025), "tty1");
    }

    #[test]
    fn a_start_is_told_by_its_distance() {
        let moment = Moment {
            now: "2026-11-22T10:00:00Z".parse().unwrap(),
            zone: TimeZone::UTC,
        };
        let text = |time: &str| start_text(time.parse().unwrap(), &moment);
        assert_eq!(text("2026-11-22T09:05:00Z"), "09:05");
        assert_eq!(text("2026-11-21T09:05:00Z"), "Nov21");
        assert_eq!(text("2025-11-21T09:05:00Z"), "2025");
    }

    #[test]
    fn users_and_boot_time_are_found() {
        let users = users("root:x:0:0::/root:/bin/sh\ntoor:x:0:0\nada:x:1000:1000\nbad\n");
        assert_eq!(users.get(&0).map(String::as_str), Some("root"));
        assert_eq!(users.get(&1000).map(String::as_str), Some("ada"));
        let booted = boot_time("cpu 1\nbtime 1700000000\n");
        assert_eq!(booted.as_second(), 1_700_000_000);
    }
}
