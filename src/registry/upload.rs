//! Pushing: blobs that the registry lacks, then manifests.
//!
//! A blob that is there is not sent; one that another repository of the same
//! registry has is mounted. Small ones go in one piece, large ones in chunks,
//! so that a broken connection costs one of them.

use std::fs::File;
use std::sync::Arc;

use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use reqwest::{Method, StatusCode, Url};

use crate::oci::{Digest, Reference};
use crate::registry::challenge::Access;
use crate::registry::client::Client;
use crate::registry::hosts::{self, Endpoint};
use crate::registry::reply::{Reply, Wanted};
use crate::registry::session::{Ask, Payload, Session, Target};
use crate::registry::{Broken, Error};

/// Bytes of a chunk; blobs of up to so many go in one piece.
const CHUNK_BYTES: u64 = 16 << 20;
/// The largest chunk that a registry may ask for.
const CHUNK_BYTES_MAX: u64 = 256 << 20;
/// How often an upload is begun anew.
const BEGINNINGS_MAX: u32 = 3;
/// How often a registry may correct how far an upload is.
const CORRECTIONS_MAX: u32 = 8;
/// Longest answer to an upload, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// A blob to push.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Its name.
    pub digest: Digest,
    /// Its length.
    pub size: u64,
    /// Its bytes, from the beginning of the file on.
    pub file: Arc<File>,
}

/// How a blob came to be in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    Existing,
    /// It was in another repository of the registry.
    Mounted,
    /// It was sent.
    Sent,
}

impl Client {
    /// Whether a repository has a blob.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn has_blob(&self, to: &Reference, digest: &Digest) -> Result<bool, Error> {
        let endpoint = self.origin(to);
        let upload = self.upload(&endpoint, to);
        self.0.transport.block_on(upload.has(digest))
    }

    /// Has a blob mounted from another repository of the same registry;
    /// whether the registry did.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn mount_blob(
        &self,
        to: &Reference,
        digest: &Digest,
        from: &Reference,
    ) -> Result<bool, Error> {
        if from.registry() != to.registry() || from.path() == to.path() {
            return Ok(false);
        }
        let endpoint = self.origin(to);
        let upload = self.upload(&endpoint, to);
        let mounted = upload.mount(digest, from.path());
        self.0.transport.block_on(mounted)
    }

    /// Sends a blob that the repository lacks. `progress` is told how many
    /// bytes have arrived.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn push_blob(
        &self,
        to: &Reference,
        blob: &Blob,
        progress: &dyn Fn(u64),
    ) -> Result<Pushed, Error> {
        let endpoint = self.origin(to);
        let upload = self.upload(&endpoint, to);
        self.0.transport.block_on(async {
            if upload.has(&blob.digest).await? {
                return Ok(Pushed::Existing);
            }
            upload.send(blob, progress).await?;
            Ok(Pushed::Sent)
        })
    }

    /// Puts a manifest under a reference's tag, or its digest.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Mismatch`] when the registry has made another
    /// manifest of it.
    pub fn push_manifest(
        &self,
        to: &Reference,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest, Error> {
        let endpoint = self.origin(to);
        let upload = self.upload(&endpoint, to);
        self.0
            .transport
            .block_on(upload.manifest(media_type, bytes))
    }

    fn origin(&self, to: &Reference) -> Endpoint {
        hosts::origin(&self.0.settings.registries, to.registry())
    }

    fn upload<'c>(&'c self, endpoint: &'c Endpoint, to: &'c Reference) -> Upload<'c> {
        Upload {
            session: self.0.session(endpoint),
            to,
        }
    }
}

/// One repository to push to.
struct Upload<'c> {
    session: Session<'c>,
    to: &'c Reference,
}

impl Upload<'_> {
    fn ask<'a>(&'a self, method: Method, target: Target<'a>, what: &'a str) -> Ask<'a> {
        Ask {
            method,
            target,
            headers: Vec::new(),
            payload: Payload::Empty,
            repository: self.to.path(),
            source: None,
            access: Access::Push,
            what,
            wanted: Wanted::Document(ANSWER_BYTES_MAX),
        }
    }

    async fn has(&self, digest: &Digest) -> Result<bool, Error> {
        let path = format!("/v2/{}/blobs/{digest}", self.to.path());
        let what = format!("blob {}", digest.short());
        let mut ask = self.ask(Method::HEAD, Target::Path(&path), &what);
        ask.wanted = Wanted::Nothing;
        let reply = self.session.send(&ask).await?;
        match reply.status {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(true),
            _ => Err(self.session.refusal(&ask, &reply)),
        }
    }

    async fn mount(&self, digest: &Digest, from: &str) -> Result<bool, Error> {
        let path = format!(
            "/v2/{}/blobs/uploads/?mount={digest}&from={from}",
            self.to.path()
        );
        let what = format!("mount of blob {}", digest.short());
        let mut ask = self.ask(Method::POST, Target::Path(&path), &what);
        ask.source = Some(from);
        match self.session.send(&ask).await {
            // 202 has begun an upload, which ends by itself when it isn't used.
            Ok(reply) => Ok(reply.status == StatusCode::CREATED),
            // Who may not read the other repository sends the blob.
            Err(Error::Denied { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn send(&self, blob: &Blob, progress: &dyn Fn(u64)) -> Result<(), Error> {
        let mut begun = 0;
        loop {
            begun += 1;
            let (url, chunk_min) = self.begin(&blob.digest).await?;
            let in_chunks = blob.size > CHUNK_BYTES && begun < BEGINNINGS_MAX;
            let sent = if in_chunks {
                self.chunks(url, blob, chunk_min, progress).await
            } else {
                self.whole(url, blob).await
            };
            match sent {
                Ok(()) => {
                    progress(blob.size);
                    return Ok(());
                }
                Err(error) if begun >= BEGINNINGS_MAX || is_final(&error) => return Err(error),
                Err(error) => {
                    tracing::debug!(digest = %blob.digest, %error, "upload begun anew");
                }
            }
        }
    }

    /// Begins an upload: where it goes, and the smallest chunk.
    async fn begin(&self, digest: &Digest) -> Result<(Url, u64), Error> {
        let path = format!("/v2/{}/blobs/uploads/", self.to.path());
        let what = format!("upload of blob {}", digest.short());
        let ask = self.ask(Method::POST, Target::Path(&path), &what);
        let reply = self.session.succeed(&ask).await?;
        let chunk_min = reply.named("oci-chunk-min-length");
        let chunk_min = chunk_min
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
            .min(CHUNK_BYTES_MAX);
        Ok((self.location(&reply, &what)?, chunk_min))
    }

    fn location(&self, reply: &Reply, what: &str) -> Result<Url, Error> {
        let text = reply.header(&LOCATION);
        let url = text.and_then(|text| reply.url.join(text).ok());
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        url.ok_or_else(|| Error::Answer {
            host: self.session.endpoint.host.clone(),
            what: what.to_owned(),
            reason: "it doesn't say where to send it".to_owned(),
        })
    }

    /// Sends it in one piece.
    async fn whole(&self, url: Url, blob: &Blob) -> Result<(), Error> {
        let what = format!("upload of blob {}", blob.digest.short());
        let mut ask = self.ask(Method::PUT, Target::Url(ending(url, &blob.digest)), &what);
        ask.headers = vec![(CONTENT_TYPE, OCTETS.to_owned())];
        ask.payload = Payload::Piece {
            file: Arc::clone(&blob.file),
            offset: 0,
            length: blob.size,
        };
        let reply = self.session.succeed(&ask).await?;
        self.check(&reply, &blob.digest, &what)
    }

    /// Sends it in chunks, going on where the registry says that it is.
    async fn chunks(
        &self,
        mut url: Url,
        blob: &Blob,
        chunk_min: u64,
        progress: &dyn Fn(u64),
    ) -> Result<(), Error> {
        let what = format!("upload of blob {}", blob.digest.short());
        let chunk = CHUNK_BYTES.max(chunk_min);
        let (mut at, mut corrections) = (0, 0);
        while at < blob.size {
            let length = chunk.min(blob.size - at);
            let mut ask = self.ask(Method::PATCH, Target::Url(url.clone()), &what);
            ask.headers = vec![
                (CONTENT_TYPE, OCTETS.to_owned()),
                (CONTENT_RANGE, format!("{at}-{}", at + length - 1)),
            ];
            ask.payload = Payload::Piece {
                file: Arc::clone(&blob.file),
                offset: at,
                length,
            };
            let reply = self.session.send(&ask).await?;
            if reply.status.is_success() {
                at += length;
                url = self.location(&reply, &what)?;
            } else if reply.status == StatusCode::RANGE_NOT_SATISFIABLE
                && corrections < CORRECTIONS_MAX
            {
                corrections += 1;
                (url, at) = self.status(&url, blob, &what).await?;
            } else {
                return Err(self.session.refusal(&ask, &reply));
            }
            progress(at);
        }
        let target = Target::Url(ending(url, &blob.digest));
        let ask = self.ask(Method::PUT, target, &what);
        let reply = self.session.succeed(&ask).await?;
        self.check(&reply, &blob.digest, &what)
    }

    /// How far the registry says that an upload is.
    async fn status(&self, url: &Url, blob: &Blob, what: &str) -> Result<(Url, u64), Error> {
        let ask = self.ask(Method::GET, Target::Url(url.clone()), what);
        let reply = self.session.succeed(&ask).await?;
        let range = reply.header(&RANGE).and_then(|text| {
            let text = text.strip_prefix("bytes=").unwrap_or(text);
            text.split_once('-')?.1.parse::<u64>().ok()
        });
        // `0-0` is what an upload without bytes says, too; a byte more or
        // less is corrected by the next answer.
        let at = range.map_or(0, |last| if last == 0 { 0 } else { last + 1 });
        if at > blob.size {
            let found = Broken::Short {
                found: at,
                expected: blob.size,
            };
            return Err(self.session.connection(what, found));
        }
        let next = self.location(&reply, what);
        Ok((next.unwrap_or_else(|_| url.clone()), at))
    }

    fn check(&self, reply: &Reply, digest: &Digest, what: &str) -> Result<(), Error> {
        let said = reply.named("docker-content-digest");
        let said = said.and_then(|text| text.parse::<Digest>().ok());
        match said {
            Some(said) if said.algorithm() == digest.algorithm() && said != *digest => {
                Err(Error::Mismatch {
                    host: self.session.endpoint.host.clone(),
                    what: format!("digest after the {what}"),
                    expected: digest.to_string(),
                    found: said.to_string(),
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn manifest(&self, media_type: &str, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = match self.to.digest() {
            Some(digest) => digest.clone(),
            None => Digest::of(bytes),
        };
        let name = self
            .to
            .tag()
            .map_or_else(|| digest.to_string(), str::to_owned);
        let path = format!("/v2/{}/manifests/{name}", self.to.path());
        let what = format!("manifest of {}", self.to.familiar());
        let mut ask = self.ask(Method::PUT, Target::Path(&path), &what);
        ask.headers = vec![(CONTENT_TYPE, media_type.to_owned())];
        ask.payload = Payload::Bytes(bytes.to_vec());
        let reply = self.session.succeed(&ask).await?;
        self.check(&reply, &digest, &what)?;
        Ok(digest)
    }
}

const OCTETS: &str = "application/octet-stream";

/// Where an upload is ended.
fn ending(mut url: Url, digest: &Digest) -> Url {
    url.query_pairs_mut()
        .append_pair("digest", &digest.to_string());
    url
}

/// Whether an upload that is begun anew would end the same way.
fn is_final(error: &Error) -> bool {
    !matches!(
        error,
        Error::Connection { .. } | Error::Answer { .. } | Error::NotFound { .. }
    )
}
