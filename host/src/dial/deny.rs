//! Where nothing is dialled, whatever the enclave asks for. The enclave checks every address itself; but only this machine
//! knows what can be reached from here, and what answers at these addresses gives out this machine's own credentials.

use crate::network::Network;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The metadata services of clouds, and what else is at addresses that belong to the machine itself.
pub const METADATA: [Network; 6] = [
    Network::only(IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254))),
    Network::only(IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254))),
    Network::only(IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2))),
    Network::only(IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200))),
    Network::only(IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192))),
    Network::only(IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16))),
];

/// The network for which `address` is not dialled: one that is configured, or one that never is.
pub fn denied_by(address: IpAddr, configured: &[Network]) -> Option<Network> {
    configured.iter().chain(&METADATA).find(|network| network.contains(address)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t28_metadata_addresses_are_denied_however_they_are_written_and_whatever_is_configured() {
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fd00:ec2::254",
            "169.254.170.2",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
        ] {
            assert!(denied_by(address.parse().unwrap(), &[]).is_some(), "{address}");
        }
    }

    #[test]
    fn t28_what_is_configured_is_denied_and_all_else_is_the_enclaves_to_decide() {
        let configured = ["10.0.0.0/8".parse().unwrap()];
        let denied = |address: &str| denied_by(address.parse().unwrap(), &configured).map(|n| n.to_string());
        assert_eq!(denied("10.1.2.3").as_deref(), Some("10.0.0.0/8"));
        for allowed in ["192.168.1.1", "127.0.0.1", "169.254.1.1", "203.0.113.1", "::1"] {
            assert_eq!(denied(allowed), None, "{allowed}");
        }
    }
}
