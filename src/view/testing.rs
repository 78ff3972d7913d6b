//! Containers to look at, for tests.

use std::net::Ipv4Addr;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::{
    ContainerId, ContainerRecord, ContainerRuntime, ContainerState, EndpointRecord, ImageSource,
    Intent, ObservedContainer, PortBinding, ProcessIdentity, Protocol, PullPolicy, Service,
};
use crate::view::Moment;

/// The moment of all tests.
pub(crate) fn moment() -> Moment {
    Moment {
        now: time("10:00:00"),
        zone: TimeZone::UTC,
    }
}

/// A time on the tests' day.
pub(crate) fn time(of_day: &str) -> Timestamp {
    format!("2026-11-22T{of_day}Z").parse().unwrap()
}

/// A first process.
pub(crate) fn process() -> ProcessIdentity {
    ProcessIdentity {
        pid: 4242,
        start_ticks: 1,
        boot_id: "b".into(),
    }
}

/// A container of service `web` in project `shop`, created at 09:00.
pub(crate) fn container(state: ContainerState) -> ObservedContainer {
    let runtime = state.is_running().then(|| ContainerRuntime {
        process: Some(process()),
        spawn: "s1".into(),
        started_at: time("09:59:57"),
        endpoints: IndexMap::from([("shop_default".to_owned(), endpoint())]),
        ports: vec![port("0.0.0.0", 8080, 80), port("::", 8080, 80)],
        probing: None,
        restarts: 0,
        restart_pause: None,
        restarting_until: None,
        paused: false,
    });
    ObservedContainer {
        record: record(),
        state,
        runtime,
    }
}

/// A published TCP port.
pub(crate) fn port(host_ip: &str, host_port: u16, container_port: u16) -> PortBinding {
    PortBinding {
        host_ip: host_ip.parse().unwrap(),
        host_port,
        container_port,
        protocol: Protocol::Tcp,
    }
}

fn endpoint() -> EndpointRecord {
    EndpointRecord {
        ipv4: Some(Ipv4Addr::new(10, 89, 0, 2)),
        ipv4_prefix: 24,
        gateway: Some(Ipv4Addr::new(10, 89, 0, 1)),
        ipv6: None,
        ipv6_prefix: 0,
        mac: "02:42:0a:59:00:02".into(),
        interface: "eth0".into(),
        names: vec!["web".into()],
    }
}

fn record() -> ContainerRecord {
    ContainerRecord {
        id: ContainerId::from_random([0xab; 32]),
        name: "shop-web-1".parse().unwrap(),
        project: "shop".parse().unwrap(),
        service: service(),
        number: Some(1),
        slug: None,
        created_at: time("09:00:00"),
        image_id: "sha256:00".into(),
        layers: Vec::new(),
        argv: ["/docker-entrypoint.sh", "nginx", "-g", "daemon off;"]
            .map(str::to_owned)
            .into(),
        env: Vec::new(),
        cwd: "/".into(),
        user: String::new(),
        labels: IndexMap::from([
            ("com.docker.compose.project".to_owned(), "shop".to_owned()),
            (
                "com.docker.compose.project.config_files".to_owned(),
                "/srv/shop/compose.yaml".to_owned(),
            ),
        ]),
        exposed: vec!["80/tcp".into(), "9000/udp".into()],
        probe: None,
        stop_signal: 15,
        stop_grace_period: Duration::from_secs(10),
        mounts: Vec::new(),
        intent: Intent::Running,
        auto_remove: false,
        updates: None,
        use_aliases: false,
    }
}

fn service() -> Service {
    let image = ImageSource::Pull {
        reference: "nginx:1.27".into(),
        policy: PullPolicy::Missing,
    };
    Service::new("web".parse().unwrap(), image)
}
