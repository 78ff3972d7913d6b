//! Takes the sandboxes of running containers over from an earlier supervisor:
//! from the shelf, or from the kernel where the shelf is gone too.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use crate::model::{ContainerId, ContainerRecord};
use crate::network::sandbox::Sandbox;
use crate::supervisor::Error;
use crate::supervisor::host::Host;
use crate::supervisor::sandbox::names::{dns_name, view};
use crate::supervisor::sandbox::namespace_name;
use crate::supervisor::sandbox::ports::port_name;
use crate::topology::resolver;
use crate::{network, sys};

impl Host {
    /// Takes a running container's sandbox over from an earlier supervisor.
    pub(crate) fn adopt_sandbox(self: &Rc<Self>, record: &ContainerRecord) -> Result<(), Error> {
        let id = &record.id;
        let known = self.table.borrow_mut().update(id, |live| {
            let runtime = live.runtime.as_ref()?;
            live.sandbox = Some((runtime.endpoints.clone(), runtime.ports.clone()));
            live.sandbox.clone()
        });
        let Some((endpoints, ports)) = known.flatten() else {
            return Ok(());
        };
        let netns = match self.link.get(&namespace_name(id))? {
            Some(netns) => Some(netns),
            None => self.namespace_of(id),
        };
        let Some(netns) = netns else { return Ok(()) };
        let form = resolver::form(&record.service, &record.exposed);
        let sockets = (
            self.link.get(&dns_name(id, "udp"))?,
            self.link.get(&dns_name(id, "tcp"))?,
        );
        let sandbox = match sockets {
            (Some(udp), Some(tcp)) => Sandbox {
                netns,
                dns_udp: Some(udp),
                dns_tcp: Some(tcp),
            },
            _ => network::sandbox::reopen(netns, form).map_err(|source| Error::Sandbox {
                name: record.name.clone(),
                source,
            })?,
        };
        let networks = self.joined_networks(record, &endpoints)?;
        self.serve_dns(record, view(record, &networks), &sandbox)?;
        for binding in ports {
            let listener = match self.link.get(&port_name(id, &binding))? {
                Some(listener) => listener,
                None => match network::publish::bind_again(&binding) {
                    Ok(listener) => listener,
                    Err(error) => {
                        self.warn(&format!(
                            "a published port of {} is lost: {error}",
                            record.name
                        ));
                        continue;
                    }
                },
            };
            self.serve_port(record, &endpoints, binding, listener)?;
        }
        Ok(())
    }

    /// The network namespace of a running container, by its process.
    fn namespace_of(&self, id: &ContainerId) -> Option<OwnedFd> {
        let process = self.process_of(id)?;
        let namespace = std::fs::File::open(format!("/proc/{}/ns/net", process.pid)).ok()?;
        sys::process::is_alive(&process).then(|| namespace.into())
    }
}
