//! `network create`: a network that no project owns, for files that call it
//! `external`.

use std::collections::BTreeMap;

use crate::cli::commands::network::failure;
use crate::cli::commands::nouns;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::engine::networks;
use crate::model::{IpamPool, Network};
use crate::view::inspect::network_id;

/// Containers that a chosen subnet has room for.
const ENDPOINTS: usize = 200;

/// Flags of `network create`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Enable manual container attachment (every network here has it)
    #[arg(long)]
    attachable: bool,
    /// Auxiliary IPv4 or IPv6 addresses that no container gets
    #[arg(long = "aux-address", value_name = "NAME=ADDRESS")]
    aux_addresses: Vec<String>,
    /// Driver to manage the network; only "bridge" is there
    #[arg(short = 'd', long, default_value = "bridge", value_name = "DRIVER")]
    driver: String,
    /// IPv4 or IPv6 gateway for the subnet, in the order of the subnets
    #[arg(long = "gateway", value_name = "ADDRESS")]
    gateways: Vec<String>,
    /// Restrict external access to the network
    #[arg(long)]
    internal: bool,
    /// Allocate container addresses from a sub-range, in the order of the subnets
    #[arg(long = "ip-range", value_name = "CIDR")]
    ip_ranges: Vec<String>,
    /// Enable or disable IPv6 address assignment
    #[arg(long)]
    ipv6: bool,
    /// Set metadata on a network
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Set driver specific options
    #[arg(short = 'o', long = "opt", value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// Subnet in CIDR form
    #[arg(long = "subnet", value_name = "CIDR")]
    subnets: Vec<String>,
    /// Its name
    #[arg(value_name = "NETWORK")]
    name: String,
}

impl Args {
    /// Makes it and prints its id.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if self.driver != "bridge" {
            return Err(
                Failure::usage(format!("could not find plugin {} in v1 plugin registry: plugin not found", self.driver))
                    .with_hint("the driver of every network is bridge; `network_mode: host` and `none` need no network")
                    .into(),
            );
        }
        check_name(&self.name)?;
        let name = self.name.clone();
        let network = self.network()?;
        if !context.settings.dry_run {
            networks::create(context.store()?, network, ENDPOINTS).map_err(failure)?;
        }
        output::print(&format!("{}\n", network_id(&name)))?;
        Ok(Exit::SUCCESS)
    }

    fn network(self) -> Result<Network, Failure> {
        let pools = self.pools()?;
        Ok(Network {
            name: self.name,
            driver: None,
            driver_opts: nouns::options(&self.options, "-o, --opt")?,
            pools,
            internal: self.internal,
            attachable: self.attachable,
            ipv4: true,
            ipv6: self.ipv6,
            labels: nouns::pairs(&self.labels),
        })
    }

    /// One pool a subnet; gateways and ranges go to them in order.
    fn pools(&self) -> Result<Vec<IpamPool>, Failure> {
        for (texts, what) in [(&self.gateways, "gateway"), (&self.ip_ranges, "ip-range")] {
            if texts.len() > self.subnets.len() {
                return Err(Failure::usage(format!(
                    "every {what} must have a corresponding subnet"
                )));
            }
        }
        let mut pools: Vec<IpamPool> = self
            .subnets
            .iter()
            .enumerate()
            .map(|(index, subnet)| IpamPool {
                subnet: Some(subnet.clone()),
                ip_range: self.ip_ranges.get(index).cloned(),
                gateway: self.gateways.get(index).cloned(),
                ..IpamPool::default()
            })
            .collect();
        let aux: BTreeMap<String, String> = nouns::options(&self.aux_addresses, "--aux-address")?
            .into_iter()
            .collect();
        match pools.first_mut() {
            Some(pool) => pool.aux_addresses.extend(aux),
            None if aux.is_empty() => {}
            None => {
                return Err(Failure::usage(
                    "every aux-address must have a corresponding subnet",
                ));
            }
        }
        Ok(pools)
    }
}

/// Names that docker keeps for itself, or that can't be a record's.
fn check_name(name: &str) -> Result<(), Failure> {
    if ["bridge", "host", "none", "default"].contains(&name) {
        return Err(Failure::usage(format!(
            "operation is not permitted on predefined {name} network"
        )));
    }
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 200
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if is_plain {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "invalid network name {name:?}: a letter or digit, then letters, digits, `_`, `.` or `-`"
    )))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Only {
        #[command(flatten)]
        args: Args,
    }

    fn network(words: &[&str]) -> Result<Network, String> {
        let words = std::iter::once("create").chain(words.iter().copied());
        let args = Only::try_parse_from(words).unwrap().args;
        args.network().map_err(|failure| failure.to_string())
    }

    #[test]
    fn subnets_take_gateways_and_ranges_in_order() {
        let words = [
            "--subnet",
            "10.9.0.0/24",
            "--gateway",
            "10.9.0.9",
            "--aux-address",
            "a=10.9.0.3",
            "n",
        ];
        let network = network(&words).unwrap();
        let pool = network.pools.first().unwrap();
        assert_eq!(pool.gateway.as_deref(), Some("10.9.0.9"));
        assert_eq!(pool.aux_addresses["a"], "10.9.0.3");
    }

    #[test]
    fn a_gateway_needs_a_subnet() {
        assert!(network(&["--gateway", "10.9.0.9", "n"]).is_err());
        assert!(network(&["--aux-address", "a=10.9.0.3", "n"]).is_err());
    }

    #[test]
    fn some_names_can_not_be() {
        for bad in ["host", "", "a/b", ".."] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert!(check_name("shared_1.x").is_ok());
    }
}
