//! Forwarding: switched on for our bridges and the uplinks, and put back with
//! the last bridge.
//!
//! Nothing is written down: what was off stands in the note of each uplink's
//! guard table, which the kernel keeps exactly as long as the settings
//! themselves. Callers hold the host's lock.

use std::fs;
use std::io;

use crate::network::error::Error;
use crate::network::nftables::Nftables;
use crate::topology::firewall::{self, Family, GUARD_PREFIX};

/// A setting that was off and that we switched on, with its letter in the note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Switched {
    /// IPv4 forwarding of the uplink.
    Ipv4,
    /// IPv6 forwarding of the uplink, on kernels that have it (6.17).
    Ipv6,
    /// IPv6 forwarding of the host, on the others.
    Ipv6All,
    /// Belief in router advertisements although the host forwards.
    Advertisements,
}

impl Switched {
    const ALL: [Self; 4] = [Self::Ipv4, Self::Ipv6, Self::Ipv6All, Self::Advertisements];

    fn letter(self) -> char {
        match self {
            Self::Ipv4 => '4',
            Self::Ipv6 => '6',
            Self::Ipv6All => 'a',
            Self::Advertisements => 'r',
        }
    }

    fn path(self, uplink: &str) -> String {
        match self {
            Self::Ipv4 => format!("net/ipv4/conf/{uplink}/forwarding"),
            Self::Ipv6 => format!("net/ipv6/conf/{uplink}/force_forwarding"),
            Self::Ipv6All => "net/ipv6/conf/all/forwarding".to_owned(),
            Self::Advertisements => format!("net/ipv6/conf/{uplink}/accept_ra"),
        }
    }

    /// The value that counts as off, and the one for on.
    fn values(self) -> (&'static str, &'static str) {
        match self {
            Self::Ipv4 | Self::Ipv6 | Self::Ipv6All => ("0", "1"),
            Self::Advertisements => ("1", "2"),
        }
    }

    fn is_off(self, uplink: &str) -> bool {
        read(&self.path(uplink)).is_some_and(|value| value == self.values().0)
    }
}

/// Lets a bridge route. The host's loopback is routed to it too, for published
/// ports; the bridge's table, which guards it, must be there already.
pub(super) fn prepare_bridge(bridge: &str, is_internal: bool, has_ipv6: bool) -> Result<(), Error> {
    if !is_internal {
        write(&Switched::Ipv4.path(bridge), "1")?;
        write(&format!("net/ipv4/conf/{bridge}/route_localnet"), "1")?;
    }
    // A container must not be able to tell the host of another way to somewhere.
    write(&format!("net/ipv4/conf/{bridge}/accept_redirects"), "0")?;
    if has_ipv6 {
        // Nor to become its router: where this link's forwarding is a switch of
        // its own, the kernel goes on believing advertisements.
        optional(&format!("net/ipv6/conf/{bridge}/accept_ra"), "0")?;
        optional(&format!("net/ipv6/conf/{bridge}/accept_redirects"), "0")?;
        // Addresses are ours to give. While the kernel makes sure of its own,
        // a second or two, it couldn't find containers for what comes by.
        optional(&format!("net/ipv6/conf/{bridge}/accept_dad"), "0")?;
        optional(&Switched::Ipv6.path(bridge), "1")
    } else {
        optional(&format!("net/ipv6/conf/{bridge}/disable_ipv6"), "1")
    }
}

/// Switches forwarding on for uplinks where it is off, behind a guard each.
pub(super) fn enable(
    nftables: &mut Nftables,
    uplinks: &[String],
    has_ipv6: bool,
) -> Result<(), Error> {
    let guards = guards(nftables)?;
    for uplink in uplinks {
        let known = guards.iter().find(|(name, _)| name == uplink);
        let before = known.map(|(_, switched)| switched.clone());
        let before = before.unwrap_or_default();
        let mut switched = before.clone();
        switched.extend(to_switch(uplink, has_ipv6));
        if switched.len() == before.len() {
            continue;
        }
        let mut families = Vec::new();
        if switched.contains(&Switched::Ipv4) {
            families.push(Family::V4);
        }
        if switched.contains(&Switched::Ipv6) || switched.contains(&Switched::Ipv6All) {
            families.push(Family::V6);
        }
        let note = switched.iter().map(|one| one.letter()).collect();
        // The guard first: nothing is routed that it would have stopped.
        nftables.replace(&firewall::uplink_guard(uplink, uplinks, &families, note))?;
        for one in switched.iter().skip(before.len()) {
            write(&one.path(uplink), one.values().1)?;
        }
    }
    Ok(())
}

/// What is off and has to be on for an uplink, in the order of switching.
fn to_switch(uplink: &str, has_ipv6: bool) -> Vec<Switched> {
    let mut wanted = vec![Switched::Ipv4];
    if has_ipv6 {
        if read(&Switched::Ipv6.path(uplink)).is_some() {
            wanted.push(Switched::Ipv6);
        } else if Switched::Ipv6All.is_off(uplink) {
            // A host that forwards loses its own default route otherwise.
            wanted.extend([Switched::Advertisements, Switched::Ipv6All]);
        }
    }
    wanted.retain(|one| one.is_off(uplink));
    wanted
}

/// Puts back what [`enable`] changed; the last bridge is gone.
pub(super) fn restore(nftables: &mut Nftables) -> Result<(), Error> {
    let guards = guards(nftables)?;
    // Whoever switched it on for the whole host since then needs it.
    let is_router = read("net/ipv4/conf/all/forwarding").is_some_and(|value| value == "1");
    for (uplink, switched) in &guards {
        for one in switched.iter().rev() {
            if *one != Switched::Ipv4 || !is_router {
                // The uplink may be gone, and its settings with it.
                optional(&one.path(uplink), one.values().0)?;
            }
        }
    }
    let tables: Vec<_> = guards
        .iter()
        .map(|(uplink, _)| format!("{GUARD_PREFIX}{uplink}"))
        .collect();
    nftables.remove(&tables)
}

/// The guarded uplinks with what was switched for each.
fn guards(nftables: &mut Nftables) -> Result<Vec<(String, Vec<Switched>)>, Error> {
    let tables = nftables.tables()?;
    Ok(tables
        .into_iter()
        .filter_map(|(name, note)| {
            let uplink = name.strip_prefix(GUARD_PREFIX)?.to_owned();
            let all = Switched::ALL.into_iter();
            Some((
                uplink,
                all.filter(|one| note.contains(one.letter())).collect(),
            ))
        })
        .collect())
}

fn read(path: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/sys/{path}")).ok()?;
    Some(text.trim().to_owned())
}

/// Writes a setting of the calling thread's network namespace.
pub(super) fn write(path: &str, value: &str) -> Result<(), Error> {
    fs::write(format!("/proc/sys/{path}"), value).map_err(|source| Error::Setting {
        path: path.to_owned(),
        source,
    })
}

/// As [`write()`]; a setting that this kernel lacks is left alone.
pub(super) fn optional(path: &str, value: &str) -> Result<(), Error> {
    match write(path, value) {
        Err(Error::Setting { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
