//! A proof that ring-Pedersen parameters are sound: that s is a power of t modulo N (Πprm of ePrint 2021/060, figure 13).
//!
//! Whoever gets others to commit under parameters where it is not can read their secrets from the commitments. Version
//! 0.7.0-alpha.3 of the crate makes such a proof, but takes only 32 of the challenge's 128 bits from the hash; the rest
//! are zero, so that a false proof takes 2^32 attempts. This one has 128 bits. It travels beside the crate's own message
//! and is verified before anything is committed under the parameters. A test shows the crate's zeros; when it fails,
//! this file can go.
//!
//! Binary challenges: of two answers to the same commitments one follows t^(z - z') = s or its inverse, so each of the
//! 128 rounds catches a false statement with probability 1/2. The answers are uniform modulo φ(N), whatever λ is.

use borsh::BorshSerialize;
use cggmp24::backend::Integer;
use cggmp24::fast_paillier::utils::CrtExp;
use countersign_wire::message::digest_of;
use rand_core::RngCore;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Rounds, and bits of the challenge.
pub(crate) const ROUNDS: usize = 128;
/// Bytes of a number modulo N.
const RESIDUE_BYTES: usize = 384;

/// Who proves, in which execution: part of the challenge.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) session: &'a [u8; 32],
    pub(crate) prover: u16,
}

/// What is proved: s ∈ ⟨t⟩ modulo n.
#[derive(Clone, Copy)]
pub(crate) struct Parameters<'a> {
    pub(crate) n: &'a Integer,
    pub(crate) s: &'a Integer,
    pub(crate) t: &'a Integer,
}

/// What the prover knows: the factors of n, and λ with s = t^λ.
pub(crate) struct Trapdoor {
    pub(crate) phi: Integer,
    pub(crate) lambda: Integer,
    pub(crate) crt: CrtExp,
}

impl Trapdoor {
    /// Draws t and λ from `rng` exactly as the crate does, with a copy of the generator that it will use: it keeps λ to
    /// itself. Returns the parameters that it will come up with, too.
    pub(crate) fn replay(p: &Integer, q: &Integer, rng: &mut impl RngCore) -> Option<(Self, [Integer; 3])> {
        let crt = CrtExp::build_n(p, q)?;
        let n = p * q;
        let phi = (p - 1u8) * (q - 1u8);
        let root = Integer::sample_in_mult_group_of(rng, &n);
        let lambda = (phi.clone() >> 2u32).random_below(rng);
        let t = root.square().modulo(&n);
        let s = crt.exp(&t, &crt.prepare_exponent(&lambda))?;
        Some((Self { phi, lambda, crt }, [n, s, t]))
    }
}

/// Commitments A = t^a and answers z = a + eλ modulo φ(n).
#[derive(Serialize, Deserialize)]
pub(crate) struct Proof {
    commitments: Vec<Residue>,
    answers: Vec<Residue>,
}

impl Proof {
    /// Makes a proof; `None` if the trapdoor does not belong to the parameters.
    pub(crate) fn new(
        context: Context<'_>,
        parameters: Parameters<'_>,
        trapdoor: &Trapdoor,
        rng: &mut impl RngCore,
    ) -> Option<Self> {
        let nonces: Vec<Integer> = (0..ROUNDS).map(|_| trapdoor.phi.random_below_ref(rng)).collect();
        let commitments = nonces
            .iter()
            .map(|a| Residue::new(&trapdoor.crt.exp(parameters.t, &trapdoor.crt.prepare_exponent(a))?))
            .collect::<Option<Vec<_>>>()?;
        let challenge = challenge(context, parameters, &commitments)?;
        let answers = nonces
            .iter()
            .zip(challenge)
            .map(|(a, e)| {
                let z = if e { a + &trapdoor.lambda } else { a.clone() };
                Residue::new(&z.modulo(&trapdoor.phi))
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self { commitments, answers })
    }

    /// Whether it has as many rounds as it must have.
    pub(crate) fn is_complete(&self) -> bool {
        self.commitments.len() == ROUNDS && self.answers.len() == ROUNDS
    }

    /// Whether it proves that `parameters` are sound.
    pub(crate) fn verify(&self, context: Context<'_>, parameters: Parameters<'_>) -> bool {
        self.check(context, parameters).is_some()
    }

    fn check(&self, context: Context<'_>, parameters: Parameters<'_>) -> Option<()> {
        let Parameters { n, s, t } = parameters;
        if !self.is_complete() || !s.in_mult_group_of(n) || !t.in_mult_group_of(n) {
            return None;
        }
        let challenge = challenge(context, parameters, &self.commitments)?;
        let rounds = self.commitments.iter().zip(&self.answers).zip(challenge);
        for ((commitment, answer), e) in rounds {
            let (a, z) = (commitment.integer(), answer.integer());
            if !a.in_mult_group_of(n) || &z >= n {
                return None;
            }
            let expected = if e { (s * a).modulo(n) } else { a };
            if t.pow_mod_ref(&z, n)? != expected {
                return None;
            }
        }
        Some(())
    }
}

#[derive(BorshSerialize)]
struct Transcript<'a> {
    session: &'a [u8; 32],
    prover: u16,
    n: Vec<u8>,
    s: Vec<u8>,
    t: Vec<u8>,
    commitments: Vec<&'a [u8; RESIDUE_BYTES]>,
}

fn challenge(
    context: Context<'_>,
    parameters: Parameters<'_>,
    commitments: &[Residue],
) -> Option<impl Iterator<Item = bool> + use<>> {
    let transcript = Transcript {
        session: context.session,
        prover: context.prover,
        n: parameters.n.to_bytes_msf(),
        s: parameters.s.to_bytes_msf(),
        t: parameters.t.to_bytes_msf(),
        commitments: commitments.iter().map(|residue| residue.0.as_ref()).collect(),
    };
    let hash = digest_of("countersign/ring-pedersen-proof", &borsh::to_vec(&transcript).ok()?);
    Some(hash.into_iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)).take(ROUNDS))
}

/// A number below 2^3072: big-endian, always 384 bytes, so that it has one encoding.
struct Residue(Box<[u8; RESIDUE_BYTES]>);

impl Residue {
    fn new(value: &Integer) -> Option<Self> {
        let bytes = value.to_bytes_msf();
        let mut padded = Box::new([0; RESIDUE_BYTES]);
        padded.get_mut(RESIDUE_BYTES.checked_sub(bytes.len())?..)?.copy_from_slice(&bytes);
        Some(Self(padded))
    }

    fn integer(&self) -> Integer {
        Integer::from_bytes_msf(self.0.as_slice())
    }
}

impl Serialize for Residue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.as_slice())
    }
}

impl<'de> Deserialize<'de> for Residue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Residue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{RESIDUE_BYTES} bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Residue, E> {
                let bytes: [u8; RESIDUE_BYTES] = bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))?;
                Ok(Residue(Box::new(bytes)))
            }
        }

        deserializer.deserialize_bytes(Bytes).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    /// Factors that are Blum primes, too small for anything but the algebra.
    fn factors() -> (Integer, Integer) {
        let blum = |hex| Integer::from_str_radix(hex, 16).unwrap();
        // 2^127 - 1 and 2^521 - 1.
        (blum("7fffffffffffffffffffffffffffffff"), (Integer::one() << 521u32) - 1u8)
    }

    fn sound() -> (Trapdoor, [Integer; 3]) {
        let (p, q) = factors();
        Trapdoor::replay(&p, &q, &mut ChaCha20Rng::seed_from_u64(1)).unwrap()
    }

    const SESSION: [u8; 32] = [7; 32];
    const CONTEXT: Context<'static> = Context { session: &SESSION, prover: 1 };

    fn prove(parameters: Parameters<'_>, trapdoor: &Trapdoor) -> Proof {
        Proof::new(CONTEXT, parameters, trapdoor, &mut ChaCha20Rng::seed_from_u64(2)).unwrap()
    }

    #[test]
    fn sound_parameters_are_proved_in_their_context_alone() {
        let (trapdoor, [n, s, t]) = sound();
        let parameters = Parameters { n: &n, s: &s, t: &t };
        let proof = prove(parameters, &trapdoor);
        assert!(proof.verify(CONTEXT, parameters));
        assert!(!proof.verify(Context { prover: 2, ..CONTEXT }, parameters));
        assert!(!proof.verify(Context { session: &[8; 32], ..CONTEXT }, parameters));
        let swapped = Parameters { s: &t, t: &s, ..parameters };
        assert!(!proof.verify(CONTEXT, swapped));
    }

    #[test]
    fn the_challenge_has_128_bits_of_the_hash() {
        let (trapdoor, [n, s, t]) = sound();
        let parameters = Parameters { n: &n, s: &s, t: &t };
        let proof = prove(parameters, &trapdoor);
        let bits: Vec<bool> = challenge(CONTEXT, parameters, &proof.commitments).unwrap().collect();
        assert_eq!(bits.len(), ROUNDS);
        // Each quarter has ones: none of them is left out.
        assert!(bits.chunks(32).all(|quarter| quarter.contains(&true) && quarter.contains(&false)));
    }

    #[test]
    fn unsound_parameters_cannot_be_proved() {
        let (trapdoor, [n, s, t]) = sound();
        // -s is not a square, so no power of t.
        let unsound = &n - &s;
        let parameters = Parameters { n: &n, s: &unsound, t: &t };
        assert!(!prove(parameters, &trapdoor).verify(CONTEXT, parameters));
    }

    #[test]
    fn a_proof_with_fewer_rounds_or_a_changed_answer_is_refused() {
        let (trapdoor, [n, s, t]) = sound();
        let parameters = Parameters { n: &n, s: &s, t: &t };
        let mut proof = prove(parameters, &trapdoor);
        proof.answers.swap(0, 1);
        assert!(!proof.verify(CONTEXT, parameters));
        proof.answers.swap(0, 1);
        proof.answers.truncate(ROUNDS - 1);
        proof.commitments.truncate(ROUNDS - 1);
        assert!(!proof.verify(CONTEXT, parameters));
    }
}
