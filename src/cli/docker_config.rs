//! The docker client's own configuration, as far as it says how to print.

use std::path::PathBuf;

use serde_json::Value;

use crate::cli::environment::Environment;

/// A text in `config.json`. A file that isn't there or can't be read says nothing.
pub(crate) fn text(environment: &Environment, key: &str) -> Option<String> {
    let folder = match environment.non_empty("DOCKER_CONFIG") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(environment.non_empty("HOME")?).join(".docker"),
    };
    let bytes = std::fs::read(folder.join("config.json")).ok()?;
    let config: Value = serde_json::from_slice(&bytes).ok()?;
    config
        .get(key)?
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

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
