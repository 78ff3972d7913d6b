//! The two trees and the engine that they belong to.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::{EngineId, ProjectName};
use crate::store::lock::FileLock;
use crate::store::project::ProjectStore;
use crate::store::record::{self, Record};
use crate::store::{Error, make_private_dir};
use crate::sys;

/// The engine's own record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct EngineRecord {
    id: EngineId,
    /// Form of the store: `root`, later also a user's id map.
    form: String,
}

impl Record for EngineRecord {
    const KIND: &'static str = "engine";
    const VERSION: u32 = 1;
}

/// Sees to it that a tree which was there already is ours alone: programs and
/// files of containers, set-user-id ones too, lie below it as they are.
fn keep_private(tree: &Path) -> Result<(), Error> {
    let failed = |source| Error::io("look at", tree, source);
    let metadata = std::fs::metadata(tree).map_err(failed)?;
    if metadata.uid() != sys::tree::own_ids().0 {
        return Err(Error::Foreign {
            path: tree.to_owned(),
            uid: metadata.uid(),
        });
    }
    if metadata.mode() & 0o077 != 0 {
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(tree, private).map_err(failed)?;
    }
    Ok(())
}

fn first_six(bytes: [u8; 32]) -> [u8; 6] {
    let [a, b, c, d, e, f, ..] = bytes;
    [a, b, c, d, e, f]
}

/// An engine's two trees.
#[derive(Debug, Clone)]
pub struct Root {
    state: PathBuf,
    run: PathBuf,
    engine: EngineId,
}

impl Root {
    /// Where the trees lie: below `RCOMPOSE_ROOT`, else root's places, else the
    /// user's XDG folders. `variable` reads the environment.
    #[must_use]
    pub fn locate(
        variable: &dyn Fn(&str) -> Option<PathBuf>,
        is_root: bool,
        uid: u32,
    ) -> (PathBuf, PathBuf) {
        let set = |name: &str| variable(name).filter(|path| path.is_absolute());
        if let Some(root) = variable("RCOMPOSE_ROOT").filter(|path| !path.as_os_str().is_empty()) {
            return (root.join("state"), root.join("run"));
        }
        if is_root {
            return ("/var/lib/rcompose".into(), "/run/rcompose".into());
        }
        let state = set("XDG_DATA_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".local/share")))
            .unwrap_or_else(|| PathBuf::from(format!("/tmp/rcompose-{uid}")));
        let run = set("XDG_RUNTIME_DIR").unwrap_or_else(|| state.join("run"));
        (state.join("rcompose"), run.join("rcompose"))
    }

    /// Opens the trees, making them when they aren't there.
    ///
    /// # Errors
    /// [`Error::Io`] when a folder can't be made or the engine record can't be
    /// read or written; [`Error::Damaged`] when the record is unreadable.
    pub fn open(state: &Path, run: &Path) -> Result<Self, Error> {
        for tree in [state, run] {
            make_private_dir(tree)?;
            keep_private(tree)?;
        }
        let state = std::path::absolute(state).map_err(|e| Error::io("resolve", state, e))?;
        let run = std::path::absolute(run).map_err(|e| Error::io("resolve", run, e))?;
        let engine = Self::engine_id(&state)?;
        let root = Self { state, run, engine };
        for dir in [
            "blobs", "layers", "images", "volumes", "networks", "names", "projects", "ingest",
        ] {
            make_private_dir(&root.state.join(dir))?;
        }
        make_private_dir(&root.run.join("projects"))?;
        Ok(root)
    }

    fn engine_id(state: &Path) -> Result<EngineId, Error> {
        let path = state.join("engine");
        if let Some(found) = record::read::<EngineRecord>(&path)? {
            return Ok(found.id);
        }
        let _lock = FileLock::exclusive(&state.join("engine.lock"))?;
        if let Some(found) = record::read::<EngineRecord>(&path)? {
            return Ok(found.id);
        }
        let bytes = sys::random::bytes32()
            .map_err(|source| Error::io("draw random bytes for", &path, source))?;
        let fresh = EngineRecord {
            id: EngineId::from_random(first_six(bytes)),
            form: "root".to_owned(),
        };
        record::write_durable(&path, &fresh)?;
        Ok(fresh.id)
    }

    /// The engine's id.
    #[must_use]
    pub fn engine(&self) -> &EngineId {
        &self.engine
    }

    /// The tree that outlives a reboot.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state
    }

    /// The tree that does not.
    #[must_use]
    pub fn run_dir(&self) -> &Path {
        &self.run
    }

    /// Content by digest: `blobs/sha256/<hex>`.
    #[must_use]
    pub fn blobs_dir(&self) -> PathBuf {
        self.state.join("blobs")
    }

    /// Unpacked layers by chain id.
    #[must_use]
    pub fn layers_dir(&self) -> PathBuf {
        self.state.join("layers")
    }

    /// The tree of the layer with this chain id (hexadecimal).
    #[must_use]
    pub fn layer_tree(&self, chain_hex: &str) -> PathBuf {
        self.layers_dir().join(chain_hex).join("fs")
    }

    /// The tree that stands in for the layers of an image without any.
    ///
    /// # Errors
    /// [`Error::Io`] when it can't be made.
    pub fn empty_layer_tree(&self) -> Result<PathBuf, Error> {
        let path = self.layer_tree("empty");
        make_private_dir(&path)?;
        Ok(path)
    }

    /// Image names.
    #[must_use]
    pub fn images_dir(&self) -> PathBuf {
        self.state.join("images")
    }

    /// Half-made content, on the file system of its final place.
    #[must_use]
    pub fn ingest_dir(&self) -> PathBuf {
        self.state.join("ingest")
    }

    /// Named volumes.
    #[must_use]
    pub fn volumes_dir(&self) -> PathBuf {
        self.state.join("volumes")
    }

    /// Networks: a record and address claims each.
    #[must_use]
    pub fn networks_dir(&self) -> PathBuf {
        self.state.join("networks")
    }

    /// What builds keep: steps, digests of files, cache mounts.
    #[must_use]
    pub fn builds_dir(&self) -> PathBuf {
        self.state.join("builds")
    }

    /// Claims on container names.
    #[must_use]
    pub fn names_dir(&self) -> PathBuf {
        self.state.join("names")
    }

    /// A project's folders and records. Nothing is made yet.
    #[must_use]
    pub fn project(&self, name: &ProjectName) -> ProjectStore {
        ProjectStore::new(
            name.clone(),
            self.state.join("projects").join(name.as_str()),
            self.run.join("projects").join(name.as_str()),
        )
    }

    /// Projects that have a folder in the state tree, sorted.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder can't be listed.
    pub fn projects(&self) -> Result<Vec<ProjectName>, Error> {
        let dir = self.state.join("projects");
        let mut names: Vec<ProjectName> = record::names(&dir)?
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        names.sort();
        Ok(names)
    }

    /// The lock that guards the image store: shared while an image is being
    /// put to use, exclusive while something is removed.
    #[must_use]
    pub fn image_lock_path(&self) -> PathBuf {
        self.state.join("images.lock")
    }

    /// The cgroup folder of everything of this engine, below each hierarchy's root.
    #[must_use]
    pub fn cgroup_base(&self) -> String {
        format!("rcompose/{}", self.engine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_keeps_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let (state, run) = (dir.path().join("s"), dir.path().join("r"));
        let first = Root::open(&state, &run).unwrap();
        let second = Root::open(&state, &run).unwrap();
        assert_eq!(first.engine(), second.engine());
        assert_eq!(first.engine().as_str().len(), 6);
    }

    #[test]
    fn trees_that_are_there_are_made_private_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (state, run) = (dir.path().join("s"), dir.path().join("r"));
        for tree in [&state, &run] {
            std::fs::create_dir(tree).unwrap();
            let open = std::fs::Permissions::from_mode(0o777);
            std::fs::set_permissions(tree, open).unwrap();
        }
        Root::open(&state, &run).unwrap();
        for tree in [&state, &run] {
            assert_eq!(std::fs::metadata(tree).unwrap().mode() & 0o777, 0o700);
        }
        if std::os::unix::fs::chown(&run, Some(12345), None).is_ok() {
            let error = Root::open(&state, &run).unwrap_err();
            assert!(
                matches!(error, Error::Foreign { uid: 12345, .. }),
                "{error}"
            );
        }
    }

    #[test]
    fn the_trees_lie_where_the_environment_says() {
        let locate = |set: &[(&str, &str)], is_root| {
            Root::locate(
                &|name| {
                    set.iter()
                        .find(|(key, _)| *key == name)
                        .map(|(_, value)| value.into())
                },
                is_root,
                7,
            )
        };
        assert_eq!(
            locate(&[("RCOMPOSE_ROOT", "/x")], true),
            ("/x/state".into(), "/x/run".into())
        );
        assert_eq!(locate(&[], true).0, PathBuf::from("/var/lib/rcompose"));
        assert_eq!(
            locate(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/user/7")], false),
            (
                "/h/.local/share/rcompose".into(),
                "/run/user/7/rcompose".into()
            )
        );
    }

    #[test]
    fn projects_are_those_with_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("s"), &dir.path().join("r")).unwrap();
        assert_eq!(root.projects().unwrap(), []);
        for name in ["b", "a"] {
            root.project(&name.parse().unwrap()).make().unwrap();
        }
        let names: Vec<String> = root
            .projects()
            .unwrap()
            .into_iter()
            .map(String::from)
            .collect();
        assert_eq!(names, ["a", "b"]);
    }
}
