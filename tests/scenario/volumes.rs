//! Volumes: what is kept, what is taken away.

use crate::support::{exits, fails, inside, look, rcompose, says, scenario, shell, shell_says};

#[test]
fn a_named_volume_outlives_down() {
    scenario("down keeps a named volume, down -v removes it", |s| {
        s.up("
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    volumes: ['data:/data', 'etc:/etc/copied', '/anonymous']
volumes:
  data:
  etc:
");
        s.step(
            "something is written",
            rcompose("exec -T web sh -c 'echo kept >/data/note'"),
            [exits(0)],
        );
        s.step("down", rcompose("down"), [exits(0)]);
        s.step(
            "up again",
            rcompose("up -d"),
            [exits(0), inside("web", "cat /data/note", "kept")],
        );
        s.step(
            "down -v",
            rcompose("down -v"),
            [
                exits(0),
                says("Volume demo_data Removed"),
                shell_says("ls \"$RCOMPOSE_ROOT/state/volumes\"", ""),
            ],
        );
        s.step(
            "up once more",
            rcompose("up -d"),
            [exits(0), inside("web", "ls /data", "")],
        );
    });
}

#[test]
fn a_fresh_volume_takes_the_images_content() {
    scenario(
        "a fresh volume takes content, owner and mode from the image",
        |s| {
            s.step(
            "an image with a folder of a user's",
            shell("mkdir -p r/bin r/data; cp \"$(command -v busybox)\" r/bin/sh; cp r/bin/sh r/bin/busybox; for a in sleep cat stat ls; do ln -s busybox r/bin/$a; done; echo seed >r/data/seed; chown -R 1000:2000 r/data; chmod 750 r/data; tar -C r --numeric-owner -c . | \"$RCOMPOSE\" image import - own:1"),
            [exits(0)],
        );
            s.compose(
                "
services:
  web:
    image: own:1
    command: [sleep, '1000']
    stop_signal: SIGKILL
    volumes: ['data:/data', {type: volume, source: bare, target: /bare, volume: {nocopy: true}}]
volumes: {data: {}, bare: {}}
",
            );
            s.step("up", rcompose("up -d"), [exits(0)]);
            s.step(
                "the content is there",
                look(),
                [
                    inside(
                        "web",
                        "cat /data/seed; stat -c '%u %g %a' /data",
                        "seed\n1000 2000 750",
                    ),
                    inside("web", "ls /bare", ""),
                ],
            );
        },
    );
}

#[test]
fn binds_are_as_written() {
    scenario("bind mounts", |s| {
        s.load_busybox();
        s.file("conf/nested/file", "from the host");
        s.compose(
            "
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    volumes:
      - ./conf:/conf:ro
      - ./made:/made
      - {type: tmpfs, target: /scratch, tmpfs: {size: 1048576, mode: 0700}}
    configs: [{source: greeting, target: /greeting, mode: 0440}]
    secrets: [password]
configs: {greeting: {content: 'hello ${WHO:-you}'}}
secrets: {password: {file: ./password}}
",
        );
        s.file("password", "hunter2");
        s.step("up", rcompose("up -d"), [exits(0)]);
        s.step(
            "what is mounted",
            look(),
            [
                inside("web", "cat /conf/nested/file", "from the host"),
                inside(
                    "web",
                    "touch /conf/nested/x 2>/dev/null || echo read-only",
                    "read-only",
                ),
                inside(
                    "web",
                    "cat /greeting; echo; cat /run/secrets/password",
                    "hello you\nhunter2",
                ),
                inside("web", "df -k /scratch | awk 'NR==2 {print $2}'", "1024"),
            ],
        );
        s.step(
            "what is written is on the host",
            rcompose("exec -T web sh -c 'echo out >/made/file'"),
            [exits(0), shell_says("cat made/file", "out")],
        );
        s.step(
            "down",
            rcompose("down -v"),
            [
                exits(0),
                shell_says("cat made/file conf/nested/file", "out\nfrom the host"),
            ],
        );
        s.compose("services:\n  web:\n    image: busybox:local\n    volumes:\n      - {type: bind, source: ./missing, target: /x, bind: {create_host_path: false}}\n");
        s.step(
            "a missing source is named",
            rcompose("up -d"),
            [fails(), says("missing")],
        );
    });
}

#[test]
fn down_v_takes_the_volumes_of_the_whole_project() {
    scenario("down -v after `up SERVICE` goes by the files", |s| {
        s.up(
            "
services:
  web: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL}
  db: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, volumes: ['data:/data']}
volumes: {data: {}}
",
        );
        s.step("a part again", rcompose("up -d web"), [exits(0)]);
        s.step(
            "down -v",
            rcompose("down -v -t 0"),
            [exits(0), says("Volume demo_data Removed")],
        );
    });
}
