//! What a client is told before it begins: credentials, mirrors, insecure
//! hosts, certificates, patience.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::registry::hosts::RegistryConfig;
use crate::registry::{Credentials, Error, retry};

/// Longest configuration file, in bytes.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// The machine's configuration, ours and docker's.
const CONFIG_FILES: [&str; 2] = ["/etc/rcompose/config.json", "/etc/docker/daemon.json"];
/// Where certificates for hosts are, as docker has them.
const CERTIFICATE_FOLDERS: [&str; 2] = ["/etc/docker/certs.d", "/etc/containers/certs.d"];

/// How long a registry is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the first byte of an answer, and for each next one.
    pub idle: Duration,
    /// For a whole document such as a manifest or a token.
    pub document: Duration,
    /// The shortest wait before something is tried again.
    pub retry_unit: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            document: Duration::from_secs(60),
            retry_unit: retry::UNIT,
        }
    }
}

/// What a [`Client`](crate::registry::Client) is made with.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where credentials are.
    pub credentials: Credentials,
    /// How long registries are waited for.
    pub patience: Patience,
    pub(super) registries: RegistryConfig,
    pub(super) certificate_folders: Vec<PathBuf>,
}

impl Settings {
    /// Reads the user's and the machine's configuration. `variable` gives the
    /// environment: `RCOMPOSE_CONFIG` names the user's file, which otherwise
    /// is `rcompose/config.json` below `XDG_CONFIG_HOME` or `~/.config`.
    ///
    /// # Errors
    /// [`Error::Settings`] with the file that can't be read.
    pub fn locate(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let folder = |name: &str| {
            let value = variable(name).filter(|value| !value.is_empty());
            value.map(PathBuf::from)
        };
        let base = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")));
        let own = base.as_ref().map(|base| base.join("rcompose"));
        let file = folder("RCOMPOSE_CONFIG").or_else(|| Some(own.as_ref()?.join("config.json")));
        let mut registries = RegistryConfig::default();
        let machine = CONFIG_FILES.map(PathBuf::from);
        for path in file.iter().chain(&machine) {
            if let Some(config) = read(path)? {
                registries.extend(config);
            }
        }
        let own_certificates = own.map(|own| own.join("certs.d"));
        let machine = CERTIFICATE_FOLDERS.map(PathBuf::from);
        Ok(Self {
            credentials: Credentials::locate(variable),
            patience: Patience::default(),
            registries,
            certificate_folders: own_certificates.into_iter().chain(machine).collect(),
        })
    }

    /// Calls a host insecure: it needs no valid certificate, and no TLS.
    pub fn add_insecure(&mut self, host: &str) {
        self.registries.insecure_registries.push(host.to_owned());
    }

    /// Asks a mirror before a registry.
    #[cfg(test)]
    pub(crate) fn add_mirror(&mut self, registry: &str, mirror: &str) {
        let mirrors = self.registries.mirrors.entry(registry.to_owned());
        mirrors.or_default().push(mirror.to_owned());
    }
}

fn read(path: &Path) -> Result<Option<RegistryConfig>, Error> {
    let failed = |reason: String| Error::Settings {
        path: path.to_owned(),
        reason,
    };
    let length = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error.to_string())),
    };
    if length > CONFIG_BYTES_MAX {
        return Err(failed("it has more than 1 MiB".to_owned()));
    }
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let config = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
    Ok(Some(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_s_file_is_found_and_damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        let named = path.display().to_string();
        let variable = |name: &str| (name == "RCOMPOSE_CONFIG").then(|| named.clone());
        assert!(Settings::locate(&variable).is_ok());
        std::fs::write(&path, r#"{"mirrors": {"ghcr.io": ["m"]}}"#).unwrap();
        let settings = Settings::locate(&variable).unwrap();
        assert_eq!(settings.registries.mirrors["ghcr.io"], ["m"]);
        std::fs::write(&path, r#"{"mirrors": 1}"#).unwrap();
        let error = Settings::locate(&variable).unwrap_err();
        assert!(error.to_string().contains(&named), "{error}");
    }
}
