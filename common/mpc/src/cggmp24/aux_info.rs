//! Auxiliary information: every party's Paillier key and Pedersen parameters, with proofs that they are sound.

use super::driver::{Driver, Ended, Parties};
use super::guard::Guard;
use super::material;
use super::ring_pedersen::{Context, Parameters, Proof, Trapdoor};
use super::session::Session;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::plan::{ExecutionId, Output};
use crate::secret::Primes;
use cggmp24::backend::Integer;
use cggmp24::key_refresh::msg::MsgRound2;
use cggmp24::security_level::SecurityLevel128;
use countersign_wire::limits::MAX_SCHEME_MESSAGE_BYTES;
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRngCore, SeedableRng};
use round_based::state_machine::wrap_protocol;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

type Msg = cggmp24::key_refresh::msg::Msg<Sha256, SecurityLevel128>;
type Decommitment = MsgRound2<SecurityLevel128>;

pub(crate) fn start(
    execution: ExecutionId,
    parties: Parties,
    primes: &Primes,
    mut rng: Box<dyn CryptoRngCore + Send>,
) -> Result<Box<dyn Machine>, Failure> {
    let primes = material::decode_primes(primes).map_err(|e| Failure::internal(e.to_string()))?;
    let (me, count) = (parties.me(), parties.count());
    let session = Session::AuxInfo { parties: count }.id(execution)?;

    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(seed.as_mut_slice());
    let mut scheme_rng = ChaCha20Rng::from_seed(*seed);
    let [_, _, hat_p, hat_q] = primes.primes_ref();
    let (trapdoor, expected) = Trapdoor::replay(hat_p, hat_q, &mut scheme_rng.clone())
        .ok_or_else(|| Failure::internal("the primes are not usable"))?;
    let guard = AuxGuard { session, parties: parties.clone(), trapdoor, expected, rng, unproved: BTreeMap::new() };

    let protocol = wrap_protocol(move |party| async move {
        let aux = cggmp24::aux_info_gen(cggmp24::ExecutionId::new(&session), me, count, primes)
            .enforce_reliable_broadcast(true)
            .start(&mut scheme_rng, party)
            .await
            .map_err(|e| Ended::Scheme(Box::new(e)))?;
        if aux.N.len() != usize::from(count) || material::check_aux(&aux).is_err() {
            return Err(Ended::Unsound("the parameters are out of range"));
        }
        material::encode_aux(&aux).map(Output::AuxInfo).map_err(|e| Ended::Internal(e.to_string()))
    });
    Ok(Box::new(Driver::new(parties, guard, protocol)))
}

/// The crate's message and, beside the parameters, our proof that they are sound.
#[derive(Serialize, Deserialize)]
struct Wire {
    scheme: Msg,
    parameters: Option<Proof>,
}

struct AuxGuard {
    session: [u8; 32],
    parties: Parties,
    trapdoor: Trapdoor,
    /// Our own N, s and t.
    expected: [Integer; 3],
    rng: Box<dyn CryptoRngCore + Send>,
    /// Others' parameters that were not verified yet, by position.
    unproved: BTreeMap<u16, (Decommitment, Proof)>,
}

fn parameters(decommitment: &Decommitment) -> Parameters<'_> {
    Parameters { n: &decommitment.hat_N, s: &decommitment.s, t: &decommitment.t }
}

/// What the crate checks late or not at all: without bounds on the moduli the proofs could take for ever.
fn check_form(m: &Decommitment) -> Result<(), &'static str> {
    if !material::is_modulus(&m.N) || !material::is_modulus(&m.hat_N) {
        return Err("a modulus is out of range");
    }
    if !material::is_residue(&m.s, &m.hat_N) || !material::is_residue(&m.t, &m.hat_N) {
        return Err("a Pedersen parameter is out of range");
    }
    Ok(())
}

impl Guard for AuxGuard {
    type Msg = Msg;
    type Wire = Wire;
    const MAX_BYTES: usize = MAX_SCHEME_MESSAGE_BYTES;

    fn message(wire: &Wire) -> &Msg {
        &wire.scheme
    }

    fn is_broadcast(message: &Msg) -> bool {
        !matches!(message, Msg::Round3(_))
    }

    fn view(message: &Msg) -> Option<&[u8]> {
        match message {
            Msg::ReliabilityCheck(check) => Some(check.0.as_slice()),
            _ => None,
        }
    }

    fn send(&mut self, message: Msg) -> Result<Wire, Failure> {
        let Msg::Round2(decommitment) = &message else {
            return Ok(Wire { scheme: message, parameters: None });
        };
        let [n, s, t] = &self.expected;
        if (n, s, t) != (&decommitment.hat_N, &decommitment.s, &decommitment.t) {
            return Err(Failure::internal("the scheme drew other parameters than expected"));
        }
        let context = Context { session: &self.session, prover: self.parties.me() };
        let proof = Proof::new(context, parameters(decommitment), &self.trapdoor, &mut self.rng.as_mut())
            .ok_or_else(|| Failure::internal("our parameters cannot be proved"))?;
        Ok(Wire { scheme: message, parameters: Some(proof) })
    }

    fn receive(&mut self, from: u16, wire: Wire) -> Result<Msg, &'static str> {
        match (&wire.scheme, wire.parameters) {
            (Msg::Round2(decommitment), Some(proof)) if proof.is_complete() => {
                check_form(decommitment)?;
                self.unproved.insert(from, (decommitment.clone(), proof));
            }
            (Msg::Round2(_), _) => return Err("no proof of the parameters"),
            (_, Some(_)) => return Err("an unexpected proof"),
            (_, None) => {}
        }
        Ok(wire.scheme)
    }

    fn check(&mut self) -> Result<(), Failure> {
        while let Some((position, (decommitment, proof))) = self.unproved.pop_first() {
            let context = Context { session: &self.session, prover: position };
            if !proof.verify(context, parameters(&decommitment)) {
                return Err(self.parties.convict(position, "unsound Pedersen parameters"));
            }
        }
        Ok(())
    }
}
