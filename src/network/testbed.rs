//! A host of its own for a test: network and mount namespaces of the test's
//! thread, an uplink, and an outside world behind it.
//!
//! ```text
//! outside 192.0.2.1 ── eth0 192.0.2.2 host
//! ```
//!
//! Nothing of it is seen by other tests or left on the real host.

use std::fmt::Debug;
use std::io::{ErrorKind, Read, Write};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket,
};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::model::{ContainerId, EndpointSpec, EngineId, Network};
use crate::network::bridge::{self, Bridge, BridgeSpec};
use crate::network::netlink::Batch;
use crate::network::route::{self, LOOPBACK, NewVeth, Route};
use crate::network::sandbox::{self, Sandbox, SandboxSpec};
use crate::sys::netns;
use crate::topology::MacAddress;
use crate::topology::endpoint::{self, Attached, Endpoints};
use crate::topology::resolver::Form;

/// The host's address on its uplink.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// The address of the world outside.
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// The uplink's MTU, which bridges have to take over.
pub(crate) const MTU: u32 = 1420;

/// Long enough for a loaded machine; a test that waits that long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the absence of an answer is waited for.
const SILENCE: Duration = Duration::from_millis(300);

/// What a test has around its host.
#[derive(Debug)]
pub(crate) struct Bed {
    /// The world outside.
    pub(crate) outside: OwnedFd,
}

/// Runs a test on a host of its own, or says that it can't.
pub(crate) fn on_a_host(name: &str, test: impl FnOnce(&Bed) + Send) {
    thread::scope(|scope| {
        let result = scope
            .spawn(|| {
                if let Err(error) = netns::leave_host() {
                    let must = std::env::var_os("RCOMPOSE_TEST_NO_SKIP").is_some();
                    assert!(
                        !must && error.kind() == ErrorKind::PermissionDenied,
                        "{name}: {error}"
                    );
                    // Libtest has no notion of a skipped test.
                    return;
                }
                run("mount -t tmpfs tmpfs /run");
                let bed = build();
                test(&bed);
            })
            .join();
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

fn build() -> Bed {
    let outside = attach("eth0", HOST, OUTSIDE);
    run("ip link set lo up");
    run(&format!("ip route add default via {OUTSIDE}"));
    run("ip -6 address add 2001:db8::2/64 dev eth0 nodad");
    within(&outside, || {
        run("ip -6 address add 2001:db8::1/64 dev eth0 nodad")
    });
    Bed { outside }
}

/// Gives the host a link with an address, and the namespace at its other end.
pub(crate) fn attach(link: &str, host: Ipv4Addr, far: Ipv4Addr) -> OwnedFd {
    let namespace = netns::in_new(|| netns::current().expect("current")).expect("namespace");
    let mut batch = Batch::new();
    route::add_veth(
        &mut batch,
        &NewVeth {
            host_name: link,
            bridge_index: 0,
            mtu: MTU,
            peer_name: "eth0",
            peer_index: 2,
            peer_mac: MacAddress::of(IpAddr::V4(far)),
            peer_namespace: namespace.as_fd(),
        },
    );
    let mut route = Route::open().expect("route");
    route.send(batch).expect(link);
    let index = route.link(link).expect(link).index;
    let mut batch = Batch::new();
    route::add_address(&mut batch, index, link, host.into(), 24);
    route.send(batch).expect("address");
    within(&namespace, || {
        let mut batch = Batch::new();
        route::set_up(&mut batch, LOOPBACK, "lo");
        route::add_address(&mut batch, 2, "eth0", far.into(), 24);
        route::set_up(&mut batch, 2, "eth0");
        Route::open().expect("route").send(batch).expect("far end");
    });
    route.settle(link).expect(link);
    namespace
}

/// Runs a program in the current namespaces and gives its output.
pub(crate) fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().expect("a program"))
        .args(words)
        .output()
        .expect(command);
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs `work` in a namespace.
pub(crate) fn within<T: Send>(namespace: &OwnedFd, work: impl FnOnce() -> T + Send) -> T {
    netns::within(namespace, work).expect("within")
}

/// Waits until `check` holds.
pub(crate) fn eventually(what: impl Debug, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < deadline, "{what:?} didn't come true");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A server that answers each connection or datagram with a name and the
/// address that it sees, until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Server {
    /// Serves TCP and UDP at `address` in `namespace`.
    pub(crate) fn new(namespace: &OwnedFd, address: &str, name: &str) -> Self {
        let (tcp, udp) = within(namespace, || {
            let tcp = TcpListener::bind(address).expect(address);
            let address = tcp.local_addr().expect("address");
            (tcp, UdpSocket::bind(address).expect("udp"))
        });
        let stop = Arc::new(AtomicBool::new(false));
        let tcp_stop = Arc::clone(&stop);
        let tcp_name = name.to_owned();
        tcp.set_nonblocking(true).expect("nonblocking");
        let accept = thread::spawn(move || {
            while !tcp_stop.load(Ordering::Relaxed) {
                match tcp.accept() {
                    Ok((mut stream, peer)) => {
                        // The client may be gone already.
                        let _ = write!(stream, "{tcp_name} {}", peer.ip());
                        let _ = stream.shutdown(Shutdown::Write);
                    }
                    Err(_) => thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        let udp_stop = Arc::clone(&stop);
        let udp_name = name.to_owned();
        let wait = Some(Duration::from_millis(20));
        udp.set_read_timeout(wait).expect("timeout");
        let answer = thread::spawn(move || {
            let mut buffer = [0; 64];
            while !udp_stop.load(Ordering::Relaxed) {
                if let Ok((_, peer)) = udp.recv_from(&mut buffer) {
                    let text = format!("{udp_name} {}", peer.ip());
                    let _ = udp.send_to(text.as_bytes(), peer);
                }
            }
        });
        Self {
            stop,
            threads: vec![accept, answer],
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Connects by TCP in the current namespace: what the server says, or None
/// when nobody answers or the stream ends empty.
pub(crate) fn call(address: impl Into<SocketAddr>) -> Option<String> {
    call_for(PATIENCE, address.into())
}

/// The same where nobody should answer: it isn't waited for long.
pub(crate) fn call_in_vain(address: impl Into<SocketAddr>) -> Option<String> {
    call_for(SILENCE, address.into())
}

fn call_for(limit: Duration, address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, limit).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    (!text.is_empty()).then_some(text)
}

/// Asks by UDP in the current namespace: the answer, if one comes.
pub(crate) fn ask(address: impl Into<SocketAddr>) -> Option<String> {
    ask_for(PATIENCE, address.into())
}

/// The same where nobody should answer: it isn't waited for long.
pub(crate) fn ask_in_vain(address: impl Into<SocketAddr>) -> Option<String> {
    ask_for(SILENCE, address.into())
}

fn ask_for(limit: Duration, address: SocketAddr) -> Option<String> {
    let any = if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(address).ok()?;
    socket.set_read_timeout(Some(limit)).expect("timeout");
    socket.send(b"who").ok()?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(buffer.get(..length)?).into_owned())
}

/// The engine of tests.
pub(crate) fn engine() -> EngineId {
    "abcdef".parse().expect("engine")
}

/// The test thread's own network namespace.
pub(crate) fn host_netns() -> OwnedFd {
    netns::current().expect("current")
}

/// A network with what its sandboxes need.
#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) engine: EngineId,
    pub(crate) network: Network,
    pub(crate) bridge: Bridge,
}

impl Net {
    pub(crate) fn new(name: &str, change: impl FnOnce(&mut Network)) -> Self {
        Self::of(engine(), name, change)
    }

    pub(crate) fn of(engine: EngineId, name: &str, change: impl FnOnce(&mut Network)) -> Self {
        let mut network = Network::named(name);
        change(&mut network);
        let bridge = bridge::create(&BridgeSpec {
            engine: &engine,
            network: &network,
            endpoints: 10,
            former: &[],
            generation: 0,
        })
        .expect("bridge");
        Self {
            engine,
            network,
            bridge,
        }
    }

    /// The n-th address of the network.
    pub(crate) fn address(&self, n: u8) -> Ipv4Addr {
        self.nth(n, true)
            .and_then(|ip| ip.to_string().parse().ok())
            .expect("IPv4")
    }

    /// The n-th IPv6 address of the network.
    pub(crate) fn address6(&self, n: u8) -> Ipv6Addr {
        self.nth(n, false)
            .and_then(|ip| ip.to_string().parse().ok())
            .expect("IPv6")
    }

    fn nth(&self, n: u8, is_ipv4: bool) -> Option<IpAddr> {
        let mut pools = self.bridge.pools.iter();
        let pool = pools.find(|pool| pool.subnet.is_ipv4() == is_ipv4)?;
        pool.subnet.address(u128::from(n))
    }

    pub(crate) fn endpoints(&self, n: u8) -> Endpoints {
        let attached = Attached {
            network: &self.network.name,
            bridge: &self.bridge.name,
            is_internal: self.network.internal,
            pools: &self.bridge.pools,
            spec: &EndpointSpec::default(),
            ipv4: Some(self.address(n)),
            ipv6: self.network.ipv6.then(|| self.address6(n)),
        };
        let container = ContainerId::from_random([n; 32]);
        endpoint::plan(&self.engine, &container, 0, &[attached]).expect("endpoints")
    }

    /// A sandbox with the n-th address.
    pub(crate) fn sandbox(&self, n: u8, dns: Form) -> Sandbox {
        sandbox::create(&SandboxSpec {
            container: "shop-web-1",
            namespace: None,
            endpoints: &self.endpoints(n),
            dns,
        })
        .expect("sandbox")
    }
}
