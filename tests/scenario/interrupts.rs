//! Ctrl-C and SIGTERM while a command waits for something: the right code at
//! once, nothing half-made, and the next command goes on from there.

use crate::support::{
    background, cut_short, eventually, exits, join, kill, prints, prints_exactly, processes,
    rcompose, says, scenario, scenario_needing, shell, shell_says, state, traps_term,
};

#[test]
fn what_waits_can_be_cut_short() {
    scenario_needing(
        &["python3"],
        "commands that wait end with 130, and leave what they found",
        |s| {
            s.busybox_project(
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
  needs:
    image: busybox:local
    command: [sleep, '995']
    profiles: [never]
    depends_on: {never: {condition: service_healthy}}
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
                for command in ["run -T needs", "run --rm -d needs"] {
                    s.step(
                        "a run that waits for what it needs",
                        cut_short(
                            &format!("$RCOMPOSE {command} 2>err"),
                            "grep -q 'never-1.*Waiting' err 2>/dev/null",
                            signal,
                        ),
                        [
                            prints("code 130"),
                            state("never", "running"),
                            processes(&["sleep", "995"], 0),
                        ],
                    );
                    s.step("the file", shell("rm -f err"), [exits(0)]);
                }
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

/// Moments at which each command is cut short, from its first instruction to
/// a while after its container has begun.
const MOMENTS: u32 = 16;

/// Cuts `command` short at one moment after another with `signal`, and prints
/// the moments after which its container, a `sleep 994`, runs on. How long the
/// command takes until that runs is what the first one tells.
fn at_every_moment(command: &str, signal: &str) -> String {
    format!(
        "
now() {{ date +%s%N; }}
gone() {{ for i in $(seq 200); do pgrep -fx 'sleep 994' >/dev/null || return 0; sleep 0.1; done; return 1; }}
begun=$(now)
$RCOMPOSE {command} >out 2>&1 &
until pgrep -fx 'sleep 994' >/dev/null; do sleep 0.01; done
whole=$(( ($(now) - begun) * 5 / 4 ))
kill -{signal} $!; wait $! || :
gone || {{ cat out; echo left when it runs; }}
for moment in $(seq 0 {last}); do
  $RCOMPOSE {command} >out 2>&1 &
  sleep $(printf %d.%09d $((whole * moment / {MOMENTS} / 1000000000)) $((whole * moment / {MOMENTS} % 1000000000)))
  kill -{signal} $! 2>/dev/null || :
  wait $! || :
  # It has its turn when what was sent before it is done.
  $RCOMPOSE rm -f idle >/dev/null 2>&1
  gone || {{ cat out; echo left at $moment of {MOMENTS}; $RCOMPOSE down -t 0; }}
done
rm -f out",
        last = MOMENTS - 1,
    )
}

#[test]
fn a_start_that_is_cut_short_leaves_nothing_running() {
    scenario(
        "at whatever moment a foreground command ends, its container ends too",
        |s| {
            s.busybox_project(
                "
services:
  web: {image: 'busybox:local', command: [sleep, '994'], stop_signal: SIGKILL}
  idle: {image: 'busybox:local', profiles: [idle]}
",
            );
            let alone = "container run --rm --stop-signal KILL busybox:local sleep 994";
            for (command, signals) in [
                ("up", &["TERM"][..]),
                ("run -T web", &["KILL"]),
                ("run --rm -T web", &["KILL"]),
                ("test -- sleep 1000", &["TERM", "KILL"]),
                (alone, &["KILL"]),
            ] {
                for signal in signals {
                    s.step(
                        &format!("{command}, cut short by {signal}"),
                        shell(&at_every_moment(command, signal)),
                        [exits(0), prints_exactly("")],
                    );
                }
            }
            s.step(
                "folders of who was killed before it had a supervisor, once they are old",
                shell("find \"$RCOMPOSE_ROOT\" -path '*projects/*' -type d -exec touch -d '2 hours ago' {} +; $RCOMPOSE gc"),
                [exits(0)],
            );
        },
    );
}
