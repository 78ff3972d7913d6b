//! Subnets chosen and refused, addresses given and taken.

use indexmap::IndexMap;
use proptest::prelude::*;

use super::*;

fn engine() -> EngineId {
    "abcdef".parse().expect("engine")
}

fn network(pools: Vec<IpamPool>) -> Network {
    Network {
        name: "shop_default".to_owned(),
        driver: None,
        driver_opts: IndexMap::new(),
        pools,
        internal: false,
        attachable: false,
        ipv4: true,
        ipv6: false,
        labels: IndexMap::new(),
    }
}

fn declared(subnet: &str) -> IpamPool {
    IpamPool {
        subnet: Some(subnet.to_owned()),
        ..IpamPool::default()
    }
}

fn route(subnet: &str) -> Taken {
    Taken {
        subnet: subnet.parse().expect(subnet),
        by: TakenBy::Route("tun0".to_owned()),
    }
}

fn planned(network: &Network, taken: &[Taken]) -> Result<Vec<Pool>, Error> {
    plan(&Request {
        engine: &engine(),
        network,
        endpoints: 3,
        former: &[],
        taken,
    })
}

fn chosen(network: &Network, taken: &[Taken]) -> String {
    let pools = planned(network, taken).expect("planned");
    let texts: Vec<_> = pools.iter().map(|pool| pool.subnet.to_string()).collect();
    texts.join(" ")
}

fn message(pools: Vec<IpamPool>, taken: &[Taken]) -> String {
    planned(&network(pools), taken)
        .expect_err("refused")
        .to_string()
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

#[test]
fn the_first_free_subnet_is_chosen() {
    let net = network(vec![]);
    assert_eq!(chosen(&net, &[]), "10.208.0.0/24");
    assert_eq!(chosen(&net, &[route("10.208.0.128/25")]), "10.208.1.0/24");
    assert_eq!(chosen(&net, &[route("10.208.0.0/13")]), "10.216.0.0/24");
    let pools = planned(&net, &[]).expect("planned");
    assert_eq!(
        pools.first().map(|pool| pool.gateway),
        Some(ip("10.208.0.1"))
    );
}

#[test]
fn a_vpn_over_all_of_10_moves_networks_elsewhere() {
    assert_eq!(
        chosen(&network(vec![]), &[route("10.0.0.0/8")]),
        "172.16.0.0/24"
    );
    let error = message(
        vec![],
        &[
            route("10.0.0.0/8"),
            route("172.16.0.0/12"),
            route("192.168.0.0/16"),
        ],
    );
    assert!(error.contains("no free subnet in 10.208.0.0/12"), "{error}");
}

#[test]
fn default_routes_take_nothing() {
    let halves = [route("0.0.0.0/1"), route("128.0.0.0/1"), route("0.0.0.0/0")];
    assert_eq!(chosen(&network(vec![]), &halves), "10.208.0.0/24");
}

#[test]
fn a_former_subnet_is_kept_while_it_fits() {
    let net = network(vec![]);
    let former: Subnet = "10.210.3.0/24".parse().expect("cidr");
    let engine = engine();
    let request = |taken| Request {
        engine: &engine,
        network: &net,
        endpoints: 1,
        former: std::slice::from_ref(&former),
        taken,
    };
    let subnet = |taken| {
        plan(&request(taken))
            .expect("planned")
            .first()
            .map(|p| p.subnet)
    };
    assert_eq!(subnet(&[]), Some(former));
    assert_ne!(subnet(&[route("10.210.0.0/16")]), Some(former));
}

#[test]
fn big_projects_get_big_subnets() {
    let prefix = |endpoints| ipv4_candidates(endpoints).next().map(Subnet::prefix);
    assert_eq!(prefix(0), Some(24));
    assert_eq!(prefix(100), Some(24));
    assert_eq!(prefix(500), Some(22));
    assert_eq!(prefix(usize::MAX / 4), Some(12));
}

#[test]
fn a_thousand_networks_fit() {
    let net = network(vec![]);
    let mut taken = Vec::new();
    for number in 0..1500 {
        let pools = planned(&net, &taken).expect("planned");
        let subnet = pools.first().expect("one").subnet;
        taken.push(Taken {
            subnet,
            by: TakenBy::Network(format!("n{number}")),
        });
    }
}

#[test]
fn ipv6_subnets_come_from_the_engine() {
    let mut net = network(vec![]);
    net.ipv6 = true;
    let text = chosen(&net, &[]);
    let (v4, v6) = text.split_once(' ').expect("two");
    assert_eq!(v4, "10.208.0.0/24");
    assert!(v6.starts_with("fd") && v6.ends_with("/64"), "{v6}");
    net.ipv4 = false;
    assert_eq!(chosen(&net, &[route(v6)]).matches("fd").count(), 1);
    assert_ne!(chosen(&net, &[route(v6)]), v6);
    let other: EngineId = "abcdeg".parse().expect("engine");
    assert!(!ula(&engine()).overlaps(ula(&other)));
}

#[test]
fn declared_pools_are_checked() {
    let with = |range: &str, gateway: &str, aux: &str| {
        vec![IpamPool {
            subnet: Some("172.28.0.0/16".to_owned()),
            ip_range: Some(range.to_owned()).filter(|text| !text.is_empty()),
            gateway: Some(gateway.to_owned()).filter(|text| !text.is_empty()),
            aux_addresses: Some(("host1".to_owned(), aux.to_owned()))
                .filter(|(_, text)| !text.is_empty())
                .into_iter()
                .collect(),
        }]
    };
    let good = planned(
        &network(with("172.28.5.0/24", "172.28.5.254", "172.28.1.5")),
        &[],
    );
    let pools = good.expect("planned");
    let pool = pools.first().expect("one");
    assert_eq!(pool.gateway, ip("172.28.5.254"));
    assert_eq!(pool.range.to_string(), "172.28.5.0/24");
    assert_eq!(
        pool.reserved.get(&ip("172.28.1.5")).map(String::as_str),
        Some("host1")
    );

    assert_eq!(
        message(with("172.29.0.0/24", "", ""), &[]),
        "network shop_default: ip_range 172.29.0.0/24 lies in none of the network's subnets"
    );
    assert!(message(with("", "10.0.0.1", ""), &[]).contains("gateway 10.0.0.1 lies in none"));
    assert!(message(with("", "x", ""), &[]).contains("invalid gateway \"x\""));
    assert!(message(with("", "", "1.2.3.4"), &[]).contains("auxiliary address 1.2.3.4"));
    assert!(message(vec![declared("10.0.0.0/99")], &[]).contains("invalid subnet"));
    let gateway_alone = IpamPool {
        gateway: Some("10.0.0.1".to_owned()),
        ..IpamPool::default()
    };
    assert!(message(vec![gateway_alone], &[]).contains("gateway 10.0.0.1"));
}

#[test]
fn an_overlap_names_both_sides() {
    let taken = |by| {
        vec![Taken {
            subnet: "10.1.2.0/24".parse().expect("cidr"),
            by,
        }]
    };
    assert_eq!(
        message(
            vec![declared("10.1.0.0/16")],
            &taken(TakenBy::Network("blog_default".to_owned()))
        ),
        "network shop_default: subnet 10.1.0.0/16 overlaps 10.1.2.0/24 of network blog_default"
    );
    let link = taken(TakenBy::Link("eth0".to_owned()));
    assert!(message(vec![declared("10.1.2.0/25")], &link).contains("the host's link eth0"));
    let vpn = taken(TakenBy::Route("tun0".to_owned()));
    assert_eq!(
        chosen(&network(vec![declared("10.1.2.0/25")]), &vpn),
        "10.1.2.0/25"
    );
    let twice = vec![declared("10.1.2.0/25"), declared("10.1.2.0/24")];
    assert!(message(twice, &[]).contains("the same network"));
}

#[test]
fn addresses_run_out_with_the_range_in_the_text() {
    let pools = planned(&network(vec![declared("10.9.0.0/29")]), &[]).expect("planned");
    let pool = pools.first().expect("one");
    let mut taken = BTreeMap::new();
    for last in 2..=6 {
        let address = allocate("n", pool, &taken).expect("free");
        assert_eq!(address, ip(&format!("10.9.0.{last}")));
        taken.insert(address, String::new());
    }
    let error = allocate("n", pool, &taken).expect_err("full").to_string();
    assert_eq!(error, "network n: no free address in 10.9.0.0/29");
}

#[test]
fn static_addresses_are_checked() {
    let pools = planned(&network(vec![declared("10.9.0.0/24")]), &[]).expect("planned");
    let taken = BTreeMap::from([(ip("10.9.0.7"), "shop-db-1".to_owned())]);
    let check = |address: &str| {
        check_static("n", &pools, ip(address), &taken).map_err(|error| error.to_string())
    };
    assert_eq!(check("10.9.0.8"), Ok(()));
    let refused = |address: &str| check(address).expect_err(address);
    assert_eq!(
        refused("10.9.0.7"),
        "network n: address 10.9.0.7 is taken by shop-db-1"
    );
    assert!(refused("10.9.0.1").contains("taken by the gateway"));
    assert!(refused("10.9.0.255").contains("isn't a usable address of 10.9.0.0/24"));
    assert!(refused("10.8.0.1").contains("isn't a usable address of 10.9.0.0/24"));
    assert!(refused("fd00::1").contains("a network without that family"));
    let chosen = planned(&network(vec![]), &[]).expect("planned");
    let error = check_static("n", &chosen, ip("10.208.0.9"), &taken).expect_err("chosen");
    assert!(error.to_string().contains("ipam.config"), "{error}");
}

#[test]
fn what_others_have_is_passed_over() {
    let mut net = network(vec![declared("10.9.0.0/24")]);
    net.ipv6 = true;
    let pools = planned(&net, &[]).expect("planned");
    let taken = BTreeMap::from([(ip("10.9.0.2"), "shop-db-1".to_owned())]);
    let free: Vec<IpAddr> = pools
        .iter()
        .map(|pool| allocate("n", pool, &taken).expect("free"))
        .collect();
    assert_eq!(free[0], ip("10.9.0.3"));
    assert!(free[1].to_string().starts_with("fd"));
    assert!(check_static("n", &pools, ip("10.9.0.99"), &taken).is_ok());
    let error = check_static("n", &pools, ip("10.9.0.2"), &taken).expect_err("taken");
    assert_eq!(
        error.to_string(),
        "network n: address 10.9.0.2 is taken by shop-db-1"
    );
}

proptest! {
    #[test]
    fn spans_spare_what_overlaps_nothing(
        taken in proptest::collection::vec((any::<u16>(), 16u8..=32), 0..12),
        wanted in (any::<u16>(), 16u8..=32),
    ) {
        let subnet = |(low, prefix): (u16, u8)| {
            let [high, low] = low.to_be_bytes();
            Subnet::around(IpAddr::from([10, 0, high, low]), prefix).expect("v4")
        };
        let taken: Vec<_> = taken.into_iter().map(subnet).collect();
        let wanted = subnet(wanted);
        prop_assert_eq!(
            Spans::of(taken.iter().copied()).spare(wanted),
            !taken.iter().any(|other| other.overlaps(wanted))
        );
    }

    #[test]
    fn never_an_address_twice(
        prefix in 25u8..=30,
        range_bits in 0u8..=3,
        aux in proptest::collection::vec(0u8..64, 0..4),
        frees in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let subnet = Subnet::around(ip("10.77.0.0"), prefix).expect("v4");
        let range = Subnet::around(subnet.last(), (prefix + range_bits).min(32)).expect("v4");
        let mut entry = declared(&subnet.to_string());
        entry.ip_range = Some(range.to_string());
        entry.aux_addresses = aux
            .iter()
            .filter_map(|n| subnet.address(u128::from(*n)).map(|a| (n.to_string(), a.to_string())))
            .collect();
        let pools = planned(&network(vec![entry]), &[]).expect("planned");
        let pool = pools.first().expect("one");
        let mut taken = BTreeMap::new();
        let mut frees = frees.into_iter();
        while let Ok(address) = allocate("n", pool, &taken) {
            prop_assert!(pool.range.contains(address) && pool.subnet.is_usable(address));
            prop_assert!(address != pool.gateway && !pool.reserved.contains_key(&address));
            prop_assert!(taken.insert(address, String::new()).is_none(), "{address} twice");
            if let Some(index) = frees.next() {
                let freed = *index.get(&taken.keys().copied().collect::<Vec<_>>());
                taken.remove(&freed);
            }
        }
        // Full means full: every usable address of the range is accounted for.
        for index in 0.. {
            let Some(address) = pool.range.address(index) else { break };
            let is_used = taken.contains_key(&address)
                || address == pool.gateway
                || pool.reserved.contains_key(&address)
                || !pool.subnet.is_usable(address);
            prop_assert!(is_used, "{address} was left");
        }
    }
}
