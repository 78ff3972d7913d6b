//! A project's folders and records.
//!
//! state: `model`, `containers/<id>/{record, exit, upper, work, root, log.json, etc/}`,
//! `supervisor.log`. run: `lock`, `sock`, `containers/<id>`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::{
    ContainerId, ContainerRecord, ContainerRuntime, ExitRecord, Project, ProjectName,
};
use crate::store::record::{self, Record};
use crate::store::{Error, make_private_dir, remove_file, remove_folder};

/// The model as it was last applied (an atomic record).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProjectRecord<'a> {
    /// It.
    pub project: Cow<'a, Project>,
}

impl Record for ProjectRecord<'_> {
    const KIND: &'static str = "project";
    const VERSION: u32 = 1;
}

impl Record for ContainerRecord {
    const KIND: &'static str = "container";
    const VERSION: u32 = 1;
}

impl Record for ContainerRuntime {
    const KIND: &'static str = "runtime";
    const VERSION: u32 = 1;
}

/// A project's container records.
#[derive(Debug, Default)]
pub struct Containers {
    /// The readable ones, by service and number.
    pub records: Vec<ContainerRecord>,
    /// The others, with what is wrong with each.
    pub damaged: Vec<(ContainerId, Error)>,
}

/// Where a project's records lie.
#[derive(Debug, Clone)]
pub struct ProjectStore {
    name: ProjectName,
    state: PathBuf,
    run: PathBuf,
}

impl ProjectStore {
    pub(crate) fn new(name: ProjectName, state: PathBuf, run: PathBuf) -> Self {
        Self { name, state, run }
    }

    /// The project.
    #[must_use]
    pub fn name(&self) -> &ProjectName {
        &self.name
    }

    /// Makes both folders.
    ///
    /// # Errors
    /// [`Error::Io`] when one can't be made.
    pub fn make(&self) -> Result<(), Error> {
        make_private_dir(&self.state.join("containers"))?;
        make_private_dir(&self.run.join("containers"))
    }

    /// Whether the project has a folder in the state tree.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.state.is_dir()
    }

    /// Removes what `down` removes, when no container is left: the folders of
    /// both trees. The run folder's lock stays locked by whoever holds it.
    ///
    /// # Errors
    /// The first [`Error::Io`]; everything that can go is gone all the same.
    pub fn remove(&self) -> Result<(), Error> {
        let mut first = Ok(());
        for dir in [&self.state, &self.run] {
            // It may still hold what a container wrote whose record was lost.
            first = first.and(remove_folder(dir));
        }
        first
    }

    /// Its folder in the state tree.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state
    }

    /// Its folder in the run tree.
    #[must_use]
    pub fn run_dir(&self) -> &Path {
        &self.run
    }

    /// The supervisor's log.
    #[must_use]
    pub fn supervisor_log(&self) -> PathBuf {
        self.state.join("supervisor.log")
    }

    /// The project lock.
    #[must_use]
    pub fn lock_path(&self) -> PathBuf {
        self.run.join("lock")
    }

    /// Whether somebody holds the project's lock: its pair lives.
    #[must_use]
    pub fn has_pair(&self) -> bool {
        let Ok(file) = std::fs::File::open(self.lock_path()) else {
            return false;
        };
        matches!(
            file.try_lock_shared(),
            Err(std::fs::TryLockError::WouldBlock)
        )
    }

    /// The control socket.
    #[must_use]
    pub fn socket_path(&self) -> PathBuf {
        self.run.join("sock")
    }

    /// The model as it was last applied.
    ///
    /// # Errors
    /// As [`record::read`].
    pub fn model(&self) -> Result<Option<Project>, Error> {
        Ok(record::read::<ProjectRecord>(&self.state.join("model"))?
            .map(|record| record.project.into_owned()))
    }

    /// Keeps the model that is being applied. One that is kept already costs no
    /// write: a file system that orders data before a rename over another file
    /// (ext4) would begin to write it out at once.
    ///
    /// # Errors
    /// As [`record::write_changed`].
    pub fn write_model(&self, project: &Project) -> Result<(), Error> {
        let project = Cow::Borrowed(project);
        record::write_changed(&self.state.join("model"), &ProjectRecord { project })
    }

    /// A container's folder.
    #[must_use]
    pub fn container_dir(&self, id: &ContainerId) -> PathBuf {
        self.state.join("containers").join(id.as_str())
    }

    /// A container's log.
    #[must_use]
    pub fn log_path(&self, id: &ContainerId) -> PathBuf {
        self.container_dir(id).join("log.json")
    }

    /// Where the log writer puts a container's exit.
    #[must_use]
    pub fn exit_path(&self, id: &ContainerId) -> PathBuf {
        self.container_dir(id).join("exit")
    }

    fn runtime_path(&self, id: &ContainerId) -> PathBuf {
        self.run.join("containers").join(id.as_str())
    }

    /// Ids of containers that have a folder, whether or not they have a record.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder can't be listed.
    pub fn container_ids(&self) -> Result<Vec<ContainerId>, Error> {
        let names = record::names(&self.state.join("containers"))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Every container record. A folder without a record is a creation that
    /// was cut off and is in neither list.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder can't be listed.
    pub fn containers(&self) -> Result<Containers, Error> {
        let (mut records, mut damaged) = (Vec::new(), Vec::new());
        for id in self.container_ids()? {
            match self.container(&id) {
                Ok(Some(record)) => records.push(record),
                Ok(None) => {}
                Err(error) => damaged.push((id, error)),
            }
        }
        records.sort_by(|a: &ContainerRecord, b: &ContainerRecord| {
            (a.service_name(), a.number, &a.name, &a.id).cmp(&(
                b.service_name(),
                b.number,
                &b.name,
                &b.id,
            ))
        });
        Ok(Containers { records, damaged })
    }

    /// One container's record.
    ///
    /// # Errors
    /// As [`record::read`].
    pub fn container(&self, id: &ContainerId) -> Result<Option<ContainerRecord>, Error> {
        record::read(&self.container_dir(id).join("record"))
    }

    /// Keeps a container's record, making its folder.
    ///
    /// # Errors
    /// As [`record::write_atomic`].
    pub fn write_container(&self, container: &ContainerRecord) -> Result<(), Error> {
        let dir = self.container_dir(&container.id);
        make_private_dir(&dir)?;
        record::write_atomic(&dir.join("record"), container)
    }

    /// Removes a container's records. Its folder's other content is its owner's.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_container_records(&self, id: &ContainerId) -> Result<(), Error> {
        remove_file(&self.container_dir(id).join("record"))?;
        remove_file(&self.exit_path(id))?;
        remove_file(&self.runtime_path(id))
    }

    /// What is known of a container since this boot; None when nothing is,
    /// also when the record is damaged.
    #[must_use]
    pub fn runtime(&self, id: &ContainerId) -> Option<ContainerRuntime> {
        record::read(&self.runtime_path(id)).ok().flatten()
    }

    /// Keeps what is known of a container since this boot.
    ///
    /// # Errors
    /// As [`record::write_volatile`].
    pub fn write_runtime(&self, id: &ContainerId, runtime: &ContainerRuntime) -> Result<(), Error> {
        record::write_volatile(&self.runtime_path(id), runtime)
    }

    /// How a container last ended; None when it never did, or nobody could write it.
    #[must_use]
    pub fn exit(&self, id: &ContainerId) -> Option<ExitRecord> {
        let bytes = std::fs::read(self.exit_path(id)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::fd::AsFd as _;

    use crate::store::Root;
    use crate::sys::tree;

    #[test]
    fn a_removed_project_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("s"), &dir.path().join("r")).unwrap();
        let project = root.project(&"shop".parse().unwrap());
        project.make().unwrap();
        assert!(project.exists());
        project.remove().unwrap();
        project.remove().unwrap();
        assert!(!project.exists());
        assert_eq!(root.projects().unwrap(), []);
    }

    #[test]
    fn a_container_cannot_nest_its_files_too_deep_to_be_removed() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("s"), &dir.path().join("r")).unwrap();
        let project = root.project(&"shop".parse().unwrap());
        project.make().unwrap();
        let mut at = tree::open_root(&project.state_dir().join("containers")).unwrap();
        for _ in 0..20_000 {
            tree::make_dir(at.as_fd(), OsStr::new("d")).unwrap();
            at = tree::open_dir(at.as_fd(), OsStr::new("d")).unwrap();
        }
        drop(at);
        project.remove().unwrap();
        assert!(!project.exists());
    }
}
