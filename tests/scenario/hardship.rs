//! What a machine does to a command: disks that fill up, folders that go,
//! terminals that hang up, signals in every phase, two commands at once.

use crate::support::{
    background, cut_short, eventually, exits, fails, look, prints, prints_no, processes, rcompose,
    says, scenario, shell, shell_says, state, traps_term,
};

const WEB: &str = "services: {web: {image: 'busybox:local', command: [sh, -c, 'i=0; while [ $$i -lt 5000 ]; do echo line $$i; i=$$((i+1)); done; exec sleep 1000'], stop_signal: SIGKILL}}\n";

#[test]
fn a_full_disk() {
    scenario("a full disk is told, and leaves nothing half-made", |s| {
        s.compose(WEB);
        s.step(
            "a small disk",
            shell("mkdir small; mount -t tmpfs -o size=24m small small; RCOMPOSE_ROOT=$PWD/small $RCOMPOSE image load -i $BUSYBOX_ARCHIVE"),
            [exits(0)],
        );
        s.step(
            "it fills up",
            shell("dd if=/dev/zero of=small/fill bs=4k 2>/dev/null || true; RCOMPOSE_ROOT=$PWD/small $RCOMPOSE up -d"),
            [fails(), says("No space left on device")],
        );
        s.step(
            "nothing runs",
            shell("RCOMPOSE_ROOT=$PWD/small $RCOMPOSE ps -aq"),
            [exits(0), prints_no("0"), processes(&["sleep", "1000"], 0)],
        );
        s.step(
            "an image doesn't fit",
            shell("RCOMPOSE_ROOT=$PWD/small $RCOMPOSE image import -c 'CMD [\"sh\"]' $BUSYBOX_ARCHIVE more:1"),
            [fails(), says("No space left on device")],
        );
        s.step(
            "room again",
            shell("rm small/fill; export RCOMPOSE_ROOT=$PWD/small; $RCOMPOSE up -d; $RCOMPOSE ps --format '{{.State}}'; $RCOMPOSE image ls; $RCOMPOSE down -t 0"),
            [exits(0), prints("running"), prints_no("more")],
        );
        s.step(
            "the end",
            shell("until umount small 2>/dev/null; do sleep 0.05; done"),
            [exits(0)],
        );
    });
}

#[test]
fn homes_and_folders() {
    scenario(
        "a home that can't be written to, a project folder that went",
        |s| {
            s.busybox_project(WEB);
            s.step(
            "a read-only home",
            shell("mkdir home; mount -t tmpfs -o ro home home; HOME=$PWD/home $RCOMPOSE up -d; HOME=$PWD/home $RCOMPOSE ps; umount home"),
            [exits(0), prints("demo-web-1")],
        );
            s.step(
                "no home at all",
                shell("unset HOME; $RCOMPOSE down -t 0"),
                [exits(0)],
            );
            s.step(
                "a project whose folder goes",
                shell(
                    "mkdir gone; cp compose.yaml gone; cd gone; $RCOMPOSE up -d; cd ..; rm -r gone",
                ),
                [exits(0)],
            );
            s.step(
            "is still there by its name",
            shell("$RCOMPOSE -p gone exec -T web echo inside; $RCOMPOSE -p gone restart -t 0; $RCOMPOSE ls"),
            [exits(0), prints("inside"), prints("gone")],
        );
            s.step(
                "and goes by its name",
                shell("$RCOMPOSE -p gone down -t 0; $RCOMPOSE ls -aq"),
                [exits(0), prints_no("gone")],
            );
        },
    );
}

#[test]
fn pipes_and_terminals() {
    scenario("readers that leave early, terminals that hang up", |s| {
        s.busybox_project(WEB);
        s.step(
            "up",
            rcompose("up -d"),
            [
                exits(0),
                eventually(shell_says("$RCOMPOSE logs | grep -c 4999", "1")),
            ],
        );
        for command in [
            "logs",
            "logs -f",
            "events --since 1h --until 0s",
            "ps",
            "config",
            "--help",
        ] {
            s.step(
                command,
                shell(&format!(
                    "$RCOMPOSE {command} 2>err | head -n 1 >/dev/null; cat err"
                )),
                [exits(0), prints_no("roken pipe"), prints_no("panic")],
            );
        }
        s.step(
            "stdout is full",
            shell("$RCOMPOSE logs >/dev/full 2>err || cat err"),
            [prints("No space left on device")],
        );
        s.step(
            "stdout and stderr are closed",
            shell("$RCOMPOSE stop -t 0 >&- 2>&-; $RCOMPOSE start <&- >&- 2>&-"),
            [exits(0), state("web", "running")],
        );
        s.step(
            "the terminal of an attached up hangs up",
            shell("env --default-signal=HUP $RCOMPOSE up >out 2>&1 & until grep -q Running out; do sleep 0.05; done; kill -HUP $!; wait $! || echo $?"),
            [prints("129"), state("web", "running")],
        );
    });
}

#[test]
fn signals_in_every_phase() {
    scenario(
        "Ctrl-C and SIGTERM end what is under way, and nothing stays",
        |s| {
            s.busybox_project(
                "
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    init: true
    stop_grace_period: 60s
    pre_start: [{command: [sh, -c, 'sleep ${HOOK:-0}']}]
  deaf:
    image: busybox:local
    command: [sh, -c, 'trap : TERM; while :; do sleep 0.1; done']
    stop_grace_period: 60s
    profiles: [deaf]
  slow:
    build: {context: ., dockerfile_inline: \"FROM busybox:local\\nRUN sleep 999\"}
    profiles: [slow]
",
            );
            for signal in ["INT", "TERM"] {
                s.step(
                    "a hook before the start",
                    cut_short(
                        "HOOK=998 $RCOMPOSE up -d web",
                        "pgrep -f '[s]leep 998' >/dev/null",
                        signal,
                    ),
                    [
                        prints("code 130"),
                        eventually(processes(&["sleep", "998"], 0)),
                    ],
                );
                s.step(
                    "a build",
                    cut_short(
                        "$RCOMPOSE build slow 2>/dev/null",
                        "pgrep -f '[s]leep 999' >/dev/null",
                        signal,
                    ),
                    [
                        prints("code 130"),
                        eventually(processes(&["sleep", "999"], 0)),
                    ],
                );
                s.step(
                    "up",
                    rcompose("--profile deaf up -d web deaf"),
                    [exits(0), traps_term("deaf")],
                );
                s.step(
                    "a stop that waits",
                    cut_short(
                        "$RCOMPOSE --profile deaf stop deaf 2>err",
                        "grep -q Stopping err 2>/dev/null",
                        signal,
                    ),
                    [prints("code 130")],
                );
                s.step(
                    "a run",
                    cut_short(
                        "$RCOMPOSE run --rm -T web sleep 997",
                        "pgrep -fx 'sleep 997' >/dev/null",
                        signal,
                    ),
                    [eventually(processes(&["sleep", "997"], 0))],
                );
                s.step(
                    "down, by force, doesn't wait for what the stop has granted",
                    shell("timeout 20 $RCOMPOSE --profile deaf --profile slow down -t 0 --remove-orphans"),
                    [exits(0), shell_says("$RCOMPOSE ps -aq | wc -l", "0")],
                );
                s.step("the file", shell("rm -f err"), [exits(0)]);
            }
        },
    );
}

#[test]
fn two_at_once() {
    scenario("two commands on one project queue", |s| {
        s.busybox_project(
            "services: {web: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, scale: 3}}\n",
        );
        for _ in 0..3 {
            s.step(
                "up and up",
                shell("$RCOMPOSE up -d 2>/dev/null & one=$!; $RCOMPOSE up -d --force-recreate -t 0 2>/dev/null; wait $one; $RCOMPOSE ps -q | wc -l"),
                [exits(0), prints("3")],
            );
            s.step(
                "down and up",
                shell("$RCOMPOSE down -t 0 2>/dev/null & one=$!; $RCOMPOSE up -d 2>/dev/null; wait $one; echo $($RCOMPOSE ps -aq | wc -l)"),
                [exits(0)],
            );
        }
        s.step("up", rcompose("up -d"), [exits(0)]);
        s.step(
            "many",
            background(
                "up",
                shell("for i in 1 2 3 4 5; do $RCOMPOSE restart -t 0 2>/dev/null & done; wait"),
            ),
            [],
        );
        s.step(
            "and exec beside them",
            shell("sleep 0.1; $RCOMPOSE exec -T web true || true"),
            [exits(0)],
        );
        s.step("joined", crate::support::join("up"), [exits(0)]);
        s.step(
            "all run",
            look(),
            [shell_says("$RCOMPOSE ps -q | wc -l", "3")],
        );
    });
}
