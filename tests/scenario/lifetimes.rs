//! Attributes that say how a container starts, lives and ends: signals, restarts,
//! hooks, probes, logs, and which image it is made from.

use crate::registry::{end, serve};
use crate::support::{
    background, eventually, exits, fails, join, look, prints, prints_exactly, prints_no, rcompose,
    says, scenario, scenario_needing, shell, shell_says, state,
};

#[test]
fn starts_and_ends_are_as_asked() {
    scenario("signals, patience, restarts, what is attached to", |s| {
        s.up(
            "
services:
  polite: {image: 'busybox:local', init: false, stop_signal: SIGUSR1, command: [sh, -c, 'trap \"exit 9\" USR1; while :; do sleep 0.05; done']}
  deaf: {image: 'busybox:local', stop_grace_period: 100ms, command: [sh, -c, 'trap \"\" TERM; while :; do sleep 0.05; done']}
  again: {image: 'busybox:local', command: [sh, -c, 'echo try; exit 4'], deploy: {restart_policy: {condition: on-failure, max_attempts: 2}}}
  never: {image: 'busybox:local', command: [sh, -c, 'echo once; exit 4'], deploy: {restart_policy: {condition: none}}}
  mute: {image: 'busybox:local', command: [sh, -c, 'echo nowhere; exec sleep 1000'], stop_signal: SIGKILL, logging: {driver: none}}
  cut: {image: 'busybox:local', command: [sh, -c, 'seq -f line-%.0f 1 3000; echo end; exec sleep 1000'], stop_signal: SIGKILL, logging: {driver: json-file, options: {max-size: 4k, max-file: '2'}}}
",
        );
        s.step(
            "restarts are counted",
            look(),
            [
                eventually(shell_says(
                    "$RCOMPOSE logs --no-log-prefix again | grep -c try",
                    "3",
                )),
                eventually(state("again", "exited")),
                shell_says("$RCOMPOSE logs --no-log-prefix never | grep -c once", "1"),
            ],
        );
        s.step(
            "logs that nobody keeps, and logs that are cut",
            shell("$RCOMPOSE logs mute 2>&1; until $RCOMPOSE logs cut | grep -q 'end$'; do sleep 0.05; done; $RCOMPOSE logs cut | grep -c 'line-1$' || true"),
            [prints_no("nowhere"), prints("0")],
        );
        s.step(
            "stop",
            rcompose("stop"),
            [exits(0), state("polite", "9"), state("deaf", "137")],
        );
        s.step("down", rcompose("down"), [exits(0)]);
        s.compose(
            "
services:
  loud: {image: 'busybox:local', command: [echo, heard]}
  quiet: {image: 'busybox:local', command: [echo, unheard], attach: false}
",
        );
        s.step(
            "up shows what it is attached to",
            rcompose("up"),
            [exits(0), prints("loud-1  | heard"), prints_no("unheard")],
        );
        s.step(
            "and what is asked for",
            rcompose("up --attach quiet"),
            [
                exits(0),
                prints("quiet-1  | unheard"),
                prints_no("heard\nloud"),
            ],
        );
    });
}

#[test]
fn hooks_run_as_asked() {
    scenario("user, folder, variables and rights of hooks", |s| {
        s.load_busybox();
        let hook = |file: &str| {
            format!(
                "{{command: [sh, -c, 'echo $$(id -u) $$PWD $$WORD $$(grep -c a80425fb /proc/self/status) >/data/{file}'], user: worker, privileged: true, working_dir: /var/www, environment: {{WORD: {file}}}}}"
            )
        };
        s.compose(&format!(
            "
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    volumes: ['./data:/data']
    post_start: [{}]
    pre_stop: [{}]
",
            hook("after"),
            hook("before"),
        ));
        s.step(
            "a folder that everyone may write into",
            shell("mkdir data; chmod 777 data"),
            [exits(0)],
        );
        let ran = |file: &str| {
            shell_says(
                &format!("cat data/{file}"),
                &format!("1000 /var/www {file} 0"),
            )
        };
        s.step("up", rcompose("up -d"), [exits(0), ran("after")]);
        s.step("stop", rcompose("stop"), [exits(0), ran("before")]);
        s.compose("services: {web: {image: 'busybox:local', pre_start: [{command: ['true'], per_replica: true}]}}");
        s.step(
            "a hook for each replica is refused",
            rcompose("up -d"),
            [fails(), says("per_replica is not yet supported")],
        );
    });
}

#[test]
fn probes_keep_their_times() {
    scenario(
        "start_period, start_interval and the long form of env_file",
        |s| {
            s.busybox_project(
            "
services:
  patient:
    image: busybox:local
    command: [sh, -c, 'exec sleep 1000']
    stop_signal: SIGKILL
    healthcheck: {test: [CMD, test, -e, /ok], interval: 1h, retries: 1, start_period: 1h, start_interval: 100ms, timeout: 5s}
  strict:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    healthcheck: {test: [CMD-SHELL, 'exit 1'], interval: 100ms, retries: 1}
",
        );
            s.step(
                "up",
                rcompose("up -d"),
                [
                    exits(0),
                    eventually(state("strict", "unhealthy")),
                    state("patient", "starting"),
                ],
            );
            s.step(
                "probes of the start go on at their own pace",
                rcompose("exec -T patient touch /ok"),
                [exits(0), eventually(state("patient", "healthy"))],
            );
        },
    );
}

#[test]
fn images_and_platforms_are_chosen() {
    scenario(
        "platform and pull_policy decide before anything starts",
        |s| {
            s.busybox_project(
                "
services:
  web: {image: 'busybox:local', platform: linux/s390x, pull_policy: never}
",
            );
            s.step(
                "an image of another platform is not taken",
                rcompose("up -d"),
                [fails(), says("s390x"), state("web", "absent")],
            );
            s.compose("services: {web: {image: 'not:here', pull_policy: never}}");
            s.step(
                "never asks no registry",
                rcompose("up -d"),
                [fails(), says("not:here")],
            );
            s.compose(
            "services: {web: {image: 'made:here', pull_policy: build, build: {dockerfile_inline: \"FROM busybox:local\\nRUN date +%N >/made\"}, command: [cat, /made]}}",
        );
            s.step(
            "build always builds",
            shell("$RCOMPOSE up 2>&1 | grep -c 'made:here.*Built'; $RCOMPOSE up 2>&1 | grep -c 'made:here.*Built'"),
            [prints_exactly("1\n1")],
        );
            s.step(
                "a command that ends by itself",
                background("run", rcompose("run --rm -T web echo ran")),
                [],
            );
            s.step("ends", join("run"), [exits(0), prints("ran")]);
        },
    );
}

#[test]
fn old_images_are_asked_for_again() {
    scenario_needing(
        &["docker-registry", "curl"],
        "pull_refresh_after and its short form ask when an image is that old",
        |s| {
            serve(
                s,
                "http: {addr: 127.0.0.1:5000}",
                "http://127.0.0.1:5000/v2/",
            );
            s.load_busybox();
            s.step(
                "an image in the registry",
                shell("$RCOMPOSE image tag busybox:local localhost:5000/tool:1 && $RCOMPOSE image push -q localhost:5000/tool:1"),
                [exits(0)],
            );
            let asked =
                "grep -cE 'GET /v2/tool/manifests|HEAD /v2/tool/manifests' registry.log || true";
            for (policy, again) in [
                ("pull_policy: refresh, pull_refresh_after: 1h", false),
                ("pull_policy: every_1h", false),
                ("pull_policy: refresh, pull_refresh_after: 1s", true),
            ] {
                s.compose(&format!(
                    "services: {{web: {{image: 'localhost:5000/tool:1', command: ['true'], {policy}}}}}"
                ));
                s.step(
                    policy,
                    shell(&format!(
                        "$RCOMPOSE pull -q; before=$({asked}); sleep 1.2; $RCOMPOSE up -d 2>/dev/null; test $before -lt $({asked}) && echo asked || echo kept"
                    )),
                    [exits(0), prints(if again { "asked" } else { "kept" })],
                );
            }
            end(s);
        },
    );
}
