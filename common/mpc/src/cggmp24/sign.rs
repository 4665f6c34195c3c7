//! Full signing of a digest by exactly as many signers as the key's threshold.

use super::driver::{Driver, Ended, Parties};
use super::guard::Guard;
use super::material::{self, Share, ShareError};
use super::range_proofs::{self, FirstRound, Verifier};
use super::session::Session;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::plan::{ExecutionId, Output};
use crate::public;
use crate::secret::{AuxInfoBytes, KeyShareBytes};
use cggmp24::backend::Integer;
use cggmp24::signing::{PrehashedDataToSign, Signature};
use countersign_wire::key::{DerivationPath, EcdsaSignature, PublicKey};
use generic_ec::Scalar;
use generic_ec::curves::Secp256k1;
use rand_core::CryptoRngCore;
use round_based::state_machine::wrap_protocol;
use sha2::Sha256;
use std::collections::BTreeMap;

pub(crate) type Msg = cggmp24::signing::msg::Msg<Secp256k1, Sha256>;

/// What is signed, by whom.
pub(crate) struct Job {
    pub(crate) execution: ExecutionId,
    pub(crate) index: u16,
    pub(crate) signers: Vec<u16>,
    pub(crate) path: DerivationPath,
    pub(crate) digest: [u8; 32],
}

pub(crate) fn start(
    job: Job,
    share: &KeyShareBytes,
    aux: &AuxInfoBytes,
    mut rng: Box<dyn CryptoRngCore + Send>,
) -> Result<Box<dyn Machine>, Failure> {
    let internal = |e: ShareError| Failure::internal(e.to_string());
    let outcome = public::outcome(share).map_err(internal)?;
    let aux_commitment = public::aux_commitment(aux).map_err(internal)?;
    let share = Share::decode(share).map_err(internal)?;
    let aux = material::decode_aux(aux).map_err(internal)?;
    let Job { execution, index, signers, path, digest } = job;
    let parties = check_signers(index, &signers, &share)?;
    let public_key = public::derive(&outcome.public_key, &outcome.chain_code, &path)
        .map_err(|e| Failure::internal(e.to_string()))?;
    let session = Session::Sign {
        key: &outcome.commitment,
        aux: &aux_commitment,
        signers: &signers,
        path: &path,
        digest: &digest,
    }
    .id(execution)?;
    let peers = signers.len().saturating_sub(1);
    let guard = SignGuard { verifier: Verifier::new(session, &parties, &aux)?, peers, first: BTreeMap::new() };
    let key_share = share.complete(aux).map_err(internal)?;

    let me = parties.me();
    let protocol = wrap_protocol(move |party| async move {
        // Safe for a digest whose origin we do not know: it is fixed before the nonce is (ePrint 2021/1330).
        let message = PrehashedDataToSign::from_scalar(Scalar::from_be_bytes_mod_order(digest));
        let signature = cggmp24::signing(cggmp24::ExecutionId::new(&session), me, &signers, &key_share)
            .enforce_reliable_broadcast(true)
            .set_derivation_path(path.elements().iter().copied())
            .map_err(|e| Ended::Internal(e.to_string()))?
            .sign(&mut rng.as_mut(), party, &message)
            .await
            .map_err(|e| Ended::Scheme(Box::new(e)))?;
        finish(&signature, &public_key, &digest).map(Output::Signature)
    });
    Ok(Box::new(Driver::new(parties, guard, protocol)))
}

/// The crate would sign with unsorted or repeated signers, and as whichever signer it is told.
fn check_signers(index: u16, signers: &[u16], share: &Share) -> Result<Parties, Failure> {
    if signers.len() != usize::from(share.threshold) {
        let (expected, got) = (share.threshold, signers.len());
        return Err(Failure::internal(format!("expected {expected} signers, got {got}")));
    }
    if !signers.windows(2).all(|pair| matches!(pair, [a, b] if a < b)) {
        return Err(Failure::internal("expected sorted signers, each once"));
    }
    if signers.iter().any(|signer| *signer >= share.parties) {
        return Err(Failure::internal(format!("expected signers below {}", share.parties)));
    }
    if index != share.core.i {
        return Err(Failure::internal(format!("the share is party {}'s, not party {index}'s", share.core.i)));
    }
    Parties::new(index, signers.to_vec()).ok_or_else(|| Failure::internal("we are not among the signers"))
}

/// Nothing leaves that does not verify: with `s` in the lower half and the recovery id that leads to the derived key.
fn finish(
    signature: &Signature<Secp256k1>,
    public_key: &PublicKey,
    digest: &[u8; 32],
) -> Result<EcdsaSignature, Ended> {
    let signature = signature.normalize_s();
    let (r, s) = (public::scalar_bytes(&signature.r), public::scalar_bytes(&signature.s));
    public::recoverable(public_key, digest, r, s).ok_or(Ended::Unsound("the signature is not valid"))
}

struct SignGuard {
    verifier: Verifier,
    peers: usize,
    /// What came of the first round, by position.
    first: BTreeMap<u16, FirstRound>,
}

impl Guard for SignGuard {
    type Msg = Msg;
    type Wire = Msg;
    const MAX_BYTES: usize = countersign_wire::limits::MAX_SIGN_MESSAGE_BYTES;

    fn message(wire: &Msg) -> &Msg {
        wire
    }

    fn is_broadcast(message: &Msg) -> bool {
        !matches!(message, Msg::Round1b(_) | Msg::Round2(_))
    }

    fn view(message: &Msg) -> Option<&[u8]> {
        match message {
            Msg::ReliabilityCheck(check) => Some(check.0.as_slice()),
            _ => None,
        }
    }

    fn send(&mut self, message: Msg) -> Result<Msg, Failure> {
        let verified = self.first.values().filter(|first| first.second_is_valid()).count();
        if matches!(message, Msg::Round2(_)) && verified != self.peers {
            return Err(Failure::internal("the scheme answers although not all range proofs were verified"));
        }
        Ok(message)
    }

    fn receive(&mut self, from: u16, wire: Msg) -> Result<Msg, &'static str> {
        let positive = |ciphertexts: &[&Integer]| {
            let sound = ciphertexts.iter().all(|c| c.cmp0().is_gt());
            if sound { Ok(()) } else { Err("a ciphertext is not positive") }
        };
        match &wire {
            Msg::Round1a(m) => {
                positive(&[&m.K, &m.G])?;
                self.first.entry(from).or_default().ciphertexts = Some(m.clone());
            }
            Msg::Round1b(m) => {
                self.first.entry(from).or_default().proofs = Some(m.clone());
                return Ok(Msg::Round1b(range_proofs::for_protocol(m.clone())));
            }
            Msg::Round2(m) => positive(&[&m.D, &m.F, &m.hat_D, &m.hat_F])?,
            Msg::Round3(_) | Msg::Round4(_) | Msg::ReliabilityCheck(_) => {}
        }
        Ok(wire)
    }

    fn check(&mut self) -> Result<(), Failure> {
        self.first.iter_mut().try_for_each(|(position, first)| self.verifier.check_second(*position, first))
    }

    fn convict(&mut self) -> Option<Failure> {
        let mut failures =
            self.first.iter().filter_map(|(position, first)| self.verifier.check_first(*position, first).err());
        failures.find(|failure| matches!(failure, Failure::Protocol { culprit: Some(_), .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use generic_ec::NonZero;

    #[test]
    fn a_signature_that_does_not_verify_never_leaves() {
        let scalar = |n: u16| NonZero::from_scalar(Scalar::<Secp256k1>::from(n)).unwrap();
        let invalid = Signature::from_raw_parts(scalar(7), scalar(9));
        let mut generator = [0; 33];
        generator.copy_from_slice(&generic_ec::Point::<Secp256k1>::generator().to_point().to_bytes(true));
        assert!(matches!(finish(&invalid, &generator, &[1; 32]), Err(Ended::Unsound(_))));
    }
}
