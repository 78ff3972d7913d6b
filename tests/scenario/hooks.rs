//! `pre_start`, `post_start` and `pre_stop`.

use crate::support::{
    Scenario, background, eventually, exits, fails, inside, interrupt, join, prints,
    prints_exactly, rcompose, says, scenario, shell, shell_says, state,
};

/// The lines that the hooks wrote into the volume.
fn written(s: &mut Scenario, lines: &str) {
    s.step(
        "what the hooks wrote",
        shell("$RCOMPOSE run --rm --no-deps -T reader cat /data/log 2>/dev/null"),
        [prints_exactly(lines)],
    );
}

#[test]
fn before_the_start() {
    scenario(
        "pre_start runs once for a service before its first start",
        |s| {
            s.load_busybox();
            let file = |greeting: &str, last: &str| {
                format!(
                    "
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    scale: ${{SCALE:-1}}
    environment: {{GREETING: {greeting}}}
    volumes: ['data:/data']
    pre_start:
      - {{command: [sh, -c, 'echo one $$WORD >>/data/log'], environment: {{WORD: first}}}}
      - {{command: [sh, -c, '{last}'], user: root}}
  reader:
    image: busybox:local
    profiles: [tools]
    volumes: ['data:/data']
volumes: {{data: {{}}}}
"
                )
            };
            s.compose(&file("hello", "echo two >>/data/log"));
            s.step("up", rcompose("up -d"), [exits(0), state("web", "running")]);
            written(s, "one first\ntwo\n");
            s.step(
                "their containers are gone",
                shell("$RCOMPOSE ps -aq | wc -l"),
                [prints("1")],
            );
            s.step("up again", rcompose("up -d"), [exits(0)]);
            s.step("scale up", shell("SCALE=2 $RCOMPOSE up -d"), [exits(0)]);
            s.step(
                "stop and start",
                shell("$RCOMPOSE stop -t 0; $RCOMPOSE start"),
                [exits(0)],
            );
            written(s, "one first\ntwo\n");
            s.compose(&file("changed", "echo two >>/data/log"));
            s.step("up after a change", rcompose("up -d -t 0"), [exits(0)]);
            written(s, "one first\ntwo\none first\ntwo\n");
            s.compose(&file("changed", "echo broken; exit 7"));
            s.step(
                "a failing one",
                rcompose("up -d -t 0"),
                [
                    fails(),
                    says("pre_start hook 2 of container demo-web-1 exited with status 7"),
                    says("broken"),
                ],
            );
            s.compose(&file("changed", "true"));
            s.step(
                "the next up heals it",
                rcompose("up -d -t 0"),
                [exits(0), state("web", "running")],
            );
        },
    );
}

#[test]
fn after_the_start_and_before_the_stop() {
    scenario("post_start and pre_stop run inside the container", |s| {
        s.load_busybox();
        let file = |after: &str, before: &str| {
            format!(
                "
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    volumes: ['data:/data']
    post_start: [{{command: [sh, -c, '{after}'], environment: {{WORD: started}}}}]
    pre_stop: [{{command: [sh, -c, '{before}']}}]
  other: {{image: 'busybox:local', command: [sleep, '1000'], volumes: ['data:/data']}}
volumes: {{data: {{}}}}
"
            )
        };
        s.compose(&file(
            "echo $$WORD >>/data/log",
            "echo stopping >>/data/log",
        ));
        s.step(
            "up",
            rcompose("up -d"),
            [exits(0), inside("other", "cat /data/log", "started")],
        );
        s.step(
            "stop one",
            rcompose("stop -t 0 web"),
            [exits(0), inside("other", "tail -n1 /data/log", "stopping")],
        );
        s.step(
            "a stopped one has no hook to run",
            rcompose("stop -t 0"),
            [exits(0)],
        );
        s.step(
            "down runs it too",
            shell("$RCOMPOSE up -d; $RCOMPOSE down -t 0"),
            [exits(0), shell_says("$RCOMPOSE ps -aq", "")],
        );
        s.compose(&file("exit 3", "true"));
        s.step(
            "a failing post_start",
            rcompose("up -d"),
            [
                fails(),
                says("post_start hook 1 of container demo-web-1 exited with status 3"),
            ],
        );
        s.compose(&file("true", "exit 4"));
        s.step("up", rcompose("up -d -t 0"), [exits(0)]);
        s.step(
            "a failing pre_stop",
            rcompose("stop -t 0 web"),
            [
                fails(),
                says("pre_stop hook 1 of container demo-web-1 exited with status 4"),
            ],
        );
        s.compose(&file("true", "true"));
        s.step("kill asks no hook", rcompose("kill"), [exits(0)]);
    });
}

#[test]
fn a_hook_that_hangs() {
    scenario(
        "a hook that never ends holds up nobody but its own command",
        |s| {
            s.busybox_project(
                "
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    post_start: [{command: [sleep, '1000']}]
  init:
    image: busybox:local
    command: [sleep, '1000']
    pre_start: [{command: [sleep, '1000']}]
",
            );
            s.step("up", background("up", rcompose("up -d")), []);
            s.step(
                "it hangs",
                shell("until [ $($RCOMPOSE ps -aq | wc -l) = 3 ]; do sleep 0.05; done; sleep 0.5"),
                [exits(0)],
            );
            s.step("Ctrl-C", interrupt("up"), []);
            s.step("ends it", join("up"), [exits(130)]);
            s.step(
                "down",
                rcompose("down -t 0"),
                [exits(0), state("web", "absent")],
            );
        },
    );
}

#[test]
fn their_output_is_shown() {
    scenario("an attached up shows what hooks write", |s| {
        s.busybox_project(
            "
services:
  web:
    image: busybox:local
    command: [sh, -c, 'echo serving; exec sleep 1000']
    stop_signal: SIGKILL
    pre_start: [{command: [sh, -c, 'echo before the start']}]
    post_start: [{command: [sh, -c, 'echo after the start; echo to stderr >&2; sleep 1000 &']}]
    pre_stop: [{command: [sh, -c, 'echo before the stop']}]
",
        );
        s.step(
            "up",
            background("up", shell("exec $RCOMPOSE up >out 2>err")),
            [eventually(shell_says("grep -c 'to stderr' out", "1"))],
        );
        s.step("Ctrl-C", interrupt("up"), []);
        s.step("it ends", join("up"), [exits(130)]);
        s.step(
            "each behind the container's name",
            shell("cat out"),
            [
                prints("web-1 ->  | before the start"),
                prints("web-1 ->  | after the start"),
                prints("web-1 ->  | to stderr"),
                prints("web-1 ->  | before the stop"),
            ],
        );
        s.step(
            "a detached one shows nothing",
            rcompose("up -d --force-recreate -t 0"),
            [exits(0), prints_exactly("")],
        );
    });
}
