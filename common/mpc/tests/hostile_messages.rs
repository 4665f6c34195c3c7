//! What a machine does with messages that honest parties do not send.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod network;

use cggmp24::signing::msg::Msg;
use ciborium::Value;
use countersign_mpc::{Failure, Machine, ReceiveError, Step, public};
use countersign_wire::limits::MAX_SCHEME_MESSAGE_BYTES;
use generic_ec::curves::Secp256k1;
use generic_ec::{Point, Scalar};
use network::{Packet, Report, fixture_aux, honest, keygen, keygen_plans, machines, path, run, sign_plans, start};
use sha2::Sha256;

type SignMsg = Msg<Secp256k1, Sha256>;

const DIGEST: [u8; 32] = [0x11; 32];

fn encode<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn decode(packet: &Packet) -> SignMsg {
    ciborium::from_reader(packet.message.as_slice()).unwrap()
}

/// A machine of party 0 that waits, and the first broadcast of party 1.
fn waiting() -> (Box<dyn Machine>, Vec<u8>) {
    let mut plans = keygen_plans(3, 2).into_iter();
    let (mut us, mut them) = (start(plans.next().unwrap()), start(plans.next().unwrap()));
    let Step::Send { to: None, message } = them.proceed() else { panic!("a broadcast was expected") };
    while !matches!(us.proceed(), Step::NeedMessage) {}
    (us, message)
}

#[test]
fn t17_own_and_foreign_senders_are_refused() {
    let (mut us, message) = waiting();
    assert_eq!(us.receive(0, true, &message), Err(ReceiveError::Own));
    assert_eq!(us.receive(3, true, &message), Err(ReceiveError::NotAParty { from: 3 }));
    assert_eq!(us.receive(u16::MAX, true, &message), Err(ReceiveError::NotAParty { from: u16::MAX }));
    assert_eq!(us.receive(1, true, &message), Ok(()));
}

#[test]
fn t17_a_signer_that_was_not_chosen_is_foreign() {
    let (shares, aux) = (keygen(3, 2), fixture_aux());
    let mut us = start(sign_plans(&[0, 2], &shares, &aux, &path(&[0]), DIGEST).remove(0));
    while !matches!(us.proceed(), Step::NeedMessage) {}
    assert_eq!(us.receive(1, true, b"x"), Err(ReceiveError::NotAParty { from: 1 }));
    // Index 2 is position 1 among the signers, and is known by its index.
    assert!(matches!(us.receive(2, true, b"x"), Err(ReceiveError::Malformed(_))));
}

#[test]
fn t17_a_second_message_of_a_round_is_refused_whatever_it_says() {
    let (mut us, message) = waiting();
    us.receive(1, true, &message).unwrap();
    assert!(matches!(us.proceed(), Step::NeedMessage));
    assert_eq!(us.receive(1, true, &message), Err(ReceiveError::Duplicate { from: 1, round: 0 }));
    let (_, other) = waiting();
    assert_eq!(us.receive(1, true, &other), Err(ReceiveError::Duplicate { from: 1, round: 0 }));
    assert_eq!(us.receive(2, true, &other), Ok(()));
}

#[test]
fn a_broadcast_sent_to_us_alone_is_refused() {
    let (mut us, message) = waiting();
    assert_eq!(us.receive(1, false, &message), Err(ReceiveError::WrongDelivery { expected_broadcast: true }));
    assert_eq!(us.receive(1, true, &message), Ok(()));
}

#[test]
fn a_message_that_was_not_asked_for_is_refused() {
    let (mut us, message) = waiting();
    us.receive(1, true, &message).unwrap();
    assert_eq!(us.receive(2, true, &message), Err(ReceiveError::NotExpected));
}

#[test]
fn garbage_is_refused_without_a_panic() {
    let (mut us, message) = waiting();
    let malformed = |result| matches!(result, Err(ReceiveError::Malformed(_)));
    assert!(malformed(us.receive(1, true, b"")));
    assert!(malformed(us.receive(1, true, &[0xFF; 64])));
    assert!(malformed(us.receive(1, true, &[message.as_slice(), &[0]].concat())), "trailing bytes");
    for cut in 0..message.len() {
        assert!(malformed(us.receive(1, true, &message[..cut])));
    }
    let mut huge = message.clone();
    huge.resize(MAX_SCHEME_MESSAGE_BYTES + 1, 0);
    assert!(matches!(us.receive(1, true, &huge), Err(ReceiveError::TooLarge(_))));
    // Arrays within arrays: as deep as the decoder allows.
    assert!(malformed(us.receive(1, true, &[0x81; 4000])));
    assert_eq!(us.receive(1, true, &message), Ok(()));
}

#[test]
fn every_flipped_bit_of_a_message_is_refused_or_taken_without_a_panic() {
    let (_, message) = waiting();
    let (mut us, _) = waiting();
    for position in 0..message.len() * 8 {
        let mut flipped = message.clone();
        flipped[position / 8] ^= 1 << (position % 8);
        if us.receive(1, true, &flipped).is_ok() {
            us = waiting().0;
        }
    }
}

/// The first big integer of a message, replaced.
fn replace_first_integer(value: &mut Value, with: &Value) -> bool {
    match value {
        Value::Map(entries) if entries.iter().any(|(key, _)| key.as_text() == Some("radix")) => {
            *value = with.clone();
            true
        }
        Value::Map(entries) => entries.iter_mut().any(|(_, item)| replace_first_integer(item, with)),
        Value::Array(items) => items.iter_mut().any(|item| replace_first_integer(item, with)),
        _ => false,
    }
}

#[test]
fn numbers_in_other_encodings_or_out_of_range_are_refused_without_a_panic() {
    let (shares, aux) = (keygen(3, 2), fixture_aux());
    let mut plans = sign_plans(&[0, 1], &shares, &aux, &path(&[0]), DIGEST).into_iter();
    let (mut us, mut them) = (start(plans.next().unwrap()), start(plans.next().unwrap()));
    let Step::Send { to: None, message } = them.proceed() else { panic!("a broadcast was expected") };
    while !matches!(us.proceed(), Step::NeedMessage) {}
    let number = |radix: i64, digits: &str| {
        Value::Map(vec![
            (Value::Text("radix".into()), Value::Integer(radix.into())),
            (Value::Text("value".into()), Value::Text(digits.into())),
        ])
    };
    let long = "f".repeat(3000);
    for hostile in [
        number(99, "1"),
        number(0, "1"),
        number(1, "1"),
        number(10, "17"),
        number(16, "FF"),
        number(16, "00ff"),
        number(16, "+ff"),
        number(16, "f_f"),
        number(16, " ff"),
        number(16, "-ff"),
        number(16, "0"),
        number(16, "-0"),
        number(16, ""),
        number(16, &long),
        Value::Null,
    ] {
        let mut value: Value = ciborium::from_reader(message.as_slice()).unwrap();
        assert!(replace_first_integer(&mut value, &hostile));
        let refused = us.receive(1, true, &encode(&value));
        assert!(matches!(refused, Err(ReceiveError::Malformed(_))), "{hostile:?}: {refused:?}");
    }
    assert_eq!(us.receive(1, true, &message), Ok(()));
}

/// Runs a 2-of-3 signature of parties 0 and 2 in which party 0's messages are changed.
fn sign_with(mut change: impl FnMut(SignMsg) -> SignMsg) -> Report {
    let (shares, aux) = (keygen(3, 2), fixture_aux());
    run(machines(sign_plans(&[0, 2], &shares, &aux, &path(&[0]), DIGEST)), |mut packet| {
        if packet.from == 0 {
            packet.message = encode(&change(decode(&packet)));
        }
        honest(packet)
    })
}

fn is_protocol_failure(report: &Report, party: u16) -> bool {
    matches!(report.results.get(&party), Some(Err(Failure::Protocol { culprit: None, .. })))
}

#[test]
fn t15_one_invalid_range_proof_is_a_protocol_failure_even_beside_a_valid_one() {
    for invalid in [0, 1] {
        let (shares, aux) = (keygen(3, 2), fixture_aux());
        let mut answered = false;
        let report = run(machines(sign_plans(&[0, 2], &shares, &aux, &path(&[0]), DIGEST)), |mut packet| {
            match decode(&packet) {
                Msg::Round1b(mut m) if packet.from == 0 => {
                    if invalid == 0 {
                        m.psi0 = m.psi1.clone();
                    } else {
                        m.psi1 = m.psi0.clone();
                    }
                    packet.message = encode(&Msg::<Secp256k1, Sha256>::Round1b(m));
                }
                Msg::Round2(_) => answered |= packet.from == 2,
                _ => {}
            }
            honest(packet)
        });
        let failure = report.results.get(&2).and_then(|result| result.as_ref().err()).unwrap();
        let detail = format!("party 0 of the group: range proof {invalid} is invalid");
        assert_eq!(failure, &Failure::Protocol { culprit: Some(0), detail });
        assert!(!answered, "the second round would carry the share");
    }
}

#[test]
fn t15_a_false_part_of_the_signature_is_a_protocol_failure() {
    let report = sign_with(|message| match message {
        Msg::Round4(mut m) => {
            m.partial_sig.sigma += Scalar::one();
            Msg::Round4(m)
        }
        other => other,
    });
    assert!(is_protocol_failure(&report, 2));
}

#[test]
fn t15_a_false_proof_of_the_second_or_third_round_is_a_protocol_failure() {
    let report = sign_with(|message| match message {
        Msg::Round2(mut m) => {
            m.Gamma += Point::generator();
            Msg::Round2(m)
        }
        other => other,
    });
    assert!(is_protocol_failure(&report, 2));
    let failure = report.results.get(&2).and_then(|result| result.as_ref().err()).unwrap();
    let detail = "a check of the scheme failed on what the other parties sent".to_owned();
    assert_eq!(failure, &Failure::Protocol { culprit: None, detail }, "no party is named that is not convicted");
    let report = sign_with(|message| match message {
        Msg::Round3(mut m) => {
            m.delta += Scalar::one();
            Msg::Round3(m)
        }
        other => other,
    });
    assert!(is_protocol_failure(&report, 2));
}

#[test]
fn t18_a_false_word_about_the_broadcasts_is_told_apart_from_a_false_proof() {
    let report = sign_with(|message| match message {
        Msg::ReliabilityCheck(mut m) => {
            m.0[0] ^= 1;
            Msg::ReliabilityCheck(m)
        }
        other => other,
    });
    assert!(
        matches!(report.results.get(&2), Some(Err(Failure::BroadcastInconsistent { differing })) if differing == &[0])
    );
}

#[test]
fn t13_a_machine_can_be_dropped_at_any_step_and_the_share_still_signs() {
    let (shares, aux) = (keygen(3, 2), fixture_aux());
    let plans = || sign_plans(&[0, 1], &shares, &aux, &path(&[0]), DIGEST);
    for steps in [0, 1, 2, 3] {
        let mut machine = start(plans().remove(0));
        for _ in 0..steps {
            drop(machine.proceed());
        }
        drop(machine);
    }
    let signatures = network::signatures(run(machines(plans()), honest));
    let outcome = public::outcome(&shares[0]).unwrap();
    let child = public::derive(&outcome.public_key, &outcome.chain_code, &path(&[0])).unwrap();
    assert!(public::verify(&child, &DIGEST, &signatures[0]));
}

#[test]
fn a_machine_that_is_over_stays_over() {
    // The first broadcast of another execution makes the two disagree, which ends both.
    let (mut us, message) = waiting();
    us.receive(1, true, &message).unwrap();
    let (_, other) = waiting();
    let mut failed = false;
    for _ in 0..4 {
        match us.proceed() {
            Step::NeedMessage => {
                us.receive(2, true, &other).unwrap();
            }
            Step::Send { message, .. } => {
                let mut check: Value = ciborium::from_reader(message.as_slice()).unwrap();
                flip_first_number(&mut check);
                while !matches!(us.proceed(), Step::NeedMessage) {}
                us.receive(1, true, &encode(&check)).unwrap();
                while !matches!(us.proceed(), Step::NeedMessage) {}
                us.receive(2, true, &encode(&check)).unwrap();
            }
            Step::Failed(Failure::BroadcastInconsistent { differing }) => {
                assert_eq!(differing, [1, 2]);
                failed = true;
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(failed);
    assert!(matches!(us.proceed(), Step::Failed(Failure::Internal { .. })));
    assert_eq!(us.receive(1, true, &message), Err(ReceiveError::NotExpected));
}

fn flip_first_number(value: &mut Value) -> bool {
    match value {
        Value::Integer(number) => {
            *value = Value::Integer((i128::from(*number) as u8 ^ 1).into());
            true
        }
        Value::Bytes(bytes) => {
            bytes[0] ^= 1;
            true
        }
        Value::Map(entries) => entries.iter_mut().any(|(_, item)| flip_first_number(item)),
        Value::Array(items) => items.iter_mut().any(flip_first_number),
        _ => false,
    }
}
