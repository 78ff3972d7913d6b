//! Names of links on the host and hardware addresses.
//!
//! The kernel's limit is 15 bytes. A name carries the engine's id, so that an
//! engine recognizes what is its own on a host that it shares, and a digest of
//! what the link is for with a generation: a link that is going away takes up
//! to a quarter of a second, and the next one of the same network or container
//! must not meet it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::{ContainerId, EngineId};

/// What the names of our bridges begin with, on every engine.
pub const BRIDGE_PREFIX: &str = "rc";

/// What the host ends of our veth pairs begin with, on every engine.
pub const VETH_PREFIX: &str = "rv";

/// A bridge's name: `rc`, the engine, six digits of the network.
#[must_use]
pub fn bridge_name(engine: &EngineId, network: &str, generation: u32) -> String {
    format!(
        "{BRIDGE_PREFIX}{engine}{}",
        digits::<6>(&[network.as_bytes(), &generation.to_le_bytes()])
    )
}

/// The name of the host's end of an endpoint's veth pair: `rv`, the engine,
/// seven digits of the container, the network and the generation of the
/// sandbox.
#[must_use]
pub fn veth_name(
    engine: &EngineId,
    container: &ContainerId,
    network: &str,
    generation: u32,
) -> String {
    format!(
        "{VETH_PREFIX}{engine}{}",
        digits::<7>(&[
            container.as_str().as_bytes(),
            network.as_bytes(),
            &generation.to_le_bytes(),
        ])
    )
}

/// The first `N` base32 digits of a digest of `parts` (FNV-1a; a clash is
/// found by the kernel and the next generation taken).
fn digits<const N: usize>(parts: &[&[u8]]) -> String {
    const DIGITS: [u8; 32] = *b"abcdefghijklmnopqrstuvwxyz234567";
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        // A byte that no part contains in UTF-8 keeps ("a", "bc") and ("ab", "c") apart.
        for byte in part.iter().copied().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    // FNV's high bits are the well mixed ones.
    (0..N)
        .map(|index| {
            let digit = usize::try_from((hash >> (59 - 5 * index)) & 31).unwrap_or(0);
            char::from(DIGITS.get(digit).copied().unwrap_or(b'a'))
        })
        .collect()
}

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress([u8; 6]);

/// A text that is no hardware address for an interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid MAC address {0:?}: six bytes of an individual address such as 02:42:ac:11:00:02 are expected"
)]
pub struct InvalidMac(pub String);

impl MacAddress {
    /// The address that belongs to an IP address, so that neighbors that
    /// remember the one have the other right when the IP address comes back.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        let tail = match address {
            IpAddr::V4(address) => address.octets(),
            IpAddr::V6(address) => {
                let [a, b, c, d] =
                    (address.to_bits() ^ (address.to_bits() >> 64)).to_be_bytes()[12..]
                else {
                    return Self::of(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                };
                [a, b, c, d]
            }
        };
        let [a, b, c, d] = tail;
        Self([0x02, 0x42, a, b, c, d])
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl FromStr for MacAddress {
    type Err = InvalidMac;

    fn from_str(text: &str) -> Result<Self, InvalidMac> {
        let invalid = || InvalidMac(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2);
            let part = part.filter(|part| part.bytes().all(|digit| digit.is_ascii_hexdigit()));
            *byte = u8::from_str_radix(part.ok_or_else(invalid)?, 16).map_err(|_| invalid())?;
        }
        let is_group = bytes.first().is_some_and(|first| first & 1 == 1);
        if parts.next().is_some() || is_group || bytes == [0; 6] {
            return Err(invalid());
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for MacAddress {
    type Error = InvalidMac;

    fn try_from(text: String) -> Result<Self, InvalidMac> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(address: MacAddress) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn engine() -> EngineId {
        "abcdef".parse().expect("engine")
    }

    #[test]
    fn names_fit_the_kernel_and_carry_the_engine() {
        let container = ContainerId::from_random([7; 32]);
        let long = "a-very-long-project-name_and-a-very-long-network-name";
        let bridge = bridge_name(&engine(), long, 0);
        let veth = veth_name(&engine(), &container, long, u32::MAX);
        assert_eq!((bridge.len(), veth.len()), (14, 15));
        assert!(bridge.starts_with("rcabcdef"));
        assert!(veth.starts_with("rvabcdef"));
    }

    #[test]
    fn networks_and_generations_have_names_of_their_own() {
        let mut seen = HashSet::new();
        for network in 0..500 {
            for generation in 0..2 {
                let name = bridge_name(&engine(), &format!("shop{network}_default"), generation);
                assert!(seen.insert(name), "{network} {generation}");
            }
        }
    }

    #[test]
    fn containers_networks_and_generations_have_veths_of_their_own() {
        let mut seen = HashSet::new();
        for byte in 0..250 {
            let container = ContainerId::from_random([byte; 32]);
            for generation in 0..2 {
                assert!(seen.insert(veth_name(&engine(), &container, "front", generation)));
                assert!(seen.insert(veth_name(&engine(), &container, "back", generation)));
            }
        }
    }

    #[test]
    fn a_mac_follows_from_its_address() {
        let of = |text: &str| MacAddress::of(text.parse().expect(text)).to_string();
        assert_eq!(of("10.128.0.2"), "02:42:0a:80:00:02");
        assert_ne!(of("fd00::2"), of("fd00::3"));
        assert_ne!(of("fd00:0:0:1::2"), of("fd00:0:0:2::2"));
    }

    #[test]
    fn reads_what_users_write_and_refuses_group_addresses() {
        for good in ["02:42:ac:11:65:43", "02-42-AC-11-65-43"] {
            let address: MacAddress = good.parse().expect(good);
            assert_eq!(address.to_string(), "02:42:ac:11:65:43");
        }
        for bad in [
            "",
            "02:42:ac:11:65",
            "02:42:ac:11:65:43:00",
            "2:42:ac:11:65:43",
            "zz:42:ac:11:65:43",
            "01:42:ac:11:65:43",
            "00:00:00:00:00:00",
            "+2:42:ac:11:65:43",
        ] {
            assert_eq!(bad.parse::<MacAddress>(), Err(InvalidMac(bad.to_owned())));
        }
    }
}
