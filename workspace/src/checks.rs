//! The coordinator's checks with the real scheme.

use crate::address::address;
use crate::ceremony::PublicChecks;
use countersign_mpc::public;
use countersign_wire::evm::Asset;
use countersign_wire::key::{EcdsaSignature, PublicKey};

/// ECDSA on secp256k1.
pub struct Secp256k1;

impl PublicChecks for Secp256k1 {
    fn is_signature(&self, public_key: &PublicKey, digest: &[u8; 32], signature: &EcdsaSignature) -> bool {
        public::verify(public_key, digest, signature)
    }

    fn address(&self, asset: &str, public_key: &PublicKey) -> Option<String> {
        Asset::find(asset)?;
        address(public_key)
    }
}
