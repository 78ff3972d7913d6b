//! Replicas, orphans, profiles and several files.

use crate::support::{exits, prints, prints_exactly, rcompose, says, scenario, shell, state};

#[test]
fn scaling() {
    scenario("scale keeps what is there, numbers included", |s| {
        s.busybox_project(
            "
services:
  web: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL}
  other: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL}
",
        );
        s.step(
            "up",
            shell("$RCOMPOSE up -d; $RCOMPOSE ps -q web >before"),
            [exits(0)],
        );
        s.step(
            "up to three",
            shell("$RCOMPOSE scale web=3 other=2; $RCOMPOSE ps -q | grep -c -f before; $RCOMPOSE ps --format '{{.Name}}' | sort"),
            [prints_exactly("1\ndemo-other-1\ndemo-other-2\ndemo-web-1\ndemo-web-2\ndemo-web-3\n")],
        );
        s.step(
            "down to one keeps the first",
            shell("$RCOMPOSE up -d --scale web=1 --scale other=1; $RCOMPOSE ps -q web | diff - before && $RCOMPOSE ps --format '{{.Name}}' | sort"),
            [prints_exactly("demo-other-1\ndemo-web-1\n")],
        );
        s.step(
            "and up again reuses numbers",
            shell("$RCOMPOSE up -d --scale web=2; $RCOMPOSE ps --format '{{.Name}}' web | sort"),
            [prints_exactly("demo-web-1\ndemo-web-2\n")],
        );
        s.step(
            "config --hash is the containers' label",
            shell("hash=$($RCOMPOSE config --hash web | cut -d' ' -f2); $RCOMPOSE ps --format json web | grep -c \"config-hash=$hash\""),
            [exits(0), prints("2")],
        );
        s.step(
            "an unknown service",
            rcompose("scale wep=2"),
            [exits(1), says("no such service: wep")],
        );
    });
}

#[test]
fn orphans_profiles_and_files() {
    scenario(
        "commands touch what is named, and what the files have",
        |s| {
            s.load_busybox();
            let service =
                "{image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL}";
            s.compose(&format!("services: {{web: {service}}}\n"));
            s.file("two.yaml", &format!("services: {{two: {service}}}\n"));
            s.step("up of one file", rcompose("up -d"), [exits(0)]);
            s.step(
                "up of another",
                rcompose("-p demo -f two.yaml up -d"),
                [
                    exits(0),
                    says("Found orphan containers"),
                    state("web", "running"),
                ],
            );
            s.step(
                "stop touches the file's services",
                rcompose("stop"),
                [exits(0), state("web", "exited"), state("two", "running")],
            );
            s.step(
                "start too",
                rcompose("start"),
                [exits(0), state("web", "running")],
            );
            s.step(
                "orphans go when asked",
                shell("COMPOSE_REMOVE_ORPHANS=1 $RCOMPOSE up -d"),
                [exits(0), state("two", "absent"), state("web", "running")],
            );
            s.file("two.yaml", &format!("services: {{on: {service}, off: {{extends: {{service: on}}, profiles: [x]}}, dep: {{extends: {{service: on}}, profiles: [y], depends_on: [on]}}}}\n"));
            s.step(
                "without its profile a service stays away",
                rcompose("-p demo -f two.yaml up -d --remove-orphans"),
                [exits(0), state("on", "running"), state("off", "absent")],
            );
            s.step(
                "its name is enough",
                rcompose("-p demo -f two.yaml up -d dep"),
                [exits(0), state("dep", "running"), state("off", "absent")],
            );
            s.step(
            "COMPOSE_PROFILES in .env",
            shell("echo COMPOSE_PROFILES=x >.env; echo COMPOSE_FILE=two.yaml >>.env; $RCOMPOSE up -d; $RCOMPOSE ps --services | sort | tr '\\n' ' '"),
            [exits(0), prints("off"), prints("on")],
        );
            s.step(
                "down of one service",
                shell("$RCOMPOSE down off && $RCOMPOSE ps --services | sort | tr '\\n' ' '"),
                [exits(0), prints_exactly("dep on ")],
            );
            s.step(
                "verbs leave alone what profiles leave out",
                rcompose("stop"),
                [exits(0), state("on", "exited"), state("dep", "running")],
            );
            s.step(
                "down, too",
                rcompose("down --remove-orphans"),
                [
                    exits(0),
                    says("Resource is still in use"),
                    state("on", "absent"),
                    state("dep", "running"),
                ],
            );
            s.step(
                "until their profile is named",
                rcompose("--profile y down"),
                [exits(0), state("dep", "absent")],
            );
        },
    );
}
