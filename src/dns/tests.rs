//! Name servers in namespaces of their own, asked over the wire: the test's
//! thread plays the host, with an upstream on its loopback that counts what it
//! is asked; containers are namespaces with a loopback.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::*;
use crate::sys::{netns, socket};
use crate::topology::resolver;
use crate::topology::zone::{Forwarding, Member};

const UPSTREAM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);
/// Longer than any machine takes; none of it is waited for when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

fn loopback_up() {
    let status = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    assert!(status.expect("ip").success());
}

/// Runs a test in a namespace of its own, or says nothing where it can't.
fn on_a_host(test: impl AsyncFnOnce() + Send) {
    let ran = netns::in_new(|| {
        loopback_up();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        runtime.block_on(test());
    });
    if let Err(error) = ran {
        let must = std::env::var_os("RCOMPOSE_TEST_NO_SKIP").is_some();
        assert!(
            !must && error.kind() == io::ErrorKind::PermissionDenied,
            "{error}"
        );
    }
}

/// A container with its name server.
struct Container {
    netns: Arc<OwnedFd>,
    server: NameServer,
    zone: watch::Sender<Arc<Zone>>,
}

fn zone() -> Zone {
    let member = |name: &str, aliases: &[&str], last: u8| Member {
        network: "shop_default".to_owned(),
        name: name.to_owned(),
        aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
        ipv4: Some(Ipv4Addr::new(10, 208, 0, last)),
        ipv6: None,
    };
    let many = (100..200).map(|n| member(&format!("shop-many-{n}"), &["many"], n));
    let few = [
        member("shop-db-1", &["db", "0123456789ab"], 2),
        member("shop-web-1", &["web"], 3),
        member("shop-web-2", &["web"], 4),
    ];
    let declared = ["db", "web", "cache"].map(str::to_owned);
    Zone::new(few.into_iter().chain(many), declared)
}

fn view(forwarding: Forwarding) -> View {
    View {
        networks: vec!["shop_default".to_owned()],
        subnets: vec!["10.208.0.0/24".parse().expect("cidr")],
        forwarding,
        links: Vec::new(),
    }
}

impl Container {
    fn new(forwarding: Forwarding, upstreams: impl FnOnce(Arc<OwnedFd>) -> Upstreams) -> Self {
        let address = SocketAddr::from((resolver::ADDRESS, resolver::PORT));
        let (netns, udp, tcp) = netns::in_new(|| {
            loopback_up();
            (
                netns::current().expect("current"),
                socket::bind_udp(address).expect("udp"),
                socket::listen_tcp(address).expect("tcp"),
            )
        })
        .expect("container");
        let netns = Arc::new(netns);
        let (zone, receiver) = watch::channel(Arc::new(zone()));
        let upstreams = upstreams(Arc::clone(&netns));
        let server = serve(udp, tcp, receiver, view(forwarding), upstreams).expect("serve");
        Self {
            netns,
            server,
            zone,
        }
    }

    fn of_host(forwarding: Forwarding, upstream: &Upstream) -> Self {
        let servers = Arc::new(HostServers::new(upstream.conf.path()));
        Self::new(forwarding, |_| Upstreams::Host(servers))
    }

    /// Runs `work` in the container's namespace.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let netns = Arc::clone(&self.netns);
        tokio::task::spawn_blocking(move || netns::within(netns.as_ref(), work).expect("within"))
            .await
            .expect("joined")
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Message {
        let query = query(name, kind);
        self.run(move || by_datagram(&query))
            .await
            .expect("an answer")
    }

    async fn addresses(&self, name: &str) -> Vec<String> {
        addresses(&self.ask(name, RecordType::A).await)
    }

    async fn code(&self, name: &str, kind: RecordType) -> ResponseCode {
        let answer = self.ask(name, kind).await;
        assert!(answer.answers.is_empty(), "{answer}");
        answer.metadata.response_code
    }
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).expect(name), kind));
    message
}

fn server() -> SocketAddr {
    (resolver::ADDRESS, resolver::PORT).into()
}

fn by_datagram(query: &Message) -> Option<Message> {
    let socket = UdpSocket::bind("127.0.0.1:0").ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    socket.send_to(&query.to_vec().ok()?, server()).ok()?;
    let mut buffer = vec![0; 65_535];
    let length = socket.recv(&mut buffer).ok()?;
    Message::from_vec(buffer.get(..length)?).ok()
}

fn by_stream(query: &Message) -> Option<Message> {
    let mut stream = TcpStream::connect(server()).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let query = query.to_vec().ok()?;
    stream
        .write_all(&u16::try_from(query.len()).ok()?.to_be_bytes())
        .ok()?;
    stream.write_all(&query).ok()?;
    read_answer(&mut stream)
}

fn read_answer(stream: &mut TcpStream) -> Option<Message> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).ok()?;
    Message::from_vec(&answer).ok()
}

fn addresses(message: &Message) -> Vec<String> {
    let data = message.answers.iter().map(|record| record.data.to_string());
    data.collect()
}

/// A name server on the current namespace's loopback.
struct Upstream {
    asked: Arc<Mutex<HashMap<String, usize>>>,
    conf: tempfile::NamedTempFile,
    address: SocketAddr,
}

impl Upstream {
    fn new() -> Self {
        let address = SocketAddr::from((UPSTREAM, 53));
        let udp = UdpSocket::bind(address).expect("udp");
        let tcp = TcpListener::bind(address).expect("tcp");
        let asked: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
        let count = Arc::clone(&asked);
        // The threads end with the test's process.
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65_535];
            while let Ok((length, peer)) = udp.recv_from(&mut buffer) {
                let query =
                    Message::from_vec(buffer.get(..length).expect("length")).expect("query");
                if let Some(answer) = Self::answer(&query, &count, false) {
                    let _ = udp.send_to(&answer.to_vec().expect("encoded"), peer);
                }
            }
        });
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = tcp.accept() {
                let mut length = [0; 2];
                stream.read_exact(&mut length).expect("length");
                let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut query).expect("query");
                let query = Message::from_vec(&query).expect("query");
                let answer = Self::answer(&query, &count, true).expect("answer");
                let answer = answer.to_vec().expect("encoded");
                let length = u16::try_from(answer.len()).expect("length");
                stream.write_all(&length.to_be_bytes()).expect("write");
                stream.write_all(&answer).expect("write");
            }
        });
        let mut conf = tempfile::NamedTempFile::new().expect("conf");
        writeln!(conf, "nameserver {UPSTREAM}").expect("conf");
        Self {
            asked,
            conf,
            address,
        }
    }

    fn answer(
        query: &Message,
        asked: &Mutex<HashMap<String, usize>>,
        is_stream: bool,
    ) -> Option<Message> {
        let question = query.queries.first().expect("one").clone();
        let name = question.name().to_ascii();
        *asked.lock().expect("lock").entry(name.clone()).or_default() += 1;
        let mut answer = Message::response(query.metadata.id, OpCode::Query);
        answer.metadata.recursion_desired = true;
        answer.add_query(question.clone());
        let record = |last| {
            let data = RData::A(A(Ipv4Addr::new(192, 0, 2, last)));
            Record::from_rdata(question.name().clone(), 300, data)
        };
        match name.as_str() {
            "silent.example." => return None,
            "refused.example." => answer.metadata.response_code = ResponseCode::Refused,
            "nothing.example." => answer.metadata.response_code = ResponseCode::NXDomain,
            "big.example." if !is_stream => answer.metadata.truncation = true,
            "big.example." => {
                answer.add_answers((0..100).map(record));
            }
            _ => {
                answer.add_answer(record(80));
                if let Some(edns) = &query.edns {
                    answer.set_edns(edns.clone());
                }
            }
        }
        Some(answer)
    }

    fn asked(&self, name: &str) -> usize {
        self.asked
            .lock()
            .expect("lock")
            .get(name)
            .copied()
            .unwrap_or(0)
    }

    fn asked_anything(&self) -> bool {
        !self.asked.lock().expect("lock").is_empty()
    }
}

#[test]
fn names_of_the_project_are_answered_by_both_transports() {
    on_a_host(async || {
        let upstream = Upstream::new();
        let web = Container::of_host(Forwarding::All, &upstream);
        for name in [
            "db.",
            "DB.",
            "shop-db-1.",
            "0123456789ab.",
            "db.shop_default.",
        ] {
            assert_eq!(web.addresses(name).await, ["10.208.0.2"], "{name}");
        }
        let query = query("db.", RecordType::A);
        let answer = web.run(move || by_stream(&query)).await.expect("an answer");
        assert_eq!(addresses(&answer), ["10.208.0.2"]);
        assert_eq!(answer.answers.first().map(|record| record.ttl), Some(TTL));
        assert!(answer.metadata.recursion_available && answer.metadata.authoritative);
        assert!(!upstream.asked_anything());
    });
}

const TTL: u32 = 5;

#[test]
fn replicas_take_turns_and_the_question_is_echoed_as_it_was() {
    on_a_host(async || {
        let upstream = Upstream::new();
        let web = Container::of_host(Forwarding::All, &upstream);
        let mut firsts = Vec::new();
        for _ in 0..4 {
            let answer = web.ask("wEb.", RecordType::A).await;
            let name = answer.queries.first().map(|query| query.name().to_ascii());
            assert_eq!(name.as_deref(), Some("wEb."));
            firsts.extend(addresses(&answer).first().cloned());
        }
        assert_ne!(firsts.first(), firsts.get(1));
        assert_eq!(firsts.first(), firsts.get(2));
    });
}

#[test]
fn what_is_known_to_be_absent_is_not_asked_outside() {
    on_a_host(async || {
        let upstream = Upstream::new();
        let web = Container::of_host(Forwarding::All, &upstream);
        use ResponseCode::{NXDomain, NoError};
        assert_eq!(web.code("db.", RecordType::AAAA).await, NoError);
        assert_eq!(web.code("db.", RecordType::MX).await, NoError);
        assert_eq!(web.code("cache.", RecordType::A).await, NXDomain);
        assert_eq!(
            web.code("99.0.208.10.in-addr.arpa.", RecordType::PTR).await,
            NXDomain
        );
        assert!(!upstream.asked_anything());
    });
}

#[test]
fn addresses_resolve_back_to_names_with_underscores() {
    on_a_host(async || {
        let upstream = Upstream::new();
        let web = Container::of_host(Forwarding::All, &upstream);
        let answer = web.ask("2.0.208.10.in-addr.arpa.", RecordType::PTR).await;
        assert_eq!(addresses(&answer), ["shop-db-1.shop_default."]);
    });
}

#[test]
fn the_zone_changes_under_a_running_server() {
    on_a_host(async || {
        let upstream = Upstream::new();
        let web = Container::of_host(Forwarding::All, &upstream);
        web.zone
            .send_replace(Arc::new(Zone::new([], ["db".to_owned()])));
        assert_eq!(web.code("db.", RecordType::A).await, ResponseCode::NXDomain);
        web.zone.send_replace(Arc::new(zone()));
        assert_eq!(web.addresses("db.").await, ["10.208.0.2"]);
    });
}

#[test]
fn other_names_are_asked_of_the_host_with_what_it_says_kept() {
    on_a_host(async || {
        let upstream = Upstream::new();
        let web = Container::of_host(Forwarding::All, &upstream);
        assert_eq!(web.addresses("example.com.").await, ["192.0.2.80"]);
        let code = web.code("nothing.example.", RecordType::A).await;
        assert_eq!(code, ResponseCode::NXDomain);
        let mut with_edns = query("example.com.", RecordType::A);
        let mut edns = hickory_proto::op::Edns::new();
        edns.set_max_payload(1232).set_dnssec_ok(true);
        with_edns.set_edns(edns);
        let answer = web
            .run(move || by_datagram(&with_edns))
            .await
            .expect("an answer");
        let edns = answer.edns.expect("EDNS comes back");
        assert!(edns.flags().dnssec_ok);
        assert_eq!(upstream.asked("example.com."), 2);
    });
}

#[test]
fn a_refusal_is_passed_on_when_nobody_knows_better() {
    on_a_host(async || {
        let upstream = Upstream::new();
        let web = Container::of_host(Forwarding::All, &upstream);
        let code = web.code("refused.example.", RecordType::A).await;
        assert_eq!(code, ResponseCode::Refused);
    });
}

#[test]
fn the_next_server_is_asked_when_one_is_silent_or_refuses() {
    on_a_host(async || {
        let upstream = Upstream::new();
        // Nobody listens on the first; the refusal comes back at once.
        let text = format!("nameserver 127.0.0.54\nnameserver {UPSTREAM}\n");
        std::fs::write(upstream.conf.path(), text).expect("conf");
        let web = Container::of_host(Forwarding::All, &upstream);
        assert_eq!(web.addresses("example.com.").await, ["192.0.2.80"]);
        let code = web.code("silent.example.", RecordType::A).await;
        assert_eq!(code, ResponseCode::ServFail);
    });
}

#[test]
fn big_answers_are_cut_for_datagrams_and_whole_for_streams() {
    on_a_host(async || {
        let upstream = Upstream::new();
        let web = Container::of_host(Forwarding::All, &upstream);
        for name in ["many.", "big.example."] {
            let cut = web.ask(name, RecordType::A).await;
            assert!(cut.metadata.truncation, "{name}");
            assert!(cut.to_vec().expect("encoded").len() <= 512);
            let whole = query(name, RecordType::A);
            let whole = web.run(move || by_stream(&whole)).await.expect("an answer");
            assert!(!whole.metadata.truncation);
            assert_eq!(whole.answers.len(), 100, "{name}");
        }
        let mut roomy = query("many.", RecordType::A);
        let mut edns = hickory_proto::op::Edns::new();
        edns.set_max_payload(4096);
        roomy.set_edns(edns);
        let answer = web
            .run(move || by_datagram(&roomy))
            .await
            .expect("an answer");
        assert_eq!(
            (answer.metadata.truncation, answer.answers.len()),
            (false, 100)
        );
    });
}

#[test]
fn an_internal_container_asks_nobody_outside() {
    on_a_host(async || {
        let upstream = Upstream::new();
        let web = Container::of_host(Forwarding::Nothing, &upstream);
        assert_eq!(
            web.code("example.com.", RecordType::A).await,
            ResponseCode::NXDomain
        );
        assert_eq!(web.addresses("db.").await, ["10.208.0.2"]);
        assert!(!upstream.asked_anything());
    });
}

#[test]
fn names_without_a_dot_stay_inside_when_the_service_sets_ndots() {
    on_a_host(async || {
        let upstream = Upstream::new();
        let web = Container::of_host(Forwarding::Dotted, &upstream);
        assert_eq!(
            web.code("printer.", RecordType::A).await,
            ResponseCode::NXDomain
        );
        assert!(!upstream.asked_anything());
        assert_eq!(web.addresses("example.com.").await, ["192.0.2.80"]);
    });
}

#[test]
fn a_services_own_servers_are_asked_from_its_own_namespace() {
    on_a_host(async || {
        let host = Upstream::new();
        let own = Container::new(Forwarding::All, |netns| Upstreams::Own {
            servers: vec![SocketAddr::from((UPSTREAM, 53))],
            netns,
        });
        // The same address in the container's namespace is another server.
        let inside = own.run(Upstream::new).await;
        assert_eq!(inside.address, host.address);
        assert_eq!(own.addresses("example.com.").await, ["192.0.2.80"]);
        let whole = query("big.example.", RecordType::A);
        let whole = own.run(move || by_stream(&whole)).await.expect("an answer");
        assert_eq!(whole.answers.len(), 100);
        assert!(inside.asked_anything() && !host.asked_anything());
    });
}

#[test]
fn nonsense_is_answered_and_kills_nobody() {
    on_a_host(async || {
        let upstream = Upstream::new();
        let web = Container::of_host(Forwarding::All, &upstream);
        let mut update = query("db.", RecordType::A);
        update.metadata.op_code = OpCode::Status;
        let answer = web
            .run(move || by_datagram(&update))
            .await
            .expect("an answer");
        assert_eq!(answer.metadata.response_code, ResponseCode::NotImp);
        let mut twice = query("db.", RecordType::A);
        twice.add_query(Query::query(Name::root(), RecordType::A));
        let answer = web
            .run(move || by_datagram(&twice))
            .await
            .expect("an answer");
        assert_eq!(answer.metadata.response_code, ResponseCode::FormErr);
        web.run(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
            for length in 0..64 {
                socket.send_to(&vec![0xff; length], server()).expect("send");
            }
        })
        .await;
        assert_eq!(web.addresses("db.").await, ["10.208.0.2"]);
    });
}

#[test]
fn connections_without_end_hold_up_their_own_container_alone() {
    on_a_host(async || {
        let upstream = Upstream::new();
        let web = Container::of_host(Forwarding::All, &upstream);
        let other = Container::of_host(Forwarding::All, &upstream);
        let ask = |stream: &mut TcpStream, patience| {
            stream.set_read_timeout(Some(patience)).ok()?;
            let query = query("db.", RecordType::A).to_vec().ok()?;
            let length = u16::try_from(query.len()).ok()?.to_be_bytes();
            stream
                .write_all(&[&length, query.as_slice()].concat())
                .ok()?;
            read_answer(stream)
        };
        let (silent, mut late) = web
            .run(|| {
                let connect = || TcpStream::connect(server()).expect("connect");
                let silent: Vec<_> = (0..stream::CONNECTIONS_MAX).map(|_| connect()).collect();
                (silent, connect())
            })
            .await;
        let answer = web.run(move || {
            let early = ask(&mut late, Duration::from_millis(300));
            (early.is_none(), late)
        });
        let (has_to_wait, mut late) = answer.await;
        assert!(has_to_wait);
        // Datagrams and other containers don't notice.
        assert_eq!(web.addresses("db.").await, ["10.208.0.2"]);
        let beside = other.run(|| by_stream(&query("db.", RecordType::A))).await;
        assert_eq!(addresses(&beside.expect("an answer")), ["10.208.0.2"]);
        drop(silent);
        let answer = web.run(move || {
            late.set_read_timeout(Some(PATIENCE)).ok()?;
            read_answer(&mut late)
        });
        let answer = answer.await.expect("the answer to what it asked");
        assert_eq!(addresses(&answer), ["10.208.0.2"]);
    });
}

#[test]
fn queries_wait_in_the_sockets_while_nobody_serves() {
    on_a_host(async || {
        let upstream = Upstream::new();
        let address = SocketAddr::from((resolver::ADDRESS, resolver::PORT));
        let (netns, udp, tcp) = netns::in_new(|| {
            loopback_up();
            (
                Arc::new(netns::current().expect("current")),
                socket::bind_udp(address).expect("udp"),
                socket::listen_tcp(address).expect("tcp"),
            )
        })
        .expect("container");
        let again = (udp.try_clone().expect("udp"), tcp.try_clone().expect("tcp"));
        let (_zone, zone) = watch::channel(Arc::new(zone()));
        let host = || Upstreams::Host(Arc::new(HostServers::new(upstream.conf.path())));
        let first = serve(udp, tcp, zone.clone(), view(Forwarding::All), host()).expect("serve");
        first.stop().await;
        // Asked while no server is there, answered by the next one.
        let asking = tokio::task::spawn_blocking(move || {
            netns::within(netns.as_ref(), || by_datagram(&query("db.", RecordType::A)))
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (udp, tcp) = again;
        let _second = serve(udp, tcp, zone, view(Forwarding::All), host()).expect("serve");
        let answer = asking
            .await
            .expect("joined")
            .expect("within")
            .expect("an answer");
        assert_eq!(addresses(&answer), ["10.208.0.2"]);
    });
}

#[test]
fn busybox_resolves_as_a_container_would() {
    on_a_host(async || {
        let upstream = Upstream::new();
        let web = Container::of_host(Forwarding::All, &upstream);
        let look_up = |name: &'static str| {
            web.run(move || {
                let address = resolver::ADDRESS.to_string();
                let output = Command::new("busybox")
                    .args(["nslookup", name, &address])
                    .output()
                    .expect("busybox");
                String::from_utf8_lossy(&output.stdout).into_owned()
            })
        };
        let text = look_up("db").await;
        assert!(text.contains("10.208.0.2"), "{text}");
        let text = look_up("10.208.0.2").await;
        assert!(text.contains("shop-db-1.shop_default"), "{text}");
        let text = look_up("example.com").await;
        assert!(text.contains("192.0.2.80"), "{text}");
    });
}

#[test]
fn a_thousand_queries_at_once_are_all_answered() {
    on_a_host(async || {
        let upstream = Upstream::new();
        let web = Arc::new(Container::of_host(Forwarding::All, &upstream));
        let answered = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&answered);
        web.run(move || {
            std::thread::scope(|scope| {
                for _ in 0..10 {
                    scope.spawn(|| {
                        for _ in 0..100 {
                            let answer = by_datagram(&query("db.", RecordType::A));
                            let is_right = answer.is_some_and(|a| addresses(&a) == ["10.208.0.2"]);
                            count.fetch_add(usize::from(is_right), Ordering::Relaxed);
                        }
                    });
                }
            });
        })
        .await;
        assert_eq!(answered.load(Ordering::Relaxed), 1000);
        let web = Arc::into_inner(web).expect("nobody else has it");
        web.server.stop().await;
    });
}
