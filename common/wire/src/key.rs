//! Keys: what they are for, and where they are in their life.

use crate::List;
use crate::ids::ApiUserId;
use crate::limits::MAX_PATH_ELEMENTS;
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// A signature algorithm. One key serves one algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Algorithm {
    /// ECDSA on secp256k1 (CGGMP24).
    EcdsaSecp256k1 = 0,
}

impl Algorithm {
    /// The name used by the HTTP API.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::EcdsaSecp256k1 => "MPC_ECDSA_SECP256K1",
        }
    }
}

/// What a client asks to be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Operation {
    /// Bare 32-byte hashes.
    Raw = 0,
    /// Messages with a standard envelope (EIP-191), and typed data (EIP-712).
    TypedMessage = 1,
    /// An amount of an asset, to one address.
    Transfer = 2,
    /// An unsigned transaction that the client gives whole.
    ContractCall = 3,
}

impl Operation {
    /// The name used by the HTTP API and by callback handlers.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Raw => "RAW",
            Operation::TypedMessage => "TYPED_MESSAGE",
            Operation::Transfer => "TRANSFER",
            Operation::ContractCall => "CONTRACT_CALL",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key's purpose, fixed when it is made.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KeyPurpose {
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// SLIP-44 coin type of all its paths, 60 for Ethereum.
    pub coin_type: u32,
    /// What it may sign; sorted, each once.
    pub operations: List<Operation, 8>,
    /// The API user that approves for it.
    pub signer: ApiUserId,
}

impl KeyPurpose {
    /// Whether the operations are sorted and unique, as the canonical form demands.
    pub fn is_canonical(&self) -> bool {
        !self.operations.is_empty() && self.operations.windows(2).all(|w| matches!(w, [a, b] if a < b))
    }

    /// Whether the key may sign `operation`.
    pub fn allows(&self, operation: Operation) -> bool {
        self.operations.contains(&operation)
    }
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum KeyStatus {
    /// Being generated, or held without all parties' acknowledgements.
    Pending = 0,
    /// Usable.
    Ready = 1,
    /// Suspended: see the status of the co-signer.
    Error = 2,
}

impl KeyStatus {
    /// The status as APIs show it.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyStatus::Pending => "PENDING",
            KeyStatus::Ready => "READY",
            KeyStatus::Error => "ERROR",
        }
    }
}

/// A non-hardened derivation path (BIP-32 indices below 2^31), such as `[44, 60, 0, 0, 0]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct DerivationPath(Vec<u32>);

/// A path that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {MAX_PATH_ELEMENTS} indices below 2147483648")]
pub struct PathError;

impl DerivationPath {
    /// Checks the number of elements and that none is hardened.
    pub fn new(elements: Vec<u32>) -> Result<Self, PathError> {
        let sound = (1..=MAX_PATH_ELEMENTS).contains(&elements.len()) && elements.iter().all(|e| *e < 1 << 31);
        if sound { Ok(Self(elements)) } else { Err(PathError) }
    }

    /// The path of a vault account's first address: `44 / coin type / vault account / change / index`.
    pub fn vault(coin_type: u32, vault_account: u32, change: u32, index: u32) -> Result<Self, PathError> {
        Self::new(vec![44, coin_type, vault_account, change, index])
    }

    /// The indices.
    pub fn elements(&self) -> &[u32] {
        &self.0
    }
}

impl BorshDeserialize for DerivationPath {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let elements = List::<u32, MAX_PATH_ELEMENTS>::deserialize_reader(reader)?;
        Self::new(elements.into_vec())
            .map_err(|e| borsh::io::Error::new(borsh::io::ErrorKind::InvalidData, e.to_string()))
    }
}

impl fmt::Display for DerivationPath {
    /// As callback handlers know it: `[ 44, 60, 0, 0, 0 ]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elements: Vec<String> = self.0.iter().map(u32::to_string).collect();
        write!(f, "[ {} ]", elements.join(", "))
    }
}

impl fmt::Debug for DerivationPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A compressed secp256k1 public key (SEC 1, section 2.3.3).
pub type PublicKey = [u8; 33];

/// An ECDSA signature as it leaves a ceremony: `s` in the lower half, `v` the recovery id (0 or 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EcdsaSignature {
    /// Big-endian `r`.
    pub r: [u8; 32],
    /// Big-endian `s`, at most half the group order.
    pub s: [u8; 32],
    /// Recovery id.
    pub v: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_show_as_handlers_know_them_and_are_never_hardened() {
        let path = DerivationPath::vault(60, 0, 0, 0).unwrap();
        assert_eq!(path.to_string(), "[ 44, 60, 0, 0, 0 ]");
        assert!(DerivationPath::new(vec![1 << 31]).is_err());
        assert!(DerivationPath::new(vec![]).is_err());
        let smuggled = borsh::to_vec(&vec![u32::MAX]).unwrap();
        assert!(borsh::from_slice::<DerivationPath>(&smuggled).is_err());
    }
}
