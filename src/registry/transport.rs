//! Connections: one HTTP client a host, on a runtime of its own thread.
//!
//! Knows TLS, certificates, proxies and time; nothing of registries.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use reqwest::{ClientBuilder, redirect};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::registry::hosts::{Endpoint, Security, is_loopback};
use crate::registry::trust::{self, Kept};
use crate::registry::{Broken, Error, Settings};

/// How a host is spoken to, once it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scheme {
    /// TLS with a checked certificate.
    Tls,
    /// TLS with any certificate.
    AnyTls,
    /// None.
    Plain,
}

impl Scheme {
    /// The beginning of URLs.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Tls | Self::AnyTls => "https",
            Self::Plain => "http",
        }
    }
}

/// HTTP clients by host, and the thread that drives their connections.
#[derive(Debug)]
pub(super) struct Transport {
    driver: Driver,
    connect: Duration,
    folders: Vec<PathBuf>,
    clients: Mutex<HashMap<(String, Scheme), reqwest::Client>>,
    schemes: Mutex<HashMap<String, Scheme>>,
}

impl Transport {
    /// Starts the thread.
    pub(super) fn start(settings: &Settings) -> Result<Self, Error> {
        install_provider();
        Ok(Self {
            driver: Driver::start()?,
            connect: settings.patience.connect,
            folders: settings.certificate_folders.clone(),
            clients: Mutex::default(),
            schemes: Mutex::default(),
        })
    }

    /// Runs a future to its end on this thread.
    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.driver.handle.block_on(future)
    }

    /// The ways to speak to a host, the best first; one once it is known.
    pub(super) fn schemes(&self, endpoint: &Endpoint) -> Vec<Scheme> {
        if let Some(known) = lock(&self.schemes).get(&endpoint.host) {
            return vec![*known];
        }
        match endpoint.security {
            Security::Strict => vec![Scheme::Tls],
            Security::Plain => vec![Scheme::Plain],
            // Who keeps an authority for a host wants it to be asked.
            Security::Insecure if trust::has_authority(&self.folders, &endpoint.host) => {
                vec![Scheme::Tls]
            }
            Security::Insecure => vec![Scheme::AnyTls, Scheme::Plain],
        }
    }

    /// Notes how a host is spoken to.
    pub(super) fn settle(&self, host: &str, scheme: Scheme) {
        lock(&self.schemes).insert(host.to_owned(), scheme);
    }

    /// The client of a host.
    pub(super) fn client(&self, host: &str, scheme: Scheme) -> Result<reqwest::Client, Error> {
        let key = (host.to_owned(), scheme);
        if let Some(known) = lock(&self.clients).get(&key) {
            return Ok(known.clone());
        }
        let client = self.build(host, scheme)?;
        lock(&self.clients).insert(key, client.clone());
        Ok(client)
    }

    fn build(&self, host: &str, scheme: Scheme) -> Result<reqwest::Client, Error> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("rcompose/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.connect)
            // Redirects are followed by hand: what is sent to the next host is
            // ours to say.
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never());
        if is_loopback(host) {
            builder = builder.no_proxy();
        }
        builder = match scheme {
            Scheme::Tls => self.trusting(builder, host)?,
            Scheme::AnyTls => builder.tls_danger_accept_invalid_certs(true),
            // The system's authorities aren't even read.
            Scheme::Plain => builder.tls_certs_only([]),
        };
        builder.build().map_err(|error| Error::Connection {
            host: host.to_owned(),
            what: "TLS".to_owned(),
            source: Broken::Transport(chain(&error)),
        })
    }

    /// TLS by the system's rules, or by what the user keeps for the host.
    fn trusting(&self, builder: ClientBuilder, host: &str) -> Result<ClientBuilder, Error> {
        let kept = Kept::of_host(&self.folders, host)?;
        if kept.is_empty() {
            return Ok(builder);
        }
        let config = kept.config(trust::system());
        let config = config.map_err(|reason| Error::Connection {
            host: host.to_owned(),
            what: "TLS".to_owned(),
            source: Broken::Transport(reason),
        })?;
        Ok(builder.tls_backend_preconfigured(config))
    }
}

/// rustls has several providers of cryptography; this one is compiled in.
pub(super) fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails only if somebody else was first, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// A thread with a runtime, which lives as long as the value.
#[derive(Debug)]
struct Driver {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Driver {
    fn start() -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::Start(error.to_string());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("registry".to_owned())
            .spawn(move || {
                // Ends when the sender sends or goes.
                let _ = runtime.block_on(stopped);
                runtime.shutdown_background();
            })
            .map_err(failed)?;
        Ok(Self {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of it has nothing to tell any more.
            let _ = thread.join();
        }
    }
}

/// How errors of the HTTP library begin that only say that there is a cause.
const FRAMES: [&str; 4] = [
    "error sending request",
    "client error",
    "error decoding response body",
    "request or response body error",
];

/// An error with its causes in one line; without addresses with secrets in them.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if words.last().is_none_or(|last| !last.contains(&text)) {
            words.push(text);
        }
        next = error.source();
    }
    // The library's own frame says nothing that the causes don't.
    let is_frame = |text: &str| FRAMES.iter().any(|frame| text.starts_with(frame));
    let telling: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|text| !is_frame(text))
        .collect();
    if telling.is_empty() {
        return words.join(": ");
    }
    telling.join(": ")
}

/// Nothing is half-written when another thread panics.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A transport that is shared with the readers of blobs.
pub(super) type Shared = Arc<Transport>;
