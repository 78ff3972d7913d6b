//! What the file says about networks and a service's place in them, seen in the
//! container's interfaces and routes.

use crate::support::{
    exits, fails, inside, look, prints, rcompose, says, scenario, shell, shell_says,
};

#[test]
fn pools_are_as_declared() {
    scenario("subnets, ranges, gateways and reserved addresses", |s| {
        s.up(
            "
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    scale: 2
    networks:
      both: {}
networks:
  both:
    enable_ipv6: true
    ipam:
      driver: default
      config:
        - {subnet: 10.61.0.0/16, ip_range: 10.61.7.0/29, gateway: 10.61.7.4, aux_addresses: {printer: 10.61.7.1, router: 10.61.7.2}}
        - {subnet: 'fd00:61::/64', gateway: 'fd00:61::9'}
    driver: bridge
    driver_opts: {com.docker.network.bridge.name: scenario-br0, com.docker.network.driver.mtu: '1400'}
",
        );
        s.step(
            "addresses come from the range, without what is reserved",
            look(),
            [
                shell_says(
                    "for i in 1 2; do $RCOMPOSE exec -T --index $i web ip -4 -o addr show eth0 | awk '{print $4}'; done | grep -cE '^10\\.61\\.7\\.[03567]/16$'",
                    "2",
                ),
                inside("web", "ip route | awk '/^default/ {print $3}'", "10.61.7.4"),
                inside("web", "ip -6 route | awk '/^default/ {print $3}'", "fd00:61::9"),
                inside("web", "ping -6 -c 1 -w 5 fd00:61::9 >/dev/null && echo reached", "reached"),
                inside("web", "cat /sys/class/net/eth0/mtu", "1400"),
                shell_says("cat /sys/class/net/scenario-br0/mtu", "1400"),
            ],
        );
    });
}

#[test]
fn endpoints_are_as_declared() {
    scenario("fixed addresses, order of interfaces, ways out", |s| {
        s.up("
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    networks:
      early: {priority: 100, mac_address: '02:00:00:00:00:61', link_local_ips: [169.254.61.61]}
      late: {gw_priority: 10, ipv4_address: 10.63.0.63, aliases: [other-name]}
      six: {ipv6_address: 'fd00:64::64', interface_name: six0}
  asks: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, networks: [late]}
networks:
  early: {ipam: {config: [{subnet: 10.62.0.0/24}]}}
  late: {ipam: {config: [{subnet: 10.63.0.0/24}]}}
  six: {enable_ipv4: false, enable_ipv6: true, ipam: {config: [{subnet: 'fd00:64::/64'}]}}
");
        s.step(
            "inside",
            look(),
            [
                inside(
                    "web",
                    "ip -4 -o addr show eth0 | grep -oE '(10.62.0|169.254.61).' | sort -u",
                    "10.62.0.\n169.254.61.",
                ),
                inside(
                    "web",
                    "cat /sys/class/net/eth0/address",
                    "02:00:00:00:00:61",
                ),
                inside(
                    "web",
                    "ip -4 route | awk '/^default/ {print $3}'",
                    "10.63.0.1",
                ),
                inside(
                    "web",
                    "ip -6 -o addr show six0 scope global | awk '{print $4}'",
                    "fd00:64::64/64",
                ),
                inside("web", "ip -4 -o addr show six0 | wc -l", "0"),
                inside(
                    "asks",
                    "nslookup -type=a other-name 127.0.0.11 | awk '/^Address: / {print $2}'",
                    "10.63.0.63",
                ),
            ],
        );
        s.compose("services: {web: {image: 'busybox:local', networks: [far]}}\nnetworks: {far: {driver: overlay}}\n");
        s.step(
            "drivers that aren't here are refused by name",
            rcompose("up -d --remove-orphans -t 0"),
            [fails(), says("overlay")],
        );
        s.compose("services: {web: {image: 'busybox:local', networks: [far]}}\nnetworks: {far: {external: true, name: not-here}}\n");
        s.step(
            "as are networks of others that are missing",
            rcompose("up -d --remove-orphans -t 0"),
            [fails(), says("not-here")],
        );
        s.step(
            "down",
            shell("$RCOMPOSE -p demo down --remove-orphans -t 0"),
            [exits(0)],
        );
    });
}

#[test]
fn ports_are_as_declared() {
    scenario("the long form of a port", |s| {
        s.up("
services:
  web:
    image: busybox:local
    hostname: the-web
    command: [sh, -c, 'mkdir -p /www; hostname >/www/index.html; exec httpd -f -p 80 -h /www']
    stop_signal: SIGKILL
    ports:
      - {name: http, target: 80, published: '8080', host_ip: 127.0.0.1, protocol: tcp, mode: host}
      - {target: 80, published: '8090-8099'}
");
        s.step(
            "each where it should be",
            shell("$RCOMPOSE port web; curl -sm 2 --retry 5 --retry-connrefused http://127.0.0.1:8080/; curl -sm 2 http://192.0.2.2:8080/ || echo closed"),
            [prints("127.0.0.1:8080"), prints("the-web"), prints("closed"), prints(":809")],
        );
    });
}
