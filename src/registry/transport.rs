//! Connections: one HTTP client a host, on a runtime of its own thread.
//!
//! Knows TLS, certificates, proxies and time; nothing of registries.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use reqwest::{Certificate, Identity, redirect};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::registry::hosts::{Endpoint, Security, is_loopback};
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
            Security::Insecure if self.has_authority(&endpoint.host) => vec![Scheme::Tls],
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
            Scheme::Tls => {
                let found = Certificates::of_host(&self.folders, host)?;
                let builder = builder.tls_certs_merge(found.authorities);
                match found.identity {
                    Some(identity) => builder.identity(identity),
                    None => builder,
                }
            }
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

    fn has_authority(&self, host: &str) -> bool {
        let has = |folder: &PathBuf| files(&folder.join(host), "crt").next().is_some();
        self.folders.iter().any(has)
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

/// What `certs.d/HOST` holds: authorities (`*.crt`), and a certificate of our
/// own with its key (`*.cert`, `*.key`).
#[derive(Default)]
struct Certificates {
    authorities: Vec<Certificate>,
    identity: Option<Identity>,
}

impl Certificates {
    fn of_host(folders: &[PathBuf], host: &str) -> Result<Self, Error> {
        let mut found = Self::default();
        for folder in folders {
            let folder = folder.join(host);
            for path in files(&folder, "crt") {
                let failed = refuse(&path);
                let bytes = std::fs::read(&path).map_err(|error| failed(&error))?;
                let bundle = Certificate::from_pem_bundle(&bytes);
                found
                    .authorities
                    .extend(bundle.map_err(|error| failed(&error))?);
            }
            for path in files(&folder, "cert") {
                let key = path.with_extension("key");
                let failed = refuse(&path);
                let mut bytes = std::fs::read(&path).map_err(|error| failed(&error))?;
                bytes.push(b'\n');
                let key_bytes = std::fs::read(&key);
                bytes.extend(key_bytes.map_err(|error| refuse(&key)(&error))?);
                let identity = Identity::from_pem(&bytes).map_err(|error| failed(&error))?;
                found.identity.get_or_insert(identity);
            }
        }
        Ok(found)
    }
}

fn refuse(path: &Path) -> impl Fn(&dyn std::error::Error) -> Error + '_ {
    move |error| Error::Certificate {
        path: path.to_owned(),
        reason: chain(error),
    }
}

/// The files of a folder with an ending, sorted.
fn files(folder: &Path, ending: &str) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect();
    paths.sort();
    paths.into_iter()
}

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
    words.join(": ")
}

/// Nothing is half-written when another thread panics.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A transport that is shared with the readers of blobs.
pub(super) type Shared = Arc<Transport>;
