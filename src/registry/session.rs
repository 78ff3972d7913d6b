//! One request to one host, to its end: tokens, retries, redirects.
//!
//! ```text
//! ask ─▶ host ─ 401 ▶ challenge ▶ token ▶ again
//!          │── 429, 5xx, broken ▶ wait ▶ again, a bounded number of times
//!          │── 3xx ▶ the next host, without our credentials
//!          └── anything else: the answer
//! ```

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, HeaderName, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use reqwest::{Body, Method, Response, StatusCode, Url};

use crate::registry::challenge::{self, Access, Challenge};
use crate::registry::hosts::{Endpoint, Security, origin};
use crate::registry::reply::{self, Reply, Wanted};
use crate::registry::transport::{Scheme, Shared, chain, lock};
use crate::registry::{Broken, Credential, Error, Settings, retry, token};

/// Most redirects of one request.
const REDIRECTS_MAX: u32 = 10;
/// Bytes of a file that are sent at once.
const SEND_BYTES: usize = 256 << 10;

/// What is asked of a registry.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) target: Target<'a>,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) payload: Payload,
    /// The repository inside the registry; empty for none.
    pub(super) repository: &'a str,
    /// Another repository that is read for it.
    pub(super) source: Option<&'a str>,
    pub(super) access: Access,
    /// For messages.
    pub(super) what: &'a str,
    pub(super) wanted: Wanted,
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub(super) enum Target<'a> {
    /// A path of the endpoint, from `/v2/` on.
    Path(&'a str),
    /// A URL that the endpoint has given.
    Url(Url),
}

/// What is sent.
#[derive(Debug, Clone)]
pub(super) enum Payload {
    /// Nothing.
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// A piece of a file.
    Piece {
        /// The file.
        file: Arc<File>,
        /// Where it begins.
        offset: u64,
        /// How many bytes it has.
        length: u64,
    },
}

impl Payload {
    fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Piece { length, .. } => *length,
        }
    }

    fn body(&self) -> Body {
        match self {
            Self::Empty => Body::from(Vec::new()),
            Self::Bytes(bytes) => Body::from(bytes.clone()),
            Self::Piece {
                file,
                offset,
                length,
            } => {
                let state = (Arc::clone(file), *offset, *length);
                Body::wrap_stream(futures_util::stream::unfold(state, read_piece))
            }
        }
    }
}

type PieceState = (Arc<File>, u64, u64);

/// The next bytes of a piece. They were written a moment ago, so reading
/// them hardly waits for a disk.
async fn read_piece(
    (file, offset, left): PieceState,
) -> Option<(std::io::Result<Vec<u8>>, PieceState)> {
    let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(SEND_BYTES);
    if wanted == 0 {
        return None;
    }
    let mut bytes = vec![0; wanted];
    match file.read_at(&mut bytes, offset) {
        Ok(0) => Some((
            Err(std::io::ErrorKind::UnexpectedEof.into()),
            (file, offset, 0),
        )),
        Ok(count) => {
            bytes.truncate(count);
            let count = count as u64;
            Some((Ok(bytes), (file, offset + count, left - count)))
        }
        Err(error) => Some((Err(error), (file, offset, 0))),
    }
}

/// What is known of who we are, for all sessions of a client.
#[derive(Debug, Default)]
pub(super) struct Identities {
    credentials: Mutex<HashMap<(String, String), Option<Credential>>>,
    /// `Authorization` headers by host and scope.
    tokens: Mutex<HashMap<(String, String), Token>>,
}

#[derive(Clone)]
struct Token {
    header: String,
    /// None is for ever.
    until: Option<Instant>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Token")
    }
}

/// A conversation with one host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session<'c> {
    pub(super) transport: &'c Shared,
    pub(super) settings: &'c Settings,
    pub(super) identities: &'c Identities,
    pub(super) endpoint: &'c Endpoint,
    /// Used instead of what is kept, by logins.
    pub(super) credential: Option<&'c Credential>,
}

/// Why one exchange gave no answer.
enum Failed {
    Unreachable(Broken),
    Broken(Broken),
    Final(Error),
}

impl Session<'_> {
    /// Sends a request until there is an answer, which may be a refusal.
    pub(super) async fn send(&self, ask: &Ask<'_>) -> Result<Reply, Error> {
        let mut tries = 1;
        let mut has_answered_challenge = false;
        loop {
            let trouble = match self.exchange(ask).await {
                Ok(reply)
                    // Whoever a redirect leads to has nothing to ask of us.
                    if reply.status == StatusCode::UNAUTHORIZED
                        && reply.is_home
                        && ask.access != Access::Token
                        && !has_answered_challenge =>
                {
                    has_answered_challenge = true;
                    if self.authorize(ask, &reply).await? {
                        continue;
                    }
                    return Ok(reply);
                }
                Ok(reply) => {
                    let asked = reply
                        .header(&RETRY_AFTER)
                        .and_then(|value| retry::retry_after(value, jiff::Timestamp::now()));
                    let trouble = retry::Trouble::Status(reply.status.as_u16(), asked);
                    match retry::wait(trouble, tries, self.settings.patience.retry_unit) {
                        None => return Ok(reply),
                        Some(wait) => (wait, None),
                    }
                }
                Err(Failed::Final(error)) => return Err(error),
                Err(Failed::Unreachable(broken)) => (
                    self.wait(ask, retry::Trouble::Unreachable, tries, &broken)?,
                    Some(broken),
                ),
                Err(Failed::Broken(broken)) => (
                    self.wait(ask, retry::Trouble::Broken, tries, &broken)?,
                    Some(broken),
                ),
            };
            let (wait, broken) = trouble;
            tracing::debug!(host = %self.endpoint.host, what = ask.what, tries, ?wait, ?broken, "trying again");
            tokio::time::sleep(wait).await;
            tries += 1;
        }
    }

    /// How long to wait before the next try; an error when it was the last.
    fn wait(
        &self,
        ask: &Ask<'_>,
        trouble: retry::Trouble,
        tries: u32,
        broken: &Broken,
    ) -> Result<Duration, Error> {
        retry::wait(trouble, tries, self.settings.patience.retry_unit)
            .ok_or_else(|| self.connection(ask.what, broken.clone()))
    }

    /// Sends a request; an answer that is no success is an error.
    pub(super) async fn succeed(&self, ask: &Ask<'_>) -> Result<Reply, Error> {
        let reply = self.send(ask).await?;
        if reply.status.is_success() {
            return Ok(reply);
        }
        Err(self.refusal(ask, &reply))
    }

    /// A refusal as an error.
    pub(super) fn refusal(&self, ask: &Ask<'_>, reply: &Reply) -> Error {
        let reason = reply.reason();
        let host = self.endpoint.account.clone();
        match reply.status.as_u16() {
            401 | 403 if ask.access == Access::Login => Error::Login { host, reason },
            401 | 403 => Error::Denied {
                verb: if ask.access == Access::Push {
                    "push"
                } else {
                    "pull"
                },
                repository: self.repository(ask),
                host,
                reason,
            },
            404 => Error::NotFound {
                what: ask.what.to_owned(),
                reason,
            },
            429 => Error::TooManyRequests {
                host,
                wait: reply
                    .header(&RETRY_AFTER)
                    .and_then(|value| retry::retry_after(value, jiff::Timestamp::now())),
                reason,
            },
            _ => Error::Answer {
                host: self.endpoint.host.clone(),
                what: ask.what.to_owned(),
                reason: if reason.starts_with(reply.status.as_str()) {
                    reason
                } else {
                    format!("{}: {reason}", reply.status)
                },
            },
        }
    }

    fn repository(&self, ask: &Ask<'_>) -> String {
        let name = format!("{}/{}", self.endpoint.account, ask.repository);
        name.parse::<crate::oci::Reference>()
            .map_or(name, |reference| reference.familiar_name())
    }

    /// A broken connection as an error.
    pub(super) fn connection(&self, what: &str, source: Broken) -> Error {
        Error::Connection {
            host: self.endpoint.host.clone(),
            what: what.to_owned(),
            source,
        }
    }

    /// One request and its answer, over the ways that the host may be spoken to.
    async fn exchange(&self, ask: &Ask<'_>) -> Result<Reply, Failed> {
        let schemes = self.transport.schemes(self.endpoint);
        let mut last = None;
        for scheme in schemes {
            match self.exchange_by(ask, scheme).await {
                Ok(reply) => {
                    self.transport.settle(&self.endpoint.host, scheme);
                    return Ok(reply);
                }
                Err(Attempt::Unreachable(broken)) => last = Some(broken),
                Err(Attempt::Failed(failed)) => return Err(failed),
            }
        }
        let none = || Broken::Transport("no way to speak to it".to_owned());
        Err(Failed::Unreachable(last.unwrap_or_else(none)))
    }

    async fn exchange_by(&self, ask: &Ask<'_>, scheme: Scheme) -> Result<Reply, Attempt> {
        let answer = |reason: String| {
            Attempt::Failed(Failed::Final(Error::Answer {
                host: self.endpoint.host.clone(),
                what: ask.what.to_owned(),
                reason,
            }))
        };
        let mut url = match &ask.target {
            Target::Url(url) => url.clone(),
            Target::Path(path) => {
                let text = format!("{}://{}{path}", scheme.as_str(), self.endpoint.host);
                Url::parse(&text).map_err(|error| answer(format!("{text}: {error}")))?
            }
        };
        let home = self.home(scheme);
        let mut redirects = 0;
        loop {
            let response = self.once(ask, &url, &home, scheme).await?;
            let is_redirect = response.status().is_redirection()
                && matches!(ask.method, Method::GET | Method::HEAD);
            let location = response.headers().get(LOCATION);
            let Some(location) = location.filter(|_| is_redirect) else {
                let reply = self.finish(ask, response).await;
                let is_home = authority(&url) == home;
                return reply
                    .map(|reply| Reply { is_home, ..reply })
                    .map_err(Attempt::Failed);
            };
            redirects += 1;
            if redirects > REDIRECTS_MAX {
                return Err(answer(format!("more than {REDIRECTS_MAX} redirects")));
            }
            let text = location.to_str().unwrap_or_default();
            let next = url.join(text);
            let next = next.map_err(|_| answer("a redirect to nowhere".to_owned()))?;
            if !matches!(next.scheme(), "http" | "https") {
                return Err(answer("a redirect to something that isn't HTTP".to_owned()));
            }
            if url.scheme() == "https"
                && next.scheme() == "http"
                && self.endpoint.security == Security::Strict
            {
                let host = next.host_str().unwrap_or_default();
                return Err(answer(format!(
                    "a redirect from https to plain http on {host} is not followed"
                )));
            }
            url = next;
        }
    }

    /// Sends a request to a URL; our credentials go only to the host that we
    /// mean.
    async fn once(
        &self,
        ask: &Ask<'_>,
        url: &Url,
        home: &str,
        scheme: Scheme,
    ) -> Result<Response, Attempt> {
        let is_home = authority(url) == home;
        let (host, scheme) = if is_home {
            (self.endpoint.host.clone(), scheme)
        } else {
            self.elsewhere(url)
        };
        let client = self.transport.client(&host, scheme);
        let client = client.map_err(|error| Attempt::Failed(Failed::Final(error)))?;
        let mut request = client.request(ask.method.clone(), url.clone());
        for (name, value) in &ask.headers {
            if is_home || *name != AUTHORIZATION {
                request = request.header(name, value);
            }
        }
        if is_home && let Some(header) = self.authorization(ask) {
            request = request.header(AUTHORIZATION, header);
        }
        if matches!(ask.method, Method::POST | Method::PUT | Method::PATCH) {
            request = request
                .header(CONTENT_LENGTH, ask.payload.length())
                .body(ask.payload.body());
        }
        // Sending takes as long as it has bytes; the answer may take `idle`.
        let patience = &self.settings.patience;
        let sending = patience.connect + patience.idle + sending_time(ask.payload.length());
        match tokio::time::timeout(sending, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                let is_unreachable = error.is_connect() && is_home;
                let broken = Broken::Transport(chain(&error.without_url()));
                Err(if is_unreachable {
                    Attempt::Unreachable(broken)
                } else {
                    Attempt::Failed(Failed::Broken(broken))
                })
            }
            Err(_) => Err(Attempt::Failed(Failed::Broken(Broken::Silent(
                patience.idle,
            )))),
        }
    }

    /// How a host is spoken to that a redirect has named.
    fn elsewhere(&self, url: &Url) -> (String, Scheme) {
        let bare = url.host_str().unwrap_or_default();
        let host_and_port = url
            .port()
            .map_or_else(|| bare.to_owned(), |port| format!("{bare}:{port}"));
        let security = origin(&self.settings.registries, &host_and_port).security;
        let scheme = match (url.scheme(), security) {
            ("http", _) => Scheme::Plain,
            (_, Security::Strict | Security::Plain) => Scheme::Tls,
            (_, Security::Insecure) => Scheme::AnyTls,
        };
        (host_and_port, scheme)
    }

    fn home(&self, scheme: Scheme) -> String {
        let text = format!("{}://{}", scheme.as_str(), self.endpoint.host);
        Url::parse(&text).map_or(text, |url| authority(&url))
    }

    async fn finish(&self, ask: &Ask<'_>, response: Response) -> Result<Reply, Failed> {
        let taken = Reply::take(response, ask.wanted, &self.settings.patience).await;
        taken.map_err(|trouble| match trouble {
            reply::Trouble::Broken(broken) => Failed::Broken(broken),
            reply::Trouble::TooLong(limit) => Failed::Final(Error::Answer {
                host: self.endpoint.host.clone(),
                what: ask.what.to_owned(),
                reason: format!("the answer has more than {limit} bytes"),
            }),
        })
    }

    /// The header that we have for a request.
    fn authorization(&self, ask: &Ask<'_>) -> Option<String> {
        if ask.access == Access::Token {
            return None;
        }
        let tokens = lock(&self.identities.tokens);
        let token = tokens.get(&self.token_key(ask))?;
        let is_fresh = token.until.is_none_or(|until| until > Instant::now());
        is_fresh.then(|| token.header.clone())
    }

    fn token_key(&self, ask: &Ask<'_>) -> (String, String) {
        let scopes = challenge::scopes(ask.repository, ask.access, ask.source);
        (self.endpoint.host.clone(), scopes.join(" "))
    }

    /// Answers a challenge; whether there is something to try again with.
    async fn authorize(&self, ask: &Ask<'_>, reply: &Reply) -> Result<bool, Error> {
        let headers = reply.headers.get_all(WWW_AUTHENTICATE);
        let texts = headers.iter().filter_map(|value| value.to_str().ok());
        let Some(challenge) = challenge::choose(texts) else {
            return Ok(false);
        };
        let credential = self.credential(ask)?;
        let token = match challenge {
            Challenge::Basic => {
                let header = credential.as_ref().and_then(Credential::basic);
                header.map(|header| Token {
                    header,
                    until: None,
                })
            }
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => {
                // Our own words for what we need; the registry's where it
                // speaks of something else, such as its catalog.
                let mut scopes = challenge::scopes(ask.repository, ask.access, ask.source);
                if scopes.is_empty() {
                    scopes.extend(scope);
                }
                let wish = token::Wish {
                    realm,
                    service,
                    scopes,
                };
                let granted = token::fetch(self, ask, &wish, credential.as_ref()).await?;
                Some(Token {
                    header: format!("Bearer {}", granted.token),
                    until: Some(Instant::now() + granted.lasts),
                })
            }
        };
        let Some(token) = token else {
            return Ok(false);
        };
        lock(&self.identities.tokens).insert(self.token_key(ask), token);
        Ok(true)
    }

    /// Who we are to the endpoint.
    fn credential(&self, ask: &Ask<'_>) -> Result<Option<Credential>, Error> {
        if let Some(credential) = self.credential {
            return Ok(Some(credential.clone()));
        }
        let key = (self.endpoint.account.clone(), ask.repository.to_owned());
        if let Some(known) = lock(&self.identities.credentials).get(&key) {
            return Ok(known.clone());
        }
        let found = self
            .settings
            .credentials
            .find(&self.endpoint.account, ask.repository)?;
        lock(&self.identities.credentials).insert(key, found.clone());
        Ok(found)
    }
}

enum Attempt {
    /// Nobody answers by this scheme.
    Unreachable(Broken),
    Failed(Failed),
}

/// Scheme, host and port of a URL.
fn authority(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or(0);
    format!(
        "{}://{}:{port}",
        url.scheme(),
        url.host_str().unwrap_or_default()
    )
}

/// How long sending may take: a line that is slower isn't of use.
fn sending_time(bytes: u64) -> Duration {
    const BYTES_PER_SECOND_MIN: u64 = 16 << 10;
    Duration::from_secs(bytes / BYTES_PER_SECOND_MIN)
}
