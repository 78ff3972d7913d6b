//! The docker client's own configuration, as far as it says how to print and
//! which proxies containers and builds are told of. A file that isn't there or
//! can't be read says nothing here; who logs in is told of damage.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde_json::Value;

use crate::cli::environment::Environment;
use crate::model::Project;

/// The variables of proxies, by the names that the file has for them.
const PROXIES: [(&str, &str); 5] = [
    ("httpProxy", "HTTP_PROXY"),
    ("httpsProxy", "HTTPS_PROXY"),
    ("noProxy", "NO_PROXY"),
    ("ftpProxy", "FTP_PROXY"),
    ("allProxy", "ALL_PROXY"),
];

/// A text in `config.json`.
pub(crate) fn text(environment: &Environment, key: &str) -> Option<String> {
    text_of(&read(environment)?, key)
}

/// The variables that `proxies.default` gives to containers and builds, each
/// in capitals and in small letters as docker gives them. What a service or a
/// build sets itself goes before them.
pub(crate) fn proxies(environment: &Environment) -> IndexMap<String, String> {
    let config = read(environment);
    let Some(default) = config
        .as_ref()
        .and_then(|config| config.get("proxies")?.get("default"))
    else {
        return IndexMap::new();
    };
    let mut variables = IndexMap::new();
    for (key, name) in PROXIES {
        if let Some(value) = text_of(default, key) {
            variables.insert(name.to_owned(), value.clone());
            variables.insert(name.to_ascii_lowercase(), value);
        }
    }
    variables
}

/// Gives the containers of a project the proxies, where it doesn't say
/// otherwise.
pub(crate) fn tell_proxies(environment: &Environment, project: &mut Project) {
    let proxies = proxies(environment);
    if proxies.is_empty() {
        return;
    }
    for service in project.services.values_mut() {
        let told = proxies.iter();
        let told = told.map(|(name, value)| (name.clone(), Some(value.clone())));
        let own = std::mem::take(&mut service.process.environment);
        service.process.environment = told.chain(own).collect();
    }
}

fn read(environment: &Environment) -> Option<Value> {
    let folder = match environment.non_empty("DOCKER_CONFIG") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(environment.non_empty("HOME")?).join(".docker"),
    };
    let bytes = std::fs::read(folder.join("config.json")).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn text_of(object: &Value, key: &str) -> Option<String> {
    let text = object.get(key)?.as_str();
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, Environment) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.json"), text).unwrap();
        let folder = dir.path().to_str().unwrap().to_owned();
        let environment = [("DOCKER_CONFIG".to_owned(), folder)];
        (dir, environment.into_iter().collect())
    }

    #[test]
    fn proxies_have_both_spellings() {
        let (_dir, environment) = written(
            r#"{"proxies": {
                "default": {"httpProxy": "http://p:1", "noProxy": "a,b", "ftpProxy": "", "x": 1},
                "tcp://other": {"httpsProxy": "http://q:2"}
            }}"#,
        );
        let told: Vec<String> = proxies(&environment)
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            told,
            [
                "HTTP_PROXY=http://p:1",
                "http_proxy=http://p:1",
                "NO_PROXY=a,b",
                "no_proxy=a,b",
            ]
        );
        for nothing in [
            "{}",
            r#"{"proxies": 1}"#,
            r#"{"proxies": {"default": []}}"#,
            "not json",
        ] {
            let (_dir, environment) = written(nothing);
            assert!(proxies(&environment).is_empty(), "{nothing}");
        }
    }

    #[test]
    fn a_text_is_found_and_everything_else_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let environment: Environment = [(
            "DOCKER_CONFIG".to_owned(),
            dir.path().to_str().unwrap().to_owned(),
        )]
        .into_iter()
        .collect();
        assert_eq!(text(&environment, "psFormat"), None);
        let file = dir.path().join("config.json");
        std::fs::write(&file, r#"{"psFormat":"{{.Name}}","n":1}"#).unwrap();
        assert_eq!(text(&environment, "psFormat").as_deref(), Some("{{.Name}}"));
        assert_eq!(text(&environment, "n"), None);
        std::fs::write(&file, "not json").unwrap();
        assert_eq!(text(&environment, "psFormat"), None);
    }
}
