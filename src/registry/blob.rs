//! The bytes of one blob, as a reader that asks on where a connection broke.
//!
//! It gives exactly as many bytes as the descriptor says, or an error. Whether
//! they are the right ones is the digest's matter, which whoever reads checks.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};

use crate::oci::Descriptor;
use crate::registry::challenge::Access;
use crate::registry::client::Inner;
use crate::registry::hosts::Endpoint;
use crate::registry::reply::{Wanted, next_chunk};
use crate::registry::session::{Ask, Payload, Target};
use crate::registry::{Broken, Error, retry};

/// Slower than this isn't of use; it is asked anew.
const BYTES_PER_SECOND_MIN: u64 = 1 << 10;
/// Bytes after which earlier troubles are forgotten.
const PROGRESS_BYTES: u64 = 1 << 20;
/// Most bytes that are skipped for a registry without ranges.
const SKIP_BYTES_MAX: u64 = 64 << 30;

/// Reads a blob.
#[derive(Debug)]
pub struct BlobReader {
    client: Arc<Inner>,
    endpoints: Vec<Endpoint>,
    repository: String,
    what: String,
    descriptor: Descriptor,
    /// Bytes given so far.
    at: u64,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were given.
    taken: usize,
    stream: Option<Response>,
    pace: Pace,
    tries: u32,
    /// Where the last trouble was.
    trouble_at: u64,
}

impl BlobReader {
    /// Will read from byte `at` on; nothing is asked yet.
    pub(super) fn new(
        client: Arc<Inner>,
        endpoints: Vec<Endpoint>,
        repository: &str,
        descriptor: &Descriptor,
        at: u64,
    ) -> Self {
        let idle = client.settings.patience.idle;
        Self {
            client,
            endpoints,
            repository: repository.to_owned(),
            what: format!("blob {}", descriptor.digest.short()),
            descriptor: descriptor.clone(),
            at: at.min(descriptor.size),
            buffer: Vec::new(),
            taken: 0,
            stream: None,
            pace: Pace::new(idle),
            tries: 0,
            trouble_at: at,
        }
    }

    async fn refill(&mut self) -> Result<(), Error> {
        self.buffer.clear();
        self.taken = 0;
        if self.at >= self.descriptor.size {
            return Ok(());
        }
        loop {
            let broken = match self.next().await {
                Ok(0) => Broken::Short {
                    found: self.at,
                    expected: self.descriptor.size,
                },
                Ok(count) => {
                    let found = self.at + count as u64;
                    if found > self.descriptor.size {
                        return Err(self.wrong_size(&format!("at least {found}")));
                    }
                    match self.pace.note(count as u64, Instant::now()) {
                        Ok(()) => return Ok(()),
                        // What came is taken; the next bytes are asked anew.
                        Err(_) if self.stream.take().is_some() => {
                            self.wait(Broken::Trickle(BYTES_PER_SECOND_MIN)).await?;
                            return Ok(());
                        }
                        Err(broken) => broken,
                    }
                }
                Err(Stop::Broken(broken)) => broken,
                Err(Stop::Final(error)) => return Err(error),
            };
            self.stream = None;
            self.buffer.clear();
            self.wait(broken).await?;
        }
    }

    /// Waits before the next connection, or gives up.
    async fn wait(&mut self, broken: Broken) -> Result<(), Error> {
        if self.at >= self.trouble_at + PROGRESS_BYTES {
            self.tries = 0;
        }
        self.trouble_at = self.at;
        self.tries += 1;
        let unit = self.client.settings.patience.retry_unit;
        let Some(wait) = retry::wait(retry::Trouble::Broken, self.tries, unit) else {
            let host = self.endpoints.first().map(|e| e.host.clone());
            return Err(Error::Connection {
                host: host.unwrap_or_default(),
                what: self.what.clone(),
                source: broken,
            });
        };
        tracing::debug!(what = %self.what, at = self.at, %broken, ?wait, "asking on");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// The next bytes of the connection, which is made when there is none.
    async fn next(&mut self) -> Result<usize, Stop> {
        if self.stream.is_none() {
            self.open().await.map_err(|error| match error {
                // It may be back soon, and much of the blob is here.
                Error::Connection { source, .. } => Stop::Broken(source),
                error => Stop::Final(error),
            })?;
        }
        if !self.buffer.is_empty() {
            // Opening has read ahead.
            return Ok(self.buffer.len());
        }
        let idle = self.client.settings.patience.idle;
        match &mut self.stream {
            Some(stream) => next_chunk(stream, idle, &mut self.buffer)
                .await
                .map_err(Stop::Broken),
            None => Ok(0),
        }
    }

    /// Asks the endpoints in order for what is missing.
    async fn open(&mut self) -> Result<(), Error> {
        let mut last = None;
        for endpoint in self.endpoints.clone() {
            match self.open_at(&endpoint).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    if endpoint.is_mirror {
                        tracing::debug!(host = %endpoint.host, %error, "mirror passed over");
                    }
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| self.answer("there is nobody to ask")))
    }

    async fn open_at(&mut self, endpoint: &Endpoint) -> Result<(), Error> {
        let client = Arc::clone(&self.client);
        let session = client.session(endpoint);
        let path = format!("/v2/{}/blobs/{}", self.repository, self.descriptor.digest);
        let range = (self.at > 0).then(|| (RANGE, format!("bytes={}-", self.at)));
        let ask = Ask {
            method: Method::GET,
            target: Target::Path(&path),
            headers: range.into_iter().collect(),
            payload: Payload::Empty,
            repository: &self.repository,
            source: None,
            access: Access::Pull,
            what: &self.what,
            wanted: Wanted::Stream,
        };
        let mut reply = session.send(&ask).await?;
        if reply.status == StatusCode::RANGE_NOT_SATISFIABLE && self.at > 0 {
            // It can't begin in the middle: what is known is read over.
            let whole = Ask {
                headers: Vec::new(),
                ..ask.clone()
            };
            reply = session.send(&whole).await?;
        }
        if !reply.status.is_success() {
            return Err(session.refusal(&ask, &reply));
        }
        let is_part = reply.status == StatusCode::PARTIAL_CONTENT;
        let begins_at = if is_part {
            let range = reply.header(&CONTENT_RANGE).and_then(content_range);
            let (begin, total) = range.ok_or_else(|| self.answer("a part of unknown place"))?;
            if total.is_some_and(|total| total != self.descriptor.size) {
                return Err(self.wrong_size(&total.unwrap_or_default().to_string()));
            }
            begin
        } else {
            0
        };
        if begins_at > self.at {
            return Err(self.answer("a part that wasn't asked for"));
        }
        let mut stream = reply.stream.take();
        let announced = stream.as_ref().and_then(Response::content_length);
        if let Some(announced) = announced
            && begins_at + announced != self.descriptor.size
        {
            return Err(self.wrong_size(&(begins_at + announced).to_string()));
        }
        if let Some(stream) = &mut stream {
            let rest = self.skip(stream, self.at - begins_at).await;
            self.buffer = rest.map_err(|broken| session.connection(&self.what, broken))?;
        }
        self.pace = Pace::new(self.client.settings.patience.idle);
        self.stream = stream;
        Ok(())
    }

    /// Reads over what is known already; gives what came after it.
    async fn skip(&self, stream: &mut Response, bytes: u64) -> Result<Vec<u8>, Broken> {
        let idle = self.client.settings.patience.idle;
        let (mut left, mut buffer) = (bytes.min(SKIP_BYTES_MAX), Vec::new());
        let mut pace = Pace::new(idle);
        while left > 0 {
            buffer.clear();
            let count = next_chunk(stream, idle, &mut buffer).await? as u64;
            if count == 0 {
                return Err(Broken::Short {
                    found: bytes - left,
                    expected: self.descriptor.size,
                });
            }
            pace.note(count, Instant::now())?;
            if count > left {
                let over = usize::try_from(left).unwrap_or(buffer.len());
                return Ok(buffer.split_off(over));
            }
            left -= count;
        }
        Ok(Vec::new())
    }

    fn host(&self) -> String {
        let first = self.endpoints.first();
        first
            .map(|endpoint| endpoint.host.clone())
            .unwrap_or_default()
    }

    fn wrong_size(&self, found: &str) -> Error {
        Error::Mismatch {
            host: self.host(),
            what: format!("size of {}", self.what),
            expected: self.descriptor.size.to_string(),
            found: found.to_owned(),
        }
    }

    fn answer(&self, reason: &str) -> Error {
        Error::Answer {
            host: self.host(),
            what: self.what.clone(),
            reason: reason.to_owned(),
        }
    }
}

enum Stop {
    Broken(Broken),
    Final(Error),
}

impl Read for BlobReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        if self.taken >= self.buffer.len() {
            let client = Arc::clone(&self.client);
            client
                .transport
                .block_on(self.refill())
                .map_err(io::Error::other)?;
        }
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        let count = rest.len().min(into.len());
        if let (Some(into), Some(rest)) = (into.get_mut(..count), rest.get(..count)) {
            into.copy_from_slice(rest);
        }
        self.taken += count;
        self.at += count as u64;
        Ok(count)
    }
}

/// Tells a slow line from one that is kept open to hold us up.
#[derive(Debug)]
struct Pace {
    window: Duration,
    since: Instant,
    bytes: u64,
}

impl Pace {
    fn new(idle: Duration) -> Self {
        Self {
            window: idle.saturating_mul(2),
            since: Instant::now(),
            bytes: 0,
        }
    }

    fn note(&mut self, bytes: u64, now: Instant) -> Result<(), Broken> {
        self.bytes += bytes;
        let spent = now.saturating_duration_since(self.since);
        if spent < self.window {
            return Ok(());
        }
        let wanted = BYTES_PER_SECOND_MIN.saturating_mul(spent.as_secs().max(1));
        let found = self.bytes;
        self.since = now;
        self.bytes = 0;
        if found < wanted {
            return Err(Broken::Trickle(BYTES_PER_SECOND_MIN));
        }
        Ok(())
    }
}

/// The first byte and the whole length in `bytes 5-9/10`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes")?.trim().split_once('/')?;
    let (begin, _) = range.split_once('-')?;
    let total = match total {
        "*" => None,
        number => Some(number.parse().ok()?),
    };
    Some((begin.trim().parse().ok()?, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_placed() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 0-0/*"), Some((0, None)));
        for bad in ["", "5-9/10", "bytes */10", "bytes x-9/10", "bytes 5-9/x"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_trickle_is_told_from_a_slow_line() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut pace = Pace::new(Duration::from_secs(5));
        pace.since = begin;
        assert!(pace.note(1, at(9_000)).is_ok());
        assert_eq!(
            pace.note(1, at(10_001)),
            Err(Broken::Trickle(BYTES_PER_SECOND_MIN))
        );
        assert!(pace.note(20 << 10, at(20_002)).is_ok());
    }
}
