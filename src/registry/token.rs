//! Tokens: asked for where the registry says, in the name of whoever we are.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Method, Url};
use serde::Deserialize;

use crate::registry::challenge::Access;
use crate::registry::hosts::{Endpoint, Security, origin};
use crate::registry::reply::Wanted;
use crate::registry::session::{Ask, Payload, Session, Target};
use crate::registry::{Credential, Error};

/// Longest answer of a token server, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Longest token that is sent on; headers have limits.
const TOKEN_BYTES_MAX: usize = 64 << 10;
/// How long a token lasts when nothing is said.
const LASTS_DEFAULT: u64 = 60;
/// The longest that we believe.
const LASTS_MAX: u64 = 86_400;
/// By how much it is thought to end earlier.
const LASTS_MARGIN: u64 = 5;
/// What we call ourselves.
const CLIENT_ID: &str = "rcompose";

/// What a token is to be.
#[derive(Debug)]
pub(super) struct Wish {
    /// Where it is had.
    pub(super) realm: String,
    /// For whom it is.
    pub(super) service: Option<String>,
    /// What it is to allow.
    pub(super) scopes: Vec<String>,
}

/// A token.
pub(super) struct Granted {
    pub(super) token: String,
    pub(super) lasts: Duration,
}

impl std::fmt::Debug for Granted {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Granted for {:?}", self.lasts)
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// Asks for a token.
pub(super) async fn fetch(
    session: &Session<'_>,
    ask: &Ask<'_>,
    wish: &Wish,
    credential: Option<&Credential>,
) -> Result<Granted, Error> {
    let bad = |reason: &str| Error::Answer {
        host: session.endpoint.host.clone(),
        what: "request of a token".to_owned(),
        reason: reason.to_owned(),
    };
    let realm = Url::parse(&wish.realm).map_err(|_| bad("its token server has no address"))?;
    let host = host(&realm).ok_or_else(|| bad("its token server has no address"))?;
    // What goes there may be a password.
    let is_plain = realm.scheme() == "http";
    if !is_plain && realm.scheme() != "https" {
        return Err(bad("its token server isn't spoken to by HTTP"));
    }
    if is_plain && session.endpoint.security == Security::Strict {
        return Err(bad("its token server is without TLS"));
    }
    let endpoint = Endpoint {
        security: if is_plain {
            Security::Plain
        } else {
            origin(&session.settings.registries, &host).security
        },
        host,
        account: session.endpoint.account.clone(),
        is_mirror: false,
    };
    let there = Session {
        endpoint: &endpoint,
        ..*session
    };
    let request = request(wish, realm, credential);
    // A token server doesn't challenge: its 401 is its answer.
    let reply = Box::pin(there.send(&request)).await?;
    if !reply.status.is_success() {
        return Err(session.refusal(ask, &reply));
    }
    let answer: Answer = serde_json::from_slice(&reply.body)
        .map_err(|_| bad("its token server's answer is no token"))?;
    let token = answer.token.filter(|token| !token.is_empty());
    let token = token.or(answer.access_token).unwrap_or_default();
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(is_token_byte) {
        return Err(bad("its token server's answer is no token"));
    }
    let lasts = answer.expires_in.filter(|seconds| *seconds > 0);
    let lasts = lasts.unwrap_or(LASTS_DEFAULT).min(LASTS_MAX);
    Ok(Granted {
        token,
        lasts: Duration::from_secs(lasts.saturating_sub(LASTS_MARGIN).max(1)),
    })
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

fn request(wish: &Wish, mut realm: Url, credential: Option<&Credential>) -> Ask<'static> {
    let mut fields: Vec<(&str, String)> = Vec::new();
    fields.extend(wish.service.clone().map(|service| ("service", service)));
    let scopes = wish.scopes.iter().map(|scope| ("scope", scope.clone()));
    let mut headers = Vec::new();
    let (method, payload) = match credential {
        Some(Credential::IdentityToken(token)) => {
            // OAuth's forms have one field for all of them.
            if !wish.scopes.is_empty() {
                fields.push(("scope", wish.scopes.join(" ")));
            }
            fields.push(("grant_type", "refresh_token".to_owned()));
            fields.push(("client_id", CLIENT_ID.to_owned()));
            fields.push(("refresh_token", token.clone()));
            headers.push((CONTENT_TYPE, "application/x-www-form-urlencoded".to_owned()));
            let mut form = realm.clone();
            form.set_query(None);
            form.query_pairs_mut().extend_pairs(&fields);
            let body = form.query().unwrap_or_default().as_bytes().to_vec();
            (Method::POST, Payload::Bytes(body))
        }
        Some(Credential::Password { user, .. }) => {
            fields.insert(0, ("account", user.clone()));
            fields.extend(scopes);
            realm.query_pairs_mut().extend_pairs(&fields);
            (Method::GET, Payload::Empty)
        }
        None => {
            fields.extend(scopes);
            if !fields.is_empty() {
                realm.query_pairs_mut().extend_pairs(&fields);
            }
            (Method::GET, Payload::Empty)
        }
    };
    let basic = credential.and_then(Credential::basic);
    headers.extend(basic.map(|header| (AUTHORIZATION, header)));
    Ask {
        method,
        target: Target::Url(realm),
        headers,
        payload,
        repository: "",
        source: None,
        access: Access::Token,
        what: "request of a token",
        wanted: Wanted::Document(ANSWER_BYTES_MAX),
    }
}

fn host(url: &Url) -> Option<String> {
    let bare = url.host_str().filter(|host| !host.is_empty())?;
    Some(match url.port() {
        Some(port) => format!("{bare}:{port}"),
        None => bare.to_owned(),
    })
}
