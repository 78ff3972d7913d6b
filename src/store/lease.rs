//! Whom a project lives for: a process, or one container.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::ProcessIdentity;
use crate::store::project::ProjectStore;
use crate::store::record::{self, Record};
use crate::store::{Error, remove_file};

/// The process that a project lives for (a volatile record).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// The process.
    pub owner: ProcessIdentity,
    /// Whether named volumes go with the project.
    pub removes_volumes: bool,
}

impl Record for LeaseRecord {
    const KIND: &'static str = "lease";
    const VERSION: u32 = 1;
}

/// Says that a project was made for one container (an atomic record).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ThrowAwayRecord {}

impl Record for ThrowAwayRecord {
    const KIND: &'static str = "throw-away";
    const VERSION: u32 = 1;
}

impl ProjectStore {
    fn lease_path(&self) -> PathBuf {
        self.run_dir().join("lease")
    }

    fn throw_away_path(&self) -> PathBuf {
        self.state_dir().join("throw-away")
    }

    /// The process that the project lives for, dead or alive.
    ///
    /// # Errors
    /// As [`record::read`].
    pub fn lease(&self) -> Result<Option<LeaseRecord>, Error> {
        record::read(&self.lease_path())
    }

    /// Ties the project to a process.
    ///
    /// # Errors
    /// As [`record::write_volatile`].
    pub fn write_lease(&self, lease: &LeaseRecord) -> Result<(), Error> {
        record::write_volatile(&self.lease_path(), lease)
    }

    /// Lets the project live on by itself.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_lease(&self) -> Result<(), Error> {
        remove_file(&self.lease_path())
    }

    /// Whether the project was made for one container, and goes with it.
    #[must_use]
    pub fn is_throw_away(&self) -> bool {
        self.throw_away_path().exists()
    }

    /// Says that the project was made for one container.
    ///
    /// # Errors
    /// As [`record::write_atomic`].
    pub fn mark_throw_away(&self) -> Result<(), Error> {
        record::write_atomic(&self.throw_away_path(), &ThrowAwayRecord {})
    }
}

#[cfg(test)]
mod tests {
    use crate::store::Root;

    use super::*;

    #[test]
    fn a_lease_and_a_mark_go_with_the_project() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("s"), &dir.path().join("r")).unwrap();
        let project = root.project(&"shop".parse().unwrap());
        project.make().unwrap();
        assert_eq!(project.lease().unwrap(), None);
        let lease = LeaseRecord {
            owner: ProcessIdentity {
                pid: 7,
                start_ticks: 1,
                boot_id: "b".into(),
            },
            removes_volumes: true,
        };
        project.write_lease(&lease).unwrap();
        project.mark_throw_away().unwrap();
        assert_eq!(project.lease().unwrap(), Some(lease));
        assert!(project.is_throw_away());
        project.remove_lease().unwrap();
        assert_eq!(project.lease().unwrap(), None);
        project.remove().unwrap();
        assert!(!project.is_throw_away());
    }
}
