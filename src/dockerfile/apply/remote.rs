//! Sources of ADD that are fetched: files by URL, and repositories.

use crate::dockerfile::apply::copy::is_commit;
use crate::dockerfile::step::{CopySource, GitSource};

/// Why an address is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "invalid query {0:?} of a repository: it has ref, tag, branch, subdir, checksum, submodules and keep-git-dir"
    )]
    Query(String),
    #[error("invalid commit {0:?}: it is at least seven hexadecimal digits")]
    Commit(String),
    #[error("repository {0:?} has both a fragment and a query that name the same thing")]
    Twice(String),
}

/// Whether a context's address is a repository's, by docker's rules.
#[must_use]
pub fn is_repository(url: &str) -> bool {
    let is_web = url.starts_with("http://") || url.starts_with("https://");
    let path = url.split(['#', '?']).next().unwrap_or(url);
    !is_web || path.ends_with(".git")
}

/// The repository that a context's address names; `github.com/…` stands for
/// itself behind `https://`.
///
/// # Errors
/// What is wrong with its fragment or query.
pub fn repository(url: &str) -> Result<GitSource, String> {
    let short = url.starts_with("github.com/");
    let url = if short {
        format!("https://{url}")
    } else {
        url.to_owned()
    };
    read(&url).map_err(|error| error.to_string())
}

/// What is fetched, or nothing for a path.
pub(super) fn parse(text: &str) -> Option<Result<CopySource, Error>> {
    let is_http = ["http://", "https://"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    let is_repository = ["git://", "ssh://", "git@"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
        || is_scp_like(text);
    let (address, _) = text.split_once('#').unwrap_or((text, ""));
    let (address, _) = address.split_once('?').unwrap_or((address, ""));
    if is_repository || (is_http && address.ends_with(".git")) {
        return Some(read(text).map(CopySource::Git));
    }
    is_http.then(|| Ok(CopySource::Url(text.to_owned())))
}

/// `user@host:path.git`, as ssh has it.
fn is_scp_like(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else {
        return false;
    };
    let is_user = !user.is_empty()
        && user
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let host = rest.split_once(':').map(|(host, _)| host);
    is_user
        && host.is_some_and(|host| !host.is_empty() && !host.contains('/'))
        && text.contains(".git")
}

/// `address#reference:folder`, or the same in a query.
fn read(text: &str) -> Result<GitSource, Error> {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (remote, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (reference, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut git = GitSource {
        remote: remote.to_owned(),
        reference: given(reference),
        folder: given(folder),
        commit: None,
        has_submodules: true,
        keeps_git: None,
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value);
        let is_true = || crate::dockerfile::parse::truth(&value).unwrap_or(value.is_empty());
        let slot = match key {
            "ref" | "tag" | "branch" | "commit" => &mut git.reference,
            "subdir" => &mut git.folder,
            "checksum" if is_commit(&value) => &mut git.commit,
            "checksum" => return Err(Error::Commit(value)),
            "submodules" => {
                git.has_submodules = is_true();
                continue;
            }
            "keep-git-dir" => {
                git.keeps_git = Some(is_true());
                continue;
            }
            _ => return Err(Error::Query(pair.to_owned())),
        };
        if slot.replace(value).is_some() {
            return Err(Error::Twice(text.to_owned()));
        }
    }
    Ok(git)
}

/// Takes `%2F` for what it means.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(text: &str) -> GitSource {
        match parse(text) {
            Some(Ok(CopySource::Git(git))) => git,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn addresses_are_told_from_paths() {
        for path in ["a", "./git@x", "github.com/a/b", "a:b", "http:/x", "x@y"] {
            assert_eq!(parse(path), None, "{path}");
        }
        let url = "https://example.com/a.tar.gz?x=y";
        assert_eq!(parse(url), Some(Ok(CopySource::Url(url.to_owned()))));
        for repository in [
            "https://example.com/a.git",
            "https://example.com/a.git#v1",
            "git@example.com:a/b.git",
            "me@example.com:a/b.git",
            "ssh://git@example.com/a",
            "git://example.com/a",
        ] {
            git(repository);
        }
    }

    #[test]
    fn a_repository_says_which_part_of_it() {
        let whole = git("https://x.org/a.git");
        assert_eq!((whole.reference, whole.folder), (None, None));
        let part = git("https://x.org/a.git#v1.0:docs/en");
        assert_eq!(part.remote, "https://x.org/a.git");
        assert_eq!(part.reference.as_deref(), Some("v1.0"));
        assert_eq!(part.folder.as_deref(), Some("docs/en"));
        assert_eq!(git("git@x.org:a.git#:docs").reference, None);
        let query = "https://x.org/a.git?ref=feature%2Fx&subdir=d&checksum=0123abc&submodules=false&keep-git-dir=1";
        let query = git(query);
        assert_eq!(query.reference.as_deref(), Some("feature/x"));
        assert_eq!(query.commit.as_deref(), Some("0123abc"));
        assert!(!query.has_submodules);
        assert_eq!(query.keeps_git, Some(true));
    }

    #[test]
    fn bad_queries_are_refused() {
        for text in [
            "https://x.org/a.git?foo=1",
            "https://x.org/a.git?checksum=xyz",
            "https://x.org/a.git?ref=a#b",
        ] {
            assert!(matches!(parse(text), Some(Err(_))), "{text}");
        }
    }
}
