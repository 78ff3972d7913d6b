//! Several engines and projects on one host at once.

use std::net::IpAddr;
use std::thread;

use indexmap::IndexMap;

use crate::model::{EngineId, IpamPool, Network};
use crate::network::bridge::{self, Bridge, BridgeSpec};
use crate::network::testbed::{Net, call, engine, eventually, on_a_host, run, within};
use crate::network::{Error, observe};
use crate::topology::Subnet;
use crate::topology::ipam;
use crate::topology::resolver::Form;

const ENGINES: u8 = 8;
const NETWORKS: u8 = 5;

fn engine_of(number: u8) -> EngineId {
    EngineId::from_random([number; 6])
}

#[test]
fn engines_share_a_host_without_meeting() {
    on_a_host("engines_share_a_host_without_meeting", |_| {
        let nets: Vec<Net> = thread::scope(|scope| {
            let threads: Vec<_> = (0..ENGINES)
                .map(|number| {
                    scope.spawn(move || -> Vec<Net> {
                        (0..NETWORKS)
                            .map(|n| Net::of(engine_of(number), &format!("shop_{n}"), |_| {}))
                            .collect()
                    })
                })
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().expect("engine"))
                .collect()
        });
        let subnets: Vec<Subnet> = nets
            .iter()
            .flat_map(|net| &net.bridge.pools)
            .map(|pool| pool.subnet)
            .collect();
        for (index, one) in subnets.iter().enumerate() {
            let clash = subnets
                .iter()
                .skip(index + 1)
                .find(|other| other.overlaps(*one));
            assert_eq!(clash, None, "{one}");
        }
        // Removing all that is one engine's leaves the others' at work.
        let last = nets.last().expect("nets");
        let (a, b) = (last.sandbox(7, Form::Direct), last.sandbox(8, Form::Direct));
        let _b = crate::network::testbed::Server::new(&b.netns, "0.0.0.0:80", "b");
        thread::scope(|scope| {
            for number in 0..ENGINES - 1 {
                scope.spawn(move || observe::remove_everything(&engine_of(number)).expect("gc"));
            }
            for _ in 0..20 {
                assert!(within(&a.netns, || call((last.address(8), 80))).is_some());
            }
        });
        for number in 0..ENGINES - 1 {
            let engine = engine_of(number);
            eventually("nothing is left", || {
                observe::remains(&engine).expect("remains").is_empty()
            });
        }
        let bridges = observe::bridges().expect("bridges");
        assert_eq!(bridges.len(), usize::from(NETWORKS), "{bridges:?}");
        drop((a, b));
        observe::remove_everything(&last.engine).expect("gc");
        eventually("nothing is left", || {
            run("nft list ruleset").is_empty() && !run("ip -o link").contains("rc")
        });
    });
}

fn network(subnet: Option<&str>) -> Network {
    Network {
        name: "shop_default".to_owned(),
        driver: None,
        driver_opts: IndexMap::new(),
        pools: subnet
            .map(|subnet| IpamPool {
                subnet: Some(subnet.to_owned()),
                ..IpamPool::default()
            })
            .into_iter()
            .collect(),
        internal: false,
        attachable: false,
        ipv4: true,
        ipv6: false,
        labels: IndexMap::new(),
    }
}

fn create(network: &Network, former: &[Subnet], generation: u32) -> Result<Bridge, Error> {
    bridge::create(&BridgeSpec {
        engine: &engine(),
        network,
        endpoints: 3,
        former,
        generation,
    })
}

#[test]
fn a_declared_subnet_in_use_is_refused_by_name_and_leaves_nothing() {
    on_a_host("a_declared_subnet_in_use_is_refused_by_name", |_| {
        let _blog = Net::new("blog_default", |_| {});
        let error = create(&network(Some("10.208.0.0/16")), &[], 0).expect_err("in use");
        assert_eq!(
            error.to_string(),
            "network shop_default: subnet 10.208.0.0/16 overlaps 10.208.0.0/24 of network blog_default"
        );
        let error = create(&network(Some("192.0.2.0/25")), &[], 0).expect_err("the uplink's");
        assert!(
            error.to_string().contains("the host's link eth0"),
            "{error}"
        );
        assert!(matches!(error, Error::Address(ipam::Error::Overlap { .. })));
        assert_eq!(observe::bridges().expect("bridges").len(), 1);
    });
}

#[test]
fn a_network_comes_back_at_once_with_its_declared_subnet() {
    on_a_host(
        "a_network_comes_back_at_once_with_its_declared_subnet",
        |_| {
            let network = network(Some("10.99.0.0/24"));
            let mut names = Vec::new();
            for generation in 0..5 {
                let bridge = create(&network, &[], generation).expect("bridge");
                assert_eq!(
                    bridge.pools.first().map(|pool| pool.gateway),
                    Some(IpAddr::from([10, 99, 0, 1]))
                );
                let name = std::slice::from_ref(&bridge.name);
                bridge::retire(name).expect("retire");
                // The link itself is still there; its subnet and name aren't in the way.
                assert!(!names.contains(&bridge.name));
                names.push(bridge.name);
            }
            // The same generation again finds its name taken and takes another.
            let again = create(&network, &[], 0).expect("bridge");
            assert!(!names.contains(&again.name));
            names.push(again.name);
            bridge::remove(&names).expect("remove");
        },
    );
}

#[test]
fn a_chosen_subnet_is_kept_unless_the_host_needs_it() {
    on_a_host("a_chosen_subnet_is_kept_unless_the_host_needs_it", |_| {
        let former: Subnet = "10.210.7.0/24".parse().expect("cidr");
        let subnet = |bridge: &Bridge| bridge.pools.first().map(|pool| pool.subnet);
        let first = create(&network(None), &[former], 0).expect("bridge");
        assert_eq!(subnet(&first), Some(former));
        bridge::remove(&[first.name]).expect("remove");
        run("ip route add 10.210.0.0/16 dev eth0");
        let second = create(&network(None), &[former], 0).expect("bridge");
        assert_ne!(subnet(&second), Some(former));
        bridge::remove(&[second.name]).expect("remove");
    });
}

#[test]
fn driver_options_are_honored() {
    on_a_host("driver_options_are_honored", |_| {
        let mut network = network(None);
        for (option, value) in [
            ("com.docker.network.driver.mtu", "1300"),
            ("com.docker.network.bridge.name", "mybridge"),
        ] {
            network
                .driver_opts
                .insert(option.to_owned(), value.to_owned());
        }
        let bridge = create(&network, &[], 0).expect("bridge");
        assert_eq!(bridge.name, "mybridge");
        assert!(run("ip -o link show mybridge").contains("mtu 1300"));
        let error = create(&network, &[], 0).expect_err("taken");
        assert!(
            error.is_exists() && error.to_string().contains("mybridge"),
            "{error}"
        );
        observe::remove_everything(&engine()).expect("gc");
        eventually("gone", || {
            observe::remains(&engine()).expect("remains").is_empty()
        });
    });
}
