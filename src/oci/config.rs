//! The image config: what a container takes from its image.

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize};

use crate::oci::{CONFIG_BYTES_MAX, Digest, Error, LAYERS_MAX, Platform};

/// An image's config document. Its digest is the image's id.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When it was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Processor.
    #[serde(default, deserialize_with = "null_is_default")]
    pub architecture: String,
    /// Operating system.
    #[serde(default, deserialize_with = "null_is_default")]
    pub os: String,
    /// The processor's variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// What its containers run.
    #[serde(default, rename = "config", deserialize_with = "null_is_default")]
    pub run: RunConfig,
    /// Its layers.
    pub rootfs: RootFs,
    /// How its layers came about.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub history: Vec<History>,
    /// What a builder wants to find again in the image that it made; it says
    /// nothing to anybody else.
    #[serde(
        default,
        rename = "rcompose.build.cache.v1",
        skip_serializing_if = "Option::is_none"
    )]
    pub build_cache: Option<String>,
}

/// What an image's containers run, unless told otherwise.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RunConfig {
    /// User, as in `name`, `uid` or `uid:gid`; root when empty.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub user: String,
    /// Exposed ports, as in `80/tcp`.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "keys",
        serialize_with = "as_keys"
    )]
    pub exposed_ports: Vec<String>,
    /// Environment, as in `KEY=value`.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub env: Vec<String>,
    /// Program and first arguments.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "words")]
    pub entrypoint: Option<Vec<String>>,
    /// Arguments after the entrypoint, or the whole command.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "words")]
    pub cmd: Option<Vec<String>>,
    /// Whether CMD was written by a builder, which says so; it means nothing
    /// on Linux.
    #[serde(
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "null_is_default"
    )]
    pub args_escaped: bool,
    /// Paths that are volumes.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "keys",
        serialize_with = "as_keys"
    )]
    pub volumes: Vec<String>,
    /// Working folder; `/` when empty.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub working_dir: String,
    /// Labels.
    #[serde(
        skip_serializing_if = "IndexMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub labels: IndexMap<String, String>,
    /// Signal that ends it, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Health probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    /// Shell of shell forms; `/bin/sh -c` when absent.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "words")]
    pub shell: Option<Vec<String>>,
    /// Instructions for builds upon it.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub on_build: Vec<String>,
}

/// A health probe as images have it: times in nanoseconds, 0 for the default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthConfig {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", text]`; inherited when empty.
    #[serde(deserialize_with = "null_is_default")]
    pub test: Vec<String>,
    /// Pause between probes.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: u64,
    /// Time a probe may take.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: u64,
    /// Time in which failures don't count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: u64,
    /// Pause between probes inside that time.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: u64,
    /// Failures in a row that make it unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: u64,
}

/// The layers of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the layers' plain tars, bottom first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<Digest>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self {
            kind: "layers".to_owned(),
            diff_ids: Vec::new(),
        }
    }
}

/// One step of an image's making.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// When, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The instruction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// A remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether it made no layer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// Reads a config document.
    ///
    /// # Errors
    /// [`Error::Document`] when it isn't one, or is one that can't be run.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::document("image config", reason);
        if u64::try_from(bytes.len()).is_ok_and(|n| n > CONFIG_BYTES_MAX) {
            return Err(refuse("it has more than 8 MiB"));
        }
        let config: Self =
            serde_json::from_slice(bytes).map_err(|e| Error::document("image config", e))?;
        if config.rootfs.kind != "layers" {
            return Err(refuse("its rootfs isn't of type layers"));
        }
        if config.rootfs.diff_ids.len() > LAYERS_MAX {
            return Err(refuse("it has more than 500 layers"));
        }
        config.run.check().map_err(refuse)?;
        Ok(config)
    }

    /// The document's bytes, as they are stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers always become JSON")
    }

    /// The platform that it runs on.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform::new(&self.os, &self.architecture, self.variant.as_deref())
    }
}

impl RunConfig {
    /// Refuses what no program can be started with.
    fn check(&self) -> Result<(), &'static str> {
        let argv = [&self.entrypoint, &self.cmd, &self.shell];
        let mut words = argv.into_iter().flatten().flatten().chain(&self.env);
        let singles = [&self.user, &self.working_dir];
        if words.any(|text| text.contains('\0')) || singles.iter().any(|t| t.contains('\0')) {
            return Err("a NUL stands in its command, environment, user or working folder");
        }
        if self
            .volumes
            .iter()
            .any(|path| path.is_empty() || path.contains('\0'))
        {
            return Err("a volume has no path");
        }
        Ok(())
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Go writes an empty list, map or text as null as often as not.
pub(crate) fn null_is_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A list of words; old images have one text instead.
fn words<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        Many(Vec<String>),
    }
    Ok(
        Option::<Words>::deserialize(from)?.map(|words| match words {
            Words::One(word) => vec![word],
            Words::Many(words) => words,
        }),
    )
}

/// Go's set: a map with empty values, of which only the keys matter.
fn keys<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let map = Option::<IndexMap<String, serde::de::IgnoredAny>>::deserialize(from)?;
    Ok(map.unwrap_or_default().into_keys().collect())
}

fn as_keys<S: serde::Serializer>(keys: &[String], out: S) -> Result<S::Ok, S::Error> {
    out.collect_map(keys.iter().map(|key| (key, serde_json::Map::new())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the shape that `docker save` writes.
    const DOCKERS: &str = r#"{
        "architecture":"amd64","os":"linux","created":"2026-01-02T03:04:05.678Z","container":"x",
        "config":{"Hostname":"","User":"postgres","AttachStdin":false,"ExposedPorts":{"5432/tcp":{}},
            "Env":["PATH=/usr/bin","PGDATA=/var/lib/postgresql/data"],"Cmd":["postgres"],"Image":"x",
            "Volumes":{"/var/lib/postgresql/data":{}},"WorkingDir":"/","Entrypoint":["docker-entrypoint.sh"],
            "OnBuild":null,"Labels":null,"StopSignal":"SIGINT",
            "Healthcheck":{"Test":["CMD-SHELL","pg_isready"],"Interval":5000000000,"Retries":3}},
        "rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},
        "history":[{"created":"2026-01-02T03:04:05Z","created_by":"CMD [\"postgres\"]","empty_layer":true}]}"#;

    #[test]
    fn a_config_of_dockers_is_read() {
        let config = ImageConfig::parse(DOCKERS.as_bytes()).unwrap();
        assert_eq!(config.run.user, "postgres");
        assert_eq!(config.run.exposed_ports, ["5432/tcp"]);
        assert_eq!(config.run.volumes, ["/var/lib/postgresql/data"]);
        assert_eq!(config.run.stop_signal.as_deref(), Some("SIGINT"));
        assert_eq!(config.run.healthcheck.as_ref().unwrap().retries, 3);
        assert_eq!(config.platform().to_string(), "linux/amd64");
        assert_eq!(config.rootfs.diff_ids.len(), 1);
        assert!(config.history[0].empty_layer);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let config = ImageConfig::parse(DOCKERS.as_bytes()).unwrap();
        assert_eq!(ImageConfig::parse(&config.to_bytes()).unwrap(), config);
        let text = String::from_utf8(config.to_bytes()).unwrap();
        assert!(text.contains(r#""ExposedPorts":{"5432/tcp":{}}"#), "{text}");
    }

    #[test]
    fn an_empty_config_is_legal() {
        let config =
            ImageConfig::parse(br#"{"config":null,"rootfs":{"type":"layers","diff_ids":null}}"#);
        assert_eq!(config.unwrap().run, RunConfig::default());
    }

    #[test]
    fn a_command_may_be_one_text() {
        let text = br#"{"config":{"Cmd":"sh"},"rootfs":{"type":"layers"}}"#;
        let config = ImageConfig::parse(text).unwrap();
        assert_eq!(config.run.cmd, Some(vec!["sh".to_owned()]));
    }

    #[test]
    fn what_cannot_run_is_refused() {
        let layers = r#""rootfs":{"type":"layers"}"#;
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"rootfs":{"type":"other"}}"#,
            r#"{"rootfs":{"type":"layers","diff_ids":["sha256:x"]}}"#,
            &format!(r#"{{"config":{{"Env":["A=\u0000"]}},{layers}}}"#),
            &format!(r#"{{"config":{{"Env":[1]}},{layers}}}"#),
            &format!(r#"{{"config":{{"Volumes":{{"":{{}}}}}},{layers}}}"#),
            &format!(r#"{{"config":{{"Healthcheck":{{"Interval":-1}}}},{layers}}}"#),
        ] {
            assert!(ImageConfig::parse(bad.as_bytes()).is_err(), "{bad:.80}");
        }
    }

    #[test]
    fn nesting_cannot_exhaust_the_stack() {
        let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
        let unknown = format!(r#"{{"x":{open}{close},"rootfs":{{"type":"layers"}}}}"#);
        assert!(ImageConfig::parse(unknown.as_bytes()).is_ok());
        let known = format!(r#"{{"config":{{"Cmd":{open}{close}}},"rootfs":{{"type":"layers"}}}}"#);
        assert!(ImageConfig::parse(known.as_bytes()).is_err());
    }
}
