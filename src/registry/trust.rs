//! TLS with the authorities and certificates that the user keeps for a host
//! in `certs.d/HOST`: authorities (`*.crt`), and a certificate of our own with
//! its key (`*.cert`, `*.key`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::registry::Error;
use crate::registry::transport::chain;

/// What `certs.d` holds for a host.
#[derive(Debug, Default)]
pub(super) struct Kept {
    authorities: Vec<CertificateDer<'static>>,
    own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Kept {
    /// Reads what the folders hold for a host.
    pub(super) fn of_host(folders: &[PathBuf], host: &str) -> Result<Self, Error> {
        let mut kept = Self::default();
        for folder in folders {
            let folder = folder.join(host);
            for path in files(&folder, "crt") {
                kept.authorities.extend(certificates(&path)?);
            }
            for path in files(&folder, "cert") {
                let key_path = path.with_extension("key");
                let key = PrivateKeyDer::from_pem_file(&key_path);
                let key = key.map_err(|error| refuse(&key_path, &error))?;
                kept.own.get_or_insert((certificates(&path)?, key));
            }
        }
        Ok(kept)
    }

    /// Whether nothing is kept, so that the system's rules are enough.
    pub(super) fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.own.is_none()
    }

    /// TLS as the user has it for this host. `system` are the authorities of
    /// the system, which count where none is kept.
    pub(super) fn config(
        self,
        system: Vec<CertificateDer<'static>>,
    ) -> Result<ClientConfig, String> {
        let mut roots = RootCertStore::empty();
        let trusted = if self.authorities.is_empty() {
            system
        } else {
            self.authorities.clone()
        };
        roots.add_parsable_certificates(trusted);
        let inner = WebPkiServerVerifier::builder(Arc::new(roots)).build();
        let verifier = Verifier {
            inner: inner.map_err(|error| error.to_string())?,
            pinned: self.authorities,
        };
        let builder = ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match self.own {
            Some((certificates, key)) => builder
                .with_client_auth_cert(certificates, key)
                .map_err(|error| error.to_string())?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// The authorities of the system.
pub(super) fn system() -> Vec<CertificateDer<'static>> {
    const BUNDLES: [&str; 4] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let places = named.into_iter().chain(BUNDLES.map(PathBuf::from));
    let mut found = places.filter_map(|path| certificates(&path).ok());
    found.next().unwrap_or_default()
}

/// Whether a folder of certificates has an authority for a host.
pub(super) fn has_authority(folders: &[PathBuf], host: &str) -> bool {
    let has = |folder: &PathBuf| files(&folder.join(host), "crt").next().is_some();
    folders.iter().any(has)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let parsed = CertificateDer::pem_file_iter(path).map_err(|error| refuse(path, &error))?;
    let all: Result<Vec<_>, _> = parsed.collect();
    all.map_err(|error| refuse(path, &error))
}

fn refuse(path: &Path, error: &dyn std::error::Error) -> Error {
    Error::Certificate {
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

/// Checks certificates as usual, and takes one that the user keeps for the
/// host itself: a certificate that signs itself is an authority and a
/// server's at once, which the usual rules refuse.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    pinned: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let usual = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match usual {
            Err(_) if self.pinned.iter().any(|kept| kept == end_entity) => {
                let parsed = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&parsed, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            usual => usual,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let folders = [dir.path().to_owned()];
        assert!(Kept::of_host(&folders, "h:1").unwrap().is_empty());
        std::fs::create_dir(dir.path().join("h:1")).unwrap();
        let authority = dir.path().join("h:1/ca.crt");
        std::fs::write(
            &authority,
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        assert!(has_authority(&folders, "h:1") && !has_authority(&folders, "h"));
        let error = Kept::of_host(&folders, "h:1").unwrap_err();
        assert!(error.to_string().contains("ca.crt"), "{error}");
        std::fs::remove_file(authority).unwrap();
        std::fs::write(dir.path().join("h:1/client.cert"), "").unwrap();
        let error = Kept::of_host(&folders, "h:1").unwrap_err();
        assert!(error.to_string().contains("client.key"), "{error}");
    }
}
