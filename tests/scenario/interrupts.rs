//! Ctrl-C and SIGTERM while a command waits for something: the right code at
//! once, nothing half-made, and the next command goes on from there.

use crate::support::{
    background, cut_short, eventually, exits, join, kill, prints, processes, rcompose, says,
    scenario_needing, shell, shell_says, state, traps_term,
};

#[test]
fn what_waits_can_be_cut_short() {
    scenario_needing(
        &["python3"],
        "commands that wait end with 130, and leave what they found",
        |s| {
            s.load_busybox();
            s.compose(
                "
services:
  web: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL}
  deaf:
    image: busybox:local
    command: [sh, -c, 'trap : TERM; while :; do sleep 0.1; done']
    stop_grace_period: 100s
  never:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    profiles: [never]
    healthcheck: {test: [CMD, 'false'], interval: 1h, start_period: 1h}
  far: {image: '127.0.0.1:5009/far:1', profiles: [far]}
",
            );
            s.step(
                "a registry that never answers",
                background(
                    "registry",
                    shell("exec python3 -c 'import socket, time; s = socket.create_server((\"127.0.0.1\", 5009)); time.sleep(900)'"),
                ),
                [],
            );
            s.step("up", rcompose("up -d"), [exits(0), traps_term("deaf")]);
            for (signal, passed_on) in [("INT", "code 130"), ("TERM", "code 143")] {
                s.step(
                    "a wait for health",
                    cut_short(
                        "$RCOMPOSE up --wait never 2>err",
                        "grep -q 'never-1.*Waiting' err 2>/dev/null",
                        signal,
                    ),
                    [prints("code 130"), state("never", "running")],
                );
                s.step(
                    "an exec",
                    cut_short(
                        "$RCOMPOSE exec -T web sleep 996",
                        "pgrep -fx 'sleep 996' >/dev/null",
                        signal,
                    ),
                    [
                        prints(passed_on),
                        state("web", "running"),
                        eventually(processes(&["sleep", "996"], 0)),
                    ],
                );
                for command in ["restart", "stop", "down"] {
                    s.step(
                        command,
                        cut_short(
                            &format!("$RCOMPOSE {command} deaf 2>err"),
                            "grep -q 'deaf-1.*\\(Stopping\\|Restarting\\)' err 2>/dev/null",
                            signal,
                        ),
                        [prints("code 130"), state("web", "running")],
                    );
                    s.step(
                        "the next command goes on from there",
                        shell("rm -f err; timeout 20 $RCOMPOSE stop -t 0 deaf; $RCOMPOSE up -d"),
                        [exits(0), traps_term("deaf")],
                    );
                }
                s.step(
                    "a pull",
                    cut_short(
                        "$RCOMPOSE pull far 2>err",
                        "grep -q 'far.*Pulling' err 2>/dev/null",
                        signal,
                    ),
                    [
                        prints("code 130"),
                        shell_says("$RCOMPOSE image ls -q | sort -u | wc -l", "1"),
                    ],
                );
                s.step("the file", shell("rm -f err"), [exits(0)]);
            }
            s.step("the registry ends", kill(&["python3", "-c"]), []);
            s.step("and has ended", join("registry"), []);
            s.step(
                "nobody is there",
                rcompose("pull far"),
                [exits(1), says("127.0.0.1:5009")],
            );
        },
    );
}
