//! What a build is told beside its Dockerfile.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::dockerfile::ignore::Ignore;
use crate::dockerfile::step::{BaseKey, RunNetwork};
use crate::oci::{ImageConfig, Platform, Reference};

/// What a build is told beside its Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The stage to build; the last one without.
    pub target: Option<String>,
    /// `--build-arg`, values from the environment already looked up.
    pub build_args: IndexMap<String, String>,
    /// The platform of the result.
    pub platform: Platform,
    /// The platform that the build runs on.
    pub build_platform: Platform,
    /// Labels of the result.
    pub labels: IndexMap<String, String>,
    /// Named contexts.
    pub contexts: IndexMap<String, NamedContext>,
    /// Which steps may not come from the cache.
    pub no_cache: NoCache,
    /// The network of a RUN that names none.
    pub network: RunNetwork,
    /// What RUN may be allowed beyond the usual.
    pub entitlements: Vec<Entitlement>,
    /// What holds for every RUN.
    pub run: RunSettings,
    /// What doesn't exist in the main context; for a warning about copies of it.
    pub ignore: Ignore,
}

impl Options {
    /// Nothing but the platform that the build runs on.
    #[must_use]
    pub fn new(platform: Platform) -> Self {
        Self {
            target: None,
            build_args: IndexMap::new(),
            build_platform: platform.clone(),
            platform,
            labels: IndexMap::new(),
            contexts: IndexMap::new(),
            no_cache: NoCache::default(),
            network: RunNetwork::Default,
            entitlements: Vec::new(),
            run: RunSettings::default(),
            ignore: Ignore::default(),
        }
    }
}

/// What holds for every RUN of a build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunSettings {
    /// Size of `/dev/shm` in bytes; the runtime's default without.
    pub shm_bytes: Option<u64>,
    /// Limits: name, soft and hard value.
    pub ulimits: IndexMap<String, (u64, u64)>,
    /// More names for its hosts file: name and address, or `host-gateway`.
    pub extra_hosts: Vec<(String, String)>,
}

/// A context by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// A folder, an archive or a repository: a tree without a config.
    Tree,
    /// `docker-image://`.
    Image(Reference),
    /// An image that only the caller knows how to find, such as an OCI
    /// layout or the result of another build.
    Other,
}

/// Which steps may not come from the cache.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NoCache {
    /// Every step may.
    #[default]
    Off,
    /// No step of these stages may.
    Stages(Vec<String>),
    /// No step may.
    All,
}

/// What a build may be allowed beyond the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entitlement {
    /// `network.host`.
    NetworkHost,
    /// `security.insecure`.
    SecurityInsecure,
    /// `device`.
    Device,
}

impl std::str::FromStr for Entitlement {
    type Err = UnknownEntitlement;

    fn from_str(text: &str) -> Result<Self, UnknownEntitlement> {
        match text {
            "network.host" => Ok(Self::NetworkHost),
            "security.insecure" => Ok(Self::SecurityInsecure),
            _ if text == "device" || text.starts_with("device=") => Ok(Self::Device),
            _ => Err(UnknownEntitlement(text.to_owned())),
        }
    }
}

/// A word that is no entitlement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown entitlement {0:?}: there are network.host, security.insecure and device")]
pub struct UnknownEntitlement(pub String);

/// The configs of base images, as far as they are known.
pub type Bases = IndexMap<BaseKey, Arc<ImageConfig>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entitlements_have_three_names() {
        assert_eq!("network.host".parse(), Ok(Entitlement::NetworkHost));
        assert_eq!(
            "security.insecure".parse(),
            Ok(Entitlement::SecurityInsecure)
        );
        assert_eq!("device=vendor/x".parse(), Ok(Entitlement::Device));
        let error = "network".parse::<Entitlement>().unwrap_err().to_string();
        assert!(error.contains("network.host"), "{error}");
    }
}
