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
mod conntrack;
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
mod testbed;
#[cfg(test)]
mod tests;

pub use error::Error;
