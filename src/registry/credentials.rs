//! Finding and keeping credentials: docker's and podman's files, and the
//! helper programs that docker's file names.
//!
//! A helper is one of the two foreign programs that rcompose runs (`git` is the
//! other): the user has named it, and nobody else has the secret.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::registry::Error;
use crate::registry::auth_file::{self, AuthFile, Credential, key};

/// How long a helper may take; it may ask the user for a password.
const HELPER_TIME_MAX: Duration = Duration::from_secs(60);
/// How often it is looked at meanwhile.
const HELPER_STEP: Duration = Duration::from_millis(5);
/// Longest answer of a helper, in bytes.
const HELPER_BYTES_MAX: u64 = 64 << 10;
/// What helpers say when they have nothing.
const HELPER_HAS_NONE: &str = "credentials not found";

/// Where credentials are looked for.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// docker's own file, which logins are written to.
    own: Option<PathBuf>,
    /// podman's files.
    others: Vec<PathBuf>,
    /// Where helpers are searched; the process's own when absent.
    path: Option<String>,
}

/// Where a login was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// In a file, readable by whoever reads it.
    File(PathBuf),
    /// By a helper program.
    Helper(String),
}

impl Credentials {
    /// The places that the environment's `variable`s name: `DOCKER_CONFIG`,
    /// `REGISTRY_AUTH_FILE`, `XDG_RUNTIME_DIR`, `XDG_CONFIG_HOME` and `HOME`.
    #[must_use]
    pub fn locate(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let folder = |name: &str| {
            let value = variable(name).filter(|value| !value.is_empty());
            value.map(PathBuf::from)
        };
        let home = folder("HOME");
        let docker = folder("DOCKER_CONFIG").or_else(|| Some(home.as_ref()?.join(".docker")));
        let config = folder("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
        let in_folder = |folder: Option<PathBuf>| Some(folder?.join("containers/auth.json"));
        let others = [
            folder("REGISTRY_AUTH_FILE"),
            in_folder(folder("XDG_RUNTIME_DIR")),
            in_folder(config),
        ];
        Self {
            own: docker.map(|folder| folder.join("config.json")),
            others: others.into_iter().flatten().collect(),
            path: variable("PATH"),
        }
    }

    /// The credential for a repository; None when there is none.
    ///
    /// # Errors
    /// [`Error::CredentialFile`] and [`Error::Helper`].
    pub fn find(&self, registry: &str, repository: &str) -> Result<Option<Credential>, Error> {
        for path in self.own.iter().chain(&self.others) {
            let Some(file) = auth_file::read(path)? else {
                continue;
            };
            if let Some(helper) = file.helper(registry)
                && let Some(found) = self.ask(helper, registry)?
            {
                return Ok(Some(found));
            }
            let found = file.credential(registry, repository);
            let found = found.map_err(|reason| Error::CredentialFile {
                path: path.clone(),
                reason: format!("auths: {registry}: {reason}"),
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Keeps a credential, with a helper when docker's file names one.
    ///
    /// # Errors
    /// [`Error::CredentialFile`] and [`Error::Helper`].
    pub fn keep(&self, registry: &str, credential: &Credential) -> Result<Kept, Error> {
        let (path, mut file) = self.own_file()?;
        let helper = file.helper(registry).map(str::to_owned);
        let kept = match helper {
            Some(helper) => {
                let (user, secret) = match credential {
                    Credential::Password { user, password } => (user.as_str(), password.as_str()),
                    Credential::IdentityToken(token) => ("<token>", token.as_str()),
                };
                let words = serde_json::json!({
                    "ServerURL": key(registry), "Username": user, "Secret": secret,
                });
                self.run(&helper, "store", &words.to_string())?;
                file.set(registry, None);
                Kept::Helper(helper)
            }
            None => {
                file.set(registry, Some(credential));
                Kept::File(path.clone())
            }
        };
        auth_file::write(&path, &file)?;
        Ok(kept)
    }

    /// Forgets a registry's credential in docker's file and its helper; says
    /// whether there was one.
    ///
    /// # Errors
    /// [`Error::CredentialFile`] and [`Error::Helper`].
    pub fn forget(&self, registry: &str) -> Result<bool, Error> {
        let (path, mut file) = self.own_file()?;
        let mut was_there = file.knows(registry);
        if let Some(helper) = file.helper(registry).map(str::to_owned)
            && (was_there || self.ask(&helper, registry)?.is_some())
        {
            self.run(&helper, "erase", key(registry))?;
            was_there = true;
        }
        if file.knows(registry) {
            file.unset(registry);
            auth_file::write(&path, &file)?;
        }
        Ok(was_there)
    }

    fn own_file(&self) -> Result<(PathBuf, AuthFile), Error> {
        let path = self.own.clone().ok_or_else(|| Error::CredentialFile {
            path: PathBuf::from("config.json"),
            reason: "neither DOCKER_CONFIG nor HOME says where it is".to_owned(),
        })?;
        let file = auth_file::read(&path)?.unwrap_or_default();
        Ok((path, file))
    }

    fn ask(&self, helper: &str, registry: &str) -> Result<Option<Credential>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            #[serde(default)]
            username: String,
            #[serde(default)]
            secret: String,
        }
        let Some(answer) = self.run(helper, "get", key(registry))? else {
            return Ok(None);
        };
        let answer: Answer = serde_json::from_slice(&answer)
            .map_err(|_| helper_error(helper, "get", "its answer is no JSON object"))?;
        Ok(match answer {
            Answer { secret, .. } if secret.is_empty() => None,
            Answer { username, secret } if username == "<token>" => {
                Some(Credential::IdentityToken(secret))
            }
            Answer { username, secret } => Some(Credential::Password {
                user: username,
                password: secret,
            }),
        })
    }

    /// Runs a helper with a word and its input; None when it has nothing.
    fn run(&self, helper: &str, verb: &'static str, input: &str) -> Result<Option<Vec<u8>>, Error> {
        let failed = |reason: &str| helper_error(helper, verb, reason);
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if !helper.bytes().all(is_name) {
            return Err(failed("that is no name of a helper"));
        }
        let mut command = Command::new(self.program(helper));
        command
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut child = command
            .spawn()
            .map_err(|error| failed(&error.to_string()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A helper that doesn't read has its reasons; its answer counts.
            let _ = stdin.write_all(input.as_bytes());
        }
        let stdout = child.stdout.take();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(stdout) = stdout {
                // What can't be read is an answer that isn't there.
                let _ = stdout.take(HELPER_BYTES_MAX).read_to_end(&mut bytes);
            }
            bytes
        });
        let deadline = Instant::now() + HELPER_TIME_MAX;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < deadline => std::thread::sleep(HELPER_STEP),
                Ok(None) => {
                    // It is ours, and it had its time.
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(failed("it took more than a minute"));
                }
                Err(error) => return Err(failed(&error.to_string())),
            }
        };
        let answer = reader.join().unwrap_or_default();
        let text = String::from_utf8_lossy(&answer);
        if status.success() {
            return Ok(Some(answer));
        }
        if verb != "store" && text.contains(HELPER_HAS_NONE) {
            return Ok(None);
        }
        let said = text.trim();
        Err(failed(if said.is_empty() { "it failed" } else { said }))
    }

    /// The helper on the `PATH` that we were given.
    fn program(&self, helper: &str) -> PathBuf {
        let name = format!("docker-credential-{helper}");
        let folders = self.path.as_deref().unwrap_or_default().split(':');
        let found = folders
            .filter(|folder| !folder.is_empty())
            .map(|folder| Path::new(folder).join(&name))
            .find(|path| path.is_file());
        found.unwrap_or_else(|| PathBuf::from(name))
    }
}

fn helper_error(helper: &str, verb: &'static str, reason: &str) -> Error {
    Error::Helper {
        helper: format!("docker-credential-{helper}"),
        verb,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Place {
        dir: tempfile::TempDir,
        variables: BTreeMap<&'static str, String>,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = |name: &str| dir.path().join(name).display().to_string();
            let variables = [
                ("HOME", path("home")),
                ("XDG_RUNTIME_DIR", path("run")),
                ("PATH", format!("{}:/usr/bin:/bin", path("bin"))),
            ];
            Self {
                variables: variables.into_iter().collect(),
                dir,
            }
        }

        fn credentials(&self) -> Credentials {
            Credentials::locate(&|name| self.variables.get(name).cloned())
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path
        }

        /// A helper that keeps what it is given in files beside it.
        fn helper(&self) {
            let store = self.dir.path().join("stored");
            let script = format!(
                "#!/bin/sh\nread -r input\ncase $1 in\nget) cat {0} 2>/dev/null || {{ echo 'credentials not found in native keychain'; exit 1; }} ;;\nstore) printf %s \"$input\" > {0} ;;\nerase) rm {0} ;;\nesac\n",
                store.display()
            );
            // Another process writes it: a file that this one has open for
            // writing, if only in a fork of another test, can't be run.
            let source = self.write("source", &script);
            let bin = self.dir.path().join("bin");
            std::fs::create_dir_all(&bin).unwrap();
            let copied = Command::new("cp")
                .arg(source)
                .arg(bin.join("docker-credential-fake"))
                .status();
            assert!(copied.unwrap().success());
            let path = bin.join("docker-credential-fake");
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
    }

    fn password(user: &str) -> Credential {
        Credential::Password {
            user: user.to_owned(),
            password: "p".to_owned(),
        }
    }

    #[test]
    fn docker_s_file_comes_before_podman_s() {
        let place = Place::new();
        place.write(
            "run/containers/auth.json",
            r#"{"auths": {"a": {"auth": "cG9kOnA="}, "b": {"auth": "cG9kOnA="}}}"#,
        );
        let credentials = place.credentials();
        assert_eq!(credentials.find("a", "x").unwrap(), Some(password("pod")));
        place.write(
            "home/.docker/config.json",
            r#"{"auths": {"a": {"auth": "ZG9jazpw"}}}"#,
        );
        assert_eq!(credentials.find("a", "x").unwrap(), Some(password("dock")));
        assert_eq!(credentials.find("b", "x").unwrap(), Some(password("pod")));
        assert_eq!(credentials.find("c", "x").unwrap(), None);
    }

    #[test]
    fn a_login_is_kept_and_forgotten() {
        let place = Place::new();
        let credentials = place.credentials();
        let kept = credentials.keep("r:5000", &password("u")).unwrap();
        assert!(matches!(kept, Kept::File(path) if path.ends_with(".docker/config.json")));
        assert_eq!(
            credentials.find("r:5000", "x").unwrap(),
            Some(password("u"))
        );
        assert!(credentials.forget("r:5000").unwrap());
        assert!(!credentials.forget("r:5000").unwrap());
        assert_eq!(credentials.find("r:5000", "x").unwrap(), None);
    }

    #[test]
    fn a_helper_has_what_the_file_has_not() {
        let place = Place::new();
        place.helper();
        place.write("home/.docker/config.json", r#"{"credsStore": "fake"}"#);
        let credentials = place.credentials();
        assert_eq!(credentials.find("r", "x").unwrap(), None);
        let kept = credentials.keep("r", &password("u")).unwrap();
        assert_eq!(kept, Kept::Helper("fake".to_owned()));
        assert_eq!(credentials.find("r", "x").unwrap(), Some(password("u")));
        let text = std::fs::read_to_string(place.dir.path().join("home/.docker/config.json"));
        assert!(!text.unwrap().contains("\"auth\""));
        assert!(credentials.forget("r").unwrap());
        assert_eq!(credentials.find("r", "x").unwrap(), None);
        let token = Credential::IdentityToken("t".to_owned());
        credentials.keep("docker.io", &token).unwrap();
        assert_eq!(credentials.find("docker.io", "x").unwrap(), Some(token));
    }

    #[test]
    fn a_helper_that_isn_t_there_or_no_name_is_told() {
        let place = Place::new();
        for name in ["missing", "../../bin/sh"] {
            place.write(
                "home/.docker/config.json",
                &format!(r#"{{"credsStore": "{name}"}}"#),
            );
            let error = place.credentials().find("r", "x").unwrap_err();
            assert!(
                matches!(&error, Error::Helper { helper, .. } if helper.ends_with(name)),
                "{error}"
            );
        }
    }

    #[test]
    fn a_damaged_file_is_named() {
        let place = Place::new();
        let path = place.write("home/.docker/config.json", "{");
        let error = place.credentials().find("r", "x").unwrap_err();
        assert!(error.to_string().contains(&path.display().to_string()));
    }
}
