use std::net::IpAddr;

/// Where a peer comes from, as far as connections are counted by it: an IPv4
/// address, or the /64 of an IPv6 address, which is what one subscriber gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddress(u64);

impl PeerAddress {
    /// Not counted: the host itself, or a peer that was gone before it was asked.
    pub const EXEMPT: Self = Self(0);

    /// What this address counts as.
    pub fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        match address {
            _ if address.is_loopback() => Self::EXEMPT,
            // In a /64 that the IETF reserves (RFC 4291 section 4): no IPv6
            // peer counts as the same.
            IpAddr::V4(address) => Self(u32::from(address).into()),
            IpAddr::V6(address) => Self((u128::from(address) >> 64) as u64),
        }
    }

    /// Whether it is counted at all.
    pub fn is_exempt(self) -> bool {
        self == Self::EXEMPT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> PeerAddress {
        PeerAddress::of(address.parse().expect("an address"))
    }

    #[test]
    fn an_ipv4_address_or_an_ipv6_64_is_one_peer() {
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(
            of("2001:db8:1:2::1"),
            of("2001:db8:1:2:ffff:ffff:ffff:ffff")
        );
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }

    #[test]
    fn the_host_itself_is_exempt() {
        for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(of(loopback).is_exempt(), "{loopback}");
        }
        for other in ["192.0.2.1", "10.0.0.1", "2001:db8::1", "fe80::1"] {
            assert!(!of(other).is_exempt(), "{other}");
        }
    }
}
