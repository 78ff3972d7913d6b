//! How `up` ends: exit codes, aborts, waits, and commands that are given up.

use crate::support::{
    HEARS_INT, background, cut_short, exits, fails, interrupt, join, prints, prints_no, rcompose,
    says, scenario, shell, shell_says, state,
};

#[test]
fn exit_codes_of_up() {
    scenario("up --abort-on-… and --exit-code-from", |s| {
        s.busybox_project(
            "
services:
  long:
    image: busybox:local
    command: [sh, -c, 'trap \"rm /gate/open; echo bye; exit 143\" TERM; touch /gate/open; while :; do sleep 0.05; done']
    volumes: ['./gate:/gate']
  fails: {image: 'busybox:local', command: [sh, -c, 'until test -e /gate/open; do sleep 0.05; done; exit 7'], volumes: ['./gate:/gate'], profiles: [fails]}
  works: {image: 'busybox:local', command: [sh, -c, 'sleep 0.3'], profiles: [works]}
",
        );
        s.step(
            "the code of the service",
            rcompose("--profile fails up --exit-code-from fails"),
            [
                exits(7),
                prints("fails-1 exited with code 7"),
                prints("bye"),
            ],
        );
        s.step(
            "the code of one that the abort stopped",
            rcompose("--profile fails up --exit-code-from long"),
            [exits(143)],
        );
        s.step(
            "the first exit stops all, and is no failure by itself",
            rcompose("--profile works up --abort-on-container-exit"),
            [
                exits(0),
                says("Aborting on container exit..."),
                state("long", "exited"),
            ],
        );
        s.step(
            "the first failure stops all",
            rcompose("--profile fails --profile works up --abort-on-container-failure"),
            [exits(7)],
        );
        s.step(
            "a one-off container's end is nobody's",
            background("up", rcompose("up --abort-on-container-exit")),
            [],
        );
        s.step(
            "run beside it",
            shell("until $RCOMPOSE ps -q long | grep -q .; do sleep 0.05; done; $RCOMPOSE --profile works run --rm -T works false"),
            [exits(1), state("long", "running")],
        );
        s.step("Ctrl-C", interrupt("up"), []);
        s.step("ends it", join("up"), [exits(130), state("long", "exited")]);
        s.step(
            "an unknown service",
            rcompose("up --attach nope"),
            [
                exits(1),
                says("cannot attach to services not included in up: nope"),
            ],
        );
    });
}

#[test]
fn waiting() {
    scenario(
        "--wait counts what is done, and gives up when told to",
        |s| {
            s.busybox_project(
                "
services:
  job: {image: 'busybox:local', command: ['true']}
  web:
    image: busybox:local
    command: [sleep, '1000']
    depends_on: {job: {condition: service_completed_successfully}}
  alone: {image: 'busybox:local', command: [sh, -c, 'exit 0'], profiles: [alone]}
  bad:
    image: busybox:local
    command: [sh, -c, 'echo reason; sleep 0.2; exit 3']
    healthcheck: {test: [CMD, 'false'], interval: 60s}
    profiles: [bad]
  slow:
    image: busybox:local
    command: [sleep, '1000']
    healthcheck: {test: [CMD, 'false'], interval: 60s, retries: 9}
    profiles: [slow]
  behind:
    image: busybox:local
    command: [sleep, '1000']
    depends_on: {slow: {condition: service_healthy}}
    profiles: [slow]
",
            );
            s.step(
                "one-shot services are done",
                rcompose("--profile alone up --wait"),
                [exits(0), state("web", "running")],
            );
            s.step(
                "a failed one isn't",
                rcompose("--profile bad up --wait bad"),
                [
                    exits(1),
                    says("container demo-bad-1 exited (3)"),
                    says("reason"),
                ],
            );
            s.step(
                "time is up",
                rcompose("up --wait --wait-timeout 1 slow"),
                [exits(1), says("application not healthy after 1s")],
            );
            s.step(
                "a wait that is given up",
                background("up", rcompose("--profile slow up -d behind")),
                [],
            );
            s.step(
                "it waits",
                shell("until $RCOMPOSE ps -aq behind | grep -q . && $RCOMPOSE ps -q slow | grep -q .; do sleep 0.05; done"),
                [exits(0)],
            );
            s.step("Ctrl-C", interrupt("up"), []);
            s.step("it is", join("up"), [exits(130)]);
            s.step(
                "and holds up nobody",
                rcompose("--profile slow stop -t 0 slow"),
                [exits(0), state("slow", "exited")],
            );
        },
    );
}

#[test]
fn what_is_not_there() {
    scenario("names that aren't there, files that don't load", |s| {
        s.up("services: {web: {image: 'busybox:local', command: [sleep, '1000']}}\n");
        for command in [
            "stop wep",
            "exec wep true",
            "cp wep:/a .",
            "up -d wep",
            "logs wep",
            "ps wep",
        ] {
            s.step(
                command,
                rcompose(command),
                [exits(1), says("no such service: wep"), says("did you mean")],
            );
        }
        s.compose("services: {web: {image: [}}\n");
        s.step("a file that doesn't load", rcompose("ps"), [fails()]);
        s.step(
            "a name is enough",
            rcompose("-p demo ps"),
            [exits(0), prints("demo-web-1")],
        );
        s.step(
            "in the environment too",
            shell("COMPOSE_PROJECT_NAME=demo $RCOMPOSE stop -t 0 web"),
            [exits(0), state("web", "exited")],
        );
        s.step(
            "a folder that is gone",
            shell(
                "mkdir gone; cd gone; rmdir ../gone; $RCOMPOSE -p demo start; $RCOMPOSE -p demo ps",
            ),
            [exits(0), prints("demo-web-1")],
        );
        s.step(
            "a pipe that closes early",
            shell("$RCOMPOSE -p demo config --help | head -n1 >/dev/null"),
            [exits(0)],
        );
        s.step(
            "Ctrl-C of a command that only listens",
            cut_short("$RCOMPOSE -p demo events", HEARS_INT, "INT"),
            [prints("code 130")],
        );
        s.step(
            "stdin is closed",
            shell("$RCOMPOSE -p demo exec -T web cat <&-"),
            [exits(0)],
        );
        s.step(
            "two at once",
            shell("$RCOMPOSE -p demo restart -t 0 & $RCOMPOSE -p demo restart -t 0; wait $!; $RCOMPOSE -p demo ps"),
            [exits(0), prints("demo-web-1"), prints_no("Restarting")],
        );
        s.step(
            "down by name",
            rcompose("-p demo down -t 0"),
            [exits(0), shell_says("$RCOMPOSE -p demo ps -aq", "")],
        );
    });
}

#[test]
fn dry_runs() {
    scenario("--dry-run changes nothing, whatever the command", |s| {
        s.busybox_project("services: {web: {image: 'busybox:local', command: [sleep, '1000']}}\n");
        s.step(
            "up",
            shell("$RCOMPOSE up -d; $RCOMPOSE ps -q >before"),
            [exits(0)],
        );
        s.file(
            "compose.yaml",
            "services: {web: {image: 'busybox:local', command: [sleep, '2000']}}\n",
        );
        for command in [
            "up -d",
            "create",
            "stop",
            "kill",
            "restart",
            "pause",
            "rm -sf",
            "down -v",
            "scale web=3",
            "run --rm -T web touch /new",
            "exec -T web touch /new",
            "cp compose.yaml web:/new",
            "commit web x:1",
            "export -o new.tar web",
        ] {
            s.step(
                command,
                rcompose(&format!("--dry-run {command}")),
                [exits(0), state("web", "running")],
            );
        }
        for command in [
            "image tag busybox:local x:1",
            "image rm busybox:local",
            "image load -i no.tar",
        ] {
            s.step(
                command,
                rcompose(&format!("--dry-run {command}")),
                [exits(1), says("has no dry run")],
            );
        }
        s.step(
            "nothing has changed",
            shell("$RCOMPOSE ps -aq | diff - before; test ! -e new.tar; $RCOMPOSE exec -T web test ! -e /new; $RCOMPOSE image ls -q | wc -l"),
            [exits(0), prints("1")],
        );
    });
}

#[test]
fn who_is_left_alone() {
    scenario("what ends with a command, and what doesn't", |s| {
        s.busybox_project(
            "
services:
  db: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL}
  web:
    image: busybox:local
    command: [sh, -c, 'trap \"exit 0\" TERM; while :; do sleep 0.05; done']
    depends_on: [db]
  job: {image: 'busybox:local', command: [sh, -c, 'sleep 0.5; exit 9'], profiles: [job]}
",
        );
        s.step("up of one", background("up", rcompose("up web")), []);
        s.step(
            "it runs",
            shell("until $RCOMPOSE ps -q web | grep -q .; do sleep 0.05; done"),
            [exits(0), state("db", "running")],
        );
        s.step("Ctrl-C", interrupt("up"), []);
        s.step(
            "stops what was named and no dependency",
            join("up"),
            [exits(130), state("web", "exited"), state("db", "running")],
        );
        s.step(
            "SIGTERM ends run --rm with its container",
            shell("$RCOMPOSE run --rm --no-deps -T web & sleep 0.7; kill -TERM $!; wait $! || true; $RCOMPOSE ps -a --format '{{.Name}}' | grep -c run || true"),
            [prints("0")],
        );
        s.step(
            "wait --down-project",
            shell("$RCOMPOSE --profile job up -d job && $RCOMPOSE --profile job wait --down-project job"),
            [exits(9), state("db", "absent")],
        );
    });
}
