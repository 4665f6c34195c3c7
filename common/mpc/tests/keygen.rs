//! Key generation, by honest parties and by others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod network;

use cggmp24::keygen::ThresholdMsg;
use cggmp24::security_level::SecurityLevel128;
use countersign_mpc::{AuxInfoBytes, Failure, KeyShareBytes, Output, Plan, public};
use generic_ec::Scalar;
use generic_ec::curves::Secp256k1;
use network::{Packet, Report, fresh_execution, honest, keygen, keygen_plans, machines, run, shares};
use sha2::Sha256;

type Msg = ThresholdMsg<Secp256k1, SecurityLevel128, Sha256>;

fn open(packet: &Packet) -> Msg {
    ciborium::from_reader(packet.message.as_slice()).unwrap()
}

fn with(packet: &Packet, message: &Msg) -> Packet {
    let mut bytes = Vec::new();
    ciborium::into_writer(message, &mut bytes).unwrap();
    Packet { message: bytes, ..packet.clone() }
}

fn failure(report: &Report, party: u16) -> Option<&Failure> {
    report.results.get(&party).and_then(|result| result.as_ref().err())
}

#[test]
fn all_parties_hold_the_same_key_and_each_its_own_share() {
    for (parties, threshold) in [(2, 2), (3, 2), (3, 3), (16, 9)] {
        let shares = keygen(parties, threshold);
        assert_eq!(shares.len(), usize::from(parties));
        let outcomes: Vec<_> = shares.iter().map(|share| public::outcome(share).unwrap()).collect();
        for (index, outcome) in (0..).zip(&outcomes) {
            assert_eq!((outcome.parties, outcome.threshold, outcome.index), (parties, threshold, index));
            assert_eq!(outcome.public_key, outcomes[0].public_key);
            assert_eq!(outcome.chain_code, outcomes[0].chain_code);
            assert_eq!(outcome.commitment, outcomes[0].commitment);
        }
        assert!((1..shares.len()).all(|other| shares[other].expose() != shares[0].expose()));
    }
}

#[test]
fn the_largest_group_stays_far_below_the_limit_of_a_message() {
    let report = run(machines(keygen_plans(16, 16)), honest);
    assert!(report.longest < 2048, "{} bytes", report.longest);
    assert_eq!(shares(report).len(), 16);
}

#[test]
fn two_keys_of_one_group_have_nothing_in_common() {
    let (first, second) = (keygen(3, 2), keygen(3, 2));
    let (first, second) = (public::outcome(&first[0]).unwrap(), public::outcome(&second[0]).unwrap());
    assert_ne!(first.public_key, second.public_key);
    assert_ne!(first.chain_code, second.chain_code);
    assert_ne!(first.commitment, second.commitment);
}

#[test]
fn contradictory_plans_are_refused_before_anything_is_sent() {
    for (index, parties, threshold) in [(3, 3, 2), (0, 1, 1), (0, 0, 2), (0, 17, 2), (0, 3, 1), (0, 3, 0), (0, 3, 4)] {
        let plan = Plan::Keygen { execution: fresh_execution(), index, parties, threshold };
        let refused = countersign_mpc::Scheme::start(&countersign_mpc::Cggmp24, plan, Box::new(rand_core::OsRng));
        assert!(matches!(refused, Err(Failure::Internal { .. })), "{index} {parties} {threshold}");
    }
}

#[test]
fn t18_a_party_that_sends_different_commitments_ends_it_for_all() {
    let mut other: Option<Vec<u8>> = None;
    // A commitment of another execution, to hand to party 2 instead of the one that party 1 got.
    run(machines(keygen_plans(3, 2)), |packet| {
        if packet.from == 0 && other.is_none() {
            other = Some(packet.message.clone());
        }
        honest(packet)
    });
    let other = other.unwrap();
    let mut swapped = false;
    let report = run(machines(keygen_plans(3, 2)), |mut packet| {
        if (packet.from, packet.to) == (0, 2) && !swapped {
            packet.message.clone_from(&other);
            swapped = true;
        }
        honest(packet)
    });
    assert!(matches!(failure(&report, 1), Some(Failure::BroadcastInconsistent { differing }) if differing == &[2]));
    assert!(matches!(failure(&report, 2), Some(Failure::BroadcastInconsistent { differing }) if differing == &[0, 1]));
    assert!(!report.results.values().any(|result| matches!(result, Ok(Output::KeyShare(_)))));
}

#[test]
fn t15_a_part_of_a_share_that_does_not_fit_its_commitment_is_a_protocol_failure() {
    let report = run(machines(keygen_plans(3, 2)), |packet| match (packet.from, packet.to, open(&packet)) {
        (0, 1, ThresholdMsg::Round2Uni(mut m)) => {
            m.sigma += Scalar::one();
            vec![with(&packet, &ThresholdMsg::Round2Uni(m))]
        }
        _ => honest(packet),
    });
    assert!(matches!(failure(&report, 1), Some(Failure::Protocol { .. })));
}

#[test]
fn t15_an_empty_polynomial_is_a_protocol_failure_and_no_panic() {
    let report = run(machines(keygen_plans(3, 2)), |packet| match (packet.from, open(&packet)) {
        (0, ThresholdMsg::Round2Broad(mut m)) => {
            m.F = generic_ec_zkp_polynomial(&packet);
            vec![with(&packet, &ThresholdMsg::Round2Broad(m))]
        }
        _ => honest(packet),
    });
    assert!(matches!(failure(&report, 1), Some(Failure::Protocol { .. })));
    assert!(matches!(failure(&report, 2), Some(Failure::Protocol { .. })));
}

/// A polynomial without coefficients, of whatever type the message has.
fn generic_ec_zkp_polynomial<T: serde::de::DeserializeOwned>(_: &Packet) -> T {
    let mut bytes = Vec::new();
    ciborium::into_writer(&ciborium::Value::Array(vec![]), &mut bytes).unwrap();
    ciborium::from_reader(bytes.as_slice()).unwrap()
}

#[test]
fn t15_a_false_proof_of_the_share_in_the_last_round_is_a_protocol_failure() {
    let mut first: Option<Msg> = None;
    let report = run(machines(keygen_plans(3, 2)), |packet| match (packet.from, open(&packet)) {
        (0, ThresholdMsg::Round3(m)) => {
            first.get_or_insert(ThresholdMsg::Round3(m));
            honest(packet)
        }
        // Party 1 repeats party 0's proof as its own.
        (1, ThresholdMsg::Round3(_)) => vec![with(&packet, first.as_ref().unwrap())],
        _ => honest(packet),
    });
    // Party 1 itself got only good messages and holds a share: it must not be used before all acknowledged it.
    assert!(matches!(report.results.get(&1), Some(Ok(Output::KeyShare(_)))));
    assert!(matches!(failure(&report, 0), Some(Failure::Protocol { .. })));
    assert!(matches!(failure(&report, 2), Some(Failure::Protocol { .. })));
}

#[test]
fn t14_parties_with_different_execution_ids_or_thresholds_get_no_key() {
    let mut plans = keygen_plans(3, 2);
    plans.truncate(2);
    plans.push(Plan::Keygen { execution: fresh_execution(), index: 2, parties: 3, threshold: 2 });
    let report = run(machines(plans), honest);
    assert!(report.results.values().all(|result| result.is_err()));

    let execution = fresh_execution();
    let plans = [2, 2, 3].into_iter().zip(0..).map(|(threshold, index)| Plan::Keygen {
        execution,
        index,
        parties: 3,
        threshold,
    });
    let report = run(machines(plans), honest);
    assert!(report.results.values().all(|result| result.is_err()));
}

#[test]
fn bytes_that_are_no_share_have_no_outcome() {
    let share = keygen(2, 2).remove(0);
    let truncated = KeyShareBytes::from_vec(share.expose()[..share.expose().len() - 1].to_vec());
    let longer = KeyShareBytes::from_vec([share.expose(), &[0]].concat());
    let as_aux = AuxInfoBytes::from_vec(share.expose().to_vec());
    assert!(public::outcome(&truncated).is_err());
    assert!(public::outcome(&longer).is_err());
    assert!(public::outcome(&KeyShareBytes::from_vec(vec![])).is_err());
    assert!(public::aux_commitment(&as_aux).is_err());
    assert!(public::outcome(&share).is_ok());
}
