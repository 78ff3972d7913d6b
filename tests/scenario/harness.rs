//! The harness's own test: it leaks one of each kind on purpose.

use std::collections::BTreeSet;
use std::fs;

use crate::support::{
    Check, Snapshot, exits, file, look, prints_exactly, processes, scenario, shell, shell_in_world,
    shell_says,
};

#[test]
fn a_machine_is_its_own() {
    scenario("a scenario sees a machine of its own", |s| {
        s.step(
            "it has an uplink and nothing else",
            shell("ip -o link | cut -d: -f2 | cut -d@ -f1 | tr -d '\\n'"),
            [exits(0), prints_exactly("lo uplink0")],
        );
        s.step(
            "it reaches the world",
            shell("busybox ping -c 1 -W 2 192.0.2.1"),
            [exits(0)],
        );
        s.step(
            "the world does not route back",
            shell_in_world("ip route"),
            [prints_exactly(
                "192.0.2.0/24 dev world0 proto kernel scope link src 192.0.2.1",
            )],
        );
        s.file("note", "hello");
        s.step(
            "files are written",
            shell("cat note"),
            [prints_exactly("hello"), file("note", "hello")],
        );
        s.step(
            "only its own processes are there",
            look(),
            [processes(&["systemd"], 0), processes(&["sh"], 1)],
        );
        s.step(
            "orphans are reaped",
            shell("sh -c 'sh -c \"sleep 0.01\" &'; sleep 0.1"),
            [exits(0)],
        );
    });
}

#[test]
fn one_leak_of_each_kind_is_found() {
    scenario("what is left behind is found", |s| {
        let root = s.root();
        fs::create_dir_all(root.join("state")).unwrap();
        fs::write(root.join("state/engine"), "{\"data\":{\"id\":\"leaker\"}}").unwrap();
        let before = Snapshot::take(&root);
        let kinds = [
            ("link", "ip link add leak0 type bridge", "ip link del leak0"),
            ("nft", "nft add table ip leak", "nft delete table ip leak"),
            ("mount", "mkdir -p m; mount -t tmpfs leak m", "umount m"),
            (
                "process",
                "sleep 60 >/dev/null 2>&1 & echo $! >pid",
                "kill $(cat pid)",
            ),
            (
                "setting",
                "echo 1 >/proc/sys/net/ipv4/ip_forward",
                "echo 0 >/proc/sys/net/ipv4/ip_forward",
            ),
            (
                "file",
                "mkdir -p ../root/run/projects/leak",
                "rmdir ../root/run/projects/leak",
            ),
            (
                "cgroup",
                "d=$(dirname $(find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs | head -n 1)); mkdir $d/rcompose-leaker; echo $d >d",
                "rmdir $(cat d)/rcompose-leaker",
            ),
        ];
        for (kind, leak, clean) in kinds {
            s.step(&format!("a {kind} is leaked"), shell(leak), [exits(0)]);
            let left = Snapshot::take(&root).difference(&before);
            let found: BTreeSet<&str> = left
                .iter()
                .filter_map(|line| line.split(' ').next())
                .collect();
            assert!(found.contains(kind), "{kind} is not in {left:?}");
            s.step(&format!("the {kind} is removed"), shell(clean), [exits(0)]);
            let left = Snapshot::settle(&before, &root);
            assert!(left.is_empty(), "{kind}: {left:?}");
        }
        fs::remove_file(root.join("state/engine")).unwrap();
    });
}

#[test]
fn a_failed_check_says_what_it_found() {
    scenario("a check says what it found", |s| {
        s.step(
            "a command speaks",
            shell("echo one; echo two >&2; exit 3"),
            [exits(3)],
        );
        let check: Check = prints_exactly("three");
        assert_eq!(check.judge(s), Err("one\n".to_owned()));
        assert_eq!(check.name, "prints exactly \"three\"");
        assert!(
            shell_says("echo a", "b")
                .judge(s)
                .unwrap_err()
                .contains("$ sh -euc echo a")
        );
        assert_eq!(exits(0).judge(s), Err("3".to_owned()));
    });
}
