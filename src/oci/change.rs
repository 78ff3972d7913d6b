//! `--change`: one Dockerfile-like instruction over an image's config.

use std::str::FromStr;

use crate::oci::{Error, RunConfig};

/// One change of what an image runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// `CMD`.
    Command(Vec<String>),
    /// `ENTRYPOINT`.
    Entrypoint(Vec<String>),
    /// `ENV`.
    Environment(Vec<(String, String)>),
    /// `EXPOSE`.
    Expose(Vec<String>),
    /// `LABEL`.
    Labels(Vec<(String, String)>),
    /// `USER`.
    User(String),
    /// `VOLUME`.
    Volumes(Vec<String>),
    /// `WORKDIR`.
    WorkingDir(String),
    /// `STOPSIGNAL`.
    StopSignal(String),
    /// `ONBUILD`.
    OnBuild(String),
}

impl Change {
    /// Applies it.
    pub fn apply(&self, config: &mut RunConfig) {
        match self {
            Self::Command(argv) => config.cmd = Some(argv.clone()),
            Self::Entrypoint(argv) => config.entrypoint = Some(argv.clone()),
            Self::Environment(pairs) => {
                for (key, value) in pairs {
                    set_variable(&mut config.env, key, value);
                }
            }
            Self::Expose(ports) => add_missing(&mut config.exposed_ports, ports),
            Self::Labels(pairs) => config.labels.extend(pairs.iter().cloned()),
            Self::User(user) => config.user.clone_from(user),
            Self::Volumes(paths) => add_missing(&mut config.volumes, paths),
            Self::WorkingDir(path) => config.working_dir = joined(&config.working_dir, path),
            Self::StopSignal(signal) => config.stop_signal = Some(signal.clone()),
            Self::OnBuild(text) => config.on_build.push(text.clone()),
        }
    }
}

impl FromStr for Change {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::Change {
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        let text = text.trim();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        if rest.is_empty() {
            return Err(refuse("it has no argument"));
        }
        let words = || shlex::split(rest).ok_or_else(|| refuse("a quote isn't closed"));
        let pairs = || key_values(rest).ok_or_else(|| refuse("it is written KEY=value"));
        Ok(match word.to_ascii_uppercase().as_str() {
            "CMD" => Self::Command(command(rest)),
            "ENTRYPOINT" => Self::Entrypoint(command(rest)),
            "ENV" => Self::Environment(pairs()?),
            "EXPOSE" => Self::Expose(
                ports(&words()?)
                    .ok_or_else(|| refuse("a port is written PORT[-PORT][/PROTOCOL]"))?,
            ),
            "LABEL" => Self::Labels(pairs()?),
            "USER" => Self::User(rest.to_owned()),
            "VOLUME" => Self::Volumes(json_words(rest).map_or_else(words, Ok)?),
            "WORKDIR" => Self::WorkingDir(rest.to_owned()),
            "STOPSIGNAL" => Self::StopSignal(rest.to_owned()),
            "ONBUILD" => Self::OnBuild(rest.to_owned()),
            _ => return Err(refuse("no such instruction")),
        })
    }
}

/// The JSON form as it is, anything else through the shell.
fn command(rest: &str) -> Vec<String> {
    json_words(rest).unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned(), rest.to_owned()])
}

fn json_words(text: &str) -> Option<Vec<String>> {
    text.starts_with('[')
        .then(|| serde_json::from_str(text).ok())?
}

/// `K=v K2="v 2"`, or the old form `K the rest of the line`.
fn key_values(rest: &str) -> Option<Vec<(String, String)>> {
    let words = shlex::split(rest)?;
    let split = |word: &String| {
        let (key, value) = word.split_once('=')?;
        (!key.is_empty()).then(|| (key.to_owned(), value.to_owned()))
    };
    if words.first().is_some_and(|word| word.contains('=')) {
        return words.iter().map(split).collect();
    }
    let (key, value) = rest.split_once(char::is_whitespace)?;
    Some(vec![(key.to_owned(), value.trim().to_owned())])
}

fn ports(words: &[String]) -> Option<Vec<String>> {
    let mut ports = Vec::new();
    for word in words {
        let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
        let protocol = protocol.to_ascii_lowercase();
        if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
            return None;
        }
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        if first == 0 || first > last {
            return None;
        }
        ports.extend((first..=last).map(|port| format!("{port}/{protocol}")));
    }
    Some(ports)
}

fn set_variable(env: &mut Vec<String>, key: &str, value: &str) {
    let entry = format!("{key}={value}");
    let place = env
        .iter_mut()
        .find(|entry| entry.split('=').next() == Some(key));
    match place {
        Some(place) => *place = entry,
        None => env.push(entry),
    }
}

fn add_missing(list: &mut Vec<String>, more: &[String]) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

fn joined(base: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    format!("{}/{path}", base.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> RunConfig {
        let mut config = RunConfig::default();
        for change in changes {
            change
                .parse::<Change>()
                .unwrap_or_else(|e| panic!("{e}"))
                .apply(&mut config);
        }
        config
    }

    #[test]
    fn commands_have_two_forms() {
        let config = changed(&[r#"CMD ["a","b c"]"#, "ENTRYPOINT run it"]);
        assert_eq!(config.cmd.unwrap(), ["a", "b c"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "run it"]);
        assert_eq!(changed(&["cmd []"]).cmd, Some(Vec::new()));
        assert_eq!(
            changed(&["CMD ['x']"]).cmd.unwrap(),
            ["/bin/sh", "-c", "['x']"]
        );
    }

    #[test]
    fn variables_are_set_in_place() {
        let config = changed(&["ENV A=1 B=\"2 3\"", "ENV A=4", "ENV C the rest"]);
        assert_eq!(config.env, ["A=4", "B=2 3", "C=the rest"]);
        assert_eq!(changed(&["LABEL a=b"]).labels["a"], "b");
    }

    #[test]
    fn ports_are_expanded() {
        let config = changed(&["EXPOSE 80 81-82/UDP", "EXPOSE 80"]);
        assert_eq!(config.exposed_ports, ["80/tcp", "81/udp", "82/udp"]);
    }

    #[test]
    fn the_rest_is_taken_as_it_is() {
        let config = changed(&[
            "USER a:b",
            "WORKDIR /x",
            "WORKDIR y",
            "VOLUME /v /w",
            "VOLUME [\"/v\"]",
            "STOPSIGNAL INT",
            "ONBUILD RUN x",
        ]);
        assert_eq!(
            (config.user.as_str(), config.working_dir.as_str()),
            ("a:b", "/x/y")
        );
        assert_eq!(config.volumes, ["/v", "/w"]);
        assert_eq!(config.stop_signal.as_deref(), Some("INT"));
        assert_eq!(config.on_build, ["RUN x"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "",
            "CMD",
            "RUN x",
            "ENV A",
            "ENV =x y=z",
            "EXPOSE x",
            "EXPOSE 0",
            "EXPOSE 9-8",
            "EXPOSE 80/x",
            "VOLUME 'x",
        ] {
            assert!(bad.parse::<Change>().is_err(), "{bad}");
        }
    }
}
