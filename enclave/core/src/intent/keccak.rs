//! Keccak-256, which is what is signed of everything on Ethereum.

use countersign_wire::transaction::Digest;
use sha3::{Digest as _, Keccak256};

/// The Keccak-256 of exactly these bytes.
pub fn keccak256(bytes: &[u8]) -> Digest {
    Keccak256::digest(bytes).into()
}
