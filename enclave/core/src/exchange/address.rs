//! Which addresses may be dialled. The host answers DNS, so that a name says nothing about where a connection goes.
//!
//! Only globally reachable unicast addresses pass (IANA's special-purpose registries, RFC 6890 and its successors), and
//! those in networks that an operator named.

use countersign_wire::command::Network;
use countersign_wire::dial::Address;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether `address` may be dialled: it is public, or in one of `networks`.
pub fn is_allowed(address: IpAddr, networks: &[Network]) -> bool {
    // A mapped address reaches what its IPv4 address reaches, so it is judged as that.
    let address = address.to_canonical();
    networks.iter().any(|network| contains(network, address)) || is_public(address)
}

/// Whether a network's prefix fits its address. One that does not contains nothing.
pub fn is_sound(network: &Network) -> bool {
    match network.address {
        Address::V4(_) => network.prefix <= 32,
        Address::V6(_) => network.prefix <= 128,
    }
}

fn contains(network: &Network, address: IpAddr) -> bool {
    if !is_sound(network) {
        return false;
    }
    match (network.address, address) {
        (Address::V4(octets), IpAddr::V4(address)) => within_v4(address, Ipv4Addr::from(octets), network.prefix),
        (Address::V6(octets), IpAddr::V6(address)) => within_v6(address, Ipv6Addr::from(octets), network.prefix),
        _ => false,
    }
}

fn within_v4(address: Ipv4Addr, network: Ipv4Addr, prefix: u8) -> bool {
    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(u32::from(prefix))).unwrap_or(0);
    address.to_bits() & mask == network.to_bits() & mask
}

fn within_v6(address: Ipv6Addr, network: Ipv6Addr, prefix: u8) -> bool {
    let mask = u128::MAX.checked_shl(128_u32.saturating_sub(u32::from(prefix))).unwrap_or(0);
    address.to_bits() & mask == network.to_bits() & mask
}

const DENIED_V4: [(Ipv4Addr, u8); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),          // this network, and unspecified
    (Ipv4Addr::new(10, 0, 0, 0), 8),         // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),      // carrier-grade NAT, and metadata of one cloud
    (Ipv4Addr::new(127, 0, 0, 0), 8),        // loopback
    (Ipv4Addr::new(168, 63, 129, 16), 32),   // a cloud's platform services, in public space
    (Ipv4Addr::new(169, 254, 0, 0), 16),     // link-local, and metadata of most clouds
    (Ipv4Addr::new(172, 16, 0, 0), 12),      // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),       // protocol assignments, and metadata of one cloud
    (Ipv4Addr::new(192, 0, 2, 0), 24),       // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),     // 6to4 relays, deprecated
    (Ipv4Addr::new(192, 168, 0, 0), 16),     // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),      // benchmarking
    (Ipv4Addr::new(198, 51, 100, 0), 24),    // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),     // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),        // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),        // reserved
    (Ipv4Addr::new(255, 255, 255, 255), 32), // broadcast
];

/// Global unicast: everything else in IPv6 is special.
const GLOBAL_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// Translation of IPv4 addresses (RFC 6052): the last 32 bits say where it goes.
const NAT64: (Ipv6Addr, u8) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

const DENIED_V6: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments: Teredo, benchmarking, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4, deprecated: embeds any IPv4 address
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) if within_v6(address, NAT64.0, NAT64.1) => {
            let [.., a, b, c, d] = address.octets();
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V6(address) => {
            within_v6(address, GLOBAL_V6.0, GLOBAL_V6.1)
                && !DENIED_V6.iter().any(|(network, prefix)| within_v6(address, *network, *prefix))
        }
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !DENIED_V4.iter().any(|(network, prefix)| within_v4(address, *network, *prefix))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        let (address, prefix) = text.split_once('/').unwrap();
        Network { address: address.parse::<IpAddr>().unwrap().into(), prefix: prefix.parse().unwrap() }
    }

    fn allowed(address: &str, networks: &[&str]) -> bool {
        let networks: Vec<_> = networks.iter().map(|n| network(n)).collect();
        is_allowed(address.parse().unwrap(), &networks)
    }

    const PUBLIC: [&str; 16] = [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "168.63.129.15",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450:4001::1",
        "64:ff9b::8.8.8.8",
        "::ffff:8.8.8.8",
    ];

    const DENIED: [&str; 53] = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.1",
        "100.100.100.200",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "168.63.129.16",
        "169.254.0.1",
        "169.254.169.254",
        "169.254.170.2",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "192.168.255.255",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:2::1",
        "2001:10::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ];

    #[test]
    fn t28_addresses_that_are_not_public_are_denied() {
        for address in PUBLIC {
            assert!(allowed(address, &[]), "{address}");
        }
        for address in DENIED {
            assert!(!allowed(address, &[]), "{address}");
        }
    }

    #[test]
    fn t28_an_operator_may_allow_a_network_and_nothing_else_with_it() {
        assert!(allowed("10.1.2.3", &["10.1.2.0/24"]));
        assert!(!allowed("10.1.3.3", &["10.1.2.0/24"]));
        assert!(allowed("127.0.0.1", &["192.168.0.0/16", "127.0.0.1/32"]));
        assert!(!allowed("127.0.0.2", &["127.0.0.1/32"]));
        assert!(allowed("::1", &["::1/128"]));
        assert!(!allowed("::1", &["127.0.0.0/8"]));
        assert!(allowed("fd12::5", &["fd12::/16"]));
        assert!(allowed("10.200.0.1", &["10.9.9.9/8"]), "host bits do not count");
        assert!(allowed("10.0.0.1", &["0.0.0.0/0"]));
        assert!(!allowed("fd00::1", &["0.0.0.0/0"]));
        assert!(allowed("1.1.1.1", &["10.0.0.0/8"]), "public addresses stay allowed");
    }

    #[test]
    fn t28_a_mapped_address_is_judged_as_its_ipv4_address_and_a_translated_one_is_not() {
        assert!(allowed("::ffff:10.0.0.1", &["10.0.0.0/8"]));
        assert!(!allowed("::ffff:10.0.0.1", &["::/0"]));
        assert!(!allowed("64:ff9b::10.0.0.1", &["10.0.0.0/8"]));
    }

    #[test]
    fn a_prefix_that_does_not_fit_contains_nothing() {
        let unsound = Network { address: Address::V4([10, 0, 0, 0]), prefix: 33 };
        assert!(!is_sound(&unsound));
        assert!(!is_allowed("10.0.0.0".parse().unwrap(), &[unsound]));
        assert!(is_sound(&network("10.0.0.0/32")) && is_sound(&network("::/128")));
        assert!(!is_sound(&Network { address: Address::V6([0; 16]), prefix: 129 }));
    }
}
