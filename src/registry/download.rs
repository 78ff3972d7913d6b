//! Plain downloads: one file by its URL, for builds that name one.
//!
//! The proxies and authorities of the system hold; redirects are followed a
//! few times; nothing of a registry's credentials is sent.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::header::LAST_MODIFIED;
use reqwest::redirect;

use crate::registry::transport::{chain, install_provider};
use crate::registry::{Broken, Error, Patience};

/// Most redirects that are followed.
const REDIRECTS_MAX: usize = 10;
/// How often a download that can't begin is tried.
const TRIES_MAX: u32 = 3;

/// What a download came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// Its length.
    pub bytes: u64,
    /// When the server says that it was changed (Last-Modified).
    pub modified: Option<jiff::Timestamp>,
}

/// Downloads a URL of at most `bytes_max` bytes into an empty file.
/// `is_cancelled` is asked while bytes come.
///
/// # Errors
/// [`Error::Connection`] when it can't be reached, answers with something else
/// than the file, is too long, or was cut off.
pub fn download(
    url: &str,
    into: &mut File,
    bytes_max: u64,
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Downloaded, Error> {
    install_provider();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Start(error.to_string()))?;
    let patience = Patience::default();
    runtime.block_on(async {
        let client = client(url, &patience)?;
        let mut attempt = 1;
        let response = loop {
            match client.get(url).send().await {
                Ok(response) => break response,
                Err(error) if attempt < TRIES_MAX && !error.is_builder() && !is_cancelled() => {
                    tokio::time::sleep(patience.retry_unit * attempt).await;
                    attempt += 1;
                }
                Err(error) => return Err(broken(url, &chain(&error))),
            }
        };
        if !response.status().is_success() {
            return Err(broken(url, &format!("it answers {}", response.status())));
        }
        let modified = response.headers().get(LAST_MODIFIED);
        let modified = modified
            .and_then(|value| value.to_str().ok())
            .and_then(time);
        let mut bytes = 0;
        let mut body = response.bytes_stream();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| broken(url, &chain(&error)))?;
            bytes += piece.len() as u64;
            if bytes > bytes_max {
                return Err(broken(url, &format!("it has more than {bytes_max} bytes")));
            }
            if is_cancelled() {
                return Err(broken(url, "it was cut off"));
            }
            into.write_all(&piece)
                .map_err(|error| broken(url, &error.to_string()))?;
        }
        Ok(Downloaded { bytes, modified })
    })
}

fn client(url: &str, patience: &Patience) -> Result<reqwest::Client, Error> {
    reqwest::Client::builder()
        .user_agent(concat!("rcompose/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(patience.connect)
        .read_timeout(Duration::max(patience.idle, patience.connect))
        .redirect(redirect::Policy::limited(REDIRECTS_MAX))
        .referer(false)
        .build()
        .map_err(|error| broken(url, &chain(&error)))
}

fn broken(url: &str, reason: &str) -> Error {
    Error::Connection {
        host: url.to_owned(),
        what: "download".to_owned(),
        source: Broken::Transport(reason.to_owned()),
    }
}

/// An HTTP date (RFC 9110, 5.6.7), in its one form that is still written.
fn time(text: &str) -> Option<jiff::Timestamp> {
    let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text);
    parsed.ok()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _};

    use super::*;
    use crate::registry::testing::{Answer, Server};

    fn get(url: &str, limit: u64) -> Result<(Downloaded, String), Error> {
        let mut file = tempfile::tempfile().unwrap();
        let done = download(url, &mut file, limit, &|| false)?;
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        Ok((done, text))
    }

    #[test]
    fn a_file_comes_with_its_time() {
        let server = Server::start(|request| match request.path() {
            "/moved" => Answer::new(302).with("location", "/file"),
            "/file" => Answer::new(200)
                .with("last-modified", "Tue, 14 Nov 2023 22:13:20 GMT")
                .body("hello"),
            _ => Answer::new(404),
        });
        let url = |path: &str| format!("http://{}{path}", server.host());
        let (done, text) = get(&url("/moved"), 5).unwrap();
        assert_eq!((done.bytes, text.as_str()), (5, "hello"));
        assert_eq!(done.modified.unwrap().as_second(), 1_700_000_000);
        let long = get(&url("/file"), 4).unwrap_err();
        assert!(chain(&long).contains("more than 4 bytes"), "{long:?}");
        let missing = get(&url("/none"), 4).unwrap_err();
        assert!(chain(&missing).contains("404"), "{missing:?}");
    }

    #[test]
    fn nobody_there_is_told() {
        let error = get("http://127.0.0.1:9/x", 1).unwrap_err();
        assert!(error.to_string().contains("127.0.0.1:9"), "{error}");
        assert!(get("nonsense", 1).is_err());
    }
}
