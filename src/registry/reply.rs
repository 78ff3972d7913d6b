//! Answers of registries: their bodies within limits, and errors in words.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;

use crate::registry::transport::chain;
use crate::registry::{Broken, Patience};

/// Longest error text that is read, in bytes.
const REASON_BYTES_MAX: u64 = 64 << 10;
/// Longest reason that is shown, in letters.
const REASON_LETTERS_MAX: usize = 300;

/// What becomes of an answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// It isn't read.
    Nothing,
    /// It is read whole, up to so many bytes.
    Document(u64),
    /// The caller reads it.
    Stream,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Where it came from, after redirects.
    pub(super) url: Url,
    /// Whether that is the host that was asked, and not one that it named.
    pub(super) is_home: bool,
    /// A document, or an error's text.
    pub(super) body: Vec<u8>,
    /// The body that is still to be read.
    pub(super) stream: Option<Response>,
}

impl Reply {
    /// Takes an answer's head, and its body as wanted.
    pub(super) async fn take(
        response: Response,
        wanted: Wanted,
        patience: &Patience,
    ) -> Result<Self, Trouble> {
        let mut reply = Self {
            status: response.status(),
            headers: response.headers().clone(),
            url: response.url().clone(),
            is_home: false,
            body: Vec::new(),
            stream: None,
        };
        let is_success = reply.status.is_success();
        match wanted {
            Wanted::Stream if is_success => reply.stream = Some(response),
            Wanted::Document(bytes_max) if is_success => {
                reply.body = document(response, bytes_max, patience).await?;
            }
            Wanted::Nothing if is_success => {}
            Wanted::Nothing | Wanted::Document(_) | Wanted::Stream => {
                // An error without a text is told by its number.
                let text = document(response, REASON_BYTES_MAX, patience).await;
                reply.body = text.unwrap_or_default();
            }
        }
        Ok(reply)
    }

    /// A header's text.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A header's text, by a name that isn't among the well-known ones.
    pub(super) fn named(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Why the registry refused, in its words.
    pub(super) fn reason(&self) -> String {
        reason(self.status, &self.body)
    }
}

/// Why a body could not be had.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The connection; it may be tried again.
    Broken(Broken),
    /// What came; it would come again.
    TooLong(u64),
}

async fn document(
    mut response: Response,
    bytes_max: u64,
    patience: &Patience,
) -> Result<Vec<u8>, Trouble> {
    let whole = async {
        let mut bytes = Vec::new();
        loop {
            let count = next_chunk(&mut response, patience.idle, &mut bytes).await;
            if count.map_err(Trouble::Broken)? == 0 {
                return Ok(bytes);
            }
            if bytes.len() as u64 > bytes_max {
                return Err(Trouble::TooLong(bytes_max));
            }
        }
    };
    match tokio::time::timeout(patience.document, whole).await {
        Ok(read) => read,
        Err(_) => Err(Trouble::Broken(Broken::Silent(patience.document))),
    }
}

/// Appends the next bytes of a body and says how many; 0 at its end.
pub(super) async fn next_chunk(
    response: &mut Response,
    idle: Duration,
    into: &mut Vec<u8>,
) -> Result<usize, Broken> {
    loop {
        match tokio::time::timeout(idle, response.chunk()).await {
            Ok(Ok(None)) => return Ok(0),
            Ok(Ok(Some(chunk))) if chunk.is_empty() => {}
            Ok(Ok(Some(chunk))) => {
                into.extend_from_slice(&chunk);
                return Ok(chunk.len());
            }
            Ok(Err(error)) => return Err(Broken::Transport(chain(&error.without_url()))),
            Err(_) => return Err(Broken::Silent(idle)),
        }
    }
}

/// The form of errors in the distribution specification.
#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The form of errors of token servers.
#[derive(Deserialize)]
struct Details {
    #[serde(alias = "error_description", alias = "message")]
    details: String,
}

fn reason(status: StatusCode, body: &[u8]) -> String {
    let listed = serde_json::from_slice::<Errors>(body).ok();
    let first = listed.and_then(|listed| listed.errors.into_iter().next());
    let text = match first {
        Some(OneError { code, message }) => {
            let code = code.to_ascii_lowercase().replace('_', " ");
            match (code.is_empty(), message.is_empty()) {
                (false, false) => format!("{code}: {message}"),
                (false, true) => code,
                (true, _) => message,
            }
        }
        None => serde_json::from_slice::<Details>(body)
            .map(|details| details.details)
            .unwrap_or_default(),
    };
    if text.is_empty() {
        return status.to_string();
    }
    printable(&text)
}

/// A stranger's words: bounded, and nothing that moves a cursor.
pub(super) fn printable(text: &str) -> String {
    let shown = |letter: char| if letter.is_control() { ' ' } else { letter };
    let mut clipped: String = text.chars().take(REASON_LETTERS_MAX).map(shown).collect();
    if clipped.len() < text.len() {
        clipped.push('…');
    }
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_in_the_registry_s_words() {
        let text = |body: &str| reason(StatusCode::NOT_FOUND, body.as_bytes());
        assert_eq!(
            text(
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#
            ),
            "manifest unknown: manifest unknown"
        );
        assert_eq!(text(r#"{"errors":[{"code":"DENIED"}]}"#), "denied");
        assert_eq!(
            text(r#"{"details":"incorrect username or password"}"#),
            "incorrect username or password"
        );
        for body in ["", "<html>", r#"{"errors":[]}"#, "[[[["] {
            assert_eq!(text(body), "404 Not Found", "{body}");
        }
    }

    #[test]
    fn a_stranger_s_words_are_tamed() {
        let body = serde_json::json!({"details": format!("\u{1b}[2J{}", "x".repeat(10_000))});
        let shown = reason(StatusCode::FORBIDDEN, body.to_string().as_bytes());
        assert!(!shown.contains('\u{1b}') && shown.chars().count() <= REASON_LETTERS_MAX + 1);
    }
}
