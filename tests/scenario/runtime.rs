//! What a container's process finds.

use crate::support::{
    eventually, exits, inside, look, prints, prints_exactly, rcompose, says, scenario, shell,
    shell_says,
};

#[test]
fn the_defaults_are_dockers() {
    scenario("a container looks as it does with docker", |s| {
        s.up("services:\n  web:\n    image: busybox:local\n    command: [sleep, '1000']\n    stop_signal: SIGKILL\n");
        s.step(
            "namespaces",
            look(),
            [
                inside("web", "tr '\\0' ' ' </proc/1/cmdline", "sleep 1000"),
                inside("web", "readlink /proc/self/ns/net | grep -c net:", "1"),
                inside("web", "hostname | wc -c", "13"),
                inside("web", "grep -c $(hostname) /etc/hosts", "1"),
                inside("web", "sed -n 1p /etc/resolv.conf", "nameserver 127.0.0.11"),
            ],
        );
        s.step(
            "privileges",
            look(),
            [
                inside(
                    "web",
                    "grep CapEff /proc/1/status | cut -f2",
                    "00000000a80425fb",
                ),
                inside(
                    "web",
                    "grep CapBnd /proc/1/status | cut -f2",
                    "00000000a80425fb",
                ),
                inside(
                    "web",
                    "grep CapInh /proc/1/status | cut -f2",
                    "0000000000000000",
                ),
                inside("web", "grep Seccomp: /proc/1/status | cut -f2", "2"),
                inside("web", "grep NoNewPrivs /proc/1/status | cut -f2", "0"),
                inside(
                    "web",
                    "unshare -U true 2>/dev/null || echo refused",
                    "refused",
                ),
                inside(
                    "web",
                    "mount -t tmpfs t /tmp 2>/dev/null || echo refused",
                    "refused",
                ),
            ],
        );
        s.step(
            "files",
            look(),
            [
                inside("web", "cat /proc/keys | wc -c; ls /proc/acpi 2>/dev/null | wc -l", "0\n0"),
                inside("web", "echo 1 2>/dev/null >/proc/sys/kernel/hostname || echo read-only", "read-only"),
                inside("web", "touch /sys/x 2>/dev/null || echo read-only", "read-only"),
                inside("web", "for d in null zero full random urandom tty; do test -c /dev/$d || echo no $d; done; echo all", "all"),
                inside("web", "df -k /dev/shm | awk 'NR==2 {print $2}'", "65536"),
                inside("web", "stat -c %a /dev/shm /tmp", "1777\n1777"),
                inside("web", "ls -d /dev/mqueue /dev/pts /dev/fd /dev/stdout | wc -l", "4"),
                inside("web", "umask", "0022"),
                inside("web", "grep SigIgn /proc/self/status | cut -f2", "0000000000000000"),
            ],
        );
    });
}

#[test]
fn an_init_hears_the_stop_signal() {
    scenario("an init waits for signals and passes them on", |s| {
        s.up("services:\n  web:\n    image: busybox:local\n    init: true\n    command: [sh, -c, 'trap \"echo bye; exit 3\" TERM; echo ready; while :; do sleep 0.05; done']\n");
        let ready = "$RCOMPOSE logs | grep -c ready";
        s.step("it runs", look(), [eventually(shell_says(ready, "1"))]);
        s.step("stop", rcompose("stop"), [exits(0), says("Stopped")]);
        s.step("its last words", rcompose("logs"), [prints("bye")]);
        s.step("its code", rcompose("ps -a"), [prints("Exited (3)")]);
        s.step("start", rcompose("start"), [exits(0)]);
    });
}

#[test]
fn attributes_take_hold() {
    scenario("what the file says about a process is so", |s| {
        s.up("
services:
  web:
    image: busybox:local
    entrypoint: [sleep]
    command: ['1000']
    stop_signal: SIGKILL
    user: worker
    group_add: ['3000']
    working_dir: /var/www
    hostname: box
    domainname: example.org
    environment: {GREETING: 'hello there', EMPTY: ''}
    extra_hosts: ['far:10.9.8.7']
    dns_search: [corp.example]
    read_only: true
    tmpfs: ['/scratch:size=1m,mode=700,uid=1000']
    cap_drop: [ALL]
    cap_add: [NET_BIND_SERVICE]
    security_opt: ['no-new-privileges:true']
    sysctls: {net.ipv4.ip_unprivileged_port_start: '80'}
    ulimits: {nofile: {soft: 100, hard: 200}, nproc: 50}
    shm_size: 1m
    init: true
    oom_score_adj: 500
");
        s.step(
            "identity",
            look(),
            [
                inside("web", "id -u; id -g; id -G", "1000\n1000\n1000 2000 3000"),
                inside(
                    "web",
                    "pwd; hostname; echo $GREETING; echo $HOME",
                    "/var/www\nbox\nhello there\n/tmp",
                ),
                inside("web", "env | grep -c ^EMPTY=", "1"),
                inside("web", "grep far /etc/hosts", "10.9.8.7\tfar"),
                inside(
                    "web",
                    "grep ^search /etc/resolv.conf",
                    "search corp.example",
                ),
            ],
        );
        s.step(
            "limits",
            look(),
            [
                inside("web", "touch /x 2>/dev/null || echo read-only", "read-only"),
                inside(
                    "web",
                    "df -k /scratch | awk 'NR==2 {print $2}'; stat -c '%a %u' /scratch",
                    "1024\n700 1000",
                ),
                inside("web", "df -k /dev/shm | awk 'NR==2 {print $2}'", "1024"),
                inside(
                    "web",
                    "grep CapBnd /proc/self/status | cut -f2",
                    "0000000000000400",
                ),
                inside("web", "grep NoNewPrivs /proc/self/status | cut -f2", "1"),
                inside(
                    "web",
                    "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
                    "80",
                ),
                inside("web", "ulimit -Sn; ulimit -Hn", "100\n200"),
                inside("web", "cat /proc/1/oom_score_adj", "500"),
                inside("web", "tr '\\0' ' ' </proc/1/cmdline | grep -c sleep", "1"),
                inside("web", "ps -o pid,args | grep -c '[s]leep 1000'", "2"),
            ],
        );
        s.step(
            "init reaps",
            rcompose("exec -T web sh -c '(sleep 0.01 &)'"),
            [
                exits(0),
                eventually(inside(
                    "web",
                    "ps -o stat,args | grep -c -e '^Z' -e '[s]leep 0.01' || true",
                    "0",
                )),
            ],
        );
    });
}

#[test]
fn resources_are_limited() {
    scenario("limits of memory, processors and processes hold", |s| {
        s.up("
services:
  small:
    image: busybox:local
    command: [sh, -c, 'exec tail -c 200m /dev/zero']
    mem_limit: 32m
    memswap_limit: 32m
  few:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    pids_limit: 5
    cpus: 0.5
    cpuset: '0'
");
        s.step(
            "too much memory is killed",
            look(),
            [crate::support::eventually(crate::support::state(
                "small", "137",
            ))],
        );
        s.step(
            "too many processes are refused",
            look(),
            [
                inside(
                    "few",
                    "grep Cpus_allowed_list /proc/1/status | cut -f2",
                    "0",
                ),
                inside(
                    "few",
                    "(for i in 1 2 3 4 5 6 7 8; do sleep 100 >/dev/null & done) 2>/dev/null || echo refused",
                    "refused",
                ),
            ],
        );
    });
}

#[test]
fn exit_codes_are_dockers() {
    scenario("125, 126, 127 and 128 + n", |s| {
        s.busybox_project(
            "
services:
  web: {image: 'busybox:local'}
  privileged: {image: 'busybox:local', privileged: true}
",
        );
        for (command, code, words) in [
            ("web sh -c 'exit 3'", 3, ""),
            ("web no-such-program", 127, "no-such-program"),
            ("web /etc/passwd", 126, "/etc/passwd"),
            ("web sh -c 'sh -c \"kill -9 \\$\\$\"; exit $?'", 137, ""),
            ("web sh -c 'sh -c \"kill -11 \\$\\$\"; exit $?'", 139, ""),
        ] {
            let run = rcompose(&format!("run --rm -T {command}"));
            s.step(&format!("run {command}"), run, [exits(code), says(words)]);
        }
        s.step(
            "privileged may mount",
            rcompose("run --rm -T privileged mount -t tmpfs t /tmp"),
            [exits(0)],
        );
        s.step(
            "a user that is not there",
            rcompose("run --rm -T -u nobody-knows web true"),
            [crate::support::fails(), says("nobody-knows")],
        );
    });
}

#[test]
fn exec_and_run_relay_streams() {
    scenario("pipes and codes pass through exec and run", |s| {
        s.up("services:\n  web:\n    image: busybox:local\n    command: [sleep, '1000']\n    stop_signal: SIGKILL\n");
        s.step(
            "standard input reaches exec",
            shell("seq 100000 | \"$RCOMPOSE\" exec -T web wc -l"),
            [exits(0), prints_exactly("100000")],
        );
        s.step(
            "output comes whole, in both streams",
            shell("\"$RCOMPOSE\" exec -T web sh -c 'seq 100000; echo err >&2; exit 4' | wc -l"),
            [prints_exactly("100000"), says("err")],
        );
        s.step(
            "its code is exec's",
            rcompose("exec -T web sh -c 'exit 42'"),
            [exits(42)],
        );
        s.step(
            "options of exec",
            rcompose("exec -T -e A=b -w /tmp -u worker web sh -c 'echo $A $PWD $(id -un)'"),
            [prints_exactly("b /tmp worker")],
        );
        s.step(
            "standard input reaches run",
            shell("echo hello | \"$RCOMPOSE\" run --rm -T web cat"),
            [exits(0), prints_exactly("hello")],
        );
        s.step(
            "a read-only file stays what it is",
            shell("echo keep >ro; \"$RCOMPOSE\" exec -T web sh -c 'echo over 2>/dev/null >/proc/self/fd/0 || true' <ro; cat ro"),
            [prints_exactly("keep")],
        );
        s.step(
            "a terminal is the container's own",
            shell("script -qec '\"$RCOMPOSE\" exec web tty' /dev/null </dev/null | tr -d '\\r'"),
            [prints("/dev/pts/0")],
        );
        s.step(
            "nothing of run is left",
            look(),
            [shell_says("\"$RCOMPOSE\" ps -a -q | wc -l", "1")],
        );
    });
}

#[test]
fn an_imported_image_runs() {
    scenario("an image from a tar of a root file system runs", |s| {
        s.step(
            "import takes a tar and a name",
            shell("mkdir -p r/bin; cp \"$(command -v busybox)\" r/bin/sh; tar -C r -c . | \"$RCOMPOSE\" image import - own:1"),
            [exits(0)],
        );
        s.compose(
            "services:\n  web:\n    image: own:1\n    command: [sh, -c, 'echo hello from own']\n",
        );
        s.step(
            "it runs",
            rcompose("run --rm -T web"),
            [exits(0), prints_exactly("hello from own")],
        );
    });
}
