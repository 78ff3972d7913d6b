//! Published ports on every path that users take to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::model::{HostPorts, ProjectName, Protocol};
use crate::network::publish::{self, Listener};
use crate::network::sandbox::Sandbox;
use crate::network::testbed::{
    Bed, HOST, Net, OUTSIDE, Server, ask, ask_in_vain, call, call_in_vain, eventually, host_netns,
    on_a_host, run, within,
};
use crate::network::tests::neighbors::{DROPPING, load};
use crate::network::{firewall, proxy};
use crate::topology::firewall::Forward;
use crate::topology::publish::Request;
use crate::topology::resolver::Form;

const WILDCARDS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    IpAddr::V6(Ipv6Addr::UNSPECIFIED),
];

/// The host's uplink address in IPv6.
const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

fn project() -> ProjectName {
    "shop".parse().expect("project")
}

/// Proxies on a thread of their own, until they are dropped.
struct Proxies {
    target: watch::Sender<Option<SocketAddr>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Proxies {
    fn new(listeners: Vec<Listener>, to: SocketAddr) -> Self {
        let (target, receiver) = watch::channel(Some(to));
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("runtime").block_on(async {
                for Listener { binding, fd } in listeners {
                    proxy::serve(fd, binding.protocol, receiver.clone()).expect("serve");
                }
                let _ = stopped.await;
            });
        });
        Self {
            target,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A web server with port 80 published as 8080, and a neighbor of its.
struct Site {
    net: Net,
    web: Sandbox,
    other: Sandbox,
    forwards: Vec<Forward>,
    _proxies: Proxies,
    _server: Server,
}

impl Site {
    fn new(host_ips: &[IpAddr]) -> Self {
        let net = Net::new("shop_default", |_| {});
        let (web, other) = (net.sandbox(7, Form::Direct), net.sandbox(8, Form::Direct));
        let server = Server::new(&web.netns, "0.0.0.0:80", "web");
        let requests = [Protocol::Tcp, Protocol::Udp].map(|protocol| Request {
            host_ips: host_ips.to_vec(),
            host_ports: HostPorts::Fixed(8080),
            container_port: 80,
            protocol,
        });
        let listeners = publish::bind_all(&requests).expect("listeners");
        let to = IpAddr::V4(net.address(7));
        let forwards: Vec<_> = listeners
            .iter()
            .filter(|listener| listener.binding.host_ip.is_ipv4())
            .map(|listener| Forward {
                binding: listener.binding.clone(),
                to,
            })
            .collect();
        firewall::publish(&net.engine, &project(), &forwards).expect("publish");
        Self {
            _proxies: Proxies::new(listeners, SocketAddr::new(to, 80)),
            _server: server,
            net,
            web,
            other,
            forwards,
        }
    }
}

/// Both transports' answers at port 8080 of an address.
fn both(address: impl Into<IpAddr>) -> [Option<String>; 2] {
    let address = SocketAddr::new(address.into(), 8080);
    [call(address), ask(address)]
}

/// The same where nobody should answer.
fn both_in_vain(address: impl Into<IpAddr>) -> [Option<String>; 2] {
    let address = SocketAddr::new(address.into(), 8080);
    [call_in_vain(address), ask_in_vain(address)]
}

fn seen(by: impl Into<IpAddr>) -> [Option<String>; 2] {
    let text = Some(format!("web {}", by.into()));
    [text.clone(), text]
}

const NOBODY: [Option<String>; 2] = [None, None];

fn bridges_pass_through_the_firewall(value: &str) {
    let path = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    if std::fs::exists(path).expect("sysctl") {
        std::fs::write(path, value).expect("sysctl");
    }
}

#[test]
fn a_published_port_answers_on_every_path() {
    on_a_host("a_published_port_answers_on_every_path", |bed| {
        let site = Site::new(&WILDCARDS);
        // The kernel's own path keeps the client's address.
        assert_eq!(within(&bed.outside, || both(HOST)), seen(OUTSIDE));
        assert_eq!(both(HOST), seen(HOST));
        assert_eq!(both(Ipv4Addr::LOCALHOST), seen(site.net.address(1)));
        // IPv6 goes through the listener, as the container has none.
        assert_eq!(both(Ipv6Addr::LOCALHOST), seen(site.net.address(1)));
        assert_eq!(
            within(&bed.outside, || both(HOST6)),
            seen(site.net.address(1))
        );
        within(&site.other.netns, || {
            assert_eq!(both(HOST), seen(site.net.address(1)), "a neighbor");
            assert_eq!(both(site.net.address(1)), seen(site.net.address(1)));
        });
    });
}

#[test]
fn a_container_reaches_itself_by_its_published_port() {
    on_a_host("a_container_reaches_itself_by_its_published_port", |_| {
        let site = Site::new(&WILDCARDS);
        for value in ["0", "1"] {
            bridges_pass_through_the_firewall(value);
            within(&site.web.netns, || {
                let [tcp, udp] = both(HOST);
                assert!(
                    tcp.is_some() && udp.is_some(),
                    "with {value}: {tcp:?} {udp:?}"
                );
            });
        }
    });
}

#[test]
fn a_container_of_another_network_reaches_a_published_port() {
    on_a_host(
        "a_container_of_another_network_reaches_a_published_port",
        |_| {
            let site = Site::new(&WILDCARDS);
            let blog = Net::new("blog_default", |_| {});
            let reader = blog.sandbox(9, Form::Direct);
            within(&reader.netns, || {
                assert!(both(HOST).iter().all(Option::is_some));
                let direct: SocketAddr = (site.net.address(7), 80).into();
                assert_eq!(call_in_vain(direct), None, "not by its own address");
            });
        },
    );
}

/// Sends to 127.0.0.1 by the network instead of the own loopback.
fn mislead(gateway: Ipv4Addr) {
    run("ip link set lo down");
    std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").expect("sysctl");
    run(&format!("ip route add 127.0.0.1/32 via {gateway}"));
}

#[test]
fn a_loopback_port_answers_the_host_alone() {
    on_a_host("a_loopback_port_answers_the_host_alone", |bed| {
        let site = Site::new(&[Ipv4Addr::LOCALHOST.into()]);
        assert_eq!(both(Ipv4Addr::LOCALHOST), seen(site.net.address(1)));
        assert_eq!(both_in_vain(HOST), NOBODY);
        within(&bed.outside, || {
            assert_eq!(both_in_vain(HOST), NOBODY);
            mislead(HOST);
            assert_eq!(both_in_vain(Ipv4Addr::LOCALHOST), NOBODY);
        });
        assert_eq!(
            within(&site.other.netns, || both_in_vain(site.net.address(1))),
            NOBODY
        );
    });
}

#[test]
fn the_hosts_loopback_is_out_of_reach() {
    on_a_host("the_hosts_loopback_is_out_of_reach", |bed: &Bed| {
        let site = Site::new(&WILDCARDS);
        let _private = Server::new(&host_netns(), "127.0.0.1:5555", "private");
        let private: SocketAddr = (Ipv4Addr::LOCALHOST, 5555).into();
        assert!(call(private).is_some());
        let reach = |gateway| {
            mislead(gateway);
            (call_in_vain(private), ask_in_vain(private))
        };
        assert_eq!(
            within(&site.other.netns, || reach(site.net.address(1))),
            (None, None)
        );
        assert_eq!(within(&bed.outside, || reach(HOST)), (None, None));
    });
}

#[test]
fn nobody_speaks_from_the_hosts_loopback() {
    on_a_host("nobody_speaks_from_the_hosts_loopback", |_| {
        let site = Site::new(&WILDCARDS);
        let gateway = site.net.address(1);
        // As the kernel has it; distributions differ.
        for link in ["all", &site.net.bridge.name] {
            let path = format!("/proc/sys/net/ipv4/conf/{link}/rp_filter");
            std::fs::write(path, "0").expect("sysctl");
        }
        let service = UdpSocket::bind((gateway, 5555)).expect("service");
        service.set_nonblocking(true).expect("nonblocking");
        let speak = |from: &str| {
            let socket = UdpSocket::bind(from).expect(from);
            socket.connect((gateway, 5555)).expect("connect");
            socket.send(from.as_bytes()).expect("send");
        };
        within(&site.other.netns, || {
            std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").expect("sysctl");
            speak("127.0.0.2:0");
            // On the same way, so what came before it is through as well.
            speak("0.0.0.0:0");
        });
        let mut buffer = [0; 64];
        let mut heard = None;
        eventually("a message", || {
            heard = service.recv_from(&mut buffer).ok();
            heard.is_some()
        });
        let (_, first) = heard.expect("heard");
        assert!(!first.ip().is_loopback(), "{first}");
    });
}

#[test]
fn unpublished_ports_are_closed_to_neighbors() {
    on_a_host("unpublished_ports_are_closed_to_neighbors", |bed| {
        let site = Site::new(&WILDCARDS);
        let _more = Server::new(&site.web.netns, "0.0.0.0:81", "more");
        within(&bed.outside, || {
            run(&format!("ip route add 10.208.0.0/12 via {HOST}"));
            for port in [80, 81] {
                let direct: SocketAddr = (site.net.address(7), port).into();
                let answers = (call_in_vain(direct), ask_in_vain(direct));
                assert_eq!(answers, (None, None), "{port}");
            }
            assert_eq!(call_in_vain((HOST, 81)), None);
        });
    });
}

#[test]
fn the_listener_serves_when_the_kernels_path_is_gone() {
    on_a_host("the_listener_serves_when_the_kernels_path_is_gone", |bed| {
        let site = Site::new(&WILDCARDS);
        firewall::publish(&site.net.engine, &project(), &[]).expect("unpublish");
        let by_proxy = seen(site.net.address(1));
        assert_eq!(within(&bed.outside, || both(HOST)), by_proxy);
        assert_eq!(both(Ipv4Addr::LOCALHOST), by_proxy);
        firewall::publish(&site.net.engine, &project(), &site.forwards).expect("publish");
        assert_eq!(
            within(&bed.outside, || call((HOST, 8080))),
            seen(OUTSIDE)[0]
        );
    });
}

#[test]
fn where_the_host_drops_forwarded_packets_the_listener_serves() {
    on_a_host(
        "where_the_host_drops_forwarded_packets_the_listener_serves",
        |bed| {
            load(DROPPING);
            let site = Site::new(&WILDCARDS);
            let by_proxy = seen(site.net.address(1));
            assert_eq!(within(&bed.outside, || both(HOST)), by_proxy);
            assert_eq!(
                both(HOST),
                seen(HOST),
                "the host's own packets aren't forwarded"
            );
        },
    );
}

#[test]
fn a_udp_client_that_keeps_asking_follows_a_renewed_container() {
    on_a_host(
        "a_udp_client_that_keeps_asking_follows_a_renewed_container",
        |bed| {
            let site = Site::new(&WILDCARDS);
            let _next = Server::new(&site.other.netns, "0.0.0.0:80", "next");
            let client = within(&bed.outside, || {
                UdpSocket::bind("0.0.0.0:4000").expect("bind")
            });
            client
                .set_read_timeout(Some(Duration::from_secs(30)))
                .expect("timeout");
            let ask = || {
                client.send_to(b"who", (HOST, 8080)).expect("send");
                let mut buffer = [0; 64];
                let length = client.recv(&mut buffer).expect("an answer");
                String::from_utf8_lossy(&buffer[..length]).into_owned()
            };
            assert_eq!(ask(), format!("web {OUTSIDE}"));
            let mut forwards = site.forwards.clone();
            for forward in &mut forwards {
                forward.to = site.net.address(8).into();
            }
            firewall::publish(&site.net.engine, &project(), &forwards).expect("publish");
            assert_eq!(ask(), format!("next {OUTSIDE}"));
            // The other transport and other ports' flows aren't touched.
            firewall::publish(&site.net.engine, &project(), &forwards).expect("publish again");
            assert_eq!(ask(), format!("next {OUTSIDE}"));
        },
    );
}

#[test]
fn a_published_port_of_an_ipv6_container_keeps_the_clients_address() {
    on_a_host("a_published_port_of_an_ipv6_container", |bed| {
        let net = Net::new("shop_six", |network| network.ipv6 = true);
        let web = net.sandbox(7, Form::Direct);
        let _server = Server::new(&web.netns, "[::]:80", "web");
        let request = Request {
            host_ips: vec![Ipv6Addr::UNSPECIFIED.into()],
            host_ports: HostPorts::Fixed(8080),
            container_port: 80,
            protocol: Protocol::Tcp,
        };
        let listeners = publish::bind(&request).expect("listeners");
        let to = IpAddr::V6(net.address6(7));
        let forwards: Vec<_> = listeners
            .iter()
            .map(|listener| Forward {
                binding: listener.binding.clone(),
                to,
            })
            .collect();
        firewall::publish(&net.engine, &project(), &forwards).expect("publish");
        let _proxies = Proxies::new(listeners, SocketAddr::new(to, 80));
        let outside = within(&bed.outside, || call((HOST6, 8080)));
        assert_eq!(outside.as_deref(), Some("web 2001:db8::1"));
        assert!(call((HOST6, 8080)).is_some());
        assert!(call((Ipv6Addr::LOCALHOST, 8080)).is_some());
    });
}

#[test]
fn a_port_without_a_container_closes_and_comes_back() {
    on_a_host("a_port_without_a_container_closes_and_comes_back", |_| {
        let site = Site::new(&WILDCARDS);
        firewall::publish(&site.net.engine, &project(), &[]).expect("unpublish");
        let to = site._proxies.target.send_replace(None);
        eventually("closed", || call((Ipv4Addr::LOCALHOST, 8080)).is_none());
        site._proxies.target.send_replace(to);
        eventually("open", || {
            both(Ipv4Addr::LOCALHOST).iter().all(Option::is_some)
        });
    });
}

#[test]
fn a_stream_may_close_one_way_first() {
    use std::io::{Read, Write};
    on_a_host("a_stream_may_close_one_way_first", |_| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let to = listener.local_addr().expect("address");
        let echo = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accept");
            let mut all = Vec::new();
            stream.read_to_end(&mut all).expect("read");
            stream.write_all(&all).expect("write");
        });
        let request = Request {
            host_ips: vec![Ipv6Addr::LOCALHOST.into()],
            host_ports: HostPorts::Ephemeral,
            container_port: 80,
            protocol: Protocol::Tcp,
        };
        let listeners = publish::bind(&request).expect("bound");
        let port = listeners.first().expect("one").binding.host_port;
        let _proxies = Proxies::new(listeners, to);
        let mut stream =
            std::net::TcpStream::connect((Ipv6Addr::LOCALHOST, port)).expect("connect");
        let sent: Vec<u8> = (0u8..=255).cycle().take(3_000_000).collect();
        stream.write_all(&sent).expect("write");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("shutdown");
        let mut received = Vec::new();
        stream.read_to_end(&mut received).expect("read");
        assert!(
            received == sent,
            "{} of {} bytes",
            received.len(),
            sent.len()
        );
        echo.join().expect("echo");
    });
}
