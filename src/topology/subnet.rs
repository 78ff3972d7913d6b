//! Subnets of both families, with the arithmetic that address planning needs.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A subnet: its first address and the length of its prefix, host bits zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    first: IpAddr,
    prefix: u8,
}

/// A text that is no subnet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid subnet {0:?}: an address and a prefix length such as 10.1.2.0/24 are expected")]
pub struct InvalidSubnet(pub String);

impl Subnet {
    /// The subnet of `prefix` bits that `address` lies in; None when the
    /// address hasn't that many bits.
    #[must_use]
    pub fn around(address: IpAddr, prefix: u8) -> Option<Self> {
        let host_bits = width(address).checked_sub(prefix)?;
        let first = from_bits(to_bits(address) & !low_bits(host_bits), address);
        Some(Self { first, prefix })
    }

    /// A subnet whose host bits the caller has cleared; for constants.
    pub(crate) const fn constant(first: IpAddr, prefix: u8) -> Self {
        Self { first, prefix }
    }

    /// The subnet of one address.
    #[must_use]
    pub fn of_one(address: IpAddr) -> Self {
        Self {
            first: address,
            prefix: width(address),
        }
    }

    /// Its lowest address, the network's own in IPv4.
    #[must_use]
    pub fn first(self) -> IpAddr {
        self.first
    }

    /// Its highest address, the broadcast address in IPv4.
    #[must_use]
    pub fn last(self) -> IpAddr {
        from_bits(to_bits(self.first) | low_bits(self.host_bits()), self.first)
    }

    /// The length of its prefix in bits.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether it is of IPv4.
    #[must_use]
    pub fn is_ipv4(self) -> bool {
        self.first.is_ipv4()
    }

    /// Whether `address` lies in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && self.first <= address && address <= self.last()
    }

    /// Whether all of `other` lies in it.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.contains(other.first) && self.contains(other.last())
    }

    /// Whether any address lies in both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// The `index`-th address from the first, or None beyond the last.
    #[must_use]
    pub fn address(self, index: u128) -> Option<IpAddr> {
        let within = index <= low_bits(self.host_bits());
        within.then(|| from_bits(to_bits(self.first) + index, self.first))
    }

    /// Whether `address` can be given to somebody: in IPv4 neither the first
    /// nor the last of the subnet, in IPv6 not the first (the routers'
    /// anycast address).
    #[must_use]
    pub fn is_usable(self, address: IpAddr) -> bool {
        // Links of two addresses and single hosts have nothing to spare (RFC 3021).
        let spares_none = self.host_bits() < 2;
        self.contains(address)
            && (spares_none
                || (address != self.first && (address.is_ipv6() || address != self.last())))
    }

    /// The subnets of `prefix` bits in it, in order.
    pub fn split(self, prefix: u8) -> impl Iterator<Item = Self> {
        let bits = prefix.checked_sub(self.prefix);
        let step_bits = width(self.first).checked_sub(prefix);
        let count = match (bits, step_bits) {
            (Some(bits), Some(_)) => low_bits(bits).saturating_add(1),
            _ => 0,
        };
        let base = to_bits(self.first);
        let first = self.first;
        (0..count).map(move |index| Self {
            first: from_bits(base + (index << step_bits.unwrap_or(0)), first),
            prefix,
        })
    }

    fn host_bits(self) -> u8 {
        width(self.first).saturating_sub(self.prefix)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.first, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = InvalidSubnet;

    /// Reads CIDR form; host bits may be set, as Docker allows.
    fn from_str(text: &str) -> Result<Self, InvalidSubnet> {
        let invalid = || InvalidSubnet(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let digits_only = prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix: u8 = prefix.parse().map_err(|_| invalid())?;
        Self::around(address, prefix)
            .filter(|_| digits_only)
            .ok_or_else(invalid)
    }
}

impl TryFrom<String> for Subnet {
    type Error = InvalidSubnet;

    fn try_from(text: String) -> Result<Self, InvalidSubnet> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn low_bits(count: u8) -> u128 {
    u128::MAX.checked_shr(128 - u32::from(count)).unwrap_or(0)
}

fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address with these bits, of the family of `like`.
fn from_bits(bits: u128, like: IpAddr) -> IpAddr {
    if like.is_ipv4() {
        let bits = u32::try_from(bits).expect("IPv4 arithmetic stays within its subnet");
        IpAddr::V4(Ipv4Addr::from_bits(bits))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(bits))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().expect(text)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn reads_and_writes_cidr_form() {
        assert_eq!(subnet("10.1.2.3/24").to_string(), "10.1.2.0/24");
        assert_eq!(subnet("fd00::5/64").to_string(), "fd00::/64");
        assert_eq!(subnet("0.0.0.0/0").last(), ip("255.255.255.255"));
        assert_eq!(subnet("::/0").last(), Ipv6Addr::from_bits(u128::MAX));
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "a/8",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
        ] {
            assert_eq!(bad.parse::<Subnet>(), Err(InvalidSubnet(bad.to_owned())));
        }
    }

    #[test]
    fn knows_what_lies_in_it() {
        let net = subnet("192.168.4.0/22");
        assert!(net.contains(ip("192.168.7.255")));
        assert!(!net.contains(ip("192.168.8.0")));
        assert!(!net.contains(ip("::1")));
        assert!(net.covers(subnet("192.168.5.0/24")));
        assert!(!net.covers(subnet("192.168.0.0/16")));
        assert!(net.overlaps(subnet("192.168.0.0/16")));
        assert!(!net.overlaps(subnet("192.168.8.0/24")));
        assert!(!subnet("0.0.0.0/0").overlaps(subnet("::/0")));
    }

    #[test]
    fn gives_addresses_by_index() {
        let net = subnet("10.0.0.0/30");
        assert_eq!(net.address(3), Some(ip("10.0.0.3")));
        assert_eq!(net.address(4), None);
    }

    #[test]
    fn spares_the_ends() {
        let usable = |net: &str, address: &str| subnet(net).is_usable(ip(address));
        assert!(!usable("10.0.0.0/24", "10.0.0.0"));
        assert!(usable("10.0.0.0/24", "10.0.0.1"));
        assert!(!usable("10.0.0.0/24", "10.0.0.255"));
        assert!(usable("10.0.0.0/31", "10.0.0.0"));
        assert!(usable("10.0.0.7/32", "10.0.0.7"));
        assert!(!usable("fd00::/64", "fd00::"));
        assert!(usable("fd00::/64", "fd00::ffff:ffff:ffff:ffff"));
    }

    #[test]
    fn splits_into_parts() {
        let parts: Vec<_> = subnet("10.0.0.0/24").split(26).collect();
        assert_eq!(parts.len(), 4);
        assert_eq!(parts.last().copied(), Some(subnet("10.0.0.192/26")));
        assert_eq!(subnet("10.0.0.0/24").split(24).count(), 1);
        assert_eq!(subnet("10.0.0.0/24").split(23).count(), 0);
        assert_eq!(subnet("10.0.0.0/24").split(33).count(), 0);
        assert_eq!(
            subnet("fd00::/8").split(64).nth(3),
            Some(subnet("fd00:0:0:3::/64"))
        );
    }

    proptest! {
        #[test]
        fn text_is_identity(bits in any::<u128>(), v4 in any::<bool>(), prefix in 0u8..=128) {
            let address = if v4 {
                IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits >> 96).expect("32 bits")))
            } else {
                IpAddr::V6(Ipv6Addr::from_bits(bits))
            };
            if let Some(net) = Subnet::around(address, prefix) {
                prop_assert_eq!(net.to_string().parse(), Ok(net));
                prop_assert!(net.contains(address));
            } else {
                prop_assert!(v4 && prefix > 32);
            }
        }

        #[test]
        fn overlap_is_cover_one_way_or_the_other(a in any::<u32>(), b in any::<u32>(), p in 0u8..=32, q in 0u8..=32) {
            let a = Subnet::around(IpAddr::V4(a.into()), p).expect("v4");
            let b = Subnet::around(IpAddr::V4(b.into()), q).expect("v4");
            prop_assert_eq!(a.overlaps(b), a.covers(b) || b.covers(a));
            prop_assert_eq!(a.overlaps(b), b.overlaps(a));
        }
    }
}
