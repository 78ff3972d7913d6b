//! Bridges, sandboxes' network namespaces, firewall rules and published ports,
//! spoken to the kernel over netlink; no program is ever run for it.
//!
//! What is to be made comes in as values of `topology`; nothing is decided
//! here but what only the kernel knows (which routes there are, which names are
//! free). All functions block and are quick; only [`proxy`] is asynchronous.
//!
//! The life of a network:
//!
//! 1. [`bridge::create`] chooses subnets, makes the link with its firewall
//!    table and switches forwarding on.
//! 2. [`sandbox::create`] makes a container's namespace with an endpoint on
//!    each of its bridges and the sockets for its DNS.
//! 3. [`publish::bind`] reserves ports, [`proxy::serve`] serves them, and
//!    [`firewall::publish`] adds the kernel's own path beside it.
//! 4. A sandbox goes when its last holder lets go of it; [`bridge::retire`]
//!    takes the address and rules away at once, [`bridge::remove`] the links.

pub mod bridge;
mod error;
pub mod firewall;
mod forwarding;
mod lock;
mod netlink;
mod nftables;
pub mod observe;
mod owner;
pub mod proxy;
pub mod publish;
mod route;
pub mod sandbox;
#[cfg(test)]
pub(crate) mod testbed;

pub use error::Error;

#[cfg(test)]
pub(crate) mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::os::fd::OwnedFd;

    use indexmap::IndexMap;

    use crate::model::{ContainerId, EndpointSpec, EngineId, Network};
    use crate::network::bridge::{self, Bridge, BridgeSpec};
    use crate::network::sandbox::{self, Sandbox, SandboxSpec};
    use crate::sys::netns;
    use crate::topology::endpoint::{self, Attached, Endpoints};
    use crate::topology::resolver::Form;

    /// The engine of tests.
    pub(crate) fn engine() -> EngineId {
        "abcdef".parse().expect("engine")
    }

    /// The test thread's own network namespace.
    pub(crate) fn host_netns() -> OwnedFd {
        netns::current().expect("current")
    }

    /// A network with what its sandboxes need.
    #[derive(Debug)]
    pub(crate) struct Net {
        pub(crate) engine: EngineId,
        pub(crate) network: Network,
        pub(crate) bridge: Bridge,
    }

    impl Net {
        pub(crate) fn new(name: &str, change: impl FnOnce(&mut Network)) -> Self {
            Self::of(engine(), name, change)
        }

        pub(crate) fn of(engine: EngineId, name: &str, change: impl FnOnce(&mut Network)) -> Self {
            let mut network = Network {
                name: name.to_owned(),
                driver: None,
                driver_opts: IndexMap::new(),
                pools: Vec::new(),
                internal: false,
                attachable: false,
                ipv4: true,
                ipv6: false,
                labels: IndexMap::new(),
            };
            change(&mut network);
            let bridge = bridge::create(&BridgeSpec {
                engine: &engine,
                network: &network,
                endpoints: 10,
                former: &[],
                generation: 0,
            })
            .expect("bridge");
            Self {
                engine,
                network,
                bridge,
            }
        }

        /// The n-th address of the network.
        pub(crate) fn address(&self, n: u8) -> Ipv4Addr {
            self.nth(n, true)
                .and_then(|ip| ip.to_string().parse().ok())
                .expect("IPv4")
        }

        /// The n-th IPv6 address of the network.
        pub(crate) fn address6(&self, n: u8) -> Ipv6Addr {
            self.nth(n, false)
                .and_then(|ip| ip.to_string().parse().ok())
                .expect("IPv6")
        }

        fn nth(&self, n: u8, is_ipv4: bool) -> Option<IpAddr> {
            let mut pools = self.bridge.pools.iter();
            let pool = pools.find(|pool| pool.subnet.is_ipv4() == is_ipv4)?;
            pool.subnet.address(u128::from(n))
        }

        pub(crate) fn endpoints(&self, n: u8) -> Endpoints {
            let attached = Attached {
                network: &self.network.name,
                bridge: &self.bridge.name,
                is_internal: self.network.internal,
                pools: &self.bridge.pools,
                spec: &EndpointSpec::default(),
                ipv4: Some(self.address(n)),
                ipv6: self.network.ipv6.then(|| self.address6(n)),
            };
            let container = ContainerId::from_random([n; 32]);
            endpoint::plan(&self.engine, &container, 0, &[attached]).expect("endpoints")
        }

        /// A sandbox with the n-th address.
        pub(crate) fn sandbox(&self, n: u8, dns: Form) -> Sandbox {
            sandbox::create(&SandboxSpec {
                container: "shop-web-1",
                endpoints: &self.endpoints(n),
                dns,
            })
            .expect("sandbox")
        }
    }
}
