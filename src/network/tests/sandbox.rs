//! Sandboxes: what is in them, whom they reach, what they leave.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use crate::network::sandbox::{SandboxSpec, create};
use crate::network::testbed::{
    Bed, HOST, MTU, Net, OUTSIDE, Server, ask, ask_in_vain, call, call_in_vain, eventually,
    host_netns, on_a_host, run, within,
};
use crate::network::{bridge, observe};
use crate::topology::endpoint::Endpoints;
use crate::topology::resolver::{self, Form};

#[test]
fn a_sandbox_has_its_interfaces_routes_and_dns_sockets() {
    on_a_host(
        "a_sandbox_has_its_interfaces_routes_and_dns_sockets",
        |_| {
            let net = Net::new("shop_default", |_| {});
            let web = net.sandbox(7, Form::Direct);
            within(&web.netns, || {
                let link = run("ip -o link show eth0");
                assert!(link.contains(&format!("mtu {MTU}")), "{link}");
                assert!(link.contains("02:42:0a:d0:00:07"), "{link}");
                let addresses = run("ip -o -4 address show eth0");
                assert!(
                    addresses.contains("10.208.0.7/24 brd 10.208.0.255"),
                    "{addresses}"
                );
                assert_eq!(run("ip -o -6 address show eth0"), "");
                assert!(run("ip route").contains("default via 10.208.0.1 dev eth0"));
                let ports = run("cat /proc/sys/net/ipv4/ip_unprivileged_port_start");
                assert_eq!(ports.trim(), "0");
                let sockets = run("ss -Hlnut");
                assert_eq!(sockets.matches("127.0.0.11:53").count(), 2, "{sockets}");
            });
        },
    );
}

#[test]
fn a_sandbox_without_endpoints_has_only_its_loopback() {
    on_a_host("a_sandbox_without_endpoints_has_only_its_loopback", |_| {
        let none = create(&SandboxSpec {
            namespace: None,
            container: "shop-job-1",
            endpoints: &Endpoints::default(),
            dns: Form::Off,
        })
        .expect("sandbox");
        assert!(none.dns_udp.is_none() && none.dns_tcp.is_none());
        within(&none.netns, || {
            assert_eq!(run("ip -o link").lines().count(), 1);
            assert!(run("ip -o address").contains("127.0.0.1/8"));
        });
    });
}

#[test]
fn a_missing_bridge_is_named_and_nothing_is_left() {
    on_a_host("a_missing_bridge_is_named_and_nothing_is_left", |_| {
        let net = Net::new("shop_default", |_| {});
        let mut endpoints = net.endpoints(7);
        let mut gone = endpoints.endpoints.first().expect("one").clone();
        gone.bridge = "rcgone".to_owned();
        endpoints.endpoints.push(gone);
        let before = run("ip -o link").lines().count();
        let error = create(&SandboxSpec {
            namespace: None,
            container: "shop-web-1",
            endpoints: &endpoints,
            dns: Form::Off,
        })
        .expect_err("no bridge");
        assert_eq!(error.to_string(), "link rcgone doesn't exist");
        assert_eq!(run("ip -o link").lines().count(), before);
    });
}

#[test]
fn two_sandboxes_of_one_name_can_follow_each_other_at_once() {
    on_a_host(
        "two_sandboxes_of_one_name_can_follow_each_other_at_once",
        |_| {
            let net = Net::new("shop_default", |_| {});
            for _ in 0..3 {
                // Each is dropped at once; its pair takes its time to go.
                drop(net.sandbox(7, Form::Direct));
            }
            eventually("the veths are gone", || !run("ip -o link").contains("rv"));
        },
    );
}

#[test]
fn containers_reach_each_other_and_the_outside_by_the_hosts_address() {
    on_a_host("egress", |bed: &Bed| {
        let net = Net::new("shop_default", |_| {});
        let (web, db) = (net.sandbox(7, Form::Direct), net.sandbox(8, Form::Direct));
        let _db = Server::new(&db.netns, "0.0.0.0:5432", "db");
        let _outside = Server::new(&bed.outside, "0.0.0.0:80", "outside");
        within(&web.netns, || {
            let to_db: SocketAddr = ([10, 208, 0, 8], 5432).into();
            assert_eq!(call(to_db).as_deref(), Some("db 10.208.0.7"));
            assert_eq!(ask(to_db).as_deref(), Some("db 10.208.0.7"));
            let seen = Some(format!("outside {HOST}"));
            assert_eq!(call((OUTSIDE, 80)), seen);
            assert_eq!(ask((OUTSIDE, 80)), seen);
        });
        // The host itself reaches containers directly.
        assert!(call(([10, 208, 0, 8], 5432)).is_some());
    });
}

#[test]
fn networks_are_isolated_from_each_other_and_from_neighbors() {
    on_a_host("isolation", |bed| {
        let (front, back) = (
            Net::new("shop_front", |_| {}),
            Net::new("shop_back", |_| {}),
        );
        let web = front.sandbox(7, Form::Direct);
        let db = back.sandbox(8, Form::Direct);
        let _db = Server::new(&db.netns, "0.0.0.0:5432", "db");
        let to_db: SocketAddr = (back.address(8), 5432).into();
        assert_eq!(within(&web.netns, || call_in_vain(to_db)), None);
        // A neighbor that routes to us reaches no container on its own.
        within(&bed.outside, || {
            run(&format!("ip route add 10.208.0.0/12 via {HOST}"));
            assert_eq!(call_in_vain(to_db), None);
            assert_eq!(ask_in_vain(to_db), None);
        });
        assert!(call(to_db).is_some(), "the host may");
    });
}

#[test]
fn an_internal_network_leads_nowhere() {
    on_a_host("an_internal_network_leads_nowhere", |bed| {
        let net = Net::new("shop_inside", |network| network.internal = true);
        let (web, db) = (net.sandbox(7, Form::Direct), net.sandbox(8, Form::Direct));
        let _db = Server::new(&db.netns, "0.0.0.0:5432", "db");
        let _outside = Server::new(&bed.outside, "0.0.0.0:80", "outside");
        let _host = Server::new(&host_netns(), "0.0.0.0:81", "host");
        within(&web.netns, || {
            assert!(call((net.address(8), 5432)).is_some());
            assert_eq!(run("ip route show default"), "");
            run(&format!("ip route add default via {}", net.address(1)));
            assert_eq!(call_in_vain((OUTSIDE, 80)), None);
            let services = call_in_vain((net.address(1), 81));
            assert_eq!(services, None, "the host's services");
        });
        assert!(
            call((net.address(8), 5432)).is_some(),
            "the host may look in"
        );
    });
}

#[test]
fn a_container_that_wants_port_53_gets_it_in_the_nat_form() {
    on_a_host("nat form", |_| {
        let net = Net::new("shop_default", |_| {});
        let dns = net.sandbox(7, Form::Nat);
        // Its own server on every address's port 53.
        let _own = Server::new(&dns.netns, "0.0.0.0:53", "own");
        let ours = dns
            .dns_udp
            .as_ref()
            .expect("udp")
            .try_clone()
            .expect("clone");
        let ours = std::net::UdpSocket::from(ours);
        ours.set_nonblocking(false).expect("blocking");
        let answer = std::thread::spawn(move || {
            let mut buffer = [0; 64];
            let (_, peer) = ours.recv_from(&mut buffer).expect("a query");
            ours.send_to(b"ours", peer).expect("answer");
        });
        within(&dns.netns, || {
            assert_eq!(
                ask((Ipv4Addr::LOCALHOST, 53)).as_deref(),
                Some("own 127.0.0.1")
            );
            assert_eq!(ask((resolver::ADDRESS, 53)).as_deref(), Some("ours"));
        });
        answer.join().expect("answered");
    });
}

#[test]
fn several_networks_and_ipv6_at_once() {
    on_a_host("several networks", |_| {
        let front = Net::new("shop_front", |network| network.ipv6 = true);
        let back = Net::new("shop_back", |_| {});
        let mut endpoints = front.endpoints(7);
        let more = back.endpoints(9).endpoints;
        endpoints
            .endpoints
            .extend(more.into_iter().map(|mut endpoint| {
                endpoint.interface = "back0".to_owned();
                endpoint
            }));
        let web = create(&SandboxSpec {
            namespace: None,
            container: "shop-web-1",
            endpoints: &endpoints,
            dns: Form::Direct,
        })
        .expect("sandbox");
        let api = front.sandbox(8, Form::Off);
        let six = front.address6(8);
        let _api = Server::new(&api.netns, &format!("[{six}]:80"), "api");
        within(&web.netns, || {
            assert!(call((six, 80)).is_some());
            assert!(run("ip -o -6 address show eth0").contains("/64 scope global"));
            assert_eq!(run("ip -o -6 address show back0"), "");
            assert!(run("ip -6 route show default").contains("via fd"));
        });
    });
}

#[test]
fn containers_cannot_tell_the_host_where_to_route() {
    on_a_host("containers_cannot_tell_the_host_where_to_route", |_| {
        let net = Net::new("shop_default", |network| network.ipv6 = true);
        for name in [
            "ipv6/conf/*/accept_ra",
            "ipv6/conf/*/accept_redirects",
            "ipv4/conf/*/accept_redirects",
        ] {
            let path = format!("/proc/sys/net/{}", name.replace('*', &net.bridge.name));
            let value = std::fs::read_to_string(path).expect(name);
            assert_eq!(value.trim(), "0", "{name}");
        }
    });
}

#[test]
fn nothing_is_left_of_a_network_and_forwarding_is_put_back() {
    on_a_host("nothing left", |_| {
        const FORWARDING: &str = "cat /proc/sys/net/ipv4/conf/eth0/forwarding";
        assert_eq!(run(FORWARDING).trim(), "0");
        let (one, two) = (Net::new("shop_one", |_| {}), Net::new("shop_two", |_| {}));
        let sandbox = one.sandbox(7, Form::Direct);
        assert_eq!(run(FORWARDING).trim(), "1");
        assert_eq!(
            run("cat /proc/sys/net/ipv4/conf/all/forwarding").trim(),
            "0"
        );
        assert!(!observe::remains(&one.engine).expect("remains").is_empty());
        bridge::retire(std::slice::from_ref(&one.bridge.name)).expect("retire");
        assert_eq!(run(FORWARDING).trim(), "1", "the other network needs it");
        drop(sandbox);
        bridge::remove(std::slice::from_ref(&one.bridge.name)).expect("remove");
        let rest = [two.bridge.name.clone()];
        bridge::retire(&rest).expect("retire");
        assert_eq!(run(FORWARDING).trim(), "0");
        bridge::remove(&rest).expect("remove");
        bridge::remove(&rest).expect("again");
        bridge::retire(&rest).expect("again");
        eventually("nothing of ours is left", || {
            observe::remains(&one.engine).expect("remains").is_empty()
        });
        assert_eq!(run("nft list ruleset"), "");
    });
}

#[test]
fn the_first_packet_of_a_sandbox_arrives() {
    on_a_host("the_first_packet_of_a_sandbox_arrives", |_| {
        let net = Net::new("shop_default", |_| {});
        let db = net.sandbox(7, Form::Direct);
        let _db = Server::new(&db.netns, "0.0.0.0:5432", "db");
        let mut slow = Vec::new();
        for n in 10..60 {
            let web = net.sandbox(n, Form::Direct);
            let begun = Instant::now();
            let answer = within(&web.netns, || ask((net.address(7), 5432)));
            slow.push((begun.elapsed(), answer.is_some()));
        }
        assert!(slow.iter().all(|(_, is_answered)| *is_answered), "{slow:?}");
    });
}
