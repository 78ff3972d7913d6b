//! Networks: who reaches whom, from where, by which name.

use std::net::Ipv4Addr;

use crate::support::{
    answers, background, eventually, exits, fails, inside, join, look, prints, prints_exactly,
    rcompose, says, scenario, serve_name, shell, shell_in_world, shell_says,
};

const WEB: &str =
    "command: [sh, -c, 'mkdir -p /www; hostname >/www/index.html; exec httpd -f -p 80 -h /www']";

#[test]
fn services_find_each_other() {
    scenario("names, aliases and addresses", |s| {
        s.up(&format!(
            "
services:
  web:
    image: busybox:local
    hostname: the-web
    stop_signal: SIGKILL
    {WEB}
    networks: {{front: {{aliases: [shop]}}, back: {{ipv4_address: 10.77.0.9}}}}
  client:
    image: busybox:local
    stop_signal: SIGKILL
    command: [sleep, '1000']
    networks: [front]
    links: ['web:site']
  hidden:
    image: busybox:local
    stop_signal: SIGKILL
    command: [sleep, '1000']
    networks: [inner]
networks:
  front:
  back: {{ipam: {{config: [{{subnet: 10.77.0.0/24}}]}}}}
  inner: {{internal: true}}
"
        ));
        s.step(
            "by every name",
            look(),
            [
                eventually(inside("client", "wget -qO- http://web/", "the-web")),
                inside("client", "wget -qO- http://shop/", "the-web"),
                inside("client", "wget -qO- http://site/", "the-web"),
                inside("client", "wget -qO- http://demo-web-1/", "the-web"),
                inside(
                    "client",
                    "wget -qO- http://demo-web-1.demo_front/",
                    "the-web",
                ),
                inside(
                    "web",
                    "ip -4 -o addr | awk '{print $4}' | grep -c 10.77.0.9/24",
                    "1",
                ),
            ],
        );
        s.step(
            "reverse, no IPv6, unknown",
            look(),
            [
                inside("client", "nslookup $(nslookup -type=a web 127.0.0.11 | awk '/^Address: / {print $2}' | tail -n 1) 127.0.0.11 | grep -c demo-web-1.demo_front", "1"),
                inside("client", "nslookup -type=aaaa web 127.0.0.11 | grep -c 'has AAAA' || true", "0"),
                inside("client", "nslookup hidden 127.0.0.11 >/dev/null 2>&1 || echo unknown", "unknown"),
            ],
        );
        s.step(
            "isolation",
            look(),
            [
                inside(
                    "client",
                    "nc -w 1 10.77.0.9 80 </dev/null 2>/dev/null || echo unreachable",
                    "unreachable",
                ),
                inside(
                    "hidden",
                    "ping -c 1 -W 1 192.0.2.1 >/dev/null 2>&1 || echo no way out",
                    "no way out",
                ),
                inside(
                    "client",
                    "ping -c 1 -W 2 192.0.2.1 >/dev/null && echo out",
                    "out",
                ),
            ],
        );
    });
}

/// What a server that announces itself does before anything else.
#[test]
fn the_first_act_may_be_a_lookup() {
    scenario("a process looks itself up as it begins", |s| {
        s.busybox_project(
            "
services:
  app:
    image: busybox:local
    stop_signal: SIGKILL
    command: [sh, -c, 'nslookup app 127.0.0.11 >/dev/null && echo found || echo lost; exec sleep 1000']
    scale: 24
    networks: [default, shared]
networks:
  shared: {external: true, name: shared}
",
        );
        s.step("a network", rcompose("network create shared"), [exits(0)]);
        s.step("up", rcompose("up -d"), [exits(0)]);
        s.step(
            "all have found themselves",
            look(),
            [
                eventually(shell_says(
                    "\"$RCOMPOSE\" logs | grep -cE 'found|lost'",
                    "24",
                )),
                shell_says("\"$RCOMPOSE\" logs | grep -c lost || true", "0"),
            ],
        );
        s.step(
            "and another project's, as a project's first act",
            shell(
                "for n in 1 2 3 4 5 6; do \"$RCOMPOSE\" container run --rm --network shared busybox:local \\
                 nslookup app 127.0.0.11 >/dev/null || echo lost; done",
            ),
            [exits(0), prints_exactly("")],
        );
        s.step("down", rcompose("down"), [exits(0)]);
        s.step(
            "the network goes",
            rcompose("network rm shared"),
            [exits(0)],
        );
    });
}

#[test]
fn replicas_answer_in_turn() {
    scenario("a scaled service has all its addresses", |s| {
        s.up("services:\n  web:\n    image: busybox:local\n    command: [sleep, '1000']\n    stop_signal: SIGKILL\n    scale: 3\n");
        s.step("three addresses", look(), [
            inside("web", "nslookup -type=a web 127.0.0.11 | grep -c '^Address: '", "3"),
            inside("web", "for i in 1 2 3 4 5 6 7 8 9; do nslookup -type=a web 127.0.0.11 | awk '/^Address: / {print $2; exit}'; done | sort -u | wc -l", "3"),
        ]);
        s.step(
            "a stopped one leaves at once",
            shell("\"$RCOMPOSE\" up -d --scale web=2"),
            [
                exits(0),
                inside(
                    "web",
                    "nslookup -type=a web 127.0.0.11 | grep -c '^Address: '",
                    "2",
                ),
            ],
        );
    });
}

#[test]
fn ports_are_published() {
    scenario(
        "published ports answer from everywhere that they should",
        |s| {
            s.up(&format!(
                "
services:
  web:
    image: busybox:local
    hostname: the-web
    stop_signal: SIGKILL
    {WEB}
    ports: ['8080:80', '127.0.0.1:8081:80', '9000-9001:80-81', '80']
  udp:
    image: busybox:local
    stop_signal: SIGKILL
    command: [sleep, '1000']
    ports: ['5353:53/udp']
"
            ));
            s.step(
                "from the machine",
                look(),
                [
                    eventually(answers("127.0.0.1:8080", "the-web")),
                    eventually(answers("127.0.0.1:8081", "the-web")),
                    answers("192.0.2.2:8080", "the-web"),
                    answers("127.0.0.1:9000", "the-web"),
                    answers("[::1]:8080", "the-web"),
                ],
            );
            s.step(
            "from the world",
            shell_in_world("curl -sm 2 http://192.0.2.2:8080/; curl -sm 1 http://192.0.2.2:8081/ || echo closed"),
            [prints("the-web"), prints("closed")],
        );
            s.step(
                "from a container, over the host",
                look(),
                [inside(
                    "web",
                    "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 192.0.2.2 8080 | tail -n 1",
                    "the-web",
                )],
            );
            s.step(
                "port tells",
                rcompose("port web 80"),
                [exits(0), prints(":")],
            );
            s.step(
                "port tells of udp",
                rcompose("port --protocol udp udp 53"),
                [exits(0), prints("0.0.0.0:5353")],
            );
            s.step(
            "the world does not reach what is not published",
            shell_in_world("ip route add 172.16.0.0/12 via 192.0.2.2; ip route add 10.0.0.0/8 via 192.0.2.2; ip route add 192.168.0.0/16 via 192.0.2.2"),
            [exits(0)],
        );
            s.step(
            "even with a route",
            shell("address=$(\"$RCOMPOSE\" exec -T web hostname -i | awk '{print $1}'); ip netns exec world curl -sm 1 http://$address/ || echo closed"),
            [prints("closed")],
        );
        },
    );
}

#[test]
fn a_taken_port_names_its_owner() {
    scenario("a port that is taken is named with its owner", |s| {
        s.busybox_project("services:\n  web:\n    image: busybox:local\n    command: [sleep, '1000']\n    stop_signal: SIGKILL\n    ports: ['127.0.0.1:8080:80']\n");
        s.step(
            "somebody has it",
            background("nc", shell("exec busybox nc -l -p 8080")),
            [],
        );
        s.step(
            "it listens",
            look(),
            [eventually(shell_says(
                "busybox netstat -ltn | grep -c ':8080 '",
                "1",
            ))],
        );
        s.step(
            "up fails",
            rcompose("up -d"),
            [fails(), says("8080"), says("busybox")],
        );
        s.step(
            "it lets go",
            shell("bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080'"),
            [exits(0)],
        );
        s.step("it ends", join("nc"), []);
        s.step("up works", rcompose("up -d"), [exits(0)]);
        s.step(
            "another project names this one",
            shell("mkdir ../two; cp compose.yaml ../two; cd ../two; \"$RCOMPOSE\" -p two up -d"),
            [fails(), says("8080"), says("demo")],
        );
        s.step("it leaves nothing", rcompose("-p two down"), [exits(0)]);
    });
}

#[test]
fn network_modes() {
    scenario(
        "host, none, bridge and the network of another service",
        |s| {
            s.up(
            "
services:
  web:
    image: busybox:local
    stop_signal: SIGKILL
    command: [sh, -c, 'exec httpd -f -p 80 -h /etc']
  beside: {image: 'busybox:local', stop_signal: SIGKILL, command: [sleep, '1000'], network_mode: 'service:web'}
  host: {image: 'busybox:local', stop_signal: SIGKILL, command: [sleep, '1000'], network_mode: host}
  none: {image: 'busybox:local', stop_signal: SIGKILL, command: [sleep, '1000'], network_mode: none}
  bridge: {image: 'busybox:local', stop_signal: SIGKILL, command: [sleep, '1000'], network_mode: bridge}
  known: {image: 'busybox:local', stop_signal: SIGKILL, command: [sleep, '1000'], networks: [docker0]}
networks:
  docker0: {external: true, name: bridge}
",
        );
            s.step(
                "what each sees",
                look(),
                [
                    eventually(inside(
                        "beside",
                        "wget -qO- http://localhost/passwd | head -n 1",
                        "root:x:0:0:root:/root:/bin/sh",
                    )),
                    inside("host", "ip -o link | grep -c ': uplink0'", "1"),
                    inside("none", "ip -o link | wc -l", "1"),
                    inside("host", "grep -c 192.0.2.1 /etc/resolv.conf", "1"),
                    // Docker's own bridge is a network of the project here.
                    inside("bridge", "ip -o link | grep -c ': eth0'", "1"),
                    inside(
                        "bridge",
                        "ping -c 1 -w 5 known >/dev/null && echo met",
                        "met",
                    ),
                    inside(
                        "bridge",
                        "nslookup web. >/dev/null || echo unknown",
                        "unknown",
                    ),
                ],
            );
        },
    );
}

#[test]
fn names_outside_are_forwarded() {
    scenario(
        "other names are asked upstream, but not from internal networks",
        |s| {
            s.load_busybox();
            serve_name("far.example", Ipv4Addr::new(203, 0, 113, 7));
            s.compose(
            "
services:
  web: {image: 'busybox:local', stop_signal: SIGKILL, command: [sleep, '1000']}
  inner: {image: 'busybox:local', stop_signal: SIGKILL, command: [sleep, '1000'], networks: [inner]}
  own53: {image: 'busybox:local', stop_signal: SIGKILL, command: [sh, -c, 'while :; do nc -l -p 53 -e echo mine; done'], expose: ['53']}
networks: {inner: {internal: true}}
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
                        "inner",
                        "nslookup -type=a far.example 127.0.0.11 >/dev/null 2>&1 || echo unknown",
                        "unknown",
                    ),
                    inside(
                        "own53",
                        "nslookup -type=a web 127.0.0.11 >/dev/null && echo sibling",
                        "sibling",
                    ),
                    eventually(inside("web", "nc -w 2 own53 53", "mine")),
                ],
            );
        },
    );
}

#[test]
fn forwarding_is_put_back() {
    scenario("forwarding is on for ours only, and put back", |s| {
        s.busybox_project("services:\n  web:\n    image: busybox:local\n    command: [sleep, '1000']\n    stop_signal: SIGKILL\n");
        s.step(
            "up",
            rcompose("up -d"),
            [
                exits(0),
                inside(
                    "web",
                    "ping -c 1 -W 2 192.0.2.1 >/dev/null && echo out",
                    "out",
                ),
                shell_says("cat /proc/sys/net/ipv4/conf/lo/forwarding", "0"),
            ],
        );
        s.step(
            "down",
            rcompose("down"),
            [
                exits(0),
                shell_says("cat /proc/sys/net/ipv4/ip_forward", "0"),
            ],
        );
    });
}

#[test]
fn a_declared_address_is_nobody_elses() {
    scenario("an address of the file waits for its service", |s| {
        s.busybox_project(
            "
services:
  early: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL}
  late:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    depends_on: [early]
    networks: {default: {ipv4_address: 10.97.4.2}}
networks:
  default: {ipam: {config: [{subnet: 10.97.4.0/24}]}}
",
        );
        s.step(
            "up",
            rcompose("up -d"),
            [
                exits(0),
                inside("late", "hostname -i", "10.97.4.2"),
                inside("early", "hostname -i", "10.97.4.3"),
            ],
        );
        s.step(
            "a container that is down is called nobody else's name",
            rcompose("stop -t 0 late"),
            [
                exits(0),
                inside(
                    "early",
                    "nslookup -type=a demo-late-1 127.0.0.11 2>&1 | grep -c NXDOMAIN",
                    "1",
                ),
            ],
        );
    });
}
