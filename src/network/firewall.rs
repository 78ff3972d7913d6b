//! Firewall tables on the host: who has which, and when they go.

use std::collections::BTreeSet;

use crate::model::{EngineId, ProjectName};
use crate::network::conntrack;
use crate::network::error::Error;
use crate::network::nftables::{ForeignChain, Nftables};
use crate::topology::firewall::{
    Family, Forward, Match, Place, Rule, Verdict, bridge_table_name, project_table_name,
    publishing_table,
};
use crate::topology::link::BRIDGE_PREFIX;

/// Docker drops what it doesn't know on its way through the host, but for what
/// this chain of its lets pass first.
const DOCKER_CHAINS: [ForeignChain; 2] = [docker_chain(Family::V4), docker_chain(Family::V6)];

const fn docker_chain(family: Family) -> ForeignChain {
    ForeignChain {
        family,
        table: "filter",
        chain: "DOCKER-USER",
    }
}

/// Makes the kernel's own path for a project's published ports, in the place
/// of what was there: call it with all forwards of the project whenever a
/// container with ports starts or stops.
///
/// # Errors
/// When the kernel refuses; what was there stays then.
pub fn publish(
    engine: &EngineId,
    project: &ProjectName,
    forwards: &[Forward],
) -> Result<(), Error> {
    if forwards.is_empty() {
        return remove_tables(&[project_table_name(engine, project)]);
    }
    let mut nftables = Nftables::open()?;
    let mut table = publishing_table(engine, project, forwards);
    if obstacles_in(&mut nftables)?
        .iter()
        .any(Obstacle::stops_published_ports)
    {
        // What is rewritten would be dropped; the listeners serve it.
        table
            .chains
            .retain(|chain| chain.place != Place::NatPrerouting);
    }
    nftables.replace(&table)?;
    conntrack::forget_stale(forwards)
}

/// Something of the host's that stands in the way of containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// A chain that drops what it doesn't know on its way through the host.
    ForwardDrop {
        /// Its table.
        table: String,
        /// Its name.
        chain: String,
    },
    /// firewalld, which rejects what comes from bridges of no zone.
    Firewalld,
}

impl Obstacle {
    fn stops_published_ports(&self) -> bool {
        match self {
            Self::ForwardDrop { .. } => true,
            // It lets pass what was rewritten.
            Self::Firewalld => false,
        }
    }

    /// What it does, and what the user can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::ForwardDrop { table, chain } => format!(
                "the host's firewall (table {table}, chain {chain}) drops forwarded packets, so \
                 containers may not reach the outside; with ufw run `ufw default allow routed`, \
                 else let traffic from and to links `{BRIDGE_PREFIX}*` pass"
            ),
            Self::Firewalld => format!(
                "firewalld may reject what containers send; run `firewall-cmd --zone=trusted \
                 --add-interface=BRIDGE` for the bridges `{BRIDGE_PREFIX}*`"
            ),
        }
    }
}

/// What stands in the way of containers on this host.
///
/// # Errors
/// When the kernel can't be asked.
pub fn obstacles() -> Result<Vec<Obstacle>, Error> {
    obstacles_in(&mut Nftables::open()?)
}

fn obstacles_in(nftables: &mut Nftables) -> Result<Vec<Obstacle>, Error> {
    let mut obstacles = Vec::new();
    for drop in nftables.forward_drops()? {
        let docker = DOCKER_CHAINS
            .into_iter()
            .find(|chain| Some(chain.family) == drop.family && chain.table == drop.table);
        // Docker's own chain comes first there, and lets our bridges pass.
        let is_passed = match docker {
            Some(chain) => nftables.has(chain)?,
            None => false,
        };
        if !is_passed {
            obstacles.push(Obstacle::ForwardDrop {
                table: drop.table,
                chain: drop.chain,
            });
        }
    }
    if nftables
        .tables()?
        .iter()
        .any(|(name, _)| name == "firewalld")
    {
        obstacles.push(Obstacle::Firewalld);
    }
    Ok(obstacles)
}

/// Removes tables by name; what isn't there is no error.
///
/// # Errors
/// When the kernel refuses.
pub fn remove_tables(names: &[String]) -> Result<(), Error> {
    let mut nftables = Nftables::open()?;
    remove_present(&mut nftables, names)
}

/// Removes the tables of bridges; what isn't there is no error.
pub(super) fn remove_bridge_tables(
    nftables: &mut Nftables,
    bridges: &[String],
) -> Result<(), Error> {
    let tables: Vec<_> = bridges.iter().map(|name| bridge_table_name(name)).collect();
    remove_present(nftables, &tables)
}

fn remove_present(nftables: &mut Nftables, names: &[String]) -> Result<(), Error> {
    let tables = nftables.tables()?;
    let there: BTreeSet<_> = tables.into_iter().map(|(name, _)| name).collect();
    let names: Vec<_> = names
        .iter()
        .filter(|name| there.contains(*name))
        .cloned()
        .collect();
    match nftables.remove(&names) {
        // Somebody else removed one in between; all or none, so once more.
        Err(error) if error.is_gone() => names.iter().try_for_each(|name| {
            let removed = nftables.remove(std::slice::from_ref(name));
            removed.or_else(|error| if error.is_gone() { Ok(()) } else { Err(error) })
        }),
        other => other,
    }
}

/// Beside Docker: lets a bridge's traffic pass Docker's own chain on its way out
/// by `ways` and on its way in. Our tables still decide; what goes to Docker's
/// containers is for Docker to decide.
pub(super) fn pass_docker(
    nftables: &mut Nftables,
    bridge: &str,
    ways: &[String],
) -> Result<(), Error> {
    let rules = passes(bridge, ways);
    for chain in DOCKER_CHAINS {
        if nftables.has(chain)? {
            nftables.insert(chain, &docker_comment(bridge), &rules)?;
        }
    }
    Ok(())
}

/// The same for bridges that pass already, when the ways out are others.
pub(super) fn refresh_docker(
    nftables: &mut Nftables,
    bridges: &[String],
    ways: &[String],
) -> Result<(), Error> {
    for chain in DOCKER_CHAINS {
        if !nftables.has(chain)? {
            continue;
        }
        for bridge in bridges {
            let (comment, rules) = (docker_comment(bridge), passes(bridge, ways));
            let count = nftables.count(chain, &comment)?;
            if count > 0 && count != rules.len() {
                nftables.insert(chain, &comment, &rules)?;
            }
        }
    }
    Ok(())
}

fn passes(bridge: &str, ways: &[String]) -> Vec<Rule> {
    let accept = |matches| Rule {
        matches,
        verdict: Verdict::Accept,
    };
    let input = || Match::InputLink(bridge.to_owned());
    let out = ways.iter().map(|way| Match::OutputLink(way.clone()));
    // Nothing but names of links: a rule that iptables couldn't list would keep
    // Docker from its own table.
    out.map(|way| accept(vec![input(), way]))
        .chain([accept(vec![Match::OutputLink(bridge.to_owned())])])
        .collect()
}

/// Takes away what [`pass_docker`] added.
pub(super) fn unpass_docker(nftables: &mut Nftables, bridge: &str) -> Result<(), Error> {
    for chain in DOCKER_CHAINS {
        if nftables.has(chain)? {
            nftables.withdraw(chain, &docker_comment(bridge))?;
        }
    }
    Ok(())
}

fn docker_comment(bridge: &str) -> String {
    format!("rcompose {bridge}")
}
