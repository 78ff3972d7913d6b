//! Hosts where others have firewalls and routes of their own.

use std::net::Ipv4Addr;

use crate::network::testbed::{
    HOST, Net, OUTSIDE, Server, attach, call, call_in_vain, eventually, on_a_host, run, within,
};
use crate::network::{bridge, firewall};
use crate::topology::resolver::Form;

/// The host's address on a second link.
const LAN_HOST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// Whoever is behind it.
const LAN: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);

/// Whoever is behind a third one.
const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

/// Loads rules in nft's language.
pub(super) fn load(rules: &str) {
    let path = "/run/rules.nft";
    std::fs::write(path, rules).expect("rules");
    run(&format!("nft -f {path}"));
}

const DOCKER: &str = "
table ip filter {
    chain DOCKER-USER { counter return; }
    chain FORWARD {
        type filter hook forward priority 0; policy drop;
        counter jump DOCKER-USER
        oifname docker0 accept
    }
}";

pub(super) const DROPPING: &str = "
table ip filter {
    chain ufw-user-forward { }
    chain FORWARD {
        type filter hook forward priority 0; policy drop;
        jump ufw-user-forward
    }
}";

#[test]
fn beside_docker_containers_reach_the_outside() {
    on_a_host("beside_docker_containers_reach_the_outside", |bed| {
        load(DOCKER);
        let before = run("nft list ruleset");
        let net = Net::new("shop_default", |_| {});
        assert_eq!(firewall::obstacles().expect("obstacles"), []);
        let web = net.sandbox(7, Form::Direct);
        let _outside = Server::new(&bed.outside, "0.0.0.0:80", "outside");
        let answer = within(&web.netns, || call((OUTSIDE, 80)));
        assert_eq!(answer, Some(format!("outside {HOST}")));
        let rules = run("nft list chain ip filter DOCKER-USER");
        let comment = format!("comment \"rcompose {}\"", net.bridge.name);
        assert_eq!(rules.matches(&comment).count(), 2, "{rules}");
        bridge::retire(std::slice::from_ref(&net.bridge.name)).expect("retire");
        // Counters went up; nothing else may differ.
        let plain = |text: &str| -> String {
            let words = text.split_whitespace();
            words.filter(|word| word.parse::<u64>().is_err()).collect()
        };
        assert_eq!(plain(&run("nft list ruleset")), plain(&before));
    });
}

#[test]
fn beside_docker_its_containers_are_its_own() {
    on_a_host("beside_docker_its_containers_are_its_own", |bed| {
        load(&DOCKER.replace("oifname docker0 accept", "iifname docker0 accept"));
        let theirs = attach("docker0", LAN_HOST, LAN);
        within(&theirs, || {
            run(&format!("ip route add default via {LAN_HOST}"))
        });
        let _theirs = Server::new(&theirs, "0.0.0.0:80", "theirs");
        let _outside = Server::new(&bed.outside, "0.0.0.0:80", "outside");
        let net = Net::new("shop_default", |_| {});
        let web = net.sandbox(7, Form::Direct);
        within(&web.netns, || {
            assert!(call((OUTSIDE, 80)).is_some());
            assert_eq!(call_in_vain((LAN, 80)), None);
        });
        // A way out that comes later, too.
        let far = attach("vpn0", Ipv4Addr::new(203, 0, 113, 1), FAR);
        let _far = Server::new(&far, "0.0.0.0:80", "far");
        bridge::refresh_uplinks(false).expect("refresh");
        let rules = run("nft list chain ip filter DOCKER-USER");
        within(&web.netns, || {
            assert!(call((FAR, 80)).is_some(), "{rules}");
            assert!(call((OUTSIDE, 80)).is_some());
            assert_eq!(call_in_vain((LAN, 80)), None);
        });
    });
}

#[test]
fn a_firewall_that_drops_is_named_with_what_to_do() {
    on_a_host("a_firewall_that_drops_is_named_with_what_to_do", |_| {
        load(DROPPING);
        let obstacles = firewall::obstacles().expect("obstacles");
        let hint = obstacles.first().expect("one").hint();
        assert!(hint.contains("table filter, chain FORWARD"), "{hint}");
        assert!(hint.contains("ufw default allow routed"), "{hint}");
    });
}

#[test]
fn firewalld_is_named_with_what_to_do() {
    on_a_host("firewalld_is_named_with_what_to_do", |_| {
        load(
            "table inet firewalld {
                chain filter_FORWARD {
                    type filter hook forward priority 10;
                    reject
                }
            }",
        );
        let obstacles = firewall::obstacles().expect("obstacles");
        assert_eq!(obstacles, [firewall::Obstacle::Firewalld]);
        assert!(
            obstacles
                .first()
                .is_some_and(|one| one.hint().contains("firewall-cmd"))
        );
    });
}

#[test]
fn our_own_tables_are_no_obstacle() {
    on_a_host("our_own_tables_are_no_obstacle", |_| {
        let _net = Net::new("shop_default", |_| {});
        let _inside = Net::new("shop_inside", |network| network.internal = true);
        assert_eq!(firewall::obstacles().expect("obstacles"), []);
    });
}

#[test]
fn the_host_does_not_become_a_router() {
    on_a_host("the_host_does_not_become_a_router", |bed| {
        // A second leg of the host, with somebody on it who answers everybody.
        let lan = attach("lan0", LAN_HOST, LAN);
        within(&lan, || {
            run(&format!("ip route add default via {LAN_HOST}"))
        });
        let _lan = Server::new(&lan, "0.0.0.0:80", "lan");
        let net = Net::new("shop_default", |_| {});
        let web = net.sandbox(7, Form::Direct);
        assert!(within(&web.netns, || call((LAN, 80))).is_some());
        within(&bed.outside, || {
            run(&format!("ip route add 198.51.100.0/24 via {HOST}"));
        });
        let across = within(&bed.outside, || call_in_vain((LAN, 80)));
        assert_eq!(across, None);
        // The guard is what stops it.
        run("nft delete table inet rcompose-forwarding-eth0");
        let across = within(&bed.outside, || call((LAN, 80)));
        assert_eq!(across, Some(format!("lan {OUTSIDE}")));
    });
}

#[test]
fn forwarding_that_was_on_stays_on_and_unguarded() {
    on_a_host("forwarding_that_was_on_stays_on_and_unguarded", |_| {
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("sysctl");
        let net = Net::new("shop_default", |_| {});
        assert!(!run("nft list tables").contains("rcompose-forwarding"));
        bridge::retire(std::slice::from_ref(&net.bridge.name)).expect("retire");
        assert_eq!(
            run("cat /proc/sys/net/ipv4/conf/eth0/forwarding").trim(),
            "1"
        );
    });
}

#[test]
fn forwarding_that_somebody_else_wants_later_stays_on() {
    on_a_host("forwarding_that_somebody_else_wants_later_stays_on", |_| {
        let net = Net::new("shop_default", |_| {});
        assert!(run("nft list tables").contains("rcompose-forwarding-eth0"));
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("sysctl");
        bridge::retire(std::slice::from_ref(&net.bridge.name)).expect("retire");
        assert_eq!(
            run("cat /proc/sys/net/ipv4/conf/eth0/forwarding").trim(),
            "1"
        );
        assert!(!run("nft list tables").contains("rcompose-forwarding"));
    });
}

#[test]
fn a_link_that_comes_later_is_served_after_a_refresh() {
    on_a_host("a_link_that_comes_later_is_served_after_a_refresh", |_| {
        const FORWARDING: &str = "cat /proc/sys/net/ipv4/conf/vpn0/forwarding";
        let _net = Net::new("shop_default", |_| {});
        let _far = attach("vpn0", LAN_HOST, LAN);
        assert_eq!(run(FORWARDING).trim(), "0");
        bridge::refresh_uplinks(false).expect("refresh");
        assert_eq!(run(FORWARDING).trim(), "1");
    });
}

#[test]
fn ipv6_forwarding_is_put_back() {
    on_a_host("ipv6_forwarding_is_put_back", |bed| {
        let read = |path: &str| std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{path}"));
        let state = || {
            let all = read("all/forwarding").expect("all").trim().to_owned();
            let forced = read("eth0/force_forwarding")
                .unwrap_or_default()
                .trim()
                .to_owned();
            let advertisements = read("eth0/accept_ra").expect("ra").trim().to_owned();
            (all, forced, advertisements)
        };
        let before = state();
        let net = Net::new("shop_six", |network| network.ipv6 = true);
        let web = net.sandbox(7, Form::Direct);
        let _outside = Server::new(&bed.outside, "[::]:80", "outside");
        // The neighbors find each other by multicast first, which a busy machine
        // may lose a round of.
        let outside = "2001:db8::1".parse::<std::net::IpAddr>().expect("ip");
        eventually("an answer over IPv6", || {
            let answer = within(&web.netns, || call((outside, 80)));
            answer.as_deref() == Some("outside 2001:db8::2")
        });
        bridge::retire(std::slice::from_ref(&net.bridge.name)).expect("retire");
        assert_eq!(state(), before);
    });
}

#[test]
fn only_links_to_others_count_as_uplinks() {
    on_a_host("only_links_to_others_count_as_uplinks", |_| {
        let front = Net::new("shop_front", |network| network.ipv6 = true);
        let _web = front.sandbox(7, Form::Direct);
        eventually("the pair's own address", || {
            run("ip -o -6 address").contains(": rvabcdef")
        });
        let _back = Net::new("shop_back", |network| network.ipv6 = true);
        let tables = run("nft list tables");
        let guards: Vec<_> = tables
            .lines()
            .filter(|line| line.contains("forwarding"))
            .collect();
        assert_eq!(guards, ["table inet rcompose-forwarding-eth0"]);
    });
}
