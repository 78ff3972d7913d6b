//! Whose namespaces a container joins, as descriptors for the keeper.

use std::os::fd::OwnedFd;

use crate::model::{ContainerRecord, NamespaceMode, ProcessIdentity, Service, ServiceName};
use crate::protocol::keeper::DescriptorRole;
use crate::store::Claims;
use crate::supervisor::Error;
use crate::supervisor::host::Host;
use crate::sys;

impl Host {
    /// pidfds for the pid, IPC and UTS namespaces that a container joins.
    pub(crate) fn joined_namespaces(
        &self,
        record: &ContainerRecord,
    ) -> Result<Vec<(DescriptorRole, OwnedFd)>, Error> {
        let service = &record.service;
        let mut joined = Vec::new();
        for (mode, role) in [
            (&service.pid, DescriptorRole::PidNamespaceOf),
            (&service.ipc, DescriptorRole::IpcNamespaceOf),
            (&service.uts, DescriptorRole::UtsNamespaceOf),
        ] {
            let process = match mode {
                NamespaceMode::Service(name) => self.process_of_service(name)?,
                NamespaceMode::Container(name) => self.process_of_container(name)?,
                NamespaceMode::Private
                | NamespaceMode::Shareable
                | NamespaceMode::None
                | NamespaceMode::Host => continue,
            };
            joined.push((role, open(&process)?));
        }
        Ok(joined)
    }

    /// Containers whose mounts a service takes (`volumes_from`), by what names
    /// them there.
    pub(crate) fn volume_sources(
        &self,
        service: &Service,
    ) -> Result<Vec<(String, ContainerRecord)>, Error> {
        let table = self.table.borrow();
        let mut sources = Vec::new();
        for entry in &service.volumes_from {
            let bare = entry
                .strip_suffix(":ro")
                .or_else(|| entry.strip_suffix(":rw"));
            let name = bare.unwrap_or(entry);
            let found = match name.strip_prefix("container:") {
                Some(container) => table
                    .iter()
                    .find(|live| live.record.name.as_str() == container),
                None => table
                    .iter()
                    .filter(|live| live.record.service_name().as_str() == name)
                    .filter(|live| !live.record.is_one_off())
                    .min_by_key(|live| live.record.number),
            };
            let live = found.ok_or_else(|| Error::NoContainer {
                name: name.to_owned(),
            })?;
            sources.push((entry.clone(), live.record.clone()));
        }
        Ok(sources)
    }

    /// The first process of a service's lowest-numbered running container.
    pub(crate) fn process_of_service(&self, name: &ServiceName) -> Result<ProcessIdentity, Error> {
        let table = self.table.borrow();
        table
            .iter()
            .filter(|live| live.record.service_name() == name && !live.record.is_one_off())
            .filter(|live| live.state.is_running())
            .min_by_key(|live| live.record.number)
            .and_then(|live| live.runtime.as_ref()?.process.clone())
            .ok_or_else(|| Error::NotRunning {
                name: name.to_string(),
            })
    }

    /// The first process of any running container of this engine, by name or id.
    pub(crate) fn process_of_container(&self, name: &str) -> Result<ProcessIdentity, Error> {
        let not_running = || Error::NotRunning {
            name: name.to_owned(),
        };
        let own = self.table.borrow().iter().find_map(|live| {
            let is_it = live.record.name.as_str() == name
                || (name.len() >= 12 && live.record.id.as_str().starts_with(name));
            if is_it {
                live.runtime.as_ref()?.process.clone()
            } else {
                None
            }
        });
        if let Some(process) = own {
            return Ok(process);
        }
        let owner = Claims::new(self.root.names_dir())
            .owner(name)
            .ok()
            .flatten();
        let owner = owner.ok_or_else(|| Error::NoContainer {
            name: name.to_owned(),
        })?;
        self.root
            .project(&owner.project)
            .runtime(&owner.container)
            .and_then(|runtime| runtime.process)
            .filter(sys::process::is_alive)
            .ok_or_else(not_running)
    }
}

fn open(process: &ProcessIdentity) -> Result<OwnedFd, Error> {
    let gone = || Error::NotRunning {
        name: format!("process {}", process.pid),
    };
    sys::process::open(process).ok().flatten().ok_or_else(gone)
}
