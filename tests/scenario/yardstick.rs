//! What docker compose's own scenarios ask for and no other scenario here has;
//! `docs/e2e.md` is the table.

use crate::support::{
    eventually, exits, fails, inside, look, prints, prints_exactly, rcompose, says, scenario,
    shell, shell_says, state,
};

#[test]
fn dependencies_attached() {
    scenario("up ends with the service that was asked for", |s| {
        s.busybox_project(
            "
services:
  foo: {image: 'busybox:local', command: [echo, hello], depends_on: [bar]}
  bar:
    image: busybox:local
    command: [sh, -c, 'echo serving; exec sleep 1000']
    stop_signal: SIGKILL
    scale: 2
",
        );
        s.step(
            "with its dependencies attached",
            rcompose("up --attach-dependencies foo"),
            [
                exits(0),
                prints("foo-1  | hello"),
                prints("foo-1 exited with code 0"),
                state("bar", "running"),
            ],
        );
        s.step(
            "and with only a dependency attached",
            rcompose("up --attach bar foo"),
            [exits(0), state("bar", "running")],
        );
    });
}

#[test]
fn all_resources_and_image_ids() {
    scenario(
        "unused resources are made on request; an id is an image",
        |s| {
            s.load_busybox();
            s.step(
                "the image's id",
                shell("$RCOMPOSE image ls -q --no-trunc busybox:local >id; test -s id"),
                [exits(0)],
            );
            s.step(
                "a project that runs it by its id",
                shell(
                    "cat >compose.yaml <<END
services:
  web: {image: '$(cat id)', command: [sleep, '1000'], stop_signal: SIGKILL}
  short: {image: '$(cut -c8-19 id)', command: [sleep, '1000'], stop_signal: SIGKILL}
networks: {unused: {}}
volumes: {spare: {}}
END",
                ),
                [exits(0)],
            );
            s.step(
                "up",
                rcompose("up -d"),
                [
                    exits(0),
                    state("web", "running"),
                    state("short", "running"),
                    shell_says("$RCOMPOSE network ls -q -f name=demo_unused | wc -l", "0"),
                ],
            );
            s.step(
                "with all resources",
                rcompose("--all-resources up -d"),
                [
                    exits(0),
                    shell_says("$RCOMPOSE network ls -q -f name=demo_unused | wc -l", "1"),
                    shell_says("$RCOMPOSE volume ls -q | grep -c demo_spare", "1"),
                ],
            );
            s.step(
                "down takes them, too",
                rcompose("--all-resources down -v -t 0"),
                [
                    exits(0),
                    shell_says("$RCOMPOSE network ls -q -f name=demo_unused | wc -l", "0"),
                    shell_says("$RCOMPOSE volume ls -q | wc -l", "0"),
                ],
            );
        },
    );
}

#[test]
fn fixed_names_and_logging() {
    scenario(
        "one name is one container's; a logging option recreates",
        |s| {
            s.busybox_project(
            "
services:
  one: {image: 'busybox:local', command: [sleep, '1000'], container_name: same, stop_signal: SIGKILL}
  two: {image: 'busybox:local', command: [sleep, '1000'], container_name: same, stop_signal: SIGKILL}
",
        );
            s.step(
                "both",
                rcompose("up -d"),
                [fails(), says("container name \"same\"")],
            );
            for service in ["one", "two"] {
                s.step(
                "each alone",
                shell(&format!(
                    "$RCOMPOSE up -d {service}; $RCOMPOSE ps --format '{{{{.Name}}}}'; $RCOMPOSE rm -sf {service}"
                )),
                [exits(0), prints("same")],
            );
            }
            let file = |size: &str| {
                format!(
                    "services: {{web: {{image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, logging: {{driver: local, options: {{max-size: {size}}}}}}}}}"
                )
            };
            s.compose(&file("5m"));
            s.step(
                "up",
                shell("$RCOMPOSE up -d --remove-orphans; $RCOMPOSE ps -q web >id"),
                [exits(0)],
            );
            s.compose(&file("6m"));
            s.step(
                "up after a change",
                rcompose("up -d"),
                [
                    exits(0),
                    says("Recreated"),
                    shell_says("$RCOMPOSE ps -q web | grep -c -f id || true", "0"),
                ],
            );
        },
    );
}

#[test]
fn underscores() {
    scenario("--compatibility names as Compose 1 did", |s| {
        s.busybox_project(
            "
services:
  web: {build: {dockerfile_inline: \"FROM busybox:local\"}, command: [sleep, '1000'], stop_signal: SIGKILL, scale: 2}
",
        );
        s.step(
            "up",
            shell("COMPOSE_COMPATIBILITY=1 $RCOMPOSE up -d"),
            [
                exits(0),
                shell_says(
                    "$RCOMPOSE ps --format '{{.Name}}' | xargs",
                    "demo_web_1 demo_web_2",
                ),
                shell_says(
                    "$RCOMPOSE image ls --format '{{.Repository}}' | grep demo",
                    "demo_web",
                ),
                inside(
                    "web",
                    "nslookup demo_web_2 127.0.0.11 >/dev/null && echo found",
                    "found",
                ),
            ],
        );
        s.step(
            "a one-off one",
            rcompose("--compatibility run -d web sleep 1000"),
            [
                exits(0),
                shell_says(
                    "$RCOMPOSE ps -a --format '{{.Name}}' | grep -c demo_web_run_",
                    "1",
                ),
            ],
        );
        s.step(
            "the other form finds them, too",
            rcompose("up -d --no-build"),
            [fails(), says("demo-web")],
        );
        s.step(
            "down",
            rcompose("--compatibility down --rmi local --remove-orphans -t 0"),
            [
                exits(0),
                shell_says("$RCOMPOSE image ls | grep -c demo || true", "0"),
            ],
        );
    });
}

#[test]
fn images_as_volumes() {
    scenario(
        "image volumes are read, and renewed with their image",
        |s| {
            s.busybox_project(
                "
services:
  data:
    build: {context: ., dockerfile_inline: \"FROM busybox:local\\nCOPY text /files/text\\n\"}
    image: data:local
    command: ['true']
  web:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    depends_on: [data]
    volumes:
      - {type: image, source: 'data:local', target: /all}
      - {type: image, source: 'data:local', target: /part, image: {subpath: files}}
",
            );
            s.file("text", "one");
            s.step(
                "up",
                shell("$RCOMPOSE up -d --build; $RCOMPOSE ps -q web >id"),
                [
                    exits(0),
                    inside("web", "cat /all/files/text /part/text | xargs", "oneone"),
                    inside(
                        "web",
                        "touch /part/x 2>/dev/null || echo refused",
                        "refused",
                    ),
                ],
            );
            s.step(
                "up again",
                rcompose("up -d"),
                [
                    exits(0),
                    shell_says("$RCOMPOSE ps -q web | diff - id && echo same", "same"),
                ],
            );
            s.file("text", "two");
            s.step(
                "after the image was built again",
                rcompose("up -d --build"),
                [exits(0), inside("web", "cat /part/text", "two")],
            );
        },
    );
}

#[test]
fn builds_before_runs() {
    scenario("run --build builds each service that is needed once", |s| {
        s.busybox_project(
            "
services:
  base: {build: {context: ., dockerfile_inline: \"FROM busybox:local\\nRUN echo base\"}, command: [sleep, '1000'], stop_signal: SIGKILL}
  middle: {build: {context: ., dockerfile_inline: \"FROM busybox:local\\nRUN echo middle\"}, command: [sleep, '1000'], stop_signal: SIGKILL, depends_on: [base]}
  job: {build: {context: ., dockerfile_inline: \"FROM busybox:local\\nRUN echo job\"}, command: [echo, ran], depends_on: [middle]}
  other: {build: {context: ., dockerfile_inline: \"FROM busybox:local\\nRUN echo other\"}, command: [sleep, '1000']}
",
        );
        let built = |count: &str| shell_says("grep -c 'Image demo-.*Built' err", count);
        s.step(
            "with all it depends on",
            shell("$RCOMPOSE run --build --rm job 2>err"),
            [
                exits(0),
                prints_exactly("ran\n"),
                built("3"),
                state("middle", "running"),
            ],
        );
        s.step("down", rcompose("down -t 0"), [exits(0)]);
        s.step(
            "without",
            shell("$RCOMPOSE run --build --no-deps --rm job 2>err"),
            [
                exits(0),
                prints_exactly("ran\n"),
                built("1"),
                state("middle", "absent"),
            ],
        );
        s.step(
            "up --build with nothing changed",
            shell("$RCOMPOSE up -d --build base; $RCOMPOSE ps -q >id; $RCOMPOSE up -d --build base; $RCOMPOSE ps -q | diff - id && echo same"),
            [exits(0), prints("same")],
        );
    });
}

#[test]
fn addresses_and_namespaces() {
    scenario("fixed addresses, names of interfaces, shared ipc", |s| {
        s.busybox_project(
            "
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    mac_address: 02:42:ac:11:65:43
    networks:
      front: {ipv4_address: 10.97.3.10, interface_name: front0}
  sharer: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, ipc: shareable}
  joins: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, ipc: 'service:sharer'}
  other: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL}
networks:
  front: {ipam: {config: [{subnet: 10.97.3.0/24}]}}
",
        );
        let ipc = |service: &str| format!("$RCOMPOSE exec -T {service} readlink /proc/self/ns/ipc");
        s.step(
            "up",
            rcompose("up -d"),
            [
                exits(0),
                inside(
                    "web",
                    "ip -4 addr show front0 | grep -o 10.97.3.10/24",
                    "10.97.3.10/24",
                ),
                inside(
                    "web",
                    "cat /sys/class/net/front0/address",
                    "02:42:ac:11:65:43",
                ),
                shell_says(
                    &format!(
                        "test $({}) = $({}) && echo same",
                        ipc("sharer"),
                        ipc("joins")
                    ),
                    "same",
                ),
                shell_says(
                    &format!(
                        "test $({}) != $({}) && echo apart",
                        ipc("sharer"),
                        ipc("other")
                    ),
                    "apart",
                ),
            ],
        );
    });
}

#[test]
fn volumes_with_options() {
    scenario(
        "a local volume may be a bind; secrets and configs come from anywhere",
        |s| {
            s.load_busybox();
            s.file("data/file", "bound");
            s.file("raw.env", "RAW=$HOME and 'quotes' # kept\n");
            s.compose(
                "
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    expose: ['8000-8002']
    env_file: [{path: raw.env, format: raw}]
    volumes: ['bound:/data']
    secrets: [{source: key, target: key, uid: '1000', gid: '1001', mode: 0440}]
    configs: [{source: inline, target: /etc/inline}, {source: variable, target: /etc/variable}]
volumes:
  bound: {driver: local, driver_opts: {type: none, o: bind, device: '${PWD}/data'}}
secrets: {key: {environment: KEY}}
configs:
  inline: {content: 'hello ${NAME:-world}'}
  variable: {environment: KEY}
",
            );
            s.step(
                "up",
                shell("export PWD; KEY=secret $RCOMPOSE up -d"),
                [
                    exits(0),
                    inside("web", "cat /data/file", "bound"),
                    inside(
                        "web",
                        "cat /run/secrets/key /etc/variable | xargs",
                        "secretsecret",
                    ),
                    inside("web", "stat -c %u:%g:%a /run/secrets/key", "1000:1001:440"),
                    inside("web", "cat /etc/inline", "hello world"),
                    inside("web", "echo \"$RAW\"", "$HOME and 'quotes' # kept"),
                ],
            );
            s.step(
                "down leaves what was bound",
                shell("export PWD; KEY=secret $RCOMPOSE down -v -t 0; cat data/file"),
                [exits(0), prints("bound")],
            );
        },
    );
}

#[test]
fn running_means_more_than_started() {
    scenario("--wait sees a container that ends at once", |s| {
        s.busybox_project(
            "
services:
  bad: {image: 'busybox:local', command: [sh, -c, 'echo reason; exit 3'], profiles: [bad]}
  late: {image: 'busybox:local', command: [sh, -c, 'i=0; while [ $$i -lt 3000 ]; do i=$$((i+1)); done; exit 4'], profiles: [late]}
  good: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL}
",
        );
        for _ in 0..5 {
            s.step(
                "at once",
                rcompose("up --wait bad"),
                [
                    exits(1),
                    says("container demo-bad-1 exited (3)"),
                    says("reason"),
                ],
            );
        }
        s.step(
            "after some work",
            rcompose("up --wait late"),
            [exits(1), says("container demo-late-1 exited (4)")],
        );
        s.step(
            "one that goes on",
            rcompose("up --wait good"),
            [exits(0), state("good", "running")],
        );
        s.step("and is up", look(), [eventually(state("good", "running"))]);
    });
}
