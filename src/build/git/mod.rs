//! Repositories that a Dockerfile or a context names: fetched once a run, one
//! commit deep, by the user's `git`.
//!
//! ```text
//! address#reference ▶ ls-remote ▶ commit (the cache key) ▶ fetch ▶ tree, modes and times made plain
//! ```
//! A reference that is a whole commit id isn't asked for: it is its own key.

mod program;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;

use crate::build::Error;
use crate::build::request::{BuildRequest, Secret};
use crate::build::shared::{Shared, lock};
use crate::dockerfile::GitSource;
use crate::sys::tree::{self, FileTime, Kind};

pub(crate) use program::How;

/// How long a server may think about its references.
const ASK_TIME: Duration = Duration::from_secs(60);
/// How long a repository may take to come.
const FETCH_TIME: Duration = Duration::from_secs(900);
/// How long our own disk may take.
const LOCAL_TIME: Duration = Duration::from_secs(300);
/// Digits of a whole commit id: SHA-1 and SHA-256.
const COMMIT_DIGITS: [usize; 2] = [40, 64];
/// Fewest digits that may stand for a commit.
const SHORT_DIGITS: usize = 7;
/// Longest token that a secret may have, in bytes.
const TOKEN_BYTES_MAX: u64 = 64 << 10;
/// Deepest folder of a repository.
const DEPTH_MAX: usize = 200;

/// The repositories of a run.
#[derive(Debug, Default)]
pub(crate) struct Repositories {
    /// Commits by address and reference; each has a lock of its own, so that
    /// one is waited for and not the others.
    commits: Slots<(String, Option<String>), String>,
    /// Trees by address, commit, and whether they have submodules and `.git`.
    trees: Slots<(String, String, bool, bool), PathBuf>,
}

type Slots<K, V> = Mutex<HashMap<K, Arc<Mutex<Option<V>>>>>;

/// Where a value goes that somebody is making.
fn slot<K: std::hash::Hash + Eq, V>(slots: &Slots<K, V>, key: K) -> Arc<Mutex<Option<V>>> {
    Arc::clone(lock(slots).entry(key).or_default())
}

/// A repository for a build: what of the build git is told.
pub(crate) struct Asking<'a> {
    git: &'a GitSource,
    how: How<'a>,
    settings: Vec<(String, String)>,
    shared: &'a Shared<'a>,
}

impl<'a> Asking<'a> {
    /// Asks for a repository on behalf of a request.
    pub(crate) fn new(
        git: &'a GitSource,
        request: &'a BuildRequest,
        shared: &'a Shared<'a>,
        cancel: &'a crate::build::Cancel,
    ) -> Result<Self, Error> {
        if git.remote.starts_with('-') {
            return Err(refused(git, "that is no address".to_owned()));
        }
        Ok(Self {
            git,
            settings: authorization(git, request)?,
            how: How {
                environment: &shared.around.environment,
                settings: &[],
                agent: request.ssh.get("default").map(PathBuf::as_path),
                cancel,
            },
            shared,
        })
    }

    fn run(&self, words: &[&str], folder: &Path, patience: Duration) -> Result<String, Error> {
        let how = How {
            settings: &self.settings,
            ..self.how
        };
        program::git(words, folder, patience, &how).map_err(|error| match error {
            program::Error::Cancelled => Error::Cancelled,
            error => refused(self.git, error.to_string()),
        })
    }

    /// The commit that is meant, by its whole id.
    pub(crate) fn commit(&self) -> Result<String, Error> {
        if let Some(whole) = whole_commit(self.git) {
            return Ok(whole.to_owned());
        }
        let key = (self.git.remote.clone(), self.git.reference.clone());
        let place = slot(&self.shared.repositories.commits, key);
        let mut place = lock(&place);
        if let Some(known) = &*place {
            return Ok(known.clone());
        }
        let answer = self.ls_remote()?;
        let commit = match meant(&answer, self.git.reference.as_deref()) {
            Some(found) => found,
            None => self.short_commit()?,
        };
        Ok(place.insert(commit).clone())
    }

    fn ls_remote(&self) -> Result<String, Error> {
        let remote = self.git.remote.as_str();
        let mut words = vec!["ls-remote", "-q", "--", remote];
        let (reference, peeled);
        match &self.git.reference {
            None => words.push("HEAD"),
            Some(text) => {
                reference = text.clone();
                peeled = format!("{text}^{{}}");
                words.extend([reference.as_str(), peeled.as_str()]);
            }
        }
        self.run(&words, Path::new("/"), ASK_TIME)
    }

    /// A commit by the beginning of its id: all of the repository is needed
    /// to know it.
    fn short_commit(&self) -> Result<String, Error> {
        let text = self.git.reference.as_deref().unwrap_or("HEAD");
        let is_short = text.len() >= SHORT_DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_short {
            let reason = format!("it has no branch or tag {text}");
            return Err(refused(self.git, reason));
        }
        let folder = self.fresh()?;
        self.fetch_all(&folder)?;
        let name = format!("{text}^{{commit}}");
        let found = self.run(&["rev-parse", "-q", "--verify", &name], &folder, LOCAL_TIME);
        match found {
            Ok(found) => Ok(found.trim().to_owned()),
            Err(Error::Cancelled) => Err(Error::Cancelled),
            Err(_) => Err(refused(
                self.git,
                format!("it has no branch, tag or commit {text}"),
            )),
        }
    }

    fn fresh(&self) -> Result<PathBuf, Error> {
        let folder = self.shared.workshop.place("repository");
        std::fs::create_dir(&folder).map_err(Error::io("create", &folder))?;
        self.run(&["init", "-q"], &folder, LOCAL_TIME)?;
        let remote = self.git.remote.as_str();
        self.run(
            &["remote", "add", "origin", "--", remote],
            &folder,
            LOCAL_TIME,
        )?;
        Ok(folder)
    }

    fn fetch_all(&self, folder: &Path) -> Result<(), Error> {
        let branches = "+refs/heads/*:refs/remotes/origin/*";
        let words = ["fetch", "-q", "--tags", "origin", branches];
        self.run(&words, folder, FETCH_TIME).map(drop)
    }

    /// The tree of the commit that is meant; its folder, when one is named.
    pub(crate) fn tree(&self, keeps_git: bool) -> Result<PathBuf, Error> {
        let commit = self.commit()?;
        let git = self.git;
        let key = (
            git.remote.clone(),
            commit.clone(),
            git.has_submodules,
            keeps_git,
        );
        let place = slot(&self.shared.repositories.trees, key);
        let mut place = lock(&place);
        let folder = match &*place {
            Some(known) => known.clone(),
            None => place.insert(self.fetch(&commit, keeps_git)?).clone(),
        };
        drop(place);
        self.part(&folder)
    }

    fn fetch(&self, commit: &str, keeps_git: bool) -> Result<PathBuf, Error> {
        let folder = self.fresh()?;
        // A branch or tag is fetched by name: not every server gives commits.
        let wanted = match &self.git.reference {
            Some(text) if whole_commit(self.git).is_none() => text.as_str(),
            Some(_) => commit,
            None => "HEAD",
        };
        let words = [
            "fetch",
            "-q",
            "--no-tags",
            "--depth=1",
            "origin",
            "--",
            wanted,
        ];
        let has = |commit: &str| {
            let name = format!("{commit}^{{commit}}");
            self.run(&["cat-file", "-e", &name], &folder, LOCAL_TIME)
                .is_ok()
        };
        match self.run(&words, &folder, FETCH_TIME) {
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Ok(_) if has(commit) => {}
            Ok(_) | Err(_) => self.fetch_all(&folder)?,
        }
        self.run(&["checkout", "-q", "--detach", commit], &folder, LOCAL_TIME)?;
        if self.git.has_submodules && folder.join(".gitmodules").is_file() {
            let words = [
                "submodule",
                "update",
                "-q",
                "--init",
                "--recursive",
                "--depth=1",
            ];
            self.run(&words, &folder, FETCH_TIME)?;
        }
        let time = self.run(&["show", "-s", "--format=%ct", commit], &folder, LOCAL_TIME)?;
        let time = FileTime {
            seconds: time.trim().parse().unwrap_or_default(),
            nanos: 0,
        };
        let failed = |source| Error::io("tidy", &folder)(source);
        let opened = tree::open_root(&folder).map_err(failed)?;
        plain(opened.as_fd(), keeps_git, time, 0).map_err(failed)?;
        tree::set_modified_open(opened.as_fd(), time).map_err(failed)?;
        Ok(folder)
    }

    /// The folder of the repository that is named; links don't lead out of it.
    fn part(&self, folder: &Path) -> Result<PathBuf, Error> {
        let Some(name) = &self.git.folder else {
            return Ok(folder.to_owned());
        };
        let inside = crate::dockerfile::clean(&format!("/{name}"));
        let inside = inside.trim_start_matches('/');
        let wanted = folder.join(inside);
        let real = std::fs::canonicalize(&wanted).ok();
        let top = std::fs::canonicalize(folder).map_err(Error::io("open", folder))?;
        let real = real.filter(|real| real.starts_with(&top) && real.is_dir());
        real.ok_or_else(|| refused(self.git, format!("it has no folder {name}")))
    }
}

/// A whole commit id, when the source says one.
fn whole_commit(git: &GitSource) -> Option<&str> {
    let is_whole = |text: &&str| {
        COMMIT_DIGITS.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
    };
    git.reference.as_deref().filter(is_whole)
}

/// The commit that a reference means, of what `ls-remote` lists: a branch
/// before a tag, and what an annotated tag points at before the tag itself.
fn meant(answer: &str, reference: Option<&str>) -> Option<String> {
    let lines = answer.lines();
    let listed: HashMap<&str, &str> = lines
        .filter_map(|line| line.split_once('\t'))
        .map(|(commit, name)| (name, commit))
        .collect();
    let text = reference.unwrap_or("HEAD");
    let names = [
        format!("refs/heads/{text}"),
        format!("refs/tags/{text}^{{}}"),
        format!("refs/tags/{text}"),
        format!("{text}^{{}}"),
        text.to_owned(),
    ];
    let found = names.iter().find_map(|name| listed.get(name.as_str()))?;
    let is_commit =
        found.bytes().all(|b| b.is_ascii_hexdigit()) && COMMIT_DIGITS.contains(&found.len());
    is_commit.then(|| (*found).to_owned())
}

/// Gives a tree the modes that git knows and the commit's time; takes away
/// `.git` unless it is to stay.
fn plain(
    folder: BorrowedFd<'_>,
    keeps_git: bool,
    time: FileTime,
    depth: usize,
) -> std::io::Result<()> {
    if depth > DEPTH_MAX {
        return Err(std::io::Error::other("its folders are nested too deep"));
    }
    for (name, kind) in tree::entries(folder)? {
        if name == OsStr::new(".git") {
            if !keeps_git {
                tree::remove_tree(folder, &name)?;
            }
            continue;
        }
        match kind {
            Kind::Dir => {
                let inner = tree::open_dir(folder, &name)?;
                plain(inner.as_fd(), keeps_git, time, depth + 1)?;
                tree::set_mode_open(inner.as_fd(), 0o755)?;
                tree::set_modified_open(inner.as_fd(), time)?;
            }
            Kind::File => {
                let file = tree::open_file(folder, &name)?;
                let is_program = tree::stat_open(file.as_fd())?.mode & 0o100 != 0;
                tree::set_mode_open(file.as_fd(), if is_program { 0o755 } else { 0o644 })?;
                tree::set_modified_open(file.as_fd(), time)?;
            }
            Kind::Symlink | Kind::CharDevice | Kind::BlockDevice | Kind::Fifo | Kind::Other => {
                tree::set_modified(folder, &name, time)?;
            }
        }
    }
    Ok(())
}

/// What the secrets `GIT_AUTH_TOKEN` and `GIT_AUTH_HEADER` (or those of the
/// host alone, `GIT_AUTH_TOKEN.example.org`) say for web addresses.
fn authorization(git: &GitSource, request: &BuildRequest) -> Result<Vec<(String, String)>, Error> {
    let remote = &git.remote;
    let Some((scheme, rest)) = remote.split_once("://") else {
        return Ok(Vec::new());
    };
    let host = rest.split('/').next().unwrap_or_default();
    if !matches!(scheme, "http" | "https") || host.contains('@') {
        return Ok(Vec::new());
    }
    let secret = |name: &str| -> Result<Option<String>, Error> {
        let own = format!("{name}.{host}");
        let found = request
            .secrets
            .get(&own)
            .or_else(|| request.secrets.get(name));
        match found {
            None => Ok(None),
            Some(Secret::Value(value)) => {
                Ok(Some(String::from_utf8_lossy(value).trim().to_owned()))
            }
            Some(Secret::File(path)) => {
                use std::io::Read as _;
                let mut text = String::new();
                let failed = |source| Error::Secret {
                    id: name.to_owned(),
                    source,
                };
                let file = std::fs::File::open(path).map_err(failed)?;
                file.take(TOKEN_BYTES_MAX)
                    .read_to_string(&mut text)
                    .map_err(failed)?;
                Ok(Some(text.trim().to_owned()))
            }
        }
    };
    let header = match (secret("GIT_AUTH_HEADER")?, secret("GIT_AUTH_TOKEN")?) {
        (Some(header), _) => header,
        (None, Some(token)) => {
            let pair = format!("x-access-token:{token}");
            let coded = base64::engine::general_purpose::STANDARD.encode(pair);
            format!("basic {coded}")
        }
        (None, None) => return Ok(Vec::new()),
    };
    let key = format!("http.{scheme}://{host}/.extraheader");
    Ok(vec![(key, format!("Authorization: {header}"))])
}

/// What git says when a server wants to know who asks.
const LOGIN_WANTED: [&str; 2] = ["could not read Username", "Authentication failed"];

/// An error that names the repository without a password.
fn refused(git: &GitSource, reason: String) -> Error {
    let url = without_password(&git.remote);
    let mut reason = reason.replace(&git.remote, &url);
    if LOGIN_WANTED.iter().any(|words| reason.contains(words)) {
        reason.push_str("; it wants a login: give the secret GIT_AUTH_TOKEN");
    }
    Error::Remote {
        what: "repository",
        url,
        reason,
    }
}

fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://xxxxx@{host}/{path}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(reference: Option<&str>) -> GitSource {
        GitSource {
            remote: "https://example.org/r.git".to_owned(),
            reference: reference.map(str::to_owned),
            folder: None,
            commit: None,
            has_submodules: true,
            keeps_git: None,
        }
    }

    #[test]
    fn a_branch_comes_before_a_tag_and_a_commit_before_its_tag() {
        let [a, b, c] = ["a", "b", "c"].map(|digit| digit.repeat(40));
        let answer = format!("{a}\trefs/tags/v1\n{b}\trefs/tags/v1^{{}}\n");
        assert_eq!(meant(&answer, Some("v1")), Some(b.clone()));
        let both = format!("{answer}{c}\trefs/heads/v1\n");
        assert_eq!(meant(&both, Some("v1")), Some(c.clone()));
        assert_eq!(meant(&format!("{a}\tHEAD\n"), None), Some(a.clone()));
        let whole = format!("{a}\trefs/pull/1/head\n");
        assert_eq!(meant(&whole, Some("refs/pull/1/head")), Some(a));
        assert_eq!(meant(&whole, Some("head")), None);
        assert_eq!(meant("zz\tHEAD\n", None), None);
    }

    #[test]
    fn a_whole_commit_is_its_own_answer() {
        let commit = "0123456789".repeat(4);
        assert_eq!(whole_commit(&source(Some(&commit))), Some(commit.as_str()));
        for other in [None, Some("main"), Some("0123456")] {
            assert_eq!(whole_commit(&source(other)), None);
        }
    }

    #[test]
    fn no_message_shows_a_password() {
        let git = GitSource {
            remote: "https://me:secret@example.org/r.git".to_owned(),
            ..source(None)
        };
        let told = refused(&git, format!("fatal: {} is gone", git.remote)).to_string();
        assert_eq!(
            told,
            "repository https://xxxxx@example.org/r.git: fatal: https://xxxxx@example.org/r.git is gone"
        );
    }
}
