//! What the crate leaves out, shown on the crate itself. Once one of these fails, the crate has caught up, and what we add
//! for it can go.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod network;

use cggmp24::backend::Integer;
use cggmp24::key_share::{AuxInfo, IncompleteKeyShare};
use cggmp24::security_level::SecurityLevel128;
use cggmp24::signing::msg::Msg;
use cggmp24::signing::{PrehashedDataToSign, Signature};
use cggmp24::{ExecutionId, KeyShare, PregeneratedPrimes, key_refresh};
use generic_ec::Scalar;
use generic_ec::curves::Secp256k1;
use network::{fixture_aux, fixture_primes, keygen};
use rand_core::OsRng;
use round_based::state_machine::{ProceedResult, StateMachine, wrap_protocol};
use round_based::{Incoming, MessageType, Outgoing};
use sha2::Sha256;
use std::collections::VecDeque;

/// Runs two parties to the end, or until `tamper` says to stop; returns what came out.
fn run_two<S: StateMachine>(
    machines: [S; 2],
    mut tamper: impl FnMut(usize, S::Msg) -> Option<S::Msg>,
) -> [Option<S::Output>; 2]
where
    S::Msg: Clone,
{
    let mut inboxes = [VecDeque::new(), VecDeque::new()];
    let mut outputs = [None, None];
    let mut machines = machines.map(Some);
    while machines.iter().any(Option::is_some) {
        for party in [0, 1] {
            let Some(machine) = &mut machines[party] else { continue };
            match machine.proceed() {
                ProceedResult::SendMsg(Outgoing { recipient, msg }) => {
                    let msg_type = if recipient.is_broadcast() { MessageType::Broadcast } else { MessageType::P2P };
                    let Some(msg) = tamper(party, msg) else { return outputs };
                    let sender = u16::try_from(party).unwrap();
                    inboxes[1 - party].push_back(Incoming { id: 0, sender, msg_type, msg });
                }
                ProceedResult::NeedsOneMoreMessage => {
                    if let Some(incoming) = inboxes[party].pop_front() {
                        assert!(machine.received_msg(incoming).is_ok());
                    }
                }
                ProceedResult::Yielded => {}
                ProceedResult::Output(output) => {
                    outputs[party] = Some(output);
                    machines[party] = None;
                }
                ProceedResult::Error(e) => panic!("{e}"),
            }
        }
    }
    outputs
}

#[test]
fn it_signs_although_one_of_two_range_proofs_is_invalid() {
    let (shares, aux) = (keygen(3, 2), fixture_aux());
    let machine = |index: usize| {
        let core: IncompleteKeyShare<Secp256k1> = ciborium::from_reader(shares[index].expose()).unwrap();
        let aux: AuxInfo = ciborium::from_reader(aux[index].expose()).unwrap();
        let share = KeyShare::from_parts((core, aux)).unwrap();
        wrap_protocol(move |party| async move {
            let message = PrehashedDataToSign::from_scalar(Scalar::from(1));
            let eid = ExecutionId::new(b"the crate alone");
            let index = u16::try_from(index).unwrap();
            cggmp24::signing(eid, index, &[0, 1], &share).sign(&mut OsRng, party, &message).await
        })
    };
    for invalid in [0, 1] {
        let tampered = |party, message: Msg<Secp256k1, Sha256>| match message {
            Msg::Round1b(mut m) if party == 0 => {
                if invalid == 0 {
                    m.psi0 = m.psi1.clone();
                } else {
                    m.psi1 = m.psi0.clone();
                }
                Some(Msg::Round1b(m))
            }
            other => Some(other),
        };
        let [_, victim] = run_two([machine(0), machine(1)], tampered);
        let signature: Result<Signature<Secp256k1>, _> = victim.unwrap();
        assert!(signature.is_ok(), "the crate noticed that range proof {invalid} is invalid");
    }
}

#[test]
fn its_proof_of_pedersen_parameters_has_a_challenge_of_32_bits() {
    let machine = |index: u16| {
        let primes: PregeneratedPrimes<SecurityLevel128> =
            ciborium::from_reader(fixture_primes(usize::from(index)).expose()).unwrap();
        wrap_protocol(move |party| async move {
            let eid = ExecutionId::new(b"the crate alone");
            cggmp24::aux_info_gen(eid, index, 2, primes).start(&mut OsRng, party).await.map(drop)
        })
    };
    let mut parameters = None;
    run_two([machine(0), machine(1)], |_, message: key_refresh::Msg<Sha256, SecurityLevel128>| match message {
        key_refresh::Msg::Round2(m) => {
            parameters = Some(m);
            None
        }
        other => Some(other),
    });
    let m = parameters.unwrap();
    let zero_challenge = |round: usize| {
        let (a, z): (&Integer, &Integer) = (&m.params_proof.commitment[round], &m.params_proof.zs[round]);
        m.t.pow_mod_ref(z, &m.hat_N).unwrap() == *a
    };
    assert!((32..128).all(zero_challenge));
    assert!(!(0..32).all(zero_challenge));
}
