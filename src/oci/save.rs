//! The `manifest.json` of `docker save` archives.

use serde::{Deserialize, Serialize};

use crate::oci::{Error, LAYERS_MAX};

/// Most images of one archive.
const IMAGES_MAX: usize = 1000;

/// One image of a `docker save` archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SaveEntry {
    /// The config's place in the archive.
    pub config: String,
    /// Names, as in `postgres:15`.
    #[serde(default, deserialize_with = "crate::oci::config::null_is_default")]
    pub repo_tags: Vec<String>,
    /// The layers' places in the archive, bottom first.
    #[serde(default, deserialize_with = "crate::oci::config::null_is_default")]
    pub layers: Vec<String>,
}

/// Reads a `manifest.json`.
///
/// # Errors
/// [`Error::Document`] when it isn't one.
pub fn parse_save_manifest(bytes: &[u8]) -> Result<Vec<SaveEntry>, Error> {
    let refuse = |reason: &str| Error::document("manifest.json", reason);
    let entries: Vec<SaveEntry> =
        serde_json::from_slice(bytes).map_err(|error| Error::document("manifest.json", error))?;
    if entries.is_empty() {
        return Err(refuse("it names no image"));
    }
    if entries.len() > IMAGES_MAX {
        return Err(refuse("it names more than 1000 images"));
    }
    if entries.iter().any(|entry| entry.layers.len() > LAYERS_MAX) {
        return Err(refuse("an image has more than 500 layers"));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_may_be_null() {
        let text =
            br#"[{"Config":"c.json","RepoTags":null,"Layers":["a/layer.tar"],"LayerSources":{}}]"#;
        let entries = parse_save_manifest(text).unwrap();
        assert_eq!(entries[0].repo_tags, Vec::<String>::new());
        assert_eq!(entries[0].layers, ["a/layer.tar"]);
    }

    #[test]
    fn something_must_be_in_it() {
        for bad in ["[]", "{}", "[1]", "null", r#"[{"Layers":[]}]"#, ""] {
            assert!(parse_save_manifest(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn layers_are_bounded() {
        let text = |n: usize| {
            format!(
                r#"[{{"Config":"c","Layers":[{}]}}]"#,
                vec!["\"l\""; n].join(",")
            )
        };
        assert!(parse_save_manifest(text(LAYERS_MAX).as_bytes()).is_ok());
        assert!(parse_save_manifest(text(LAYERS_MAX + 1).as_bytes()).is_err());
    }
}
