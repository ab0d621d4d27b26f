//! Address ranges as flags give them: the VIP pool and the pod ranges the fake VPC knows.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address range such as `127.0.64.0/24` or `fd00::/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

/// Why a text is no address range.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an address range: expected ADDRESS/PREFIX such as 127.0.64.0/24")]
pub struct BadCidr(String);

impl Cidr {
    /// 127.0.64.0/24: needs no privileges and no interface of its own.
    pub const LOOPBACK_VIPS: Self = Self {
        network: IpAddr::V4(Ipv4Addr::new(127, 0, 64, 0)),
        prefix: 24,
    };

    /// Whether the address lies in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        mask(address, self.prefix) == Some(self.network)
    }

    /// The usable IPv4 host addresses in order: without the network and broadcast address where
    /// the range has them (from /30 up). Empty for IPv6.
    pub fn hosts(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        let range = match self.network {
            IpAddr::V4(network) => v4_range(network, self.prefix),
            IpAddr::V6(_) => None,
        };
        range.into_iter().flatten().map(Ipv4Addr::from_bits)
    }
}

fn v4_range(network: Ipv4Addr, prefix: u8) -> Option<std::ops::RangeInclusive<u32>> {
    let first = network.to_bits();
    let size = 1_u64.checked_shl(32 - u32::from(prefix))?;
    let last = u32::try_from(u64::from(first) + size - 1).ok()?;
    Some(if prefix >= 31 {
        first..=last
    } else {
        first + 1..=last - 1
    })
}

fn mask(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) if prefix <= 32 => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Some(Ipv4Addr::from_bits(v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) if prefix <= 128 => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Some(Ipv6Addr::from_bits(v6.to_bits() & mask).into())
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

impl FromStr for Cidr {
    type Err = BadCidr;

    fn from_str(text: &str) -> Result<Self, BadCidr> {
        let bad = || BadCidr(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let prefix: u8 = prefix.parse().map_err(|_| bad())?;
        let network = mask(address, prefix).ok_or_else(bad)?;
        Ok(Self { network, prefix })
    }
}

impl TryFrom<String> for Cidr {
    type Error = BadCidr;

    fn try_from(text: String) -> Result<Self, BadCidr> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(range: Cidr) -> Self {
        range.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().expect("a valid range")
    }

    #[test]
    fn hosts_leave_out_network_and_broadcast() {
        let hosts: Vec<_> = cidr("10.1.2.3/30").hosts().collect();
        assert_eq!(
            hosts,
            ["10.1.2.1", "10.1.2.2"].map(|a| a.parse::<Ipv4Addr>().unwrap())
        );
        assert_eq!(cidr("10.1.2.3/32").hosts().count(), 1);
        assert_eq!(cidr("10.1.2.2/31").hosts().count(), 2);
        assert_eq!(cidr("fd00::/64").hosts().count(), 0);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "x/8",
            "10.0.0.0/-1",
            "fd00::/129",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_host_is_inside(address: u32, prefix in 20_u8..=32) {
            let range = cidr(&format!("{}/{prefix}", Ipv4Addr::from_bits(address)));
            prop_assert!(range.hosts().all(|host| range.contains(host.into())));
            prop_assert!(range.contains(Ipv4Addr::from_bits(address).into()));
        }
    }
}
