//! A container's network: addresses, namespace, DNS, published ports.
//!
//! A sandbox lives from a start by the user to the container's end; automatic
//! restarts reuse it. What must outlive this process lies on the keeper's
//! shelf, under these names:
//!
//! * `net/<container>`: the network namespace;
//! * `dns/<container>/udp` and `…/tcp`: sockets at 127.0.0.11 inside it;
//! * `port/<container>/<protocol>/<address>/<host port>/<container port>`:
//!   a published port's socket.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::model::{
    Attachment, ContainerId, ContainerRecord, EndpointRecord, EndpointSpec, PortBinding,
    ProcessIdentity, Protocol, ResourceKey,
};
use crate::network::sandbox::{Sandbox, SandboxSpec};
use crate::supervisor::Error;
use crate::supervisor::host::{Host, blocking};
use crate::supervisor::live::Task;
use crate::supervisor::networks::Joined;
use crate::supervisor::zone::aliases;
use crate::topology::endpoint::{self, Attached, Endpoints};
use crate::topology::firewall::Forward;
use crate::topology::publish;
use crate::topology::resolver::{self, Form, ResolvConf};
use crate::topology::zone::{Forwarding, View};
use crate::{dns, network, runtime, sys};

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
        if !crate::sys::process::is_alive(process) {
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
        let sandbox = blocking(move || {
            network::sandbox::create(&SandboxSpec {
                container: &container,
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

    /// Answers the container's DNS from now on.
    pub(crate) fn serve_dns(
        &self,
        record: &ContainerRecord,
        view: View,
        sandbox: &Sandbox,
    ) -> Result<(), Error> {
        let (Some(udp), Some(tcp)) = (&sandbox.dns_udp, &sandbox.dns_tcp) else {
            return Ok(());
        };
        let twin = |fd: &OwnedFd| fd.try_clone().map_err(Error::Descriptor);
        let upstreams = self.upstreams(record, sandbox)?;
        let server = dns::serve(
            twin(udp)?,
            twin(tcp)?,
            self.zone.subscribe(),
            view,
            upstreams,
        )
        .map_err(Error::Descriptor)?;
        self.table
            .borrow_mut()
            .update(&record.id, |live| live.name_server = Some(server));
        Ok(())
    }

    /// Who answers what isn't ours: the host's servers, asked from the host,
    /// or those of `dns:`, asked from the container's own network.
    fn upstreams(
        &self,
        record: &ContainerRecord,
        sandbox: &Sandbox,
    ) -> Result<dns::Upstreams, Error> {
        let declared = record
            .service
            .dns
            .iter()
            .filter_map(|text| text.parse::<IpAddr>().ok());
        let servers: Vec<SocketAddr> = declared
            .map(|address| SocketAddr::new(address, resolver::PORT))
            .collect();
        if servers.is_empty() {
            return Ok(dns::Upstreams::Host(Arc::clone(&self.host_servers)));
        }
        let netns = sandbox.netns.try_clone().map_err(Error::Descriptor)?;
        Ok(dns::Upstreams::Own {
            servers,
            netns: Arc::new(netns),
        })
    }

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
    async fn publish_ports(
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
        let dropped = self.link.drop_names(names).await;
        let forwarded = self.refresh_forwards().await;
        crate::supervisor::files::remove(&self.store, id);
        let path = self.cgroup_path(&record);
        let removed = blocking(move || runtime::cgroup::end(&path)).await;
        dropped?;
        forwarded?;
        removed.map_err(|source| Error::Cgroup {
            name: record.name,
            source,
        })
    }

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

fn ipv4(address: IpAddr) -> Option<std::net::Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn ipv6(address: IpAddr) -> Option<std::net::Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address),
    }
}

fn dns_name(id: &ContainerId, transport: &str) -> String {
    format!("dns/{id}/{transport}")
}

fn port_name(id: &ContainerId, binding: &PortBinding) -> String {
    format!(
        "port/{id}/{}/{}/{}/{}",
        binding.protocol.as_str(),
        binding.host_ip,
        binding.host_port,
        binding.container_port
    )
}

fn same_family(endpoint: &EndpointRecord, is_ipv6: bool) -> Option<IpAddr> {
    if is_ipv6 {
        endpoint.ipv6.map(IpAddr::V6)
    } else {
        endpoint.ipv4.map(IpAddr::V4)
    }
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

/// What a container may see of the project's names.
fn view(record: &ContainerRecord, networks: &[Joined]) -> View {
    let is_inside = networks.iter().all(|(network, _)| network.applied.internal);
    View {
        networks: networks
            .iter()
            .map(|(network, _)| network.name.clone())
            .collect(),
        subnets: networks
            .iter()
            .flat_map(|(network, _)| network.pools.iter().map(|pool| pool.subnet))
            .collect(),
        forwarding: if is_inside {
            Forwarding::Nothing
        } else if resolver::wants_dots(&record.service) {
            Forwarding::Dotted
        } else {
            Forwarding::All
        },
        links: record
            .service
            .links
            .iter()
            .map(|link| (link.alias.clone(), link.service.to_string()))
            .collect(),
    }
}

fn host_resolv_conf() -> ResolvConf {
    let text = std::fs::read_to_string(HOST_RESOLV_CONF).unwrap_or_default();
    ResolvConf::parse(&text)
}
