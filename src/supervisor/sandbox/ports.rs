//! The published ports of a sandbox: reserved, shelved, served by a relay, and
//! given the kernel's own path where it can have one.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use indexmap::IndexMap;

use crate::model::{ContainerId, ContainerRecord, EndpointRecord, PortBinding, Protocol};
use crate::network;
use crate::supervisor::Error;
use crate::supervisor::host::{Host, blocking};
use crate::supervisor::live::Task;
use crate::topology::firewall::Forward;
use crate::topology::publish;

impl Host {
    /// Names the container where a port that is taken is one of this project's:
    /// from outside only the project can be told.
    fn naming_port_holder(&self, error: network::Error) -> network::Error {
        let network::Error::PortTaken {
            address,
            protocol,
            owner,
        } = error
        else {
            return error;
        };
        let table = self.table.borrow();
        let holder = table.iter().find(|live| {
            let ports = live.sandbox.iter().flat_map(|(_, ports)| ports);
            ports.into_iter().any(|binding| {
                binding.host_port == address.port() && binding.protocol.as_str() == protocol
            })
        });
        network::Error::PortTaken {
            address,
            protocol,
            owner: holder.map_or(owner, |live| {
                Some(format!("container {} of this project", live.record.name))
            }),
        }
    }

    /// Reserves the published ports, shelves them and serves them.
    pub(super) async fn publish_ports(
        &self,
        record: &ContainerRecord,
        endpoints: &IndexMap<String, EndpointRecord>,
    ) -> Result<Vec<PortBinding>, Error> {
        let requests = publish::requests(&record.service.ports);
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        self.tell_obstacles().await;
        let listeners = blocking(move || network::publish::bind_all(&requests))
            .await
            .map_err(|source| Error::Sandbox {
                name: record.name.clone(),
                source: self.naming_port_holder(source),
            })?;
        let mut bindings = Vec::new();
        let shelved: Vec<_> = listeners
            .iter()
            .map(|listener| (port_name(&record.id, &listener.binding), &listener.fd))
            .collect();
        self.link.put_all(&shelved).await?;
        for listener in listeners {
            self.serve_port(record, endpoints, listener.binding.clone(), listener.fd)?;
            bindings.push(listener.binding);
        }
        Ok(bindings)
    }

    /// Tells once what of the host's own firewall is in the way of containers.
    async fn tell_obstacles(&self) {
        if self.knows_obstacles.replace(true) {
            return;
        }
        match blocking(network::firewall::obstacles).await {
            Ok(obstacles) => {
                for obstacle in obstacles {
                    self.warn(&obstacle.hint());
                }
            }
            Err(error) => tracing::debug!(%error, "the host's firewall can't be looked at"),
        }
    }

    /// Serves a published port by relaying to the container.
    pub(crate) fn serve_port(
        &self,
        record: &ContainerRecord,
        endpoints: &IndexMap<String, EndpointRecord>,
        binding: PortBinding,
        listener: OwnedFd,
    ) -> Result<(), Error> {
        let address = target(endpoints, binding.host_ip.is_ipv6());
        let target = address.map(|address| SocketAddr::new(address, binding.container_port));
        let (sender, receiver) = tokio::sync::watch::channel(target);
        let served = network::proxy::serve(listener, binding.protocol, receiver)
            .map_err(Error::Descriptor)?;
        let task = Task::spawn(async move {
            // The proxy ends with the sender of its target.
            let _sender = sender;
            let _ = served.await;
        });
        self.table
            .borrow_mut()
            .update(&record.id, |live| live.sandbox_tasks.push(task));
        Ok(())
    }

    /// Makes the kernel's own path for every published port of the project.
    pub(crate) async fn refresh_forwards(&self) -> Result<(), Error> {
        let _alone = self.forwarding.lock().await;
        let mut forwards = Vec::new();
        for live in self.table.borrow().iter() {
            let Some((endpoints, ports)) = &live.sandbox else {
                continue;
            };
            for binding in ports
                .iter()
                .filter(|binding| binding.protocol != Protocol::Sctp)
            {
                let address = endpoints
                    .values()
                    .find_map(|endpoint| same_family(endpoint, binding.host_ip.is_ipv6()));
                if let Some(to) = address {
                    forwards.push(Forward {
                        binding: binding.clone(),
                        to,
                    });
                }
            }
        }
        if self.forwards.borrow().as_ref() == Some(&forwards) {
            return Ok(());
        }
        let (engine, project) = (self.root.engine().clone(), self.store.name().clone());
        let applied = forwards.clone();
        let result =
            blocking(move || network::firewall::publish(&engine, &project, &applied)).await;
        match result {
            Ok(()) => *self.forwards.borrow_mut() = Some(forwards),
            // The listeners serve the ports all the same.
            Err(error) => self.warn(&format!(
                "published ports go through the relay only: {error}"
            )),
        }
        Ok(())
    }
}

pub(super) fn port_name(id: &ContainerId, binding: &PortBinding) -> String {
    format!(
        "port/{id}/{}/{}/{}/{}",
        binding.protocol.as_str(),
        binding.host_ip,
        binding.host_port,
        binding.container_port
    )
}

/// The container's address behind a published port: of the port's family if
/// there is one, for a relay doesn't mind the other.
fn target(endpoints: &IndexMap<String, EndpointRecord>, is_ipv6: bool) -> Option<IpAddr> {
    let of = |is_ipv6| {
        endpoints
            .values()
            .find_map(move |endpoint| same_family(endpoint, is_ipv6))
    };
    of(is_ipv6).or_else(|| of(!is_ipv6))
}

fn same_family(endpoint: &EndpointRecord, is_ipv6: bool) -> Option<IpAddr> {
    if is_ipv6 {
        endpoint.ipv6.map(IpAddr::V6)
    } else {
        endpoint.ipv4.map(IpAddr::V4)
    }
}
