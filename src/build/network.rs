//! The network of RUN steps: a bridge of the run's own with a way out, made
//! when the first step needs it, and a namespace a step.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use crate::build::Error;
use crate::build::session::Session;
use crate::model::{ContainerId, EndpointSpec, EngineId, Network};
use crate::network::bridge::{self, Bridge, BridgeSpec};
use crate::network::sandbox::{self, SandboxSpec};
use crate::topology::endpoint::{self, Attached, Endpoints};
use crate::topology::ipam;
use crate::topology::resolver::{self, Form, ResolvConf};

/// Steps that may have an address at once; it decides the subnet's size.
const ENDPOINTS: usize = 12;
/// The host's resolver settings.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where the servers are when the one of the host is a stub on its loopback.
const RESOLV_CONF_BEHIND: &str = "/run/systemd/resolve/resolv.conf";
/// Asked when the host has only servers on its own loopback, as docker does.
const RESOLVERS_OF_LAST_RESORT: [[u8; 4]; 2] = [[8, 8, 8, 8], [8, 8, 4, 4]];

/// The run's network.
#[derive(Debug)]
pub(crate) struct BuildNetwork {
    engine: EngineId,
    name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bridge: Option<Bridge>,
    taken: BTreeMap<IpAddr, String>,
}

/// One step's network.
#[derive(Debug)]
pub(crate) struct StepNetwork {
    /// The namespace; None stands for the host's.
    netns: Option<OwnedFd>,
    /// Its addresses; none without a way out.
    pub(crate) addresses: Vec<IpAddr>,
    /// The bridge's own address.
    pub(crate) gateway: Option<IpAddr>,
}

impl StepNetwork {
    /// The host's, where a step has no addresses of its own.
    pub(crate) fn host() -> Self {
        Self {
            netns: None,
            addresses: Vec::new(),
            gateway: None,
        }
    }

    /// The namespace's descriptor, to be handed on; None for the host's.
    pub(crate) fn twin(&self) -> Result<Option<OwnedFd>, Error> {
        let twin = self.netns.as_ref().map(OwnedFd::try_clone).transpose();
        twin.map_err(Error::Pipe)
    }
}

impl BuildNetwork {
    /// A network that isn't there yet.
    pub(crate) fn new(engine: &EngineId, session: &Session) -> Self {
        let name = session.cgroup().rsplit('/').next().unwrap_or_default();
        Self {
            engine: engine.clone(),
            name: format!("rcompose_{name}"),
            state: Mutex::default(),
        }
    }

    /// A namespace with a way out.
    pub(crate) fn join(&self, session: &Session, step: &ContainerId) -> Result<StepNetwork, Error> {
        let (bridge, address) = self.claim(session, step)?;
        let pool = bridge.pools.first();
        let spec = EndpointSpec::default();
        let attached = Attached {
            network: &self.name,
            bridge: &bridge.name,
            is_internal: false,
            pools: &bridge.pools,
            spec: &spec,
            ipv4: match address {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            },
            ipv6: None,
        };
        let endpoints = endpoint::plan(&self.engine, step, 0, &[attached]);
        let endpoints = endpoints.map_err(|error| Error::Address(error.to_string()))?;
        Ok(StepNetwork {
            netns: Some(namespace(&endpoints)?),
            addresses: vec![address],
            gateway: pool.map(|pool| pool.gateway),
        })
    }

    /// Gives a step's address back.
    pub(crate) fn leave(&self, network: &StepNetwork) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for address in &network.addresses {
            state.taken.remove(address);
        }
    }

    /// The bridge, made if it isn't there, and an address on it.
    fn claim(&self, session: &Session, step: &ContainerId) -> Result<(Bridge, IpAddr), Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let bridge = match &state.bridge {
            Some(bridge) => bridge.clone(),
            None => {
                let made = self.make()?;
                if let Err(error) = session.note_bridge(&made.name) {
                    let names = [made.name];
                    // The first failure is what matters.
                    let _ = bridge::retire(&names);
                    let _ = bridge::remove(&names);
                    return Err(error);
                }
                state.bridge = Some(made.clone());
                made
            }
        };
        let pool = bridge.pools.first();
        let pool = pool.ok_or_else(|| Error::Address("the bridge has no subnet".to_owned()))?;
        let address = ipam::allocate(&self.name, pool, &state.taken);
        let address = address.map_err(|error| Error::Address(error.to_string()))?;
        state.taken.insert(address, step.short().to_owned());
        Ok((bridge, address))
    }

    fn make(&self) -> Result<Bridge, Error> {
        let network = Network::named(self.name.clone());
        bridge::create(&BridgeSpec {
            engine: &self.engine,
            network: &network,
            endpoints: ENDPOINTS,
            former: &[],
            generation: 0,
        })
        .map_err(Error::Network)
    }
}

/// A namespace with nothing but its loopback.
pub(crate) fn alone() -> Result<StepNetwork, Error> {
    Ok(StepNetwork {
        netns: Some(namespace(&Endpoints::default())?),
        addresses: Vec::new(),
        gateway: None,
    })
}

fn namespace(endpoints: &Endpoints) -> Result<OwnedFd, Error> {
    let spec = SandboxSpec {
        container: "a build step",
        namespace: None,
        endpoints,
        dns: Form::Off,
    };
    Ok(sandbox::create(&spec).map_err(Error::Network)?.netns)
}

/// The resolver settings of a step: the host's, as they are on the host's own
/// network; elsewhere without the servers on the host's loopback.
pub(crate) fn resolv_conf(is_host: bool) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let text = read(RESOLV_CONF);
    if is_host {
        return text;
    }
    let conf = ResolvConf::parse(&text);
    let mut outside = resolver::beyond_loopback(&conf);
    if outside.servers.is_empty() && !conf.servers.is_empty() {
        let behind = ResolvConf::parse(&read(RESOLV_CONF_BEHIND));
        outside.servers = resolver::beyond_loopback(&behind).servers;
    }
    if outside.servers.is_empty() {
        outside.servers = RESOLVERS_OF_LAST_RESORT.map(IpAddr::from).to_vec();
    }
    outside.text()
}
