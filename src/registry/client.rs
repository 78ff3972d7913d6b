//! A client of registries: manifests and blobs, logins.
//!
//! Its methods block; they are not for threads that drive a runtime.

use std::io::Read as _;
use std::sync::Arc;

use reqwest::Method;
use reqwest::header::ACCEPT;

use crate::oci::{
    CONFIG_BYTES_MAX, Descriptor, Digest, Document, MANIFEST_BYTES_MAX, Manifest, MediaType,
    Platform, Reference,
};
use crate::registry::challenge::Access;
use crate::registry::hosts::{self, Endpoint};
use crate::registry::reply::{Reply, Wanted};
use crate::registry::session::{Ask, Identities, Payload, Session, Target};
use crate::registry::transport::{Shared, Transport};
use crate::registry::{BlobReader, Credential, Error, Settings};

/// Deepest nesting of indexes.
const INDEX_DEPTH_MAX: u32 = 4;
/// Longest answer to a ping, in bytes.
const PING_BYTES_MAX: u64 = 64 << 10;
/// The header that says what a manifest's digest is.
const CONTENT_DIGEST: &str = "docker-content-digest";
/// Every form of manifest that is understood.
const MANIFEST_TYPES: [&str; 4] = [
    MediaType::OCI_INDEX,
    MediaType::DOCKER_LIST,
    MediaType::OCI_MANIFEST,
    MediaType::DOCKER_MANIFEST,
];

/// Talks to registries. Clones share connections and tokens.
#[derive(Debug, Clone)]
pub struct Client(pub(super) Arc<Inner>);

/// What clones share.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) transport: Shared,
    pub(super) settings: Settings,
    pub(super) identities: Identities,
}

impl Inner {
    pub(super) fn session<'c>(&'c self, endpoint: &'c Endpoint) -> Session<'c> {
        Session {
            transport: &self.transport,
            settings: &self.settings,
            identities: &self.identities,
            endpoint,
            credential: None,
        }
    }
}

/// A manifest or index as a registry gave it, its digest checked.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Its digest.
    pub digest: Digest,
    /// Its bytes, which the digest is of.
    pub bytes: Vec<u8>,
    /// What they say.
    pub document: Document,
    /// Who gave it, and is asked first for the rest.
    endpoint: Endpoint,
}

/// The image that a reference means on a platform.
#[derive(Debug, Clone)]
pub struct Remote {
    /// What the reference stands for: the digest of an index, or of the
    /// manifest itself.
    pub digest: Digest,
    /// Digest of the manifest.
    pub manifest_digest: Digest,
    /// Its bytes.
    pub manifest_bytes: Vec<u8>,
    /// What they say.
    pub manifest: Manifest,
    /// The repository inside the registry.
    pub(super) repository: String,
    pub(super) endpoints: Vec<Endpoint>,
}

impl Client {
    /// Makes a client; nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::Start`].
    pub fn new(settings: Settings) -> Result<Self, Error> {
        Ok(Self(Arc::new(Inner {
            transport: Arc::new(Transport::start(&settings)?),
            settings,
            identities: Identities::default(),
        })))
    }

    /// The digest that a reference stands for, by one request without a body;
    /// None when the registry doesn't say.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn digest(&self, reference: &Reference) -> Result<Option<Digest>, Error> {
        let tried = self.first(reference, async |endpoint| {
            let what = manifest_of(reference);
            let path = manifest_path(reference);
            let ask = manifest_ask(reference, &path, &what, Method::HEAD);
            let reply = self.0.session(endpoint).succeed(&ask).await?;
            Ok(promised(&reply))
        });
        self.0.transport.block_on(tried)
    }

    /// The manifest or index that a reference stands for.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn manifest(&self, reference: &Reference) -> Result<Fetched, Error> {
        let tried = self.first(reference, async |endpoint| {
            self.fetch(endpoint, reference, None).await
        });
        self.0.transport.block_on(tried)
    }

    /// The image of a platform that a reference stands for. A reference
    /// without an index has one image, whatever its platform is.
    ///
    /// # Errors
    /// [`Error::NoPlatform`] when an index has none for it.
    pub fn image(&self, reference: &Reference, platform: &Platform) -> Result<Remote, Error> {
        let top = self.manifest(reference)?;
        let mut here = top.clone();
        for _ in 0..INDEX_DEPTH_MAX {
            let index = match here.document {
                Document::Manifest(manifest) => {
                    return Ok(Remote {
                        digest: top.digest,
                        manifest_digest: here.digest,
                        manifest_bytes: here.bytes,
                        manifest: *manifest,
                        repository: reference.path().to_owned(),
                        endpoints: self.endpoints_from(reference, &here.endpoint)?,
                    });
                }
                Document::Index(index) => index,
            };
            let chosen = platform.select(&index.manifests);
            let chosen = chosen.ok_or_else(|| Error::NoPlatform {
                image: reference.familiar(),
                platform: platform.clone(),
            })?;
            let pinned = reference.pinned(chosen.digest.clone());
            let endpoint = here.endpoint.clone();
            let fetched = self.fetch(&endpoint, &pinned, Some(chosen));
            here = self.0.transport.block_on(fetched)?;
        }
        Err(Error::Answer {
            host: top.endpoint.host,
            what: reference.familiar(),
            reason: format!("indexes are nested more than {INDEX_DEPTH_MAX} deep"),
        })
    }

    /// The bytes of a blob of an image, from byte `at` on.
    #[must_use]
    pub fn blob(&self, remote: &Remote, descriptor: &Descriptor, at: u64) -> BlobReader {
        let endpoints = remote.endpoints.clone();
        BlobReader::new(
            Arc::clone(&self.0),
            endpoints,
            &remote.repository,
            descriptor,
            at,
        )
    }

    /// The config of an image, its digest checked.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when it isn't what the manifest says.
    pub fn config(&self, remote: &Remote) -> Result<Vec<u8>, Error> {
        let descriptor = &remote.manifest.config;
        let host = || {
            let first = remote.endpoints.first();
            first.map(|e| e.host.clone()).unwrap_or_default()
        };
        let what = "config of the image".to_owned();
        if descriptor.size > CONFIG_BYTES_MAX {
            return Err(Error::Answer {
                host: host(),
                what,
                reason: format!("it has more than {CONFIG_BYTES_MAX} bytes"),
            });
        }
        let mut bytes = Vec::new();
        let read = self.blob(remote, descriptor, 0).read_to_end(&mut bytes);
        read.map_err(|error| Error::from_read(error, &host(), &what))?;
        if !descriptor.digest.is_of(&bytes) {
            return Err(Error::Mismatch {
                host: host(),
                what: "digest of the image's config".to_owned(),
                expected: descriptor.digest.to_string(),
                found: Digest::of(&bytes).to_string(),
            });
        }
        Ok(bytes)
    }

    /// Tries a credential at a registry, without keeping it.
    ///
    /// # Errors
    /// [`Error::Login`] when the registry refuses it.
    pub fn check_login(&self, registry: &str, credential: &Credential) -> Result<(), Error> {
        let endpoint = hosts::origin(&self.0.settings.registries, registry);
        let session = Session {
            credential: Some(credential),
            ..self.0.session(&endpoint)
        };
        let ask = Ask {
            method: Method::GET,
            target: Target::Path("/v2/"),
            headers: Vec::new(),
            payload: Payload::Empty,
            repository: "",
            source: None,
            access: Access::Login,
            what: "login",
            wanted: Wanted::Document(PING_BYTES_MAX),
        };
        self.0.transport.block_on(session.succeed(&ask)).map(drop)
    }

    /// What the first endpoint gives that has something: mirrors in order,
    /// then the registry, whose error counts.
    async fn first<T>(
        &self,
        reference: &Reference,
        ask: impl AsyncFn(&Endpoint) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let endpoints = self.endpoints(reference)?;
        let (origin, mirrors) = endpoints.split_last().ok_or_else(|| no_host(reference))?;
        for mirror in mirrors {
            match ask(mirror).await {
                Ok(found) => return Ok(found),
                Err(error) => {
                    tracing::info!(host = %mirror.host, %error, "mirror passed over");
                }
            }
        }
        ask(origin).await
    }

    fn endpoints(&self, reference: &Reference) -> Result<Vec<Endpoint>, Error> {
        let registries = &self.0.settings.registries;
        hosts::for_pull(registries, reference.registry()).map_err(|reason| Error::Settings {
            path: "registries".into(),
            reason,
        })
    }

    /// All endpoints, the one that has given something first.
    fn endpoints_from(
        &self,
        reference: &Reference,
        first: &Endpoint,
    ) -> Result<Vec<Endpoint>, Error> {
        let mut endpoints = self.endpoints(reference)?;
        endpoints.retain(|endpoint| endpoint != first);
        endpoints.insert(0, first.clone());
        Ok(endpoints)
    }

    /// Fetches a manifest and checks it against the reference, the registry's
    /// word and the descriptor that led to it.
    async fn fetch(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        descriptor: Option<&Descriptor>,
    ) -> Result<Fetched, Error> {
        let what = manifest_of(reference);
        let path = manifest_path(reference);
        let ask = manifest_ask(reference, &path, &what, Method::GET);
        let reply = self.0.session(endpoint).succeed(&ask).await?;
        let mismatch = |what: &str, expected: String, found: String| Error::Mismatch {
            host: endpoint.host.clone(),
            what: format!("{what} of the {}", manifest_of(reference)),
            expected,
            found,
        };
        let bytes = reply.body.clone();
        let found = Digest::of(&bytes);
        let promised = promised(&reply);
        for expected in reference.digest().into_iter().chain(&promised) {
            if !expected.is_of(&bytes) {
                return Err(mismatch("digest", expected.to_string(), found.to_string()));
            }
        }
        if let Some(descriptor) = descriptor
            && descriptor.size != bytes.len() as u64
        {
            let found = bytes.len().to_string();
            return Err(mismatch("size", descriptor.size.to_string(), found));
        }
        let document = Document::parse(&bytes).map_err(|source| Error::Document {
            host: endpoint.host.clone(),
            what,
            source,
        })?;
        Ok(Fetched {
            digest: reference.digest().cloned().unwrap_or(found),
            bytes,
            document,
            endpoint: endpoint.clone(),
        })
    }
}

fn no_host(reference: &Reference) -> Error {
    Error::Start(format!("no host answers for {}", reference.registry()))
}

/// How a manifest is called in messages.
fn manifest_of(reference: &Reference) -> String {
    format!("manifest for {}", reference.familiar())
}

fn manifest_path(reference: &Reference) -> String {
    let name = reference
        .digest()
        .map(ToString::to_string)
        .or_else(|| reference.tag().map(str::to_owned))
        .unwrap_or_default();
    format!("/v2/{}/manifests/{name}", reference.path())
}

fn manifest_ask<'a>(
    reference: &'a Reference,
    path: &'a str,
    what: &'a str,
    method: Method,
) -> Ask<'a> {
    Ask {
        method,
        target: Target::Path(path),
        headers: vec![(ACCEPT, MANIFEST_TYPES.join(", "))],
        payload: Payload::Empty,
        repository: reference.path(),
        source: None,
        access: Access::Pull,
        what,
        wanted: Wanted::Document(MANIFEST_BYTES_MAX),
    }
}

/// The digest that the registry says a manifest has.
fn promised(reply: &Reply) -> Option<Digest> {
    reply.named(CONTENT_DIGEST)?.parse().ok()
}
