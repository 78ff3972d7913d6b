//! Health probes.

use crate::support::{
    eventually, exits, inside, look, prints, rcompose, scenario, shell, shell_says, state,
};

#[test]
fn health_follows_the_probe() {
    scenario(
        "a container turns healthy, unhealthy and healthy again",
        |s| {
            s.busybox_project(
                "
services:
  web:
    image: busybox:local
    command: [sh, -c, 'touch /ok; exec sleep 1000']
    stop_signal: SIGKILL
    healthcheck: {test: 'test -e /ok', interval: 100ms, retries: 2, timeout: 20s}
  slow:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    healthcheck: {test: [CMD, sleep, '100'], interval: 100ms, retries: 1, timeout: 200ms}
  off:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    healthcheck: {disable: true}
",
            );
            s.step(
                "up",
                rcompose("up -d"),
                [
                    exits(0),
                    eventually(state("web", "healthy")),
                    eventually(state("slow", "unhealthy")),
                ],
            );
            s.step(
                "it breaks",
                rcompose("exec -T web rm /ok"),
                [exits(0), eventually(state("web", "unhealthy"))],
            );
            s.step(
                "unhealthy alone restarts nothing",
                look(),
                [state("web", "running")],
            );
            s.step(
                "it heals",
                rcompose("exec -T web touch /ok"),
                [exits(0), eventually(state("web", "healthy"))],
            );
            s.step(
                "ps tells",
                rcompose("ps"),
                [prints("(healthy)"), prints("(unhealthy)")],
            );
            s.step(
                "a probe that timed out is gone",
                look(),
                [eventually(inside(
                    "slow",
                    "ps | grep -c '[s]leep 100$' || true",
                    "1",
                ))],
            );
        },
    );
}

#[test]
fn the_first_probe_is_at_once() {
    scenario("up --wait does not wait for a long interval", |s| {
        s.busybox_project(
            "
services:
  web:
    image: busybox:local
    command: [sh, -c, 'sleep 0.5; touch /ok; exec sleep 1000']
    stop_signal: SIGKILL
    healthcheck: {test: [CMD, test, -e, /ok], interval: 1h, start_period: 30s}
",
        );
        s.step(
            "up",
            shell("timeout 20 \"$RCOMPOSE\" up -d --wait"),
            [exits(0), state("web", "healthy")],
        );
        s.step(
            "and no more probes after that",
            look(),
            [shell_says("\"$RCOMPOSE\" ps -a -q | wc -l", "1")],
        );
    });
}
