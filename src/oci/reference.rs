//! Image references: `[registry/]name[:tag][@digest]`, with Docker's short forms.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::oci::digest::is_lower_hex;
use crate::oci::{Digest, Error};

/// Longest name, registry included.
const NAME_BYTES_MAX: usize = 255;
/// Longest tag.
const TAG_BYTES_MAX: usize = 128;
/// The registry of names without one.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The folder of one-component names in that registry.
const DEFAULT_FOLDER: &str = "library/";
/// The tag of names without tag and digest.
const DEFAULT_TAG: &str = "latest";
/// Shortest prefix of an id that is looked up.
const ID_PREFIX_MIN: usize = 1;

/// A name for an image. It has a tag, a digest or both; with both the digest
/// is what counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry's host and port; `docker.io` when none was written.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The name inside the registry, as in `library/postgres`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag; `latest` when neither tag nor digest was written.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest that it is pinned to.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same repository, pinned to a digest.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self {
            registry: self.registry.clone(),
            path: self.path.clone(),
            tag: None,
            digest: Some(digest),
        }
    }

    /// Whether both are of the same repository of the same registry.
    #[must_use]
    pub fn is_same_repository(&self, other: &Self) -> bool {
        self.registry == other.registry && self.path == other.path
    }

    /// Registry and path without what every user leaves out, as in `postgres`.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        if self.registry != DEFAULT_REGISTRY {
            return format!("{}/{}", self.registry, self.path);
        }
        let short = self.path.strip_prefix(DEFAULT_FOLDER);
        short
            .filter(|name| !name.contains('/'))
            .unwrap_or(&self.path)
            .to_owned()
    }

    /// The whole reference as users write it, as in `postgres:15`.
    #[must_use]
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    fn with_suffix(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
        text
    }
}

impl fmt::Display for Reference {
    /// The whole reference with nothing left out.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.with_suffix(format!("{}/{}", self.registry, self.path)))
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |rule| Error::Reference {
            text: text.to_owned(),
            rule,
        };
        if text.len() == 64 && text.bytes().all(is_lower_hex) {
            return Err(refuse("64 hexadecimal digits are an id, not a name"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
            None => (text, None),
        };
        let (name, tag) = split_tag(rest);
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(refuse(
                "a tag is at most 128 letters, digits, `_`, `.` and `-`, and begins with none of the last two",
            ));
        }
        let (registry, path) = split_registry(name);
        if !is_registry(&registry) {
            return Err(refuse("the registry is a host name with an optional port"));
        }
        if !path.split('/').all(is_path_component) {
            return Err(refuse(
                "a name is lower-case letters and digits, separated by `/`, `.`, `-`, `_` or `__`",
            ));
        }
        if registry.len() + 1 + path.len() > NAME_BYTES_MAX {
            return Err(refuse("a name has at most 255 bytes"));
        }
        let tag = tag.map(str::to_owned);
        let tag = tag.or_else(|| digest.is_none().then(|| DEFAULT_TAG.to_owned()));
        Ok(Self {
            registry,
            path,
            tag,
            digest,
        })
    }
}

impl TryFrom<String> for Reference {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> String {
        reference.to_string()
    }
}

/// Splits a tag off: a colon after the last slash begins it.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') && !name.is_empty() => (name, Some(tag)),
        Some(_) | None => (text, None),
    }
}

/// The first component is a registry if it can't be a folder.
fn split_registry(name: &str) -> (String, String) {
    let split = name.split_once('/').filter(|(first, _)| {
        first.contains(['.', ':'])
            || *first == "localhost"
            || first.bytes().any(|b| b.is_ascii_uppercase())
    });
    let (registry, path) = split.unwrap_or((DEFAULT_REGISTRY, name));
    let registry = if registry == "index.docker.io" {
        DEFAULT_REGISTRY
    } else {
        registry
    };
    if registry == DEFAULT_REGISTRY && !path.contains('/') {
        return (registry.to_owned(), format!("{DEFAULT_FOLDER}{path}"));
    }
    (registry.to_owned(), path.to_owned())
}

fn is_tag(tag: &str) -> bool {
    tag.len() <= TAG_BYTES_MAX
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && tag
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

fn is_registry(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let is_address = address.parse::<std::net::Ipv6Addr>().is_ok();
            let port = rest.strip_prefix(':');
            if !is_address || (port.is_none() && !rest.is_empty()) {
                return false;
            }
            return port.is_none_or(is_port);
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

/// Letters and digits, separated by one dot, one or two underscores or dashes.
fn is_path_component(component: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends_well =
        bytes.first().is_some_and(|&b| is_word(b)) && bytes.last().is_some_and(|&b| is_word(b));
    ends_well
        && bytes.iter().all(|&b| is_word(b) || b"._-".contains(&b))
        && bytes
            .split(|&b| is_word(b))
            .all(|gap| matches!(gap, b"" | b"." | b"_" | b"__") || gap.iter().all(|&b| b == b'-'))
}

/// What a user may write for an image that is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageQuery {
    /// `sha256:…`: an image's id.
    Id(Digest),
    /// A name; when nothing has it and `id_prefix` is given, the image whose
    /// id begins so.
    Name {
        /// The name, unless the text can't be one.
        reference: Option<Reference>,
        /// The text, when it may be the beginning of an id.
        id_prefix: Option<String>,
    },
}

impl FromStr for ImageQuery {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Ok(digest) = text.parse::<Digest>() {
            return Ok(Self::Id(digest));
        }
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        let is_prefix = (ID_PREFIX_MIN..=64).contains(&hex.len()) && hex.bytes().all(is_lower_hex);
        let id_prefix = is_prefix.then(|| hex.to_owned());
        match text.parse() {
            Ok(reference) => Ok(Self::Name {
                reference: Some(reference),
                id_prefix,
            }),
            Err(_) if id_prefix.is_some() => Ok(Self::Name {
                reference: None,
                id_prefix,
            }),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, whole: &str, familiar: &str) {
        let reference: Reference = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(reference.to_string(), whole, "{text}");
        assert_eq!(reference.familiar(), familiar, "{text}");
    }

    #[test]
    fn short_names_are_dockers() {
        check(
            "postgres",
            "docker.io/library/postgres:latest",
            "postgres:latest",
        );
        check(
            "postgres:15",
            "docker.io/library/postgres:15",
            "postgres:15",
        );
        check(
            "bitnami/redis",
            "docker.io/bitnami/redis:latest",
            "bitnami/redis:latest",
        );
        check(
            "docker.io/postgres",
            "docker.io/library/postgres:latest",
            "postgres:latest",
        );
        check("index.docker.io/a/b:1", "docker.io/a/b:1", "a/b:1");
        check(
            "local/debian:bookworm",
            "docker.io/local/debian:bookworm",
            "local/debian:bookworm",
        );
    }

    #[test]
    fn a_first_component_that_looks_like_a_host_is_one() {
        check("localhost/a", "localhost/a:latest", "localhost/a:latest");
        check(
            "localhost:5000/a:1",
            "localhost:5000/a:1",
            "localhost:5000/a:1",
        );
        check("ghcr.io/o/p:v1", "ghcr.io/o/p:v1", "ghcr.io/o/p:v1");
        check("[::1]:5000/a:1", "[::1]:5000/a:1", "[::1]:5000/a:1");
        check("Host/a", "Host/a:latest", "Host/a:latest");
        check(
            "library/library/a",
            "docker.io/library/library/a:latest",
            "library/library/a:latest",
        );
    }

    #[test]
    fn a_digest_pins_and_takes_no_default_tag() {
        let digest = Digest::of(b"x");
        check(
            &format!("a@{digest}"),
            &format!("docker.io/library/a@{digest}"),
            &format!("a@{digest}"),
        );
        check(
            &format!("a:1@{digest}"),
            &format!("docker.io/library/a:1@{digest}"),
            &format!("a:1@{digest}"),
        );
    }

    #[test]
    fn what_breaks_the_grammar_is_refused() {
        let long_tag = format!("a:{}", "t".repeat(129));
        let long_name = "a/".repeat(130) + "a";
        let id = "a".repeat(64);
        for bad in [
            "",
            ":",
            "a:",
            "A",
            "a/B",
            "a//b",
            "/a",
            "a/",
            "a:-x",
            "a:.x",
            "a..b",
            "a___b",
            "a_-b",
            "-a",
            "a-",
            "a b",
            "a@sha256:12",
            "a@",
            "http://a",
            "a:b:c",
            "a/b:c/d:",
            "[::1/a",
            "x.y:99999/a",
            "x.y:/a/b:",
            "..",
            "../etc",
            "a/../b",
            &long_tag,
            &long_name,
            &id,
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_limits_are_exact() {
        let tag = format!("a:{}", "t".repeat(128));
        assert!(tag.parse::<Reference>().is_ok());
        // docker.io/library/ is 18 bytes of the name.
        assert!("a".repeat(237).parse::<Reference>().is_ok());
        assert!("a".repeat(238).parse::<Reference>().is_err());
    }

    #[test]
    fn separators_stand_between_words() {
        for good in ["a.b", "a_b", "a__b", "a-b", "a---b", "1", "a/b/c"] {
            assert!(good.parse::<Reference>().is_ok(), "{good}");
        }
    }

    #[test]
    fn an_id_may_be_given_whole_or_in_part() {
        let id = Digest::of(b"x");
        assert_eq!(id.to_string().parse(), Ok(ImageQuery::Id(id.clone())));
        let part = |text: &str| match text.parse::<ImageQuery>().unwrap() {
            ImageQuery::Name {
                reference,
                id_prefix,
            } => (reference.is_some(), id_prefix),
            ImageQuery::Id(_) => panic!("{text}"),
        };
        assert_eq!(part(id.short()), (true, Some(id.short().to_owned())));
        assert_eq!(part(id.hex()), (false, Some(id.hex().to_owned())));
        assert_eq!(part("sha256:ab12").1, Some("ab12".to_owned()));
        assert_eq!(part("postgres:15"), (true, None));
        assert!("NOT A NAME".parse::<ImageQuery>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_comes_back(text in ".{0,80}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference.clone()));
                prop_assert_eq!(reference.familiar().parse::<Reference>(), Ok(reference));
            }
        }

        #[test]
        fn what_the_grammar_makes_is_taken(
            text in "docker[.]io/([a-z0-9]+([.]|_|__|-+)){0,2}[a-z0-9]+(/[a-z0-9]{1,8}){0,3}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,20})?"
        ) {
            let reference = text.parse::<Reference>();
            prop_assume!(text.len() < 200);
            prop_assert!(reference.is_ok(), "{:?}", reference);
        }
    }
}
