//! The files that hold credentials: docker's `config.json` and podman's
//! `auth.json`, which share a form.
//!
//! Pure but for the two functions at the end that read and write one.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value, json};

use crate::registry::Error;
use crate::registry::hosts::HUB;

/// Under which name Docker Hub's credentials are kept, for historical reasons.
pub(super) const HUB_KEY: &str = "https://index.docker.io/v1/";
/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Most symbolic links between a name and the file that is written.
const LINKS_MAX: u32 = 8;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user and a password, or an access token in its place.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// An identity token, which stands for both and buys other tokens.
    IdentityToken(String),
}

impl std::fmt::Debug for Credential {
    /// Secrets stay out of logs.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password { user, .. } => write!(out, "Password of {user:?}"),
            Self::IdentityToken(_) => out.write_str("IdentityToken"),
        }
    }
}

impl Credential {
    /// The value of an `Authorization: Basic` header; None for tokens.
    pub(super) fn basic(&self) -> Option<String> {
        match self {
            Self::Password { user, password } => Some(format!(
                "Basic {}",
                BASE64.encode(format!("{user}:{password}"))
            )),
            Self::IdentityToken(_) => None,
        }
    }
}

/// The key of a registry's credentials.
pub(super) fn key(registry: &str) -> &str {
    if registry == HUB { HUB_KEY } else { registry }
}

/// What one file holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct AuthFile(Map<String, Value>);

impl AuthFile {
    /// Reads the text of a file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        serde_json::from_slice(bytes)
            .map(Self)
            .map_err(|error| error.to_string())
    }

    /// The helper program that has a registry's credentials, without its prefix.
    pub(super) fn helper(&self, registry: &str) -> Option<&str> {
        let own = self.0.get("credHelpers").and_then(Value::as_object);
        let own = own.and_then(|helpers| {
            let found = helpers.iter().find(|(name, _)| is_same(name, registry));
            found.and_then(|(_, helper)| helper.as_str())
        });
        let all = self.0.get("credsStore").and_then(Value::as_str);
        own.or(all).filter(|name| !name.is_empty())
    }

    /// A registry's credential in the file itself. Podman also has entries
    /// for parts of a registry; the longest one that matches counts.
    pub(super) fn credential(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credential>, String> {
        let Some(auths) = self.0.get("auths").and_then(Value::as_object) else {
            return Ok(None);
        };
        let mut place = format!("{registry}/{repository}");
        while let Some((shorter, _)) = place.rsplit_once('/') {
            let found = auths
                .iter()
                .find(|(name, _)| **name == place)
                .map(|(_, entry)| entry);
            if let Some(entry) = found.filter(|_| place.contains('/'))
                && let Some(credential) = credential(entry)?
            {
                return Ok(Some(credential));
            }
            place.truncate(shorter.len());
        }
        for (_, entry) in auths.iter().filter(|(name, _)| is_same(name, registry)) {
            if let Some(credential) = credential(entry)? {
                return Ok(Some(credential));
            }
        }
        Ok(None)
    }

    /// Whether there is an entry for a registry, even an empty one.
    pub(super) fn knows(&self, registry: &str) -> bool {
        let auths = self.0.get("auths").and_then(Value::as_object);
        auths.is_some_and(|auths| auths.keys().any(|name| is_same(name, registry)))
    }

    /// Puts a registry's credential in; None only notes that a helper has it.
    pub(super) fn set(&mut self, registry: &str, credential: Option<&Credential>) {
        self.unset(registry);
        let entry = match credential {
            None => json!({}),
            Some(Credential::Password { user, password }) => {
                json!({"auth": BASE64.encode(format!("{user}:{password}"))})
            }
            Some(Credential::IdentityToken(token)) => json!({"identitytoken": token}),
        };
        let auths = self
            .0
            .entry("auths")
            .or_insert_with(|| Value::Object(Map::new()));
        if !auths.is_object() {
            *auths = Value::Object(Map::new());
        }
        if let Some(auths) = auths.as_object_mut() {
            auths.insert(key(registry).to_owned(), entry);
        }
    }

    /// Takes a registry's entries out.
    pub(super) fn unset(&mut self, registry: &str) {
        if let Some(auths) = self.0.get_mut("auths").and_then(Value::as_object_mut) {
            auths.retain(|name, _| !is_same(name, registry));
        }
    }
}

fn credential(entry: &Value) -> Result<Option<Credential>, String> {
    let text = |name: &str| {
        let value = entry.get(name).and_then(Value::as_str);
        value.filter(|text| !text.is_empty())
    };
    if let Some(token) = text("identitytoken") {
        return Ok(Some(Credential::IdentityToken(token.to_owned())));
    }
    let (user, password) = match (text("auth"), text("username"), text("password")) {
        (Some(auth), _, _) => {
            let bytes = BASE64.decode(auth).ok();
            let decoded = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            let decoded = decoded.ok_or("`auth` is not base64")?;
            let (user, password) = decoded
                .split_once(':')
                .ok_or("`auth` is not base64 of USER:PASSWORD")?;
            // Old clients end the password with zeros.
            (user.to_owned(), password.trim_end_matches('\0').to_owned())
        }
        (None, Some(user), Some(password)) => (user.to_owned(), password.to_owned()),
        (None, _, _) => return Ok(None),
    };
    // Helpers mark an identity token by this name.
    if user == "<token>" {
        return Ok(Some(Credential::IdentityToken(password)));
    }
    Ok(Some(Credential::Password { user, password }))
}

/// Whether a key of a file means a registry: keys may be URLs, and Docker Hub
/// has several names.
fn is_same(name: &str, registry: &str) -> bool {
    let host = |text: &str| {
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let host = rest.split('/').next().unwrap_or(rest).to_ascii_lowercase();
        match host.as_str() {
            "index.docker.io" | "registry-1.docker.io" => HUB.to_owned(),
            _ => host,
        }
    };
    // A key with a path that is no URL is podman's, for part of a registry.
    let is_part = !name.contains("://") && name.contains('/');
    !is_part && host(name) == host(registry)
}

/// Reads a file; None when it isn't there.
pub(super) fn read(path: &Path) -> Result<Option<AuthFile>, Error> {
    let failed = |reason: String| Error::CredentialFile {
        path: path.to_owned(),
        reason,
    };
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX || !metadata.is_file() => {
            return Err(failed("it is no file of a reasonable size".to_owned()));
        }
        Ok(_) => {}
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(failed(error.to_string())),
    }
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    AuthFile::parse(&bytes).map(Some).map_err(failed)
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}

/// Writes a file beside its place and moves it there. A symbolic link stays
/// one; nobody else may read what is made anew.
pub(super) fn write(path: &Path, file: &AuthFile) -> Result<(), Error> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let failed = |error: std::io::Error| Error::CredentialFile {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let target = follow(path);
    let folder = target.parent().unwrap_or(Path::new("/"));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed)?;
    let mut name = target.clone().into_os_string();
    name.push(format!(".tmp-{}", std::process::id()));
    let temporary = PathBuf::from(name);
    let text = serde_json::to_string_pretty(&file.0);
    let text = text.expect("a JSON value always becomes text");
    // Of a login that was killed, or somebody's link to a file of ours: neither
    // is written to.
    let _ = std::fs::remove_file(&temporary);
    let written = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut out| {
            out.write_all(text.as_bytes())?;
            out.write_all(b"\n")?;
            out.sync_all()
        })
        .and_then(|()| std::fs::rename(&temporary, &target));
    if written.is_err() {
        // The first failure is what matters.
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(failed)
}

fn follow(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(target) = std::fs::read_link(&path) else {
            break;
        };
        path = path.parent().unwrap_or(Path::new("/")).join(target);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> AuthFile {
        AuthFile::parse(text.as_bytes()).unwrap()
    }

    fn password(user: &str, password: &str) -> Credential {
        Credential::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    fn found(file: &AuthFile, registry: &str) -> Option<Credential> {
        file.credential(registry, "a/b").unwrap()
    }

    #[test]
    fn every_form_of_an_entry_is_read() {
        let file = file(
            r#"{"auths": {
                "a:5000": {"auth": "dXNlcjpwYTpzcw=="},
                "b": {"auth": "dXNlcjpwYTpzcw"},
                "c": {"identitytoken": "tok", "auth": "dTpw"},
                "d": {"username": "u", "password": "p"},
                "e": {"auth": "PHRva2VuPjp0b2s="},
                "f": {}
            }}"#,
        );
        assert_eq!(found(&file, "a:5000"), Some(password("user", "pa:ss")));
        assert_eq!(found(&file, "b"), Some(password("user", "pa:ss")));
        assert_eq!(
            found(&file, "c"),
            Some(Credential::IdentityToken("tok".into()))
        );
        assert_eq!(found(&file, "d"), Some(password("u", "p")));
        assert_eq!(
            found(&file, "e"),
            Some(Credential::IdentityToken("tok".into()))
        );
        assert_eq!(found(&file, "f"), None);
        assert!(file.knows("f") && !file.knows("g"));
        assert_eq!(found(&file, "a"), None);
    }

    #[test]
    fn a_link_that_lies_in_wait_is_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "as it was").unwrap();
        let path = dir.path().join("config.json");
        let temporary = format!("{}.tmp-{}", path.display(), std::process::id());
        std::os::unix::fs::symlink(&victim, temporary).unwrap();
        write(&path, &file(r#"{"auths": {}}"#)).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "as it was");
        assert!(std::fs::symlink_metadata(&path).unwrap().is_file());
    }

    #[test]
    fn the_hub_has_many_names() {
        for name in [
            "https://index.docker.io/v1/",
            "index.docker.io",
            "docker.io",
            "https://registry-1.docker.io",
        ] {
            let file = file(&format!(r#"{{"auths": {{"{name}": {{"auth": "dTpw"}}}}}}"#));
            assert_eq!(
                found(&file, "docker.io"),
                Some(password("u", "p")),
                "{name}"
            );
        }
        let other = file(r#"{"auths": {"https://ghcr.io/v2/": {"auth": "dTpw"}}}"#);
        assert_eq!(found(&other, "ghcr.io"), Some(password("u", "p")));
        assert_eq!(found(&other, "docker.io"), None);
    }

    #[test]
    fn the_longest_part_of_a_registry_counts() {
        let file = file(
            r#"{"auths": {"q.io": {"auth": "YTph"}, "q.io/org": {"auth": "Yjpi"}, "q.io/org/app": {"auth": "Yzpj"}}}"#,
        );
        let of = |repository| file.credential("q.io", repository).unwrap().unwrap();
        assert_eq!(of("x/y"), password("a", "a"));
        assert_eq!(of("org/y"), password("b", "b"));
        assert_eq!(of("org/app"), password("c", "c"));
    }

    #[test]
    fn helpers_are_found_by_registry_then_for_all() {
        let file = file(r#"{"credsStore": "pass", "credHelpers": {"gcr.io": "gcloud"}}"#);
        assert_eq!(file.helper("gcr.io"), Some("gcloud"));
        assert_eq!(file.helper("docker.io"), Some("pass"));
        assert_eq!(AuthFile::default().helper("docker.io"), None);
    }

    #[test]
    fn damage_is_told() {
        assert!(AuthFile::parse(b"nonsense").is_err());
        assert!(AuthFile::parse(b"[]").is_err());
        assert_eq!(AuthFile::parse(b" \n").unwrap(), AuthFile::default());
        for auth in ["%", "dXNlcg=="] {
            let file = file(&format!(r#"{{"auths": {{"a": {{"auth": "{auth}"}}}}}}"#));
            assert!(file.credential("a", "b").is_err(), "{auth}");
        }
    }

    #[test]
    fn what_else_stands_in_the_file_stays() {
        let mut known = file(
            r#"{"psFormat": "x", "auths": {"index.docker.io": {"auth": "dTpw"}, "z": {"auth": "dTpw"}}}"#,
        );
        known.set("docker.io", Some(&password("n", "m")));
        known.set("q", None);
        let text = serde_json::to_string(&known.0).unwrap();
        assert_eq!(
            text,
            r#"{"psFormat":"x","auths":{"z":{"auth":"dTpw"},"https://index.docker.io/v1/":{"auth":"bjpt"},"q":{}}}"#
        );
        known.unset("docker.io");
        assert!(!known.knows("docker.io") && known.knows("q"));
    }

    #[test]
    fn a_written_file_is_private_and_a_link_stays_one() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (link, real) = (dir.path().join("link"), dir.path().join("sub/real"));
        std::os::unix::fs::symlink("sub/real", &link).unwrap();
        let mut auths = AuthFile::default();
        auths.set("a", Some(&password("u", "p")));
        write(&link, &auths).unwrap();
        assert!(link.is_symlink());
        let mode = std::fs::metadata(&real).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(read(&link).unwrap(), Some(auths));
        assert_eq!(read(&dir.path().join("none")).unwrap(), None);
        assert!(read(dir.path()).is_err());
    }

    #[test]
    fn debug_tells_no_secret() {
        let shown = format!(
            "{:?} {:?}",
            password("u", "s3cret"),
            Credential::IdentityToken("s3cret".into())
        );
        assert!(!shown.contains("s3cret"));
    }
}
