//! `--cache-from` and `--cache-to`, and the keys of the Compose file.

use std::path::Path;

use indexmap::IndexMap;

use crate::build::{CACHE_TAG, CacheEntry, CacheFrom, CacheMode, CachePlace, CacheTo};
use crate::cli::build::values::fields;
use crate::cli::exit::Failure;
use crate::oci::Reference;

/// Kinds of caches that belong to one cloud each.
const CLOUDS: [&str; 3] = ["gha", "s3", "azblob"];

/// What a text says; a kind without use here is told by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read<T> {
    /// A cache.
    Cache(T),
    /// A kind that this program has no use for, and why.
    Useless(String),
}

/// The fields of a text, and the kind that it names.
struct Fields<'a> {
    text: &'a str,
    kind: String,
    all: IndexMap<String, String>,
}

impl<'a> Fields<'a> {
    /// A text without fields is an image's name.
    fn of(text: &'a str) -> Self {
        let mut all: IndexMap<String, String> = match text.contains('=') {
            true => fields(text).into_iter().collect(),
            false => [("ref".to_owned(), text.to_owned())].into_iter().collect(),
        };
        let kind = all.shift_remove("type");
        Self {
            text,
            kind: kind.unwrap_or_else(|| "registry".to_owned()),
            all,
        }
    }

    fn refuse(&self, why: &str) -> Failure {
        Failure::usage(format!("invalid cache {:?}: {why}", self.text))
            .with_hint("write type=local,src=DIR (dest=DIR to write one), type=registry,ref=NAME or type=inline")
    }

    fn needed(&self, key: &str) -> Result<&str, Failure> {
        let found = self.all.get(key).map(String::as_str);
        let found = found.filter(|value| !value.is_empty());
        found.ok_or_else(|| self.refuse(&format!("type={} needs {key}=", self.kind)))
    }

    fn reference(&self) -> Result<Reference, Failure> {
        let text = self.needed("ref")?;
        text.parse()
            .map_err(|error| self.refuse(&format!("{error}")))
    }

    /// Why the kind is of no use, if it is of none.
    fn useless(&self) -> Result<String, Failure> {
        match CLOUDS.contains(&self.kind.as_str()) {
            true => Ok(format!(
                "cache type={} isn't supported and is left out: use type=registry or type=local",
                self.kind
            )),
            false => Err(self.refuse(&format!("unknown type {:?}", self.kind))),
        }
    }
}

/// `--cache-from`, and an item of `cache_from`.
pub(crate) fn cache_from(text: &str, folder: &Path) -> Result<Read<CacheFrom>, Failure> {
    let fields = Fields::of(text);
    Ok(Read::Cache(match fields.kind.as_str() {
        "local" => {
            let value = |key: &str| fields.all.get(key);
            let entry = match value("digest") {
                Some(digest) => CacheEntry::Digest(
                    digest
                        .parse()
                        .map_err(|error| fields.refuse(&format!("{error}")))?,
                ),
                None => CacheEntry::Tag(value("tag").map_or(CACHE_TAG, String::as_str).to_owned()),
            };
            CacheFrom::Folder {
                path: folder.join(fields.needed("src")?),
                entry,
            }
        }
        "registry" => CacheFrom::Registry(fields.reference()?),
        "inline" => {
            let why = "type=inline is read with type=registry,ref=NAME";
            return Err(fields.refuse(why));
        }
        _ => return fields.useless().map(Read::Useless),
    }))
}

/// `--cache-to`, and an item of `cache_to`.
pub(crate) fn cache_to(text: &str, folder: &Path) -> Result<Read<CacheTo>, Failure> {
    let fields = Fields::of(text);
    let value = |key: &str| fields.all.get(key).map(String::as_str);
    let place = match fields.kind.as_str() {
        "local" => CachePlace::Folder {
            path: folder.join(fields.needed("dest")?),
            tag: value("tag").unwrap_or(CACHE_TAG).to_owned(),
        },
        "registry" => CachePlace::Registry(fields.reference()?),
        "inline" => CachePlace::Inline,
        _ => return fields.useless().map(Read::Useless),
    };
    let mode = match value("mode") {
        None | Some("min") => CacheMode::Min,
        Some("max") => CacheMode::Max,
        Some(other) => return Err(fields.refuse(&format!("unknown mode {other:?}"))),
    };
    Ok(Read::Cache(CacheTo {
        place,
        mode,
        is_optional: matches!(value("ignore-error"), Some("true" | "1")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> CacheFrom {
        match cache_from(text, Path::new("/w")).unwrap() {
            Read::Cache(cache) => cache,
            Read::Useless(why) => panic!("{why}"),
        }
    }

    fn to(text: &str) -> CacheTo {
        match cache_to(text, Path::new("/w")).unwrap() {
            Read::Cache(cache) => cache,
            Read::Useless(why) => panic!("{why}"),
        }
    }

    #[test]
    fn caches_are_taken_from_folders_and_registries() {
        let folder = |entry| CacheFrom::Folder {
            path: "/w/c".into(),
            entry,
        };
        let tag = |tag: &str| CacheEntry::Tag(tag.to_owned());
        assert_eq!(from("type=local,src=c"), folder(tag("latest")));
        assert_eq!(from("type=local,src=/w/c,tag=x"), folder(tag("x")));
        let digest = crate::oci::Digest::of(b"x");
        assert_eq!(
            from(&format!("type=local,src=c,digest={digest}")),
            folder(CacheEntry::Digest(digest))
        );
        let image = CacheFrom::Registry("me/app:cache".parse().unwrap());
        assert_eq!(from("me/app:cache"), image);
        assert_eq!(from("type=registry,ref=me/app:cache"), image);
    }

    #[test]
    fn caches_are_written_to_folders_registries_and_images() {
        let written = to("type=local,dest=c,mode=max,ignore-error=true");
        let folder = CachePlace::Folder {
            path: "/w/c".into(),
            tag: "latest".to_owned(),
        };
        assert_eq!((&written.place, written.mode), (&folder, CacheMode::Max));
        assert!(written.is_optional);
        let image = CachePlace::Registry("me/app:cache".parse().unwrap());
        assert_eq!(to("me/app:cache").place, image);
        assert_eq!(to("type=inline").place, CachePlace::Inline);
        assert_eq!(to("type=inline").mode, CacheMode::Min);
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_clouds_are_left_out() {
        let here = Path::new("/w");
        for bad in [
            "type=local",
            "type=registry",
            "type=registry,ref=UP:",
            "type=what",
            "type=inline",
            "type=local,src=c,digest=x",
        ] {
            assert!(cache_from(bad, here).is_err(), "{bad}");
        }
        for bad in ["type=local,src=c", "type=registry,ref=a,mode=x", "type="] {
            assert!(cache_to(bad, here).is_err(), "{bad}");
        }
        assert!(matches!(cache_from("type=gha", here), Ok(Read::Useless(_))));
        assert!(matches!(
            cache_to("type=s3,bucket=b", here),
            Ok(Read::Useless(_))
        ));
    }
}
