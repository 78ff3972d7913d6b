//! A machine of its own for a test: the test binary runs itself again inside
//! fresh mount, network and pid namespaces with a fake uplink.
//!
//! Everything that such a machine ran dies with it, so a scenario that fails,
//! hangs or is interrupted leaves nothing on the host but cgroup folders.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::patience::patient;

/// Set inside of the machine.
const INSIDE: &str = "RCOMPOSE_SCENARIO_INSIDE";
/// A scenario that takes longer than this hangs.
const LIMIT: Duration = Duration::from_secs(240);

/// Run by the machine's first process. It reaps what loses its parent, so it
/// stays a shell that waits.
///
/// `world` is what lies behind the uplink: 192.0.2.1, of which the machine
/// knows only the default route.
const BOOT: &str = r#"
set -e
mount -t tmpfs tmpfs /run
mkdir /run/cgroup
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --rbind /run/cgroup /sys/fs/cgroup
umount -l /run/cgroup
printf 'nameserver 192.0.2.1\n' >/run/resolv.conf
mount --bind /run/resolv.conf "$(readlink -f /etc/resolv.conf)"
ip link set lo up
ip netns add world
ip link add uplink0 type veth peer name world0 netns world
ip address add 192.0.2.2/24 dev uplink0
ip link set uplink0 up
ip route add default via 192.0.2.1
ip -n world link set lo up
ip -n world address add 192.0.2.1/24 dev world0
ip -n world link set world0 up
"$@" &
wait $!
"#;

/// Where a test stands.
pub(crate) enum Place {
    /// On the host; the machine has run, with this end.
    Outside,
    /// Inside of the machine: go on.
    Inside,
}

/// Runs the test `name` again inside of a machine, unless this is inside.
pub(crate) fn enter(name: &str) -> Place {
    enter_with(name, &[])
}

/// As [`enter`], for a test that needs further programs.
pub(crate) fn enter_with(name: &str, tools: &[&str]) -> Place {
    if env::var_os(INSIDE).is_some() {
        return Place::Inside;
    }
    if let Err(reason) = can_run(tools) {
        assert!(env::var_os("CI").is_none(), "{name} can't run: {reason}");
        // Past the capture of passing tests, so that it is read.
        writeln!(io::stderr(), "skipped: {name}: {reason}").unwrap();
        return Place::Outside;
    }
    let report = folder().join(format!("{}.out", file_name(name)));
    let status = run(name, &report);
    let text = fs::read_to_string(&report).unwrap_or_default();
    let _ = fs::remove_file(&report);
    match status {
        Some(status) => assert!(status.success(), "{name} failed\n{text}"),
        None => panic!("{name} took longer than {LIMIT:?}\n{text}"),
    }
    Place::Outside
}

/// The folder of a test, as one file name.
pub(crate) fn file_name(name: &str) -> String {
    name.replace("::", "-")
}

/// Where scenarios keep their files: a file system that may hold an overlay's
/// upper folder.
pub(crate) fn folder() -> PathBuf {
    let folder = env::var_os("RCOMPOSE_SCENARIO_FOLDER").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("scenario"),
        PathBuf::from,
    );
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn can_run(tools: &[&str]) -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("needs root".to_owned());
    }
    for tool in ["unshare", "ip", "nft", "busybox"].iter().chain(tools) {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {tool}")])
            .stdout(Stdio::null())
            .status();
        if !found.is_ok_and(|status| status.success()) {
            return Err(format!("needs {tool}"));
        }
    }
    let probe = Command::new("unshare")
        .args(["-mnp", "--fork", "true"])
        .output()
        .unwrap();
    if probe.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&probe.stderr).trim().to_owned())
    }
}

/// Runs the machine; None when it was cut off.
fn run(name: &str, report: &Path) -> Option<ExitStatus> {
    let output = fs::File::create(report).unwrap();
    let mut machine = Command::new("unshare")
        .args([
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        .args(["--propagation", "private", "--", "sh", "-c", BOOT, "sh"])
        .arg(env::current_exe().unwrap())
        .args([
            "--exact",
            name,
            "--include-ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(INSIDE, "1")
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let end = Instant::now() + patient(LIMIT);
    loop {
        if let Some(status) = machine.try_wait().unwrap() {
            return Some(status);
        }
        if Instant::now() > end {
            machine.kill().unwrap();
            machine.wait().unwrap();
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    }
}
