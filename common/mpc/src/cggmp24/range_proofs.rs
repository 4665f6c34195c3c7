//! Both range proofs of signing's first round.
//!
//! A signer sends two Paillier ciphertexts, K and G, under its own key, and for each a proof that the number in it is
//! small (Πenc-elg of ePrint 2021/060). Were K's number large, the answer of the second round would carry our key share
//! unmasked. Version 0.7.0-alpha.3 of the crate looks at the second proof only if the first is invalid, and accepts the
//! message if either is valid.
//!
//! So we verify the second proof before the protocol sees the message, and hand the message on with a second proof that
//! is invalid whatever was sent: then the crate accepts it if the first proof is valid, and not otherwise. Each proof is
//! verified once. When the crate rejects, the first proofs are verified again, to see whose it was.
//!
//! A test shows what the crate alone does; once it fails, this file can go. Until it goes, nothing can be signed with a
//! crate that looks at both.

use super::driver::Parties;
use crate::failure::Failure;
use cggmp24::ExecutionId;
use cggmp24::backend::Integer;
use cggmp24::fast_paillier::EncryptionKey;
use cggmp24::key_share::DirtyAuxInfo;
use cggmp24::security_level::{SecurityLevel, SecurityLevel128};
use cggmp24::signing::msg::{MsgRound1a, MsgRound1b};
use generic_ec::Point;
use generic_ec::curves::Secp256k1;
use paillier_zk::paillier_encryption_in_range_with_el_gamal::{self as enc_elg, non_interactive};
use sha2::Sha256;

/// One signer's messages of the first round.
#[derive(Default)]
pub(crate) struct FirstRound {
    pub(crate) ciphertexts: Option<MsgRound1a<Secp256k1>>,
    /// As they were sent.
    pub(crate) proofs: Option<MsgRound1b<Secp256k1>>,
    second_is_valid: bool,
}

impl FirstRound {
    /// Whether the second proof was verified and is valid.
    pub(crate) fn second_is_valid(&self) -> bool {
        self.second_is_valid
    }
}

/// What the protocol gets instead of the proofs that were sent: the first one as it is, the second one invalid, because
/// zero is no residue that a commitment could be.
pub(crate) fn for_protocol(mut proofs: MsgRound1b<Secp256k1>) -> MsgRound1b<Secp256k1> {
    let commitment = &mut proofs.psi1.commitment;
    (commitment.s, commitment.t, commitment.d) = (Integer::zero(), Integer::zero(), Integer::zero());
    proofs
}

/// Verifies what is sent to us in one signing session.
pub(crate) struct Verifier {
    session: [u8; 32],
    parties: Parties,
    /// Our own Pedersen parameters: the proofs are made for them.
    pedersen: enc_elg::Aux,
    /// The signers' Paillier keys, by position.
    keys: Vec<EncryptionKey>,
}

/// What the crate hashes into the challenge; the same tag and fields as its own.
#[derive(udigest::Digestable)]
#[udigest(tag = "dfns.cggmp24.signing.proof_enc")]
struct Statement<'a> {
    sid: ExecutionId<'a>,
    prover: u16,
    num: u8,
}

impl Verifier {
    pub(crate) fn new(session: [u8; 32], parties: &Parties, aux: &DirtyAuxInfo) -> Result<Self, Failure> {
        let missing = || Failure::internal("no auxiliary information of a signer");
        let of = |position| parties.index(position).map(usize::from);
        let ours = of(parties.me()).and_then(|index| aux.pedersen_params.get(index)).ok_or_else(missing)?;
        let keys = (0..parties.count())
            .map(|position| of(position).and_then(|index| aux.N.get(index)).cloned().map(EncryptionKey::from_n))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(missing)?;
        Ok(Self { session, parties: parties.clone(), pedersen: ours.into(), keys })
    }

    /// Verifies the second proof, once both of a signer's messages are there.
    ///
    /// # Errors
    /// [`Failure::Protocol`] with the signer as the culprit.
    pub(crate) fn check_second(&self, position: u16, first: &mut FirstRound) -> Result<(), Failure> {
        if let (false, Some(m), Some(proofs)) = (first.second_is_valid, &first.ciphertexts, &first.proofs) {
            self.verify(position, 1, &m.G, [&m.Y, &m.B1, &m.B2], &proofs.psi1)?;
            first.second_is_valid = true;
        }
        Ok(())
    }

    /// Verifies the first proof.
    ///
    /// # Errors
    /// [`Failure::Protocol`] with the signer as the culprit.
    pub(crate) fn check_first(&self, position: u16, first: &FirstRound) -> Result<(), Failure> {
        let (Some(m), Some(proofs)) = (&first.ciphertexts, &first.proofs) else {
            return Ok(());
        };
        self.verify(position, 0, &m.K, [&m.Y, &m.A1, &m.A2], &proofs.psi0)
    }

    fn verify(
        &self,
        position: u16,
        num: u8,
        ciphertext: &Integer,
        [a, b, x]: [&Point<Secp256k1>; 3],
        proof: &enc_elg::NiProof<Secp256k1>,
    ) -> Result<(), Failure> {
        let key =
            self.keys.get(usize::from(position)).ok_or_else(|| Failure::internal("no Paillier key of a signer"))?;
        let statement = Statement { sid: ExecutionId::new(&self.session), prover: position, num };
        let data = enc_elg::Data { key, ciphertext, a, b, x };
        let security = enc_elg::SecurityParams {
            l: <SecurityLevel128 as SecurityLevel>::ELL,
            epsilon: <SecurityLevel128 as SecurityLevel>::EPSILON,
        };
        non_interactive::verify::<Secp256k1, Sha256>(&statement, &self.pedersen, data, proof, &security)
            .map_err(|_| self.parties.convict(position, &format!("range proof {num} is invalid")))
    }
}
