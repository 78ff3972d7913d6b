//! Why a registry did not give what was asked, and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

use crate::oci::{self, Platform};

/// Why a registry did not give what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry knows no such thing.
    #[error("{what} not found: {reason}")]
    NotFound {
        /// What was asked for, as in `manifest for redis:99`.
        what: String,
        /// The registry's words.
        reason: String,
    },
    /// The registry doesn't let us, or has no such repository.
    #[error(
        "{verb} access denied for {repository}, repository does not exist or may require 'rcompose login {host}': {reason}"
    )]
    Denied {
        /// `pull` or `push`.
        verb: &'static str,
        /// The repository as users write it.
        repository: String,
        /// The registry as users write it.
        host: String,
        /// The registry's words.
        reason: String,
    },
    /// A login was refused.
    #[error("login to {host}: unauthorized: {reason}")]
    Login {
        /// The registry.
        host: String,
        /// Its words.
        reason: String,
    },
    /// The registry says that we ask too much.
    #[error("{host}: too many requests{}: {reason}", wait_words(*.wait))]
    TooManyRequests {
        /// The registry.
        host: String,
        /// How long it wants us to wait.
        wait: Option<Duration>,
        /// Its words.
        reason: String,
    },
    /// The registry could not be reached, or the connection broke again and again.
    #[error("{host}: {what}")]
    Connection {
        /// The registry.
        host: String,
        /// What was under way.
        what: String,
        /// Why.
        #[source]
        source: Broken,
    },
    /// The registry answered with something that isn't an answer.
    #[error("{host}: {what}: {reason}")]
    Answer {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// A document is refused.
    #[error("{host}: {what}")]
    Document {
        /// The registry.
        host: String,
        /// Which one.
        what: String,
        /// Why.
        #[source]
        source: oci::Error,
    },
    /// Content isn't what its name says.
    #[error("{host}: {what} is {found}, but should be {expected}")]
    Mismatch {
        /// The registry.
        host: String,
        /// Which content.
        what: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// No image of the reference runs on the wanted platform.
    #[error("no matching manifest for {platform} in the manifest list of {image}")]
    NoPlatform {
        /// What was asked for.
        image: String,
        /// What was wanted.
        platform: Platform,
    },
    /// A file of credentials can't be used.
    #[error("credentials in {}: {reason}", path.display())]
    CredentialFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A credential helper failed.
    #[error("{helper} {verb}: {reason}")]
    Helper {
        /// The program.
        helper: String,
        /// What it was to do.
        verb: &'static str,
        /// Its words.
        reason: String,
    },
    /// A configuration file can't be used.
    #[error("configuration in {}: {reason}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A certificate or key can't be used.
    #[error("certificate {}: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The client itself could not begin.
    #[error("start of the registry client: {0}")]
    Start(String),
    /// What is to be pushed can't be read.
    #[error("read of what is pushed")]
    Source(#[source] std::io::Error),
}

/// Why a connection is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The transport failed, in its words.
    #[error("{0}")]
    Transport(String),
    /// Nothing came.
    #[error("no byte came for {} seconds", .0.as_secs_f32())]
    Silent(Duration),
    /// Less came than a slow line would give.
    #[error("it gives less than {0} bytes a second")]
    Trickle(u64),
    /// The end came too early.
    #[error("the connection ended after {found} of {expected} bytes")]
    Short {
        /// What came.
        found: u64,
        /// What was to come.
        expected: u64,
    },
}

fn wait_words(wait: Option<Duration>) -> String {
    wait.map_or_else(String::new, |wait| {
        format!(" (it asks to wait {} seconds)", wait.as_secs())
    })
}

impl Error {
    /// What the user can do about it, if there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Denied { host, .. } | Self::Login { host, .. } => Some(if host == "docker.io" {
                "check the name, or log in with `rcompose login`".to_owned()
            } else {
                format!("check the name, or log in with `rcompose login {host}`")
            }),
            Self::NotFound { .. } => Some("check the name and the tag".to_owned()),
            Self::NoPlatform { .. } => Some(
                "choose a platform that the image has, with `platform:` or --platform".to_owned(),
            ),
            Self::TooManyRequests { .. } => {
                Some("log in for a higher limit, or use a mirror (docs/registries.md)".to_owned())
            }
            Self::Connection { host, source, .. } => {
                let text = source.to_string().to_ascii_lowercase();
                let is_tls = ["certificate", "tls", "handshake"]
                    .iter()
                    .any(|word| text.contains(word));
                if is_tls {
                    Some(format!(
                        "put its authority into /etc/docker/certs.d/{host}/ca.crt, or list {host} in `insecure-registries` (docs/registries.md)"
                    ))
                } else {
                    Some(
                        "check the network, a proxy, or use a mirror (docs/registries.md)"
                            .to_owned(),
                    )
                }
            }
            Self::Helper { .. } => {
                Some("mend `credsStore` or `credHelpers` in docker's config.json".to_owned())
            }
            Self::Answer { .. }
            | Self::Document { .. }
            | Self::Mismatch { .. }
            | Self::CredentialFile { .. }
            | Self::Settings { .. }
            | Self::Certificate { .. }
            | Self::Start(_)
            | Self::Source(_) => None,
        }
    }
}

impl Error {
    /// The error inside of what a reader of a blob has given.
    #[must_use]
    pub fn from_read(error: std::io::Error, host: &str, what: &str) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(error) => Self::Connection {
                host: host.to_owned(),
                what: what.to_owned(),
                source: Broken::Transport(error.to_string()),
            },
        }
    }
}
