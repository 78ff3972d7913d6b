//! Firewall tables on the host: who has which, and when they go.

use std::collections::BTreeSet;

use crate::model::{EngineId, ProjectName};
use crate::network::error::Error;
use crate::network::nftables::{ForeignChain, Nftables};
use crate::topology::firewall::{
    Family, Forward, Match, Rule, Verdict, bridge_table_name, project_table_name, publishing_table,
};

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
    Nftables::open()?.replace(&publishing_table(engine, project, forwards))
}

/// Removes tables by name; what isn't there is no error.
pub(super) fn remove_tables(names: &[String]) -> Result<(), Error> {
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

/// Beside Docker: lets a bridge's traffic pass Docker's own chain. Our tables
/// still decide.
pub(super) fn pass_docker(nftables: &mut Nftables, bridge: &str) -> Result<(), Error> {
    let accept = |condition| Rule {
        matches: vec![condition],
        verdict: Verdict::Accept,
    };
    let rules = [
        accept(Match::InputLink(bridge.to_owned())),
        accept(Match::OutputLink(bridge.to_owned())),
    ];
    for chain in DOCKER_CHAINS {
        if nftables.has(chain)? {
            nftables.insert(chain, &docker_comment(bridge), &rules)?;
        }
    }
    Ok(())
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
