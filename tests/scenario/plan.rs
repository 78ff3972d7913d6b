//! Order, gates and reconciling: what `up` does, and what it leaves alone.

use crate::support::{
    exits, fails, inside, look, prints, prints_exactly, prints_no, rcompose, says, scenario, shell,
    shell_says, state,
};

const CHAIN: &str = "
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    depends_on:
      db: {condition: service_healthy}
      job: {condition: service_completed_successfully}
      cache: {condition: service_started}
  db:
    image: busybox:local
    command: [sh, -c, 'sleep 0.3; touch /ready; exec sleep 1000']
    stop_signal: SIGKILL
    healthcheck: {test: [CMD, test, -e, /ready], interval: 30s}
  cache:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
  job:
    image: busybox:local
    command: [sh, -c, 'sleep 0.2; echo done']
";

#[test]
fn up_opens_gates_in_order() {
    scenario("dependencies come first, each by its condition", |s| {
        s.busybox_project(CHAIN);
        s.step(
            "a dry run tells and does nothing",
            rcompose("--dry-run up -d"),
            [exits(0), says("DRY-RUN MODE"), state("db", "absent")],
        );
        s.step(
            "up waits for the gates",
            rcompose("up -d"),
            [
                exits(0),
                state("web", "running"),
                state("db", "healthy"),
                state("job", "exited"),
                says("Container demo-db-1 Healthy"),
            ],
        );
        s.step(
            "a second up does nothing",
            rcompose("up -d"),
            [exits(0), says("Container demo-web-1 Running")],
        );
        s.step(
            "the plan for it is empty",
            rcompose("--dry-run up -d"),
            [exits(0)],
        );
        s.step(
            "down removes all",
            rcompose("down"),
            [exits(0), state("web", "absent")],
        );
    });
}

#[test]
fn up_recreates_what_changed_and_nothing_else() {
    scenario("only a changed service is recreated", |s| {
        s.load_busybox();
        let file = |value: &str| {
            format!(
                "
services:
  a:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    environment: {{A: {value}}}
  b:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
"
            )
        };
        s.compose(&file("1"));
        s.step(
            "up",
            rcompose("up -d"),
            [exits(0), inside("a", "echo $A", "1")],
        );
        s.step(
            "ids are noted",
            shell("\"$RCOMPOSE\" ps -q b >b.id; \"$RCOMPOSE\" ps -q a >a.id"),
            [exits(0)],
        );
        s.compose(&file("2"));
        s.step(
            "up again recreates a",
            rcompose("up -d"),
            [
                exits(0),
                says("Container demo-a-1 Recreated"),
                inside("a", "echo $A", "2"),
                shell_says("\"$RCOMPOSE\" ps -q b | cmp - b.id && echo same", "same"),
                shell_says(
                    "\"$RCOMPOSE\" ps -q a | cmp -s - a.id || echo other",
                    "other",
                ),
            ],
        );
        s.step(
            "--force-recreate recreates both",
            rcompose("up -d --force-recreate"),
            [
                exits(0),
                shell_says(
                    "\"$RCOMPOSE\" ps -q b | cmp -s - b.id || echo other",
                    "other",
                ),
            ],
        );
        s.step(
            "scale adds replicas",
            rcompose("up -d --scale b=3"),
            [exits(0), shell_says("\"$RCOMPOSE\" ps -q b | wc -l", "3")],
        );
        s.step(
            "and takes them away",
            rcompose("up -d --scale b=1"),
            [exits(0), shell_says("\"$RCOMPOSE\" ps -q b | wc -l", "1")],
        );
        s.compose("services:\n  b:\n    image: busybox:local\n    command: [sleep, '1000']\n    stop_signal: SIGKILL\n");
        s.step(
            "an orphan is named",
            rcompose("up -d"),
            [exits(0), says("orphan"), state("a", "running")],
        );
        s.step(
            "and removed when asked",
            rcompose("up -d --remove-orphans"),
            [exits(0), state("a", "absent"), state("b", "running")],
        );
    });
}

#[test]
fn a_cycle_is_named() {
    scenario("a dependency cycle is named, nothing is started", |s| {
        s.busybox_project(
            "
services:
  a: {image: 'busybox:local', depends_on: [b]}
  b: {image: 'busybox:local', depends_on: [c]}
  c: {image: 'busybox:local', depends_on: [a]}
",
        );
        s.step(
            "up refuses",
            rcompose("up -d"),
            [exits(1), says("a -> b -> c -> a")],
        );
        s.step("nothing runs", rcompose("ps -a -q"), [prints_exactly("")]);
    });
}

#[test]
fn a_dependency_that_fails_is_explained() {
    scenario(
        "up names the dependency that failed and what it said",
        |s| {
            s.busybox_project(
                "
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    depends_on: {db: {condition: service_healthy}}
  db:
    image: busybox:local
    command: [sh, -c, 'echo cannot open the data; exit 7']
    healthcheck: {test: [CMD, 'false'], start_period: 30s}
",
            );
            s.step(
                "it exits before it is healthy",
                rcompose("up -d"),
                [
                    exits(1),
                    says("demo-db-1"),
                    says("exited (7)"),
                    says("cannot open the data"),
                    state("web", "created"),
                ],
            );
            s.step("down", rcompose("down"), [exits(0)]);
            s.compose(
                "
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    depends_on: {db: {condition: service_healthy}}
  db:
    image: busybox:local
    command: [sh, -c, 'echo started; exec sleep 1000']
    stop_signal: SIGKILL
    healthcheck: {test: [CMD, sh, -c, 'echo no table yet; exit 1'], interval: 100ms, retries: 2}
",
            );
            s.step(
                "it turns unhealthy",
                rcompose("up -d"),
                [
                    exits(1),
                    says("demo-db-1 is unhealthy"),
                    says("no table yet"),
                    state("db", "unhealthy"),
                ],
            );
            s.step("an optional one does not hold up", look(), []);
            s.compose(
                "
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    depends_on: {db: {condition: service_completed_successfully, required: false}}
  db:
    image: busybox:local
    command: [sh, -c, 'exit 1']
",
            );
            s.step(
                "up goes on",
                rcompose("up -d"),
                [exits(0), state("web", "running")],
            );
        },
    );
}

#[test]
fn wait_tells_the_truth() {
    scenario("--wait returns 0 only when all is ready", |s| {
        s.busybox_project(
            "
services:
  slow:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    healthcheck: {test: [CMD, test, -e, /never], interval: 200ms, start_period: 60s}
",
        );
        s.step(
            "up",
            rcompose("up -d"),
            [exits(0), state("slow", "running")],
        );
        s.step(
            "the timeout is a failure",
            rcompose("up -d --wait --wait-timeout 1"),
            [fails(), says("not healthy")],
        );
        s.step(
            "once it is healthy wait returns",
            shell("\"$RCOMPOSE\" exec -T slow touch /never; \"$RCOMPOSE\" up -d --wait"),
            [exits(0), state("slow", "healthy")],
        );
        s.step(
            "nothing on standard output",
            rcompose("up -d"),
            [prints_exactly(""), prints_no("demo")],
        );
        s.step("ps tells health", rcompose("ps"), [prints("(healthy)")]);
    });
}
