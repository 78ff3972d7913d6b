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
            s.busybox_project(
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

#[test]
fn terminals_and_their_type() {
    scenario("TERM is of who has a terminal, and -T can be undone", |s| {
        s.busybox_project(
            "
services:
  tty: {image: 'busybox:local', command: [sh, -c, 'echo own $$TERM; exec sleep 1000'], tty: true, stop_signal: SIGKILL}
  own: {image: 'busybox:local', command: [sleep, '1000'], tty: true, environment: {TERM: vt100}, stop_signal: SIGKILL}
  job: {image: 'busybox:local', command: ['true']}
",
        );
        s.step(
            "up",
            rcompose("up -d"),
            [
                exits(0),
                eventually(shell_says(
                    "$RCOMPOSE logs --no-log-prefix tty | tr -d '\\r'",
                    "own xterm",
                )),
            ],
        );
        for (service, term) in [("tty", "none"), ("own", "vt100")] {
            s.step(
                "an exec without one",
                rcompose(&format!("exec -T {service} sh -c 'echo ${{TERM:-none}}'")),
                [exits(0), prints_exactly(term)],
            );
        }
        s.step(
            "an exec with one",
            rcompose("container exec -t demo-tty-1 sh -c 'echo exec $TERM'"),
            [exits(0), prints("exec xterm")],
        );
        for command in [
            "exec --no-tty=false tty",
            "run --no-tty=false --rm job",
            "run --no-TTY=false --rm job",
        ] {
            s.step(
                "a terminal for who has none",
                rcompose(&format!("{command} true")),
                [exits(1), says("cannot attach stdin to a TTY-enabled container because stdin is not a terminal")],
            );
        }
        s.step(
            "what has ended is told of as what is stopped",
            rcompose("stop job"),
            [
                exits(0),
                says("Container demo-job-1 Stopping"),
                says("Container demo-job-1 Stopped"),
            ],
        );
        s.step(
            "down",
            rcompose("down -t 0"),
            [exits(0), says("Container demo-job-1 Stopping")],
        );
    });
}

#[test]
fn what_config_prints_of_names_and_included_paths() {
    scenario(
        "config: an empty name, and paths as they are written",
        |s| {
            s.file("inc/compose.yaml", "services: {in: {image: x, build: {context: ../b}, volumes: ['./d:/d']}}\ninclude: [deep/compose.yaml]\n");
            s.file("inc/deep/compose.yaml", "services: {deep: {image: x, volumes: ['./d:/d', '../../../up:/up', '/abs:/abs']}}\n");
            s.compose("name: demo\ninclude: [inc/compose.yaml]\nservices: {a: {image: x, volumes: ['./d:/d']}}\n");
            s.step(
            "paths",
            shell("$RCOMPOSE config --no-path-resolution | grep -E 'source|context' | LC_ALL=C sort -b | tr -s ' ' | tr '\\n' ,"),
            [exits(0), prints_exactly(" context: b, source: ../up, source: ./d, source: /abs, source: inc/d, source: inc/deep/d,")],
        );
            s.step(
                "a name that is set and empty",
                shell(
                    "COMPOSE_PROJECT_NAME= $RCOMPOSE config --environment | grep COMPOSE_PROJECT",
                ),
                [exits(0), prints_exactly("COMPOSE_PROJECT_NAME=demo")],
            );
            s.step(
            "one that is set",
            shell("COMPOSE_PROJECT_NAME=other $RCOMPOSE config --environment | grep COMPOSE_PROJECT"),
            [exits(0), prints_exactly("COMPOSE_PROJECT_NAME=other")],
        );
        },
    );
}

#[test]
fn restarts_in_events_and_a_port_that_is_taken_twice() {
    scenario("events of restarts; a port of the same service", |s| {
        s.busybox_project(
            "
services:
  web: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, ports: ['8080:80']}
  flaky: {image: 'busybox:local', command: ['false'], restart: 'on-failure:2'}
",
        );
        s.step(
            "up",
            rcompose("up -d"),
            [
                exits(0),
                eventually(shell_says(
                    "$RCOMPOSE ps -a --format '{{.State}}' flaky",
                    "exited",
                )),
            ],
        );
        s.step("restart", rcompose("restart web"), [exits(0)]);
        let events = "$RCOMPOSE events --since 10m --until 0s";
        s.step(
            "who restarts starts again, and only a user restarts",
            look(),
            [
                shell_says(&format!("{events} flaky | grep -c 'container start'"), "3"),
                shell_says(
                    &format!("{events} flaky | grep -c 'container restart' || true"),
                    "0",
                ),
                shell_says(&format!("{events} web | grep -c 'container start'"), "2"),
                shell_says(&format!("{events} web | grep -c 'container restart'"), "1"),
            ],
        );
        s.step(
            "one port for two",
            rcompose("up -d --scale web=2 --no-recreate"),
            [
                exits(1),
                says("8080/tcp is already in use by container demo-web-1 of this project"),
                state("web", "running"),
            ],
        );
    });
}
