//! The small print of docker compose's own scenarios: what a command leaves
//! alone, refuses or prints nothing about. `docs/e2e.md` is the table.

use crate::support::{
    background, eventually, exits, fails, inside, interrupt, join, look, prints, prints_exactly,
    prints_no, rcompose, says, scenario, shell, shell_says, state,
};

#[test]
fn one_off_containers_are_left_alone() {
    scenario(
        "stop, start, restart and exec are for a service's own",
        |s| {
            s.load_busybox();
            s.compose(
            "services: {web: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, ports: ['8080:80']}, other: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL}}\n",
        );
            s.step(
                "one alone",
                shell("$RCOMPOSE run -d --name alone web sh -c 'touch /alone; exec sleep 1000'"),
                [exits(0)],
            );
            s.step(
                "exec takes it when there is no other",
                rcompose(
                    "exec -T web sh -c 'until test -e /alone; do sleep 0.05; done; echo here'",
                ),
                [exits(0), prints_exactly("here")],
            );
            s.step(
                "its ports aren't published",
                shell("$RCOMPOSE ps -a --format '{{.Name}} {{.Ports}}' | grep -c 8080 || true"),
                [prints_exactly("0")],
            );
            s.step("up", rcompose("up -d"), [exits(0)]);
            s.step(
                "exec takes the service's own",
                rcompose("exec -T web sh -c 'test -e /alone || echo another'"),
                [exits(0), prints_exactly("another")],
            );
            s.step(
                "an index is a number of the service's",
                rcompose("exec -T --index 2 web true"),
                [
                    exits(1),
                    says("service \"web\" is not running container #2"),
                ],
            );
            s.step("its beginning", shell("pid() { $RCOMPOSE container inspect -f '{{.State.Pid}}' alone; }; pid >before; $RCOMPOSE stop; $RCOMPOSE start; $RCOMPOSE restart -t 0; pid | diff - before"), [exits(0)]);
            s.step(
                "start of what runs",
                rcompose("start"),
                [exits(0), prints_exactly("")],
            );
            s.step(
            "with the service's ports",
            shell("$RCOMPOSE stop web; $RCOMPOSE run -d --service-ports --name ported web sleep 1000; $RCOMPOSE ps -a --format '{{.Name}} {{.Ports}}'"),
            [exits(0), prints("ported 0.0.0.0:8080->80/tcp")],
        );
            s.step(
                "down of one, with orphans, leaves the other",
                rcompose("down --remove-orphans -t 0 web"),
                [exits(0), state("web", "absent"), state("other", "running")],
            );
            s.step("down", rcompose("down --remove-orphans -t 0"), [exits(0)]);
        },
    );
}

#[test]
fn only_those_who_need_it_fail() {
    scenario(
        "a missing network, file or service hurts its users alone",
        |s| {
            s.load_busybox();
            s.file("bind/file", "bound");
            s.compose(
            "
services:
  lone: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, volumes: ['./bind:/bind']}
  user: {image: 'busybox:local', command: [sleep, '1000'], networks: [corp], profiles: [user]}
  filed: {image: 'busybox:local', command: [sleep, '1000'], env_file: [missing.env], profiles: [filed]}
  tool: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, profiles: [tool]}
networks: {corp: {external: true}}
",
        );
            s.step(
                "up of who needs none",
                shell("$RCOMPOSE up -d && $RCOMPOSE ps -q lone >id"),
                [exits(0)],
            );
            s.step(
                "up of who needs it",
                rcompose("up -d user"),
                [
                    fails(),
                    says("network corp declared as external, but could not be found"),
                    state("user", "absent"),
                ],
            );
            s.step(
                "a bind is no volume that could have changed",
                shell("echo more >bind/more; $RCOMPOSE up -d; $RCOMPOSE ps -q lone | diff - id"),
                [exits(0), inside("lone", "cat /bind/more", "more")],
            );
            s.step(
                "scale beside a missing file",
                rcompose("scale lone=2"),
                [exits(0)],
            );
            s.step(
                "hashes",
                rcompose("config --hash lone"),
                [exits(0), prints("lone ")],
            );
            s.step(
                "all hashes",
                rcompose("--profile filed config --hash '*'"),
                [exits(1), says("missing.env")],
            );
            s.step(
                "without looking into it",
                rcompose("--profile filed config --no-env-resolution -q"),
                [exits(0)],
            );
            s.step(
            "a profile's service by its name",
            shell("$RCOMPOSE up -d tool; $RCOMPOSE container inspect -f '{{.State.Pid}}' demo-tool-1 >before; $RCOMPOSE --profile tool restart -t 0 tool; $RCOMPOSE container inspect -f '{{.State.Pid}}' demo-tool-1 | diff -q - before >/dev/null || echo another"),
            [exits(0), prints("another"), state("tool", "running")],
        );
            for command in [
                "events wep",
                "top wep",
                "kill wep",
                "images wep",
                "logs wep",
                "restart wep",
                "port wep 80",
                "pull wep",
                "build wep",
                "attach wep",
                "rm -f wep",
                "pause wep",
            ] {
                s.step(
                    command,
                    rcompose(command),
                    [exits(1), says("no such service: wep")],
                );
            }
            s.step(
            "orphans go when .env says so",
            shell("sed -i '/tool:/d' compose.yaml; echo COMPOSE_REMOVE_ORPHANS=true >.env; $RCOMPOSE up -d"),
            [exits(0), state("tool", "absent"), state("lone", "running")],
        );
            s.compose("services: {web: {image: 'busybox:local', healthcheck: {test: [CMD, 'true'], start_interval: 1s}}}\n");
            s.step(
                "probes of a start that has no length",
                rcompose("up -d"),
                [fails(), says("start_interval"), says("start_period")],
            );
            s.step("down", shell("sed -i 's/, start_interval: 1s//' compose.yaml; $RCOMPOSE down -t 0 --remove-orphans"), [exits(0)]);
        },
    );
}

#[test]
fn streams_that_grow_and_that_are_none() {
    scenario("logs follow what is scaled; a pipe is no terminal", |s| {
        s.load_busybox();
        s.file("sub/own.env", "WHO=sub\n");
        s.file(
            "sub/compose.yaml",
            "services: {web: {image: 'busybox:local', command: [sh, -c, 'echo begun $$HOSTNAME $$WHO; exec sleep 1000'], stop_signal: SIGKILL, env_file: own.env}, sharer: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, ipc: shareable, profiles: [ipc]}, joins: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, ipc: 'container:demo-sharer-1', profiles: [ipc]}}\n",
        );
        s.compose("include: [sub/compose.yaml]\nname: demo\n");
        s.step(
            "an env_file is relative to its own file's folder, wherever one stands",
            shell("mkdir -p far && cd far && $RCOMPOSE -f ../compose.yaml run --rm -T web sh -c 'echo $WHO'"),
            [exits(0), prints_exactly("sub")],
        );
        s.step("up", rcompose("up -d"), [exits(0)]);
        s.step(
            "logs that follow",
            background("logs", shell("exec $RCOMPOSE logs -f >out")),
            [eventually(shell_says("grep -c 'web-1.*begun' out", "1"))],
        );
        s.step(
            "see who comes later",
            rcompose("scale web=2"),
            [
                exits(0),
                eventually(shell_says("grep -c 'web-2.*begun' out", "1")),
            ],
        );
        s.step("Ctrl-C", interrupt("logs"), []);
        s.step("ends them", join("logs"), [exits(130)]);
        s.step(
            "of one replica",
            rcompose("logs --index 2 web"),
            [exits(0), prints("web-2  | begun"), prints_no("web-1")],
        );
        s.step(
            "a terminal that is asked for and isn't there",
            shell("echo x | $RCOMPOSE run --rm --tty web cat"),
            [fails(), says("not a terminal")],
        );
        s.step(
            "ipc of a container by its name",
            shell("$RCOMPOSE --profile ipc up -d sharer && $RCOMPOSE --profile ipc up -d joins"),
            [
                exits(0),
                shell_says(
                    "test $($RCOMPOSE exec -T sharer readlink /proc/self/ns/ipc) = $($RCOMPOSE exec -T joins readlink /proc/self/ns/ipc) && echo same",
                    "same",
                ),
            ],
        );
        s.step("all", look(), [shell_says("$RCOMPOSE ps -q | wc -l", "4")]);
        s.step("down", rcompose("--profile ipc down -t 0"), [exits(0)]);
    });
}
