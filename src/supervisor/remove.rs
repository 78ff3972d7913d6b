//! Removing containers, networks and volumes, and renaming containers.

use std::rc::Rc;

use crate::engine::create::is_void;
use crate::engine::networks;
use crate::model::{ContainerId, ContainerName, ContainerRecord};
use crate::plan::WhenUsed;
use crate::store::{Claims, NetworkStore, Owner};
use crate::supervisor::Error;
use crate::supervisor::host::{Host, blocking};
use crate::{network, snapshot, volume};

/// What became of a resource that was to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It is gone.
    Done,
    /// Somebody else still uses it and it stays.
    Kept,
}

impl Host {
    /// Removes a container with its files, and its anonymous volumes if asked.
    ///
    /// # Errors
    /// When it runs and `force` is off, or files can't be removed.
    pub(crate) async fn remove(
        self: &Rc<Self>,
        id: &ContainerId,
        anonymous_volumes: bool,
        force: bool,
    ) -> Result<(), Error> {
        let record = self.record(id)?;
        if self.is_running(id) && !force {
            return Err(Error::Running { name: record.name });
        }
        self.end(&record, Some(std::time::Duration::ZERO)).await?;
        self.forget_container(id, anonymous_volumes).await
    }

    /// Removes a settled container.
    pub(crate) async fn forget_container(
        self: &Rc<Self>,
        id: &ContainerId,
        anonymous_volumes: bool,
    ) -> Result<(), Error> {
        let mut changes = self.table.borrow().subscribe([id]);
        let begun = self.table.borrow_mut().update(id, |live| {
            let is_first = !live.is_going;
            live.is_going = true;
            is_first.then(|| live.record.clone())
        });
        let record = match begun {
            None => return Ok(()),
            Some(Some(record)) => record,
            // Somebody else removes it: the end is the same.
            Some(None) => {
                while self
                    .table
                    .borrow()
                    .get(id)
                    .is_some_and(|live| live.is_going)
                {
                    if changes.changed().await.is_err() {
                        return Err(Error::Cancelled);
                    }
                }
                return Ok(());
            }
        };
        self.unwritten.borrow_mut().remove(id);
        let removed = self.remove_whole(&record, anonymous_volumes).await;
        if removed.is_ok() {
            self.table.borrow_mut().remove(id);
            self.publish(&record, "destroy", &[]);
        } else {
            self.table
                .borrow_mut()
                .update(id, |live| live.is_going = false);
        }
        self.idle.notify_one();
        removed
    }

    async fn remove_whole(
        &self,
        record: &ContainerRecord,
        anonymous_volumes: bool,
    ) -> Result<(), Error> {
        self.remove_files(record).await?;
        if anonymous_volumes {
            self.remove_anonymous_volumes(record).await?;
        }
        Claims::new(self.root.names_dir()).release(record.name.as_str(), &record.id)?;
        Ok(())
    }

    /// Records first: a folder without a record is a removal that was cut
    /// off, which `gc` and the next start finish.
    async fn remove_files(&self, record: &ContainerRecord) -> Result<(), Error> {
        self.store.remove_container_records(&record.id)?;
        let dir = self.store.container_dir(&record.id);
        blocking(move || snapshot::remove(&dir))
            .await
            .map_err(|source| Error::Snapshot {
                name: record.name.clone(),
                source,
            })
    }

    async fn remove_anonymous_volumes(&self, record: &ContainerRecord) -> Result<(), Error> {
        for mount in record.mounts.iter().filter(|mount| mount.anonymous) {
            let Some(name) = mount.volume.clone() else {
                continue;
            };
            let is_shared = self.table.borrow().iter().any(|live| {
                live.record.id != record.id
                    && live
                        .record
                        .mounts
                        .iter()
                        .any(|other| other.volume.as_ref() == Some(&name))
            });
            if is_shared {
                continue;
            }
            let root = self.root.clone();
            let removed = name.clone();
            blocking(move || volume::remove(&root, &removed))
                .await
                .map_err(|source| Error::Volume { name, source })?;
        }
        Ok(())
    }

    /// Gives a container another name.
    pub(crate) fn rename(&self, id: &ContainerId, to: &ContainerName) -> Result<(), Error> {
        let record = self.record(id)?;
        if record.name == *to {
            return Ok(());
        }
        let claims = Claims::new(self.root.names_dir());
        let owner = Owner {
            project: record.project.clone(),
            container: id.clone(),
            names: Vec::new(),
        };
        claims.take(to.as_str(), &owner, &|owner| is_void(&self.root, owner))?;
        if let Err(error) = self.change_record(id, |record| record.name = to.clone()) {
            // On disk it has its former name, which then is its only one.
            claims.release(to.as_str(), id)?;
            self.table
                .borrow_mut()
                .update(id, |live| live.record.name = record.name);
            return Err(error);
        }
        claims.release(record.name.as_str(), id)?;
        self.refresh_zone();
        self.publish(&record, "rename", &[("oldName", record.name.to_string())]);
        Ok(())
    }

    /// Takes a network away unless somebody still has an address on it.
    pub(crate) async fn remove_network(
        &self,
        name: &str,
        when_used: WhenUsed,
    ) -> Result<Removal, Error> {
        let records = NetworkStore::new(&self.root);
        let _lock = blocking({
            let records = records.clone();
            move || records.lock()
        })
        .await?;
        let users = networks::users(&self.root, name)?;
        if !users.is_empty() {
            return match when_used {
                WhenUsed::Keep => Ok(Removal::Kept),
                WhenUsed::Fail => Err(Error::InUse {
                    what: "network",
                    name: name.to_owned(),
                    users: users.join(", "),
                }),
            };
        }
        let bridges = match networks::bridges(&self.root, name) {
            Ok(bridges) => bridges,
            Err(networks::Error::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let doomed = bridges.clone();
        blocking(move || network::bridge::retire(&bridges))
            .await
            .map_err(|source| Error::Network {
                name: name.to_owned(),
                source,
            })?;
        self.doomed_bridges.borrow_mut().extend(doomed);
        records.remove(name)?;
        Ok(Removal::Done)
    }

    /// Deletes a volume with its data unless a container still mounts it.
    pub(crate) async fn remove_volume(
        &self,
        name: &str,
        when_used: WhenUsed,
    ) -> Result<Removal, Error> {
        let users: Vec<String> = self.volume_users(name)?;
        if !users.is_empty() {
            return match when_used {
                WhenUsed::Keep => Ok(Removal::Kept),
                WhenUsed::Fail => Err(Error::InUse {
                    what: "volume",
                    name: name.to_owned(),
                    users: users.join(", "),
                }),
            };
        }
        let (root, removed) = (self.root.clone(), name.to_owned());
        blocking(move || volume::remove(&root, &removed))
            .await
            .map_err(|source| Error::Volume {
                name: name.to_owned(),
                source,
            })?;
        Ok(Removal::Done)
    }

    /// Containers of any project that mount a volume.
    fn volume_users(&self, name: &str) -> Result<Vec<String>, Error> {
        let mut users = Vec::new();
        for project in self.root.projects()? {
            for record in self.root.project(&project).containers()?.records {
                if record
                    .mounts
                    .iter()
                    .any(|mount| mount.volume.as_deref() == Some(name))
                {
                    users.push(record.name.to_string());
                }
            }
        }
        Ok(users)
    }
}
