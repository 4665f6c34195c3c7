//! What a machine is to run, and what comes out.

use crate::secret::{AuxInfoBytes, KeyShareBytes, Primes};
use countersign_wire::key::{DerivationPath, EcdsaSignature};
use std::fmt;

/// Unique to one execution of one protocol; all its parties use the same one. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionId(pub [u8; 32]);

/// What a machine is to run. It owns all that it needs, so that it can be sent to the thread that will run it.
///
/// Party indices are positions in the signing group, everywhere outside of this crate.
pub enum Plan {
    /// Auxiliary information of a signing group: once a group, reused by all its keys.
    AuxInfo {
        /// This execution.
        execution: ExecutionId,
        /// Our index in the group.
        index: u16,
        /// Number of parties of the group.
        parties: u16,
        /// Our safe primes, used for this group alone.
        primes: Primes,
    },
    /// A new key on secp256k1 with a chain code, so that child keys can be derived from it.
    Keygen {
        /// This execution.
        execution: ExecutionId,
        /// Our index in the group.
        index: u16,
        /// Number of parties of the group.
        parties: u16,
        /// How many parties sign.
        threshold: u16,
    },
    /// A full signature of a digest. Never from a presignature, so that a digest of unknown origin is safe to sign.
    Sign {
        /// This execution.
        execution: ExecutionId,
        /// Our index in the group.
        index: u16,
        /// Who signs: indices in the group, sorted, exactly as many as the key's threshold.
        signers: Vec<u16>,
        /// Our share of the key.
        share: KeyShareBytes,
        /// Our auxiliary information of the group.
        aux: AuxInfoBytes,
        /// The child key that signs.
        path: DerivationPath,
        /// What is signed.
        digest: [u8; 32],
    },
}

impl Plan {
    /// Name of the protocol.
    pub fn name(&self) -> &'static str {
        match self {
            Plan::AuxInfo { .. } => "auxiliary information",
            Plan::Keygen { .. } => "key generation",
            Plan::Sign { .. } => "signing",
        }
    }

    /// Our index in the group.
    pub fn index(&self) -> u16 {
        match self {
            Plan::AuxInfo { index, .. } | Plan::Keygen { index, .. } | Plan::Sign { index, .. } => *index,
        }
    }

    /// Everybody else who takes part, by index in the group: whom a broadcast goes to.
    pub fn peers(&self) -> Vec<u16> {
        let index = self.index();
        match self {
            Plan::AuxInfo { parties, .. } | Plan::Keygen { parties, .. } => {
                (0..*parties).filter(|party| *party != index).collect()
            }
            Plan::Sign { signers, .. } => signers.iter().copied().filter(|party| *party != index).collect(),
        }
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plan({}, party {}, peers {:?})", self.name(), self.index(), self.peers())
    }
}

/// What a machine produced.
#[derive(Debug)]
pub enum Output {
    /// Our auxiliary information. Compare [`crate::public::aux_commitment`] with all parties before use.
    AuxInfo(AuxInfoBytes),
    /// Our share. Compare [`crate::public::outcome`] with all parties before use.
    KeyShare(KeyShareBytes),
    /// A signature that was verified against the derived public key.
    Signature(EcdsaSignature),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_the_others_that_take_part() {
        let keygen = Plan::Keygen { execution: ExecutionId([0; 32]), index: 1, parties: 3, threshold: 2 };
        assert_eq!(keygen.peers(), [0, 2]);
        let sign = Plan::Sign {
            execution: ExecutionId([0; 32]),
            index: 4,
            signers: vec![1, 4],
            share: KeyShareBytes::from_vec(vec![7]),
            aux: AuxInfoBytes::from_vec(vec![7]),
            path: DerivationPath::new(vec![0]).unwrap(),
            digest: [9; 32],
        };
        assert_eq!(sign.peers(), [1]);
        assert_eq!(format!("{sign:?}"), "Plan(signing, party 4, peers [1])");
    }
}
