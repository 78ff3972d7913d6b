//! One container's queries: what the zone knows is answered, the rest is asked
//! outside as far as the container's view allows.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::FutureExt;
use hickory_proto::op::{Edns, Header, HeaderCounts, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, LowerName, Name, RData, Record, RecordType};
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::sync::Semaphore;

use crate::dns::ZoneReceiver;
use crate::dns::upstream::{Transport, Upstreams};
use crate::topology::zone::{Question, address_of_pointer};
use crate::topology::{Answer, View};

/// How long an answer may be remembered. Short: a container that is made anew
/// may have another address, and some clients ask only once otherwise.
const TIME_TO_LIVE_SECONDS: u32 = 5;

/// Queries of one container that may wait for other servers at one time.
const FORWARDED_MAX: usize = 256;

/// The largest UDP answer that we give whoever says that it can take it.
const PAYLOAD_BYTES_MAX: u16 = 4096;

/// Answers one container's queries.
#[derive(Debug)]
pub(super) struct Handler {
    zone: ZoneReceiver,
    view: View,
    upstreams: Upstreams,
    turn: AtomicUsize,
    forwarded: Semaphore,
    /// Whether the log has been told of too many queries.
    is_told: AtomicBool,
}

/// What is sent back.
#[derive(Debug)]
struct Reply {
    code: ResponseCode,
    /// Of an upstream's answer; our own otherwise.
    flags: Option<Metadata>,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additionals: Vec<Record>,
    edns: Option<Edns>,
}

impl Reply {
    fn new(code: ResponseCode) -> Self {
        Self {
            code,
            flags: None,
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
            edns: None,
        }
    }

    fn with(answers: Vec<Record>) -> Self {
        Self {
            answers,
            ..Self::new(ResponseCode::NoError)
        }
    }
}

impl Handler {
    pub(super) fn new(zone: ZoneReceiver, view: View, upstreams: Upstreams) -> Self {
        Self {
            zone,
            view,
            upstreams,
            turn: AtomicUsize::new(0),
            forwarded: Semaphore::new(FORWARDED_MAX),
            is_told: AtomicBool::new(false),
        }
    }

    async fn reply(&self, request: &Request) -> Reply {
        if request.metadata.op_code != OpCode::Query {
            return Reply::new(ResponseCode::NotImp);
        }
        let [query] = request.queries.queries() else {
            return Reply::new(ResponseCode::FormErr);
        };
        if !matches!(query.query_class(), DNSClass::IN | DNSClass::ANY) {
            return Reply::new(ResponseCode::NotImp);
        }
        match self.look_up(query.name(), query.query_type()) {
            Answer::Addresses(list) => {
                let name = Name::from(query.name());
                Reply::with(list.into_iter().map(|ip| address(&name, ip)).collect())
            }
            // Container names hold underscores, which only this form takes.
            Answer::Name(target) => match Name::from_ascii(format!("{target}.")) {
                Ok(target) => {
                    let data = RData::PTR(PTR(target));
                    let name = Name::from(query.name());
                    Reply::with(vec![Record::from_rdata(name, TIME_TO_LIVE_SECONDS, data)])
                }
                Err(_) => Reply::new(ResponseCode::ServFail),
            },
            Answer::NoData => Reply::new(ResponseCode::NoError),
            Answer::NoName => Reply::new(ResponseCode::NXDomain),
            Answer::Elsewhere => self.forward(request).await,
        }
    }

    fn look_up(&self, name: &LowerName, kind: RecordType) -> Answer {
        let zone = self.zone.borrow().clone();
        let name = name.to_string();
        if kind == RecordType::PTR
            && let Some(address) = address_of_pointer(&name)
        {
            return zone.reverse(&self.view, address);
        }
        let question = match kind {
            RecordType::A | RecordType::ANY => Question::A,
            RecordType::AAAA => Question::Aaaa,
            _ => Question::Other,
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        zone.lookup(&self.view, &name, question, turn)
    }

    async fn forward(&self, request: &Request) -> Reply {
        let Ok(_permit) = self.forwarded.try_acquire() else {
            // Once: a container that floods us must not flood the log as well.
            if !self.is_told.swap(true, Ordering::Relaxed) {
                tracing::warn!(limit = FORWARDED_MAX, "too many queries of one container");
            }
            return Reply::new(ResponseCode::Refused);
        };
        let transport = if request.protocol() == Protocol::Udp {
            Transport::Datagram
        } else {
            Transport::Stream
        };
        match self.upstreams.ask(request.as_slice(), transport).await {
            Ok(answer) => Reply {
                code: answer.metadata.response_code,
                flags: Some(answer.metadata),
                answers: answer.answers,
                authorities: answer.authorities,
                additionals: answer.additionals,
                edns: answer.edns,
            },
            Err(_) => Reply::new(ResponseCode::ServFail),
        }
    }
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut responder: R,
    ) -> ResponseInfo {
        // A panic would leave the client waiting for its own timeout.
        let reply = AssertUnwindSafe(self.reply(request)).catch_unwind().await;
        let reply = reply.unwrap_or_else(|_| Reply::new(ResponseCode::ServFail));
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = reply.code;
        metadata.recursion_available = true;
        metadata.authoritative = reply.flags.is_none();
        if let Some(flags) = reply.flags {
            metadata.authoritative = flags.authoritative;
            metadata.truncation = flags.truncation;
            metadata.authentic_data = flags.authentic_data;
        }
        // Who sends EDNS gets EDNS, with what the upstream said in it.
        let edns = request.edns.as_ref().map(|_| {
            let mut edns = reply.edns.unwrap_or_default();
            edns.set_max_payload(request.max_payload().min(PAYLOAD_BYTES_MAX));
            edns
        });
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            builder.edns(edns);
        }
        let response = builder.build(
            metadata,
            &reply.answers,
            &reply.authorities,
            &[],
            &reply.additionals,
        );
        responder
            .send_response(response)
            .await
            .unwrap_or_else(|error| {
                tracing::debug!(%error, "answer to a container");
                let mut metadata = Metadata::new(
                    request.metadata.id,
                    MessageType::Response,
                    request.metadata.op_code,
                );
                metadata.response_code = ResponseCode::ServFail;
                ResponseInfo::from(Header {
                    metadata,
                    counts: HeaderCounts::default(),
                })
            })
    }
}

/// The same, for a server that wants one of its own.
#[derive(Debug)]
pub(super) struct Shared(pub(super) Arc<Handler>);

#[async_trait::async_trait]
impl RequestHandler for Shared {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        responder: R,
    ) -> ResponseInfo {
        self.0.handle_request::<R, T>(request, responder).await
    }
}

fn address(name: &Name, address: IpAddr) -> Record {
    let data = match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    Record::from_rdata(name.clone(), TIME_TO_LIVE_SECONDS, data)
}
