//! The command line on real containers.

use crate::support::{
    background, eventually, exits, fails, inside, interrupt, join, look, prints, prints_exactly,
    prints_no, rcompose, says, scenario, shell, shell_says, state, traps_term,
};

const PAIR: &str = "
services:
  web:
    image: busybox:local
    command: [sh, -c, 'trap \"echo bye; exit 0\" TERM; echo hello; while :; do sleep 0.05; done']
  other:
    image: busybox:local
    command: [sh, -c, 'echo hi >&2; exec sleep 1000']
    stop_signal: SIGKILL
";

#[test]
fn stop_start_restart_kill_rm() {
    scenario("the commands that change states", |s| {
        s.busybox_project(PAIR);
        s.step(
            "up",
            rcompose("up -d"),
            [exits(0), state("web", "running"), traps_term("web")],
        );
        s.step(
            "stop one",
            rcompose("stop web"),
            [
                exits(0),
                says("Stopped"),
                state("web", "exited"),
                state("other", "running"),
            ],
        );
        s.step(
            "it had time to say goodbye",
            rcompose("logs --no-log-prefix web"),
            [prints("bye")],
        );
        s.step("stop it again", rcompose("stop web"), [exits(0)]);
        s.step(
            "start",
            rcompose("start web"),
            [exits(0), state("web", "running")],
        );
        s.step(
            "restart",
            rcompose("restart web"),
            [exits(0), state("web", "running")],
        );
        s.step(
            "kill",
            rcompose("kill -s KILL web"),
            [exits(0), eventually(state("web", "137"))],
        );
        s.step(
            "rm",
            rcompose("rm -f web"),
            [exits(0), state("web", "absent")],
        );
        s.step(
            "rm with nothing to do",
            rcompose("rm -f web"),
            [exits(0), says("No stopped containers")],
        );
        s.step(
            "down twice",
            rcompose("down"),
            [exits(0), state("other", "absent")],
        );
        s.step("says so", rcompose("down"), [exits(0)]);
    });
}

#[test]
fn lists() {
    scenario("ps, ls, config, version, images, port", |s| {
        s.busybox_project(PAIR);
        s.step(
            "version",
            rcompose("version"),
            [exits(0), prints("version")],
        );
        s.step(
            "config",
            rcompose("config --services"),
            [exits(0), prints("web"), prints("other")],
        );
        s.step("up", rcompose("up -d"), [exits(0)]);
        s.step(
            "ps",
            rcompose("ps"),
            [
                prints("NAME"),
                prints("demo-web-1"),
                prints("busybox:local"),
                prints("Up "),
            ],
        );
        s.step(
            "ps --format json",
            rcompose("ps --format json"),
            [
                prints("\"Name\":\"demo-web-1\""),
                prints("\"State\":\"running\""),
            ],
        );
        s.step(
            "ps -q",
            shell("\"$RCOMPOSE\" ps -q | grep -cE '^[0-9a-f]{64}$'"),
            [prints_exactly("2")],
        );
        s.step("ls", rcompose("ls"), [prints("demo"), prints("running(2)")]);
        s.step(
            "without a file",
            shell("cd /; \"$RCOMPOSE\" -p demo ps -q | wc -l"),
            [prints_exactly("2")],
        );
        s.step(
            "unknown service",
            rcompose("ps nobody"),
            [exits(1), says("no such service: nobody")],
        );
        s.step("down", rcompose("down"), [exits(0)]);
        s.step("nothing is listed", rcompose("ls -a"), [prints_no("demo")]);
    });
}

#[test]
fn attached_up() {
    scenario("up shows the output, and Ctrl-C stops", |s| {
        s.busybox_project(PAIR);
        s.step(
            "up in the foreground",
            background("up", rcompose("up")),
            [eventually(state("web", "running"))],
        );
        s.step(
            "it says hello",
            look(),
            [eventually(shell_says(
                "\"$RCOMPOSE\" logs --no-log-prefix web",
                "hello",
            ))],
        );
        s.step("Ctrl-C", interrupt("up"), []);
        s.step(
            "it stops the services",
            join("up"),
            [
                exits(130),
                prints("web-1"),
                prints("hello"),
                says("Gracefully Stopping"),
                state("web", "exited"),
                state("other", "exited"),
            ],
        );
        s.compose("services:\n  job:\n    image: busybox:local\n    command: [sh, -c, 'echo out; echo err >&2; exit 3']\n");
        s.step(
            "up ends with its containers",
            rcompose("up --remove-orphans"),
            [
                exits(0),
                prints("job-1  | out"),
                says("err"),
                prints("exited with code 3"),
            ],
        );
        s.step(
            "exit code from a service",
            rcompose("up --exit-code-from job"),
            [exits(3)],
        );
    });
}

#[test]
fn logs_follow() {
    scenario("logs -f goes on until the containers end", |s| {
        s.up("services:\n  web:\n    image: busybox:local\n    command: [sh, -c, 'for i in 1 2 3; do echo line $$i; sleep 0.2; done']\n");
        s.step(
            "it follows to the end",
            rcompose("logs -f --no-log-prefix"),
            [exits(0), prints("line 1\nline 2\nline 3\n")],
        );
        s.step(
            "with prefix",
            rcompose("logs --tail 1"),
            [prints("web-1  | line 3")],
        );
    });
}

#[test]
fn run_is_one_off() {
    scenario(
        "run starts dependencies and leaves nothing with --rm",
        |s| {
            s.busybox_project(
                "
services:
  tool:
    image: busybox:local
    command: [echo, default]
    environment: {A: file}
    ports: ['8080:80']
    depends_on: {db: {condition: service_healthy}}
  db:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    healthcheck: {test: [CMD, 'true']}
",
            );
            s.step(
                "the service's command",
                rcompose("run --rm tool"),
                [exits(0), prints_exactly("default"), state("db", "healthy")],
            );
            s.step(
                "another, with variables",
                rcompose("run --rm -e A=line -e B=2 -w /tmp tool sh -c 'echo $A $B $PWD'"),
                [prints_exactly("line 2 /tmp")],
            );
            s.step(
                "it resolves names",
                rcompose("run --rm tool sh -c 'nslookup db 127.0.0.11 >/dev/null && echo found'"),
                [prints_exactly("found")],
            );
            s.step(
                "ports only when asked",
                rcompose("run --rm -p 18080:80 tool true"),
                [exits(0)],
            );
            s.step(
                "nothing is left of it",
                look(),
                [shell_says("\"$RCOMPOSE\" ps -a -q | wc -l", "1")],
            );
            s.step(
                "without --rm it stays",
                rcompose("run tool true"),
                [exits(0), shell_says("\"$RCOMPOSE\" ps -a -q | wc -l", "2")],
            );
            s.step(
                "down takes it too",
                rcompose("down --remove-orphans"),
                [exits(0), shell_says("\"$RCOMPOSE\" ps -a -q | wc -l", "0")],
            );
        },
    );
}

#[test]
fn events_tell() {
    scenario("events tell what happens", |s| {
        s.up(PAIR);
        s.step(
            "a listener",
            background("events", shell("exec \"$RCOMPOSE\" events --json >told")),
            [],
        );
        // It is told of what happens once it listens.
        s.step(
            "something happens",
            shell("until grep -q '\"action\":\"start\"' told; do \"$RCOMPOSE\" restart -t 0 web; done; cat told"),
            [
                exits(0),
                prints("\"action\":\"die\""),
                prints("\"service\":\"web\""),
            ],
        );
        s.step("Ctrl-C", interrupt("events"), []);
        s.step("ends it", join("events"), [exits(130)]);
        s.step(
            "what happened before is remembered",
            rcompose("events --since 1h --until 0s web"),
            [
                exits(0),
                prints("container create "),
                prints("container die "),
            ],
        );
        s.step(
            "from a time on",
            rcompose("events --since 0s --until 0s"),
            [exits(0), prints_exactly("")],
        );
    });
}

#[test]
fn what_cannot_help_is_not_waited_for() {
    scenario("a process without a handler is not waited for", |s| {
        s.busybox_project(
                "services:\n  web:\n    image: busybox:local\n    command: [sleep, '1000']\n    stop_grace_period: 100s\n",
            );
        s.step(
            "up",
            rcompose("up -d"),
            [exits(0), inside("web", "echo up", "up")],
        );
        s.step(
            "down is quick",
            rcompose("down"),
            [exits(0), state("web", "absent")],
        );
        s.step(
            "and fails on nonsense",
            rcompose("down --no-such-flag"),
            [fails(), says("unknown flag: --no-such-flag")],
        );
    });
}
