//! Attributes of services, each seen where it takes effect: in the container's
//! namespaces, files and environment, and in what its commands say. Limits are
//! in `limits`, networks in `addresses`, starts and ends in `lifetimes`, `build`
//! in `build_section`.

use std::net::Ipv4Addr;

use crate::support::{
    eventually, exits, fails, inside, look, prints, rcompose, says, scenario, serve_name, shell,
    shell_says,
};

#[test]
fn namespaces_are_shared_as_asked() {
    scenario("pid, ipc and uts of the host and of services", |s| {
        s.up(
            "
services:
  own: {image: 'busybox:local', command: [sleep, '1111'], stop_signal: SIGKILL, ipc: private}
  beside: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, pid: 'service:own'}
  host: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, pid: host, ipc: host, uts: host}
  tty: {image: 'busybox:local', command: [sh, -c, 'test -t 0 && test -t 1 && echo a terminal; exec sleep 1000'], stop_signal: SIGKILL, tty: true, stdin_open: true}
  plain: {image: 'busybox:local', command: [sh, -c, 'test -t 1 || echo a pipe; exec sleep 1000'], stop_signal: SIGKILL, domainname: example.org, hostname: plain}
",
        );
        let same = |namespace: &str, container: &str| {
            shell_says(
                &format!(
                    "test $(readlink /proc/self/ns/{namespace}) = $($RCOMPOSE exec -T {container} readlink /proc/self/ns/{namespace}) && echo the host\\'s || echo apart"
                ),
                if container == "host" {
                    "the host's"
                } else {
                    "apart"
                },
            )
        };
        s.step(
            "the host's",
            look(),
            ["pid", "ipc", "uts"].map(|namespace| same(namespace, "host")),
        );
        s.step(
            "its own",
            look(),
            ["pid", "ipc", "uts"].map(|namespace| same(namespace, "own")),
        );
        s.step(
            "another service's processes",
            look(),
            [
                inside("beside", "ps -o args | grep -c '[s]leep 1111'", "1"),
                inside("plain", "ps -o args | grep -c '[s]leep 1111' || true", "0"),
                inside(
                    "plain",
                    "cat /proc/sys/kernel/domainname; hostname -f",
                    "example.org\nplain.example.org",
                ),
            ],
        );
        let logged = |words: &str| {
            let script = format!("$RCOMPOSE logs tty plain | grep -c '| {words}'");
            eventually(shell_says(&script, "1"))
        };
        s.step("terminals", look(), ["a terminal", "a pipe"].map(logged));
    });
}

#[test]
fn environment_labels_and_files() {
    scenario(
        "variables, labels, secrets and configs are as written",
        |s| {
            s.load_busybox();
            s.file("given.env", "FROM_FILE=file\nBOTH=file\n");
            s.file("labels", "from.file=yes\n");
            s.file("plain", "plain text");
            s.file("part/compose.yaml", "services: {part: {image: 'busybox:local', command: [sleep, '${LONG}'], stop_signal: SIGKILL, volumes: ['./here:/here']}}");
            s.file("part/own.env", "LONG=2222\n");
            s.file("elsewhere/here/note", "elsewhere");
            s.compose(
            "
name: demo
include:
  - {path: part/compose.yaml, project_directory: elsewhere, env_file: part/own.env}
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    working_dir: /made/on/the/way
    environment: {BOTH: section, PASSED: , UNSET: }
    env_file: [{path: given.env}, {path: missing.env, required: false}]
    label_file: [labels]
    labels: {from.section: 'yes'}
    annotations: {note: kept}
    expose: ['8000-8001']
    configs: [{source: from-file, target: /etc/from-file, uid: '1000', gid: '1001', mode: 0440}]
    secrets: [{source: from-file, target: /etc/secret, uid: '7', gid: '8', mode: 0400}]
    volumes: ['data:/data', {type: tmpfs, target: /scratch, tmpfs: {mode: 0750}}]
  taker: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, volumes_from: ['web:ro'], depends_on: [web]}
configs: {from-file: {file: ./plain}}
secrets: {from-file: {file: ./plain}}
volumes: {data: {name: another-name, driver: local, labels: {kept: 'true'}}}
networks: {default: {name: another-network, labels: {kept: 'true'}}}
",
        );
            s.step("up", shell("PASSED=through $RCOMPOSE up -d"), [exits(0)]);
            s.step(
                "variables",
                look(),
                [
                    inside(
                        "web",
                        "echo $FROM_FILE $BOTH $PASSED",
                        "file section through",
                    ),
                    inside("web", "env | grep -c UNSET || true", "0"),
                    inside("web", "pwd", "/made/on/the/way"),
                ],
            );
            s.step(
                "labels",
                rcompose("ps --format '{{.Labels}}' web"),
                [prints("from.file=yes"), prints("from.section=yes")],
            );
            s.step(
                "ports that are exposed",
                shell("$RCOMPOSE container inspect demo-web-1"),
                [prints("\"8000/tcp\""), prints("\"8001/tcp\"")],
            );
            s.step(
                "configs, secrets and mounts",
                look(),
                [
                    inside(
                        "web",
                        "cat /etc/from-file; stat -c %u:%g:%a /etc/from-file",
                        "plain text1000:1001:440",
                    ),
                    inside(
                        "web",
                        "cat /etc/secret; stat -c %u:%g:%a /etc/secret",
                        "plain text7:8:400",
                    ),
                    inside(
                        "web",
                        "stat -c %a /scratch; echo x >/data/x; cat /data/x",
                        "750\nx",
                    ),
                    inside(
                        "taker",
                        "cat /data/x; touch /data/y 2>/dev/null || echo read-only",
                        "x\nread-only",
                    ),
                    inside(
                        "part",
                        "cat /here/note; ps -o args | grep -c '[s]leep 2222'",
                        "elsewhere1",
                    ),
                ],
            );
            s.step(
            "names and labels of what the project has",
            shell("$RCOMPOSE volume inspect another-name; $RCOMPOSE network inspect another-network"),
            [exits(0), prints("\"kept\": \"true\""), prints("another-network")],
        );
            s.step(
                "down",
                shell("PASSED=through $RCOMPOSE down -v -t 0"),
                [exits(0)],
            );
            for (kind, key) in [("secrets", "secrets"), ("configs", "configs")] {
                s.compose(&format!(
                "services: {{web: {{image: 'busybox:local', {kind}: [far]}}}}\n{key}: {{far: {{external: true}}}}\n"
            ));
                s.step(
                    "what lies outside of the project is refused by name",
                    rcompose("up -d"),
                    [fails(), says("far"), says("external")],
                );
            }
            s.compose("services: {web: {image: 'busybox:local', volumes: ['far:/x']}}\nvolumes: {far: {external: true, name: not-here}}\n");
            s.step(
                "a volume of others that is missing",
                rcompose("up -d"),
                [fails(), says("not-here")],
            );
            s.compose("services: {web: {image: 'busybox:local', volumes: ['far:/x']}}\nvolumes: {far: {driver: nfs-plugin}}\n");
            s.step(
                "a volume of another driver",
                rcompose("up -d"),
                [fails(), says("nfs-plugin")],
            );
        },
    );
}

#[test]
fn mounts_have_their_options() {
    scenario("propagation, submounts, parts of volumes", |s| {
        s.load_busybox();
        s.step(
            "a folder with another mounted inside",
            shell("mkdir -p outer/inner shared; mount -t tmpfs t outer/inner; echo deep >outer/inner/file; mount --bind shared shared; mount --make-shared shared"),
            [exits(0)],
        );
        s.compose(
            "
services:
  web:
    image: busybox:local
    command: [sh, -c, 'mkdir -p /all/part; echo in part >/all/part/file; exec sleep 1000']
    stop_signal: SIGKILL
    volumes:
      - {type: bind, source: ./outer, target: /deep}
      - {type: bind, source: ./outer, target: /flat, bind: {recursive: disabled}}
      - {type: bind, source: ./shared, target: /follows, bind: {propagation: rslave}}
      - {type: bind, source: ./shared, target: /alone}
      - {type: volume, source: data, target: /all}
      - {type: volume, target: /nameless, volume: {labels: {of: mine}}}
  part:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    depends_on: {web: {condition: service_started}}
    profiles: [late]
    volumes: [{type: volume, source: data, target: /part, volume: {subpath: part}}]
volumes: {data: {}}
",
        );
        s.step("up", rcompose("up -d"), [exits(0)]);
        s.step(
            "what is mounted later, on the host",
            shell("until $RCOMPOSE exec -T web test -e /all/part/file; do sleep 0.05; done; mkdir shared/late; mount -t tmpfs t shared/late; echo late >shared/late/file"),
            [exits(0)],
        );
        s.step("one more", rcompose("--profile late up -d"), [exits(0)]);
        s.step(
            "inside",
            look(),
            [
                inside("web", "cat /deep/inner/file; ls /flat/inner", "deep"),
                inside("web", "cat /follows/late/file; ls /alone/late", "late"),
                inside("part", "cat /part/file", "in part"),
                shell_says("$RCOMPOSE volume ls -q -f label=of=mine | wc -l", "1"),
            ],
        );
        s.step("down", rcompose("--profile late down -v -t 0"), [exits(0)]);
        s.step(
            "the host's mounts are the host's to end",
            shell("umount shared/late outer/inner shared"),
            [exits(0)],
        );
    });
}

#[test]
fn names_are_asked_where_the_file_says() {
    scenario("dns, dns_opt and dns_search reach the resolver", |s| {
        s.load_busybox();
        serve_name("far.example", Ipv4Addr::new(203, 0, 113, 7));
        s.compose(
            "
services:
  web: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, dns: [192.0.2.1], dns_opt: ['ndots:3'], dns_search: [corp.example]}
  lost: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, dns: 127.0.0.99}
  host: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, network_mode: host, dns: [192.0.2.77], dns_opt: ['use-vc']}
",
        );
        s.step("up", rcompose("up -d"), [exits(0)]);
        s.step(
            "lookups",
            look(),
            [
                eventually(inside(
                    "web",
                    "nslookup -type=a far.example 127.0.0.11 | awk '/^Address: / {print $2}'",
                    "203.0.113.7",
                )),
                inside(
                    "web",
                    "grep -E '^(search|options)' /etc/resolv.conf | sort",
                    "options ndots:3\nsearch corp.example",
                ),
                inside(
                    "lost",
                    "nslookup -type=a far.example 127.0.0.11 >/dev/null 2>&1 || echo unknown",
                    "unknown",
                ),
                inside(
                    "host",
                    "grep -E '^(nameserver|options)' /etc/resolv.conf | sort",
                    "nameserver 192.0.2.77\noptions use-vc",
                ),
            ],
        );
    });
}
