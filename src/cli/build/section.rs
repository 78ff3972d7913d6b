//! `build:` of a service, as the canonical project has it.

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer};

use crate::model::BuildSpec;

/// Everything that a `build:` section says.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Section {
    /// Folder, archive or address.
    pub(crate) context: String,
    pub(crate) dockerfile: Option<String>,
    pub(crate) dockerfile_inline: Option<String>,
    /// A null value was not set anywhere.
    pub(crate) args: IndexMap<String, Option<String>>,
    pub(crate) additional_contexts: IndexMap<String, String>,
    pub(crate) ssh: Vec<String>,
    pub(crate) labels: IndexMap<String, String>,
    pub(crate) cache_from: Vec<String>,
    pub(crate) cache_to: Vec<String>,
    pub(crate) no_cache: bool,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) no_cache_filter: Vec<String>,
    pub(crate) network: Option<String>,
    pub(crate) pull: bool,
    pub(crate) target: Option<String>,
    #[serde(deserialize_with = "number")]
    pub(crate) shm_size: Option<u64>,
    /// `HOST=ADDRESS`.
    pub(crate) extra_hosts: Vec<String>,
    pub(crate) privileged: bool,
    pub(crate) entitlements: Vec<String>,
    pub(crate) provenance: Option<String>,
    pub(crate) sbom: Option<String>,
    pub(crate) secrets: Vec<SecretUse>,
    pub(crate) tags: Vec<String>,
    pub(crate) ulimits: IndexMap<String, Ulimit>,
    pub(crate) platforms: Vec<String>,
}

/// A secret of the project that the build may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct SecretUse {
    /// Its key at the top of the file.
    pub(crate) source: String,
    /// What steps call it; the key without.
    pub(crate) target: Option<String>,
    uid: Option<String>,
    gid: Option<String>,
    mode: Option<serde_json::Value>,
}

impl SecretUse {
    /// Whether it says who may read it, which only the mount in the Dockerfile
    /// can.
    pub(crate) fn has_owner_or_mode(&self) -> bool {
        self.uid.is_some() || self.gid.is_some() || self.mode.is_some()
    }
}

/// A limit of processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Ulimit {
    /// For both.
    One(i64),
    /// Each.
    Two {
        /// The one that a process meets.
        soft: i64,
        /// The one that it may raise that to.
        hard: i64,
    },
}

impl Ulimit {
    /// Soft and hard; a negative number is no limit.
    pub(crate) fn pair(self) -> (u64, u64) {
        let limit = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
        match self {
            Self::One(both) => (limit(both), limit(both)),
            Self::Two { soft, hard } => (limit(soft), limit(hard)),
        }
    }
}

impl Section {
    /// Reads what a service has.
    ///
    /// # Errors
    /// When the canonical text isn't what the loader writes.
    pub(crate) fn of(spec: &BuildSpec) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&spec.canonical)
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Texts {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Option::deserialize(from)? {
        None => Vec::new(),
        Some(Texts::One(text)) => vec![text],
        Some(Texts::Many(texts)) => texts,
    })
}

/// A number of bytes; JSON has it as text.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Number(u64),
        Text(String),
    }
    Ok(match Option::deserialize(from)? {
        None => None,
        Some(Number::Number(number)) => Some(number),
        Some(Number::Text(text)) => text.parse().ok(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::compose::{self, ReadError, Request, Source};
    use crate::model::ImageSource;

    struct One(&'static str);

    impl Source for One {
        fn read(&self, path: &Path) -> Result<Vec<u8>, ReadError> {
            match path.ends_with("compose.yaml") {
                true => Ok(self.0.as_bytes().to_vec()),
                false => Err(ReadError::NotFound),
            }
        }

        fn exists(&self, path: &Path) -> bool {
            path.ends_with("compose.yaml")
        }

        fn resolve_links(&self, path: &Path) -> Option<PathBuf> {
            Some(path.to_owned())
        }
    }

    fn section(text: &'static str) -> Section {
        let request = Request {
            working_dir: PathBuf::from("/p"),
            variables: BTreeMap::from([("HOME".to_owned(), "/h".to_owned())]),
            ..Request::default()
        };
        let source = One(text);
        let found = compose::discover(&request, &source);
        let loaded = compose::load(&found.options, &source);
        let project = loaded
            .project
            .unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
        let service = project.services.values().next().unwrap();
        let ImageSource::Build { spec, .. } = &service.image else {
            panic!("no build");
        };
        Section::of(spec).unwrap_or_else(|error| panic!("{error}: {}", spec.canonical))
    }

    #[test]
    fn every_key_is_understood() {
        let section = section(
            r#"
services:
  a:
    platform: linux/amd64
    build:
      context: ./ctx
      dockerfile: D
      args: {A: 1, B: }
      additional_contexts: {base: ./base, img: "docker-image://x"}
      ssh: [default, "k=/s"]
      labels: {l: v}
      cache_from: [x]
      cache_to: ["type=local,dest=/c"]
      no_cache: true
      no_cache_filter: one
      network: none
      pull: true
      target: t
      shm_size: 128m
      extra_hosts: ["h=1.2.3.4"]
      privileged: true
      entitlements: [network.host]
      provenance: true
      sbom: generator=x
      secrets: [s, {source: s, target: other, mode: 0400}]
      tags: [a:1, a:2]
      ulimits: {nofile: 10, nproc: {soft: 1, hard: 2}}
      platforms: [linux/amd64]
secrets:
  s: {file: ./s}
"#,
        );
        assert_eq!(section.context, "/p/ctx");
        assert_eq!(section.args["A"].as_deref(), Some("1"));
        assert_eq!(section.additional_contexts["base"], "/p/base");
        assert_eq!(section.additional_contexts["img"], "docker-image://x");
        assert_eq!(section.no_cache_filter, ["one"]);
        assert_eq!(section.shm_size, Some(128 << 20));
        assert_eq!(section.extra_hosts, ["h=1.2.3.4"]);
        assert_eq!(section.secrets[1].target.as_deref(), Some("other"));
        assert_eq!(section.ulimits["nofile"].pair(), (10, 10));
        assert_eq!(section.ulimits["nproc"].pair(), (1, 2));
        assert!(section.privileged && section.no_cache && section.pull);
        assert_eq!(section.provenance.as_deref(), Some("true"));
        assert_eq!(section.tags.len() + section.platforms.len(), 3);
        assert_eq!(section.ssh.len(), 2);
        assert_eq!(section.cache_to, ["type=local,dest=/c"]);
    }
}
