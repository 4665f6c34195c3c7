//! Threshold ECDSA on secp256k1 with the crate `cggmp24`, and what that crate leaves to its caller.
//!
//! - It checks neither that the signers are sorted and unique nor that we are among them: `sign` does.
//! - It verifies two range proofs of signing in a way that lets one of them be invalid: `range_proofs` sees to both.
//! - Its proof that ring-Pedersen parameters are sound has a challenge of 32 bits: `ring_pedersen` adds a proof with 128.
//! - It takes numbers of any size and sign, and panics on some encodings: `driver` and `guard` stand in front of it.
//!
//! Its check of reliable broadcast is on by default and stays on. Its own error type does not show who is to blame, and
//! its errors are never read to decide anything: see `driver`.

pub(crate) mod aux_info;
pub(crate) mod driver;
pub(crate) mod guard;
pub(crate) mod keygen;
pub(crate) mod material;
pub(crate) mod range_proofs;
pub(crate) mod ring_pedersen;
pub(crate) mod session;
pub(crate) mod sign;

use crate::failure::Failure;
use crate::machine::{Machine, Scheme};
use crate::plan::Plan;
use countersign_wire::limits::MAX_PARTIES;
use rand_core::CryptoRngCore;

/// Threshold ECDSA after Canetti, Gennaro, Goldfeder, Makriyannis and Peled.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cggmp24;

impl Scheme for Cggmp24 {
    fn start(&self, plan: Plan, rng: Box<dyn CryptoRngCore + Send>) -> Result<Box<dyn Machine>, Failure> {
        match plan {
            Plan::AuxInfo { execution, index, parties, primes } => {
                aux_info::start(execution, check_group(index, parties)?, &primes, rng)
            }
            Plan::Keygen { execution, index, parties, threshold } => {
                keygen::start(execution, check_group(index, parties)?, threshold, rng)
            }
            Plan::Sign { execution, index, signers, share, aux, path, digest } => {
                sign::start(sign::Job { execution, index, signers, path, digest }, &share, &aux, rng)
            }
        }
    }
}

/// All parties of a group, seen by one of them.
fn check_group(index: u16, parties: u16) -> Result<driver::Parties, Failure> {
    if !(2..=MAX_PARTIES).contains(&usize::from(parties)) {
        return Err(Failure::internal(format!("expected 2 to {MAX_PARTIES} parties, got {parties}")));
    }
    driver::Parties::new(index, (0..parties).collect())
        .ok_or_else(|| Failure::internal(format!("expected an index below {parties}, got {index}")))
}
