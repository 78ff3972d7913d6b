//! A registry for tests, on loopback and in this process: it keeps what is
//! pushed, asks for tokens or passwords, and can be told to misbehave.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::oci::{Digest, Document};
use crate::registry::{Client, Patience, Settings};

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn query(&self, name: &str) -> Option<String> {
        self.queries(name).into_iter().next()
    }

    /// All values of a name, in order.
    pub(crate) fn queries(&self, name: &str) -> Vec<String> {
        let url = reqwest::Url::parse(&format!("http://x{}", self.target)).unwrap();
        let found = url.query_pairs().filter(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned()).collect()
    }
}

/// How a body is sent.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Whole(Vec<u8>),
    /// The length of all of it is announced, and so many bytes come.
    Cut(Vec<u8>, usize),
    /// So many bytes come, then nothing, while the connection stays.
    Stalled(Vec<u8>, usize),
    /// One byte after each pause.
    Trickle(Vec<u8>, Duration),
    /// It has no end.
    Endless,
    /// Nothing at all comes, not even a head.
    Silence,
    /// The head has no end.
    EndlessHead,
    /// Interim answers without end.
    Interim,
    /// The connection is reset.
    Reset,
    /// The connection ends.
    Hangup,
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

impl Answer {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Whole(Vec::new()),
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Whole(bytes.into());
        self
    }

    pub(crate) fn sent(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    pub(crate) fn error(status: u16, code: &str) -> Self {
        let text = format!(r#"{{"errors":[{{"code":"{code}","message":"{code} it is"}}]}}"#);
        Self::new(status).body(text)
    }
}

type Handler = dyn Fn(&Request) -> Answer + Send + Sync;

/// An HTTP server with one thread a connection.
pub(crate) struct Server {
    address: SocketAddr,
    log: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (log, stop) = (Arc::new(Mutex::default()), Arc::new(AtomicBool::new(false)));
        let handler: Arc<Handler> = Arc::new(handler);
        let thread = std::thread::spawn({
            let (log, stop) = (Arc::clone(&log), Arc::clone(&stop));
            move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let (handler, log, stop) =
                        (Arc::clone(&handler), Arc::clone(&log), Arc::clone(&stop));
                    let Ok(stream) = stream else { break };
                    std::thread::spawn(move || {
                        let _ = serve(&stream, &*handler, &log, &stop);
                    });
                }
            }
        });
        Self {
            address,
            log,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// `METHOD TARGET` of all requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter()
            .map(|r| format!("{} {}", r.method, r.target))
            .collect()
    }

    /// Waits until so many requests have been read, and no more.
    pub(crate) fn await_requests(&self, count: usize) {
        let begun = std::time::Instant::now();
        while self.requests().len() < count && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(self.requests().len(), count, "{:?}", self.requests());
    }

    pub(crate) fn log(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn forget(&self) {
        self.log.lock().unwrap().clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    stream: &TcpStream,
    handler: &Handler,
    log: &Mutex<Vec<Request>>,
    stop: &AtomicBool,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut out = stream;
    loop {
        let mut line = String::new();
        let mut first = [0];
        // A TLS hello is hung up on, as a server without TLS does.
        if reader.read(&mut first)? == 0 || !first[0].is_ascii_alphabetic() {
            return Ok(());
        }
        reader.read_line(&mut line)?;
        let line = format!("{}{line}", char::from(first[0]));
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut request = Request {
            method: words.next().unwrap_or_default(),
            target: words.next().unwrap_or_default(),
            ..Request::default()
        };
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            let name = name.to_ascii_lowercase();
            request.headers.insert(name, value.to_owned());
        }
        let length: usize = request.header("content-length").parse().unwrap_or(0);
        request.body = vec![0; length];
        reader.read_exact(&mut request.body)?;
        log.lock().unwrap().push(request.clone());
        let answer = handler(&request);
        if !send(&mut out, &request, answer, stop)? {
            return Ok(());
        }
    }
}

fn send(
    out: &mut &TcpStream,
    request: &Request,
    answer: Answer,
    stop: &AtomicBool,
) -> std::io::Result<bool> {
    let hold = || {
        while !stop.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let length = match &answer.body {
        Body::Whole(bytes)
        | Body::Cut(bytes, _)
        | Body::Stalled(bytes, _)
        | Body::Trickle(bytes, _) => Some(bytes.len()),
        Body::Endless => None,
        Body::EndlessHead => {
            out.write_all(b"HTTP/1.1 200 X\r\n")?;
            while !stop.load(Ordering::SeqCst) {
                out.write_all(b"x-more: and more\r\n")?;
            }
            return Ok(false);
        }
        Body::Interim => {
            while !stop.load(Ordering::SeqCst) {
                out.write_all(b"HTTP/1.1 103 X\r\n\r\n")?;
                std::thread::sleep(Duration::from_millis(5));
            }
            return Ok(false);
        }
        Body::Reset => {
            reset(out);
            return Ok(false);
        }
        Body::Silence => {
            hold();
            return Ok(false);
        }
        Body::Hangup => return Ok(false),
    };
    let mut head = format!("HTTP/1.1 {} X\r\n", answer.status);
    if let Some(length) = length
        && !answer
            .headers
            .iter()
            .any(|(name, _)| name == "content-length")
    {
        head.push_str(&format!("content-length: {length}\r\n"));
    }
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    out.write_all(head.as_bytes())?;
    if request.method == "HEAD" {
        return Ok(true);
    }
    match answer.body {
        Body::Whole(bytes) => {
            out.write_all(&bytes)?;
            return Ok(true);
        }
        Body::Cut(bytes, count) => out.write_all(&bytes[..count])?,
        Body::Stalled(bytes, count) => {
            out.write_all(&bytes[..count])?;
            hold();
        }
        Body::Trickle(bytes, pause) => {
            for byte in bytes {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                out.write_all(&[byte])?;
                std::thread::sleep(pause);
            }
        }
        Body::Endless => {
            while !stop.load(Ordering::SeqCst) {
                out.write_all(&[b'x'; 4096])?;
            }
        }
        Body::Silence | Body::Hangup | Body::EndlessHead | Body::Interim | Body::Reset => {}
    }
    Ok(false)
}

/// Closes a connection so that the other side hears of a failure and not of an
/// end.
fn reset(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
}

/// What a registry keeps.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) blobs: HashMap<String, Vec<u8>>,
    /// By tag and by digest.
    pub(crate) manifests: HashMap<String, Vec<u8>>,
    pub(crate) uploads: HashMap<String, Vec<u8>>,
    /// `REPOSITORY DIGEST` of blobs, so that mounts can be told.
    pub(crate) known: HashSet<String>,
}

impl Shelf {
    pub(crate) fn blob(&mut self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.blobs.insert(digest.to_string(), bytes.to_vec());
        digest
    }

    pub(crate) fn manifest(&mut self, tag: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        for name in [tag.to_owned(), digest.to_string()] {
            self.manifests.insert(name, bytes.to_vec());
        }
        digest
    }
}

/// Answers as a registry of one shelf does.
pub(crate) fn answer(shelf: &Mutex<Shelf>, request: &Request) -> Answer {
    let mut shelf = shelf.lock().unwrap();
    let path = request.path().to_owned();
    if path == "/v2/" {
        return Answer::new(200).body("{}");
    }
    let reads = matches!(request.method.as_str(), "GET" | "HEAD");
    if let Some((_, name)) = path.split_once("/manifests/") {
        if request.method == "PUT" {
            let digest = shelf.manifest(name, &request.body);
            return Answer::new(201).with("docker-content-digest", digest);
        }
        let Some(bytes) = shelf.manifests.get(name) else {
            return Answer::error(404, "MANIFEST_UNKNOWN");
        };
        let media_type = match Document::parse(bytes) {
            Ok(Document::Index(index)) => index.media_type,
            Ok(Document::Manifest(manifest)) => manifest.media_type,
            Err(_) => "application/json".to_owned(),
        };
        return Answer::new(200)
            .with("docker-content-digest", Digest::of(bytes))
            .with("content-type", media_type)
            .body(bytes.clone());
    }
    let (repository, rest) = path.split_once("/blobs/").unwrap_or((&path, ""));
    match (request.method.as_str(), rest) {
        (_, digest) if reads && digest.starts_with("sha") => {
            let Some(bytes) = shelf.blobs.get(digest) else {
                return Answer::error(404, "BLOB_UNKNOWN");
            };
            part(request, bytes)
        }
        ("POST", _) => {
            if let (Some(digest), Some(_)) = (request.query("mount"), request.query("from"))
                && shelf.blobs.contains_key(&digest)
            {
                return Answer::new(201);
            }
            let id = shelf.uploads.len().to_string();
            shelf.uploads.insert(id.clone(), Vec::new());
            Answer::new(202).with("location", format!("{repository}/blobs/uploads/{id}"))
        }
        ("PATCH" | "PUT" | "GET", place) => {
            let id = place.trim_start_matches("uploads/").to_owned();
            let Some(upload) = shelf.uploads.get_mut(&id) else {
                return Answer::error(404, "BLOB_UPLOAD_UNKNOWN");
            };
            let range = request.header("content-range");
            let begin = range.split_once('-').and_then(|(b, _)| b.parse().ok());
            if begin.is_some_and(|begin: usize| begin != upload.len()) {
                return Answer::error(416, "RANGE_INVALID");
            }
            upload.extend_from_slice(&request.body);
            let here = format!("{repository}/blobs/uploads/{id}");
            if request.method != "PUT" {
                let last = upload.len().saturating_sub(1);
                return Answer::new(202)
                    .with("location", here)
                    .with("range", format!("0-{last}"));
            }
            let bytes = shelf.uploads.remove(&id).unwrap_or_default();
            let digest = shelf.blob(&bytes);
            if Some(digest.to_string()) != request.query("digest") {
                return Answer::error(400, "DIGEST_INVALID");
            }
            shelf.known.insert(format!("{repository} {digest}"));
            Answer::new(201).with("docker-content-digest", digest)
        }
        _ => Answer::error(404, "UNSUPPORTED"),
    }
}

/// A blob, or the part of it that is asked for.
pub(crate) fn part(request: &Request, bytes: &[u8]) -> Answer {
    let range = request.header("range").strip_prefix("bytes=");
    let begin: Option<usize> = range.and_then(|range| range.trim_end_matches('-').parse().ok());
    match begin {
        Some(begin) if begin < bytes.len() => Answer::new(206)
            .with(
                "content-range",
                format!("bytes {begin}-{}/{}", bytes.len() - 1, bytes.len()),
            )
            .body(&bytes[begin..]),
        Some(_) => Answer::new(416),
        None => Answer::new(200).body(bytes),
    }
}

/// Settings that know nobody. Their limits are never met, however slow the
/// machine is; only the waits between tries are short.
pub(crate) fn settings() -> Settings {
    patient(Duration::from_secs(60))
}

/// Settings whose limits are met by tests that wait for them. Nothing that
/// must succeed in time is asked with them.
pub(crate) fn hasty() -> Settings {
    patient(Duration::from_millis(300))
}

fn patient(idle: Duration) -> Settings {
    Settings {
        patience: Patience {
            connect: idle,
            idle,
            document: idle * 2,
            retry_unit: Duration::from_millis(1),
        },
        ..Settings::default()
    }
}

pub(crate) fn client() -> Client {
    Client::new(settings()).unwrap()
}
