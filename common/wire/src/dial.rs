//! A stream that the host dials for the enclave. The enclave opens a connection with [`crate::host_link::Opening::Dial`],
//! asks for addresses, checks them itself, and has exactly one checked address dialled. After `Connected` the connection
//! carries raw bytes both ways; TLS ends inside the enclave.

use crate::limits::MAX_DETAIL_BYTES;
use crate::{List, Text, message};
use borsh::{BorshDeserialize, BorshSerialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most addresses that a resolution may return.
pub const MAX_ADDRESSES: usize = 16;

/// An IP address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum Address {
    /// IPv4.
    V4([u8; 4]),
    /// IPv6.
    V6([u8; 16]),
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::V4(ip.octets()),
            IpAddr::V6(ip) => Self::V6(ip.octets()),
        }
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        match address {
            Address::V4(octets) => Ipv4Addr::from(octets).into(),
            Address::V6(octets) => Ipv6Addr::from(octets).into(),
        }
    }
}

/// From the enclave.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum DialRequest {
    /// Resolve a DNS name. Not sent for literal addresses.
    Resolve {
        /// The name.
        name: Text<253>,
    },
    /// Connect to exactly this address.
    Connect {
        /// Where.
        address: Address,
        /// TCP port.
        port: u16,
    },
}

message!(DialRequest, "countersign/dial-request", 1, 512);

/// From the host.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum DialAnswer {
    /// The name's addresses, as the host says.
    Resolved {
        /// They.
        addresses: List<Address, MAX_ADDRESSES>,
    },
    /// The stream is open; raw bytes follow.
    Connected,
    /// It did not work; the connection is closed.
    Failed {
        /// Which step.
        step: DialStep,
        /// Why.
        detail: Text<MAX_DETAIL_BYTES>,
    },
}

message!(DialAnswer, "countersign/dial-answer", 1, 4096);

/// A step of dialling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum DialStep {
    /// Name resolution.
    Resolve = 0,
    /// Connecting.
    Connect = 1,
    /// Too many streams at once.
    Limit = 2,
}
