//! `rcompose.lock`: which digests a project's images had when they were
//! locked, so that the same ones run everywhere.
//!
//! The file is JSON beside the Compose file: references as the files have
//! them, and the digest of each in its registry.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::exit::{Failure, Kind};
use crate::cli::images::parse;
use crate::model::{ImageSource, Mount, Project};
use crate::oci::Digest;

/// The file's name.
pub(crate) const FILE: &str = "rcompose.lock";
/// Longest file that is read, in bytes.
const BYTES_MAX: u64 = 4 << 20;
const VERSION: u32 = 1;

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lock {
    /// The form of the file.
    version: u32,
    /// Digests by reference.
    images: BTreeMap<String, Digest>,
}

impl Lock {
    /// A lock of these digests.
    pub(crate) fn new(images: BTreeMap<String, Digest>) -> Self {
        Self {
            version: VERSION,
            images,
        }
    }

    /// Reads a folder's lock.
    pub(crate) fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(FILE);
        let failed = |reason: String| Failure::project(format!("{}: {reason}", path.display()));
        let length = std::fs::metadata(&path).map_err(|error| {
            failed(error.to_string()).with_hint("write it with `rcompose lock`")
        })?;
        if length.len() > BYTES_MAX {
            return Err(failed("it has more than 4 MiB".to_owned()));
        }
        let bytes = std::fs::read(&path).map_err(|error| failed(error.to_string()))?;
        let lock: Self =
            serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
        if lock.version != VERSION {
            let version = lock.version;
            return Err(failed(format!(
                "its version is {version}, {VERSION} is known"
            )));
        }
        Ok(lock)
    }

    /// Writes a folder's lock beside its place and moves it there.
    pub(crate) fn write(&self, folder: &Path) -> Result<PathBuf, Failure> {
        let path = folder.join(FILE);
        let temporary = folder.join(format!(".{FILE}.tmp-{}", std::process::id()));
        let text = serde_json::to_string_pretty(self);
        let text = text.expect("texts and numbers always become JSON") + "\n";
        let written =
            std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, &path));
        if let Err(error) = written {
            // The first failure is what matters.
            let _ = std::fs::remove_file(&temporary);
            let message = format!("write of {}: {error}", path.display());
            return Err(Failure::new(Kind::Environment, message));
        }
        Ok(path)
    }

    /// Puts the locked digest into every reference of a project that isn't
    /// built from it. All references that the lock lacks are told at once.
    pub(crate) fn pin(&self, project: &mut Project) -> anyhow::Result<()> {
        let mut lacking = Vec::new();
        for service in project.services.values_mut() {
            if let ImageSource::Pull { reference, .. } = &mut service.image {
                self.pin_one(reference, &mut lacking)?;
            }
            for mount in &mut service.mounts {
                if let Mount::Image { reference, .. } = mount {
                    self.pin_one(reference, &mut lacking)?;
                }
            }
        }
        if lacking.is_empty() {
            return Ok(());
        }
        lacking.sort();
        lacking.dedup();
        Err(Failure::new(
            Kind::Project,
            format!("not in {FILE}: {}", lacking.join(", ")),
        )
        .with_hint("bring it up to date with `rcompose lock`")
        .into())
    }

    fn pin_one(&self, text: &mut String, lacking: &mut Vec<String>) -> anyhow::Result<()> {
        let reference = parse(text)?;
        if reference.digest().is_some() {
            return Ok(());
        }
        match self.images.get(&reference.familiar()) {
            Some(digest) => *text = format!("{}@{digest}", reference.familiar()),
            None => lacking.push(reference.familiar()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PullPolicy, Service};

    fn lock() -> Lock {
        Lock::new([("redis:7".to_owned(), Digest::of(b"r"))].into())
    }

    fn service(image: &str) -> Service {
        let source = ImageSource::Pull {
            reference: image.to_owned(),
            policy: PullPolicy::Missing,
        };
        Service::new("s".parse().unwrap(), source)
    }

    fn project(images: &[&str]) -> Project {
        let mut project = Project::new("p".parse().unwrap());
        for (number, image) in images.iter().enumerate() {
            let name = format!("s{number}").parse().unwrap();
            project.services.insert(name, service(image));
        }
        project
    }

    #[test]
    fn references_are_pinned() {
        let digest = Digest::of(b"r");
        let other = format!("x@{digest}");
        let mut project = project(&["redis:7", "docker.io/library/redis:7", &other]);
        lock().pin(&mut project).unwrap();
        let found: Vec<&str> = project
            .services
            .values()
            .map(|service| service.image.reference())
            .collect();
        let pinned = format!("redis:7@{digest}");
        assert_eq!(found, [pinned.as_str(), pinned.as_str(), other.as_str()]);
    }

    #[test]
    fn what_isn_t_locked_is_told_at_once() {
        let mut project = project(&["b", "a:1", "redis:7", "b"]);
        let error = lock().pin(&mut project).unwrap_err();
        assert_eq!(error.to_string(), "not in rcompose.lock: a:1, b:latest");
    }

    #[test]
    fn the_file_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Lock::read(dir.path()).is_err());
        lock().write(dir.path()).unwrap();
        assert_eq!(Lock::read(dir.path()).unwrap(), lock());
        for text in [
            "{",
            r#"{"version": 2, "images": {}}"#,
            r#"{"version": 1, "images": {"a": "x"}}"#,
        ] {
            std::fs::write(dir.path().join(FILE), text).unwrap();
            assert!(Lock::read(dir.path()).is_err(), "{text}");
        }
    }
}
