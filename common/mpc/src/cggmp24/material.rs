//! Shares, auxiliary information and primes, decoded and checked once.

use crate::codec::{self, CodecError};
use crate::secret::{AuxInfoBytes, KeyShareBytes, Primes};
use cggmp24::backend::Integer;
use cggmp24::key_share::{AuxInfo, DirtyAuxInfo, IncompleteKeyShare};
use cggmp24::security_level::{SecurityLevel, SecurityLevel128};
use cggmp24::{KeyShare, PregeneratedPrimes};
use countersign_wire::limits::MAX_PARTIES;
use generic_ec::curves::Secp256k1;
use generic_ec::{NonZero, Scalar};

/// Bits of a safe prime.
pub const PRIME_BITS: u32 = <SecurityLevel128 as SecurityLevel>::RSA_PRIME_BITLEN;
/// Fewest bits of a product of two such primes.
const MIN_MODULUS_BITS: u64 = 3071;
/// Most bits of a product of two such primes.
const MAX_MODULUS_BITS: u64 = 3072;

/// Why bytes are no share, no auxiliary information or no primes. It says nothing about their content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// Not the expected encoding.
    #[error("cannot be decoded: {0}")]
    Encoding(String),
    /// Decoded, but contradictory or out of range.
    #[error("invalid: {0}")]
    Invalid(&'static str),
}

impl From<CodecError> for ShareError {
    fn from(e: CodecError) -> Self {
        ShareError::Encoding(e.to_string())
    }
}

/// A share with a threshold setup and a chain code: both are optional in the crate's own type.
pub(crate) struct Share {
    pub(crate) core: IncompleteKeyShare<Secp256k1>,
    pub(crate) parties: u16,
    pub(crate) threshold: u16,
    pub(crate) points: Vec<NonZero<Scalar<Secp256k1>>>,
    pub(crate) chain_code: [u8; 32],
}

impl Share {
    pub(crate) fn decode(bytes: &KeyShareBytes) -> Result<Self, ShareError> {
        Self::check(codec::decode_own(bytes.expose())?)
    }

    pub(crate) fn check(core: IncompleteKeyShare<Secp256k1>) -> Result<Self, ShareError> {
        let parties = party_count(core.key_info.public_shares.len())?;
        let setup = core.key_info.vss_setup.as_ref().ok_or(ShareError::Invalid("no threshold setup"))?;
        let chain_code = core.key_info.chain_code.ok_or(ShareError::Invalid("no chain code"))?;
        Ok(Self { parties, threshold: setup.min_signers, points: setup.I.clone(), chain_code, core })
    }

    pub(crate) fn encode(&self) -> Result<KeyShareBytes, ShareError> {
        Ok(KeyShareBytes::from_zeroizing(codec::encode_secret(&self.core)?))
    }

    /// Joins share and auxiliary information: they must be of the same party of the same group.
    pub(crate) fn complete(self, aux: AuxInfo) -> Result<KeyShare<Secp256k1>, ShareError> {
        if aux.N.len() != usize::from(self.parties) {
            return Err(ShareError::Invalid("share and auxiliary information are of different groups"));
        }
        KeyShare::from_parts((self.core, aux))
            .map_err(|_| ShareError::Invalid("share and auxiliary information are of different parties"))
    }
}

/// Decodes and checks auxiliary information.
pub(crate) fn decode_aux(bytes: &AuxInfoBytes) -> Result<AuxInfo, ShareError> {
    let aux: AuxInfo = codec::decode_own(bytes.expose())?;
    check_aux(&aux)?;
    Ok(aux)
}

pub(crate) fn encode_aux(aux: &AuxInfo) -> Result<AuxInfoBytes, ShareError> {
    check_aux(aux)?;
    Ok(AuxInfoBytes::from_zeroizing(codec::encode_secret(aux)?))
}

/// What the crate's own validation leaves out: signs, equal lengths, upper bounds.
pub(crate) fn check_aux(aux: &DirtyAuxInfo) -> Result<(), ShareError> {
    party_count(aux.N.len())?;
    if aux.pedersen_params.len() != aux.N.len() {
        return Err(ShareError::Invalid("as many Pedersen parameters as Paillier keys were expected"));
    }
    let moduli = aux.N.iter().chain(aux.pedersen_params.iter().map(|party| &party.hat_N));
    if !moduli.into_iter().all(is_modulus) {
        return Err(ShareError::Invalid("a modulus is out of range"));
    }
    if !aux.pedersen_params.iter().all(|party| is_residue(&party.s, &party.hat_N) && is_residue(&party.t, &party.hat_N))
    {
        return Err(ShareError::Invalid("a Pedersen parameter is out of range"));
    }
    Ok(())
}

/// Odd, positive, and of the size of a product of two primes of this security level.
pub(crate) fn is_modulus(n: &Integer) -> bool {
    n.cmp0().is_gt() && !n.is_even() && (MIN_MODULUS_BITS..=MAX_MODULUS_BITS).contains(&n.significant_bits())
}

/// Positive and below the modulus.
pub(crate) fn is_residue(value: &Integer, modulus: &Integer) -> bool {
    value.cmp0().is_gt() && value < modulus
}

pub(crate) fn decode_primes(bytes: &Primes) -> Result<PregeneratedPrimes, ShareError> {
    let primes: PregeneratedPrimes = codec::decode_own(bytes.expose())?;
    check_primes(primes.into_primes())
}

pub(crate) fn encode_primes(primes: [Integer; 4]) -> Result<Primes, ShareError> {
    Ok(Primes::from_zeroizing(codec::encode_secret(&check_primes(primes)?)?))
}

/// Size, distinctness and p ≡ 3 (mod 4). That they are safe primes is proved to the other parties when they are used.
fn check_primes(primes: [Integer; 4]) -> Result<PregeneratedPrimes, ShareError> {
    let sound =
        primes.iter().all(|p| p.cmp0().is_gt() && p.significant_bits() == u64::from(PRIME_BITS) && p.mod_u(4) == 3);
    let distinct = primes.iter().enumerate().all(|(i, p)| primes.iter().skip(i + 1).all(|other| other != p));
    if !sound || !distinct {
        return Err(ShareError::Invalid("expected four distinct safe primes of 1536 bits"));
    }
    PregeneratedPrimes::try_from(primes).map_err(|_| ShareError::Invalid("primes below the security level"))
}

fn party_count(parties: usize) -> Result<u16, ShareError> {
    if !(2..=MAX_PARTIES).contains(&parties) {
        return Err(ShareError::Invalid("number of parties out of range"));
    }
    u16::try_from(parties).map_err(|_| ShareError::Invalid("number of parties out of range"))
}
