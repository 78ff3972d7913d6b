//! Limits and devices of the file, as the control groups have them: each file
//! is looked at in the version of control groups that the machine has.

use crate::support::{Check, exits, inside, look, rcompose, says, scenario, shell, shell_says};

/// One of the files below `/sys/fs/cgroup` has the value.
fn held(service: &str, files: &[(&str, &str)]) -> Check {
    let tests: Vec<String> = files
        .iter()
        .map(|(file, value)| {
            format!(
                "[ \"$(cat /sys/fs/cgroup/{file} 2>/dev/null | grep -xF '{value}')\" = '{value}' ]"
            )
        })
        .collect();
    let script = format!("if {}; then echo held; fi", tests.join(" || "));
    inside(service, &script, "held")
}

/// As [`held`], for a file that version 2 of control groups doesn't have; or a
/// warning of `up` names the limit.
fn held_or_told(service: &str, file: &str, value: &str, limit: &str) -> Check {
    shell_says(
        &format!(
            "if grep -q '{limit}' err; then echo held; \
             else $RCOMPOSE exec -T {service} cat /sys/fs/cgroup/{file} | grep -qxF '{value}' && echo held; fi"
        ),
        "held",
    )
}

#[test]
fn groups_have_what_the_file_says() {
    scenario("every limit stands in the control group", |s| {
        s.busybox_project(
            "
services:
  one:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    cpu_shares: 512
    cpu_period: 50000
    cpu_quota: 25000
    cpu_rt_period: 500000
    cpu_rt_runtime: 0
    mem_limit: 64m
    mem_reservation: 32m
    memswap_limit: 96m
    mem_swappiness: 10
    oom_kill_disable: true
    pids_limit: 77
    cgroup_parent: rcompose-scenario-parent
  two:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    cgroup: private
    deploy:
      replicas: 2
      resources:
        limits: {cpus: '0.25', memory: 48M, pids: 33}
        reservations: {memory: 24M}
  three: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, cpus: 0.5, cpuset: '0'}
  four: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, cgroup: host, cgroup_parent: rcompose-scenario-parent}
",
        );
        s.step("up", shell("$RCOMPOSE up -d 2>err"), [exits(0)]);
        s.step(
            "processors",
            look(),
            [
                held("one", &[("cpu/cpu.shares", "512"), ("cpu.weight", "59")]),
                held(
                    "one",
                    &[
                        ("cpu/cpu.cfs_quota_us", "25000"),
                        ("cpu.max", "25000 50000"),
                    ],
                ),
                held(
                    "one",
                    &[
                        ("cpu/cpu.cfs_period_us", "50000"),
                        ("cpu.max", "25000 50000"),
                    ],
                ),
                held_or_told("one", "cpu/cpu.rt_period_us", "500000", "real-time period"),
                held_or_told("one", "cpu/cpu.rt_runtime_us", "0", "real-time limit"),
                held(
                    "two",
                    &[
                        ("cpu/cpu.cfs_quota_us", "25000"),
                        ("cpu.max", "25000 100000"),
                    ],
                ),
                held(
                    "three",
                    &[
                        ("cpu/cpu.cfs_quota_us", "50000"),
                        ("cpu.max", "50000 100000"),
                    ],
                ),
                held(
                    "three",
                    &[("cpuset/cpuset.cpus", "0"), ("cpuset.cpus", "0")],
                ),
            ],
        );
        s.step(
            "memory",
            look(),
            [
                held(
                    "one",
                    &[
                        ("memory/memory.limit_in_bytes", "67108864"),
                        ("memory.max", "67108864"),
                    ],
                ),
                held(
                    "one",
                    &[
                        ("memory/memory.soft_limit_in_bytes", "33554432"),
                        ("memory.low", "33554432"),
                    ],
                ),
                held_or_told("one", "memory/memory.swappiness", "10", "swappiness"),
                held_or_told(
                    "one",
                    "memory/memory.oom_control",
                    "oom_kill_disable 1",
                    "OOM killer",
                ),
                held(
                    "two",
                    &[
                        ("memory/memory.limit_in_bytes", "50331648"),
                        ("memory.max", "50331648"),
                    ],
                ),
                held(
                    "two",
                    &[
                        ("memory/memory.soft_limit_in_bytes", "25165824"),
                        ("memory.low", "25165824"),
                    ],
                ),
            ],
        );
        s.step(
            "memory and swap together, where the host counts swap",
            look(),
            [shell_says(
                "if grep -q 'swap limit' err; then echo held; else $RCOMPOSE exec -T one sh -c 'cat /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.swap.max' | grep -cxE '100663296|33554432' | sed s/1/held/; fi",
                "held",
            )],
        );
        s.step(
            "processes, replicas, and where the groups stand",
            look(),
            [
                held("one", &[("pids/pids.max", "77"), ("pids.max", "77")]),
                held("two", &[("pids/pids.max", "33"), ("pids.max", "33")]),
                shell_says("$RCOMPOSE ps -q two | wc -l", "2"),
                inside(
                    "four",
                    "grep -q rcompose-scenario-parent /proc/1/cgroup && echo below it",
                    "below it",
                ),
                inside("two", "grep -c rcompose /proc/1/cgroup || true", "0"),
            ],
        );
        s.step(
            "down takes the parent's groups away",
            rcompose("down -t 0"),
            [
                exits(0),
                shell_says(
                    "find /sys/fs/cgroup -path '*rcompose-scenario-parent*' | wc -l",
                    "0",
                ),
            ],
        );
    });
}

#[test]
fn devices_are_passed_and_limited() {
    scenario("devices, their rights, and limits of block devices", |s| {
        s.load_busybox();
        s.step(
            "a disk of the machine by a name of the project's",
            shell("disk=$(ls -d /sys/block/*/dev | head -n 1); test -n \"$disk\"; mknod disk b $(tr : ' ' <$disk); tr -d '\\n' <$disk >number"),
            [exits(0)],
        );
        s.compose(
            "
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    cap_add: [SYSLOG]
    devices: ['/dev/kmsg:/dev/notes:w']
    device_cgroup_rules: ['c 10:200 rwm']
  other: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL}
  slow:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    blkio_config:
      weight: 300
      weight_device: [{path: '${PWD}/disk', weight: 400}]
      device_read_bps: [{path: '${PWD}/disk', rate: 1mb}]
      device_write_bps: [{path: '${PWD}/disk', rate: 2mb}]
      device_read_iops: [{path: '${PWD}/disk', rate: 300}]
      device_write_iops: [{path: '${PWD}/disk', rate: 400}]
",
        );
        s.step("up", shell("export PWD; $RCOMPOSE up -d 2>err"), [exits(0)]);
        let limit = |old: &str, rate: &str, new: &str| {
            shell_says(
                &format!(
                    "export PWD; number=$(cat number); $RCOMPOSE exec -T slow sh -c 'cat /sys/fs/cgroup/blkio/blkio.throttle.{old}_device 2>/dev/null || cat /sys/fs/cgroup/io.max' | grep \"^$number \" | grep -cE ' {rate}$|{new}={rate}\\b'"
                ),
                "1",
            )
        };
        s.step(
            "block devices",
            look(),
            [
                limit("read_bps", "1048576", "rbps"),
                limit("write_bps", "2097152", "wbps"),
                limit("read_iops", "300", "riops"),
                limit("write_iops", "400", "wiops"),
            ],
        );
        s.step(
            "weights, or word that this host has none",
            shell(
                "export PWD; weight() { $RCOMPOSE exec -T slow sh -c 'cat /sys/fs/cgroup/blkio/blkio.weight /sys/fs/cgroup/blkio/blkio.bfq.weight /sys/fs/cgroup/io.weight /sys/fs/cgroup/io.bfq.weight 2>/dev/null'; }
                 grep 'block I/O weight:' err || weight | grep -E '^(default )?(300|2930)$'
                 grep 'block I/O weight of a device' err || $RCOMPOSE exec -T slow sh -c 'cat /sys/fs/cgroup/blkio/*weight_device /sys/fs/cgroup/io.*weight 2>/dev/null' | grep \"^$(cat number) \"",
            ),
            [exits(0)],
        );
        s.step(
            "devices",
            look(),
            [
                inside("web", "(: >>/dev/notes) && echo writes; (: </dev/notes) 2>/dev/null || echo reads not", "writes\nreads not"),
                inside("web", "mknod /tun c 10 200; (: </tun) 2>&1 | grep -c 'not permitted' || true", "0"),
                inside("other", "mknod /tun c 10 200; (: </tun) 2>&1 | grep -c 'not permitted' || true", "1"),
                inside("other", "ls /dev/notes 2>/dev/null || echo absent", "absent"),
            ],
        );
        s.compose("services: {web: {image: 'busybox:local', devices: ['vendor.example/gpu=all']}}");
        s.step(
            "a device of CDI is refused by name",
            rcompose("up -d --remove-orphans -t 0"),
            [crate::support::fails(), says("vendor.example/gpu=all")],
        );
    });
}
