//! A container's network: addresses, namespace, [`names`], published [`ports`].
//!
//! A sandbox lives from a start by the user to the container's end; automatic
//! restarts reuse it. What must outlive this process lies on the keeper's
//! shelf, under these names:
//!
//! * `net/<container>`: the network namespace;
//! * `dns/<container>/udp` and `…/tcp`: sockets at 127.0.0.11 inside it;
//! * `port/<container>/<protocol>/<address>/<host port>/<container port>`:
//!   a published port's socket.

mod adopt;
mod names;
mod ports;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;

use indexmap::IndexMap;

use crate::model::{
    Attachment, ContainerId, ContainerRecord, EndpointRecord, EndpointSpec, PortBinding,
    ProcessIdentity, ResourceKey,
};
use crate::network::sandbox::{Sandbox, SandboxSpec};
use crate::supervisor::host::{Host, blocking};
use crate::supervisor::sandbox::names::{dns_name, view};
use crate::supervisor::zone::aliases;
use crate::supervisor::{Error, files};
use crate::topology::endpoint::{self, Attached, Endpoints};
use crate::topology::resolver::{self, Form, ResolvConf};
use crate::{network, runtime, sys};

/// The host's resolver configuration.
pub(crate) const HOST_RESOLV_CONF: &str = "/etc/resolv.conf";

/// A container's network, ready for its process.
#[derive(Debug)]
pub(crate) struct Raised {
    /// The namespace to enter; None for the host's.
    pub namespace: Option<OwnedFd>,
    /// Endpoints by the network's name on the host.
    pub endpoints: IndexMap<String, EndpointRecord>,
    /// Published ports with the real numbers.
    pub ports: Vec<PortBinding>,
    /// Text of `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// Folder with the `/etc` files of the container whose network is shared.
    pub shares_files_of: Option<PathBuf>,
}

/// The name of a container's namespace on the shelf.
fn namespace_name(id: &ContainerId) -> String {
    format!("net/{id}")
}

impl Host {
    /// Makes a container's sandbox, or gives the one that it has.
    pub(crate) async fn raise(self: &Rc<Self>, record: &ContainerRecord) -> Result<Raised, Error> {
        match &record.service.attachment {
            Attachment::Host => Ok(Raised {
                namespace: None,
                endpoints: IndexMap::new(),
                ports: Vec::new(),
                resolv_conf: resolver::beside_the_host(&record.service, &host_resolv_conf())
                    .map_or_else(
                        || std::fs::read_to_string(HOST_RESOLV_CONF).unwrap_or_default(),
                        |conf| conf.text(),
                    ),
                shares_files_of: None,
            }),
            Attachment::Service(name) => {
                let process = self.process_of_service(name)?;
                self.share(&process)
            }
            Attachment::Container(name) => {
                let process = self.process_of_container(name)?;
                self.share(&process)
            }
            Attachment::None => self.isolate(record).await,
            Attachment::Endpoints(endpoints) => self.connect(record, endpoints).await,
        }
    }

    /// The network of another container, with its `/etc` files where they are ours.
    fn share(&self, process: &ProcessIdentity) -> Result<Raised, Error> {
        let path = format!("/proc/{}/ns/net", process.pid);
        let not_running = || Error::NotRunning {
            name: format!("process {}", process.pid),
        };
        let namespace = std::fs::File::open(path).map_err(|_| not_running())?;
        if !sys::process::is_alive(process) {
            return Err(not_running());
        }
        let table = self.table.borrow();
        let source = table.iter().find(|live| {
            live.runtime
                .as_ref()
                .is_some_and(|runtime| runtime.process.as_ref() == Some(process))
        });
        let files = source.map(|live| self.store.container_dir(&live.record.id).join("etc"));
        Ok(Raised {
            namespace: Some(namespace.into()),
            endpoints: IndexMap::new(),
            ports: Vec::new(),
            resolv_conf: String::new(),
            shares_files_of: files.filter(|path| path.is_dir()),
        })
    }

    /// A namespace with nothing but loopback.
    async fn isolate(self: &Rc<Self>, record: &ContainerRecord) -> Result<Raised, Error> {
        let resolv_conf = resolver::unserved(&record.service, &host_resolv_conf()).text();
        let namespace = match self.link.get(&namespace_name(&record.id))? {
            Some(namespace) => namespace,
            None => {
                let endpoints = Endpoints::default();
                self.make_namespace(record, endpoints, Form::Off)
                    .await?
                    .netns
            }
        };
        Ok(Raised {
            namespace: Some(namespace),
            endpoints: IndexMap::new(),
            ports: Vec::new(),
            resolv_conf,
            shares_files_of: None,
        })
    }

    async fn connect(
        self: &Rc<Self>,
        record: &ContainerRecord,
        specs: &IndexMap<ResourceKey, EndpointSpec>,
    ) -> Result<Raised, Error> {
        let host_conf = host_resolv_conf();
        let form = resolver::form(&record.service, &record.exposed);
        let resolv_conf = match form {
            Form::Off => resolver::unserved(&record.service, &host_conf),
            Form::Direct | Form::Nat => resolver::served(&record.service, &host_conf),
        }
        .text();
        if let Some(namespace) = self.link.get(&namespace_name(&record.id))? {
            let (endpoints, ports) = self.known_sandbox(&record.id);
            return Ok(Raised {
                namespace: Some(namespace),
                endpoints,
                ports,
                resolv_conf,
                shares_files_of: None,
            });
        }
        let networks = self.attached_networks(record, specs).await?;
        let addresses = self.claim_addresses(record, &networks)?;
        let attached: Vec<Attached<'_>> = networks
            .iter()
            .zip(&addresses)
            .map(|((network, spec), addresses)| Attached {
                network: &network.name,
                bridge: &network.bridge,
                is_internal: network.applied.internal,
                pools: &network.pools,
                spec,
                ipv4: addresses.iter().find_map(|address| ipv4(*address)),
                ipv6: addresses.iter().find_map(|address| ipv6(*address)),
            })
            .collect();
        let generation = self.next_generation(&record.id);
        let endpoints = endpoint::plan(self.root.engine(), &record.id, generation, &attached)
            .map_err(|error| Error::Addresses {
                name: record.name.clone(),
                reason: error.to_string(),
            })?;
        let records: IndexMap<String, EndpointRecord> = endpoints
            .endpoints
            .iter()
            .zip(&networks)
            .map(|(endpoint, (network, spec))| {
                let names = aliases(record, spec);
                (
                    network.name.clone(),
                    endpoint::record(endpoint, &network.pools, names),
                )
            })
            .collect();
        let sandbox = self.make_namespace(record, endpoints, form).await?;
        self.serve_dns(record, view(record, &networks), &sandbox)?;
        let ports = self.publish_ports(record, &records).await?;
        self.table.borrow_mut().update(&record.id, |live| {
            live.sandbox = Some((records.clone(), ports.clone()));
        });
        self.refresh_forwards().await?;
        Ok(Raised {
            namespace: Some(sandbox.netns),
            endpoints: records,
            ports,
            resolv_conf,
            shares_files_of: None,
        })
    }

    /// Makes the namespace with its interfaces and shelves it.
    async fn make_namespace(
        &self,
        record: &ContainerRecord,
        endpoints: Endpoints,
        form: Form,
    ) -> Result<Sandbox, Error> {
        let container = record.name.to_string();
        let namespace = self.spare.take().await;
        let sandbox = blocking(move || {
            network::sandbox::create(&SandboxSpec {
                container: &container,
                namespace: namespace.as_ref().map(|fd| fd.as_fd()),
                endpoints: &endpoints,
                dns: form,
            })
        })
        .await
        .map_err(|source| Error::Sandbox {
            name: record.name.clone(),
            source,
        })?;
        let mut shelved = vec![(namespace_name(&record.id), &sandbox.netns)];
        let dns = [(&sandbox.dns_udp, "udp"), (&sandbox.dns_tcp, "tcp")];
        let made = |(socket, name)| Some((dns_name(&record.id, name), Option::as_ref(socket)?));
        shelved.extend(dns.into_iter().filter_map(made));
        self.link.put_all(&shelved).await?;
        Ok(sandbox)
    }

    /// Takes a container's sandbox down: names, addresses, ports, namespace,
    /// control group. Goes on after a failure and gives the first.
    pub(crate) async fn lower(self: &Rc<Self>, id: &ContainerId) -> Result<(), Error> {
        let Some(record) = self.table.borrow().get(id).map(|live| live.record.clone()) else {
            return Ok(());
        };
        self.release_addresses(&record);
        self.table.borrow_mut().update(id, |live| {
            live.sandbox_tasks.clear();
            live.name_server = None;
            live.sandbox = None;
            live.terminal = None;
            if let Some(runtime) = &mut live.runtime {
                runtime.endpoints.clear();
                runtime.ports.clear();
            }
        });
        self.keep_runtime(id);
        self.refresh_zone();
        let names = ["net", "dns", "port"]
            .iter()
            .flat_map(|kind| self.link.names(&format!("{kind}/{id}")))
            .collect();
        let (path, kept) = (self.cgroup_path(&record), self.cgroup_base());
        let (removed, dropped, forwarded) = tokio::join!(
            blocking(move || runtime::cgroup::end(&path, &kept)),
            self.link.drop_names(names),
            self.refresh_forwards(),
        );
        files::remove(&self.store, id);
        dropped?;
        forwarded?;
        removed.map_err(|source| Error::Cgroup {
            name: record.name,
            source,
        })
    }

    fn known_sandbox(
        &self,
        id: &ContainerId,
    ) -> (IndexMap<String, EndpointRecord>, Vec<PortBinding>) {
        let table = self.table.borrow();
        table
            .get(id)
            .and_then(|live| live.sandbox.clone())
            .unwrap_or_default()
    }

    fn next_generation(&self, id: &ContainerId) -> u32 {
        self.table
            .borrow_mut()
            .update(id, |live| {
                live.generation = live.generation.wrapping_add(1);
                live.generation
            })
            .unwrap_or_default()
    }
}

fn ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn ipv6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address),
    }
}

fn host_resolv_conf() -> ResolvConf {
    let text = std::fs::read_to_string(HOST_RESOLV_CONF).unwrap_or_default();
    ResolvConf::parse(&text)
}
