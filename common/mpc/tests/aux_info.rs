//! Auxiliary information, made from the committed primes and once from fresh ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod network;

use ciborium::Value;
use countersign_mpc::{AuxInfoBytes, Cggmp24, Failure, Plan, Primes, ReceiveError, Scheme, primes, public};
use network::{
    Packet, aux_infos, fixture_aux, fixture_primes, fresh_execution, honest, keygen, machines, path, run, sign_plans,
    signatures,
};
use rand_core::OsRng;

fn plans(primes: &[Primes]) -> Vec<Plan> {
    let (execution, parties) = (fresh_execution(), u16::try_from(primes.len()).unwrap());
    let plan =
        |(index, primes): (u16, &Primes)| Plan::AuxInfo { execution, index, parties, primes: primes.duplicate() };
    (0..parties).zip(primes).map(plan).collect()
}

#[test]
fn fresh_primes_make_auxiliary_information_that_signs() {
    let mut seen = vec![];
    let primes: Vec<Primes> = (0..2)
        .map(|_| primes::generate(&mut OsRng, &mut |found, wanted| seen.push((found, wanted)), &|| true).unwrap())
        .collect();
    assert_eq!(seen[..5], [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]);
    let aux = aux_infos(run(machines(plans(&primes)), honest));
    assert_eq!(public::aux_commitment(&aux[0]).unwrap(), public::aux_commitment(&aux[1]).unwrap());
    assert_ne!(aux[0].expose(), aux[1].expose());

    let (shares, path, digest) = (keygen(2, 2), path(&[44, 60, 0, 0, 0]), [3; 32]);
    let outcome = public::outcome(&shares[0]).unwrap();
    let child = public::derive(&outcome.public_key, &outcome.chain_code, &path).unwrap();
    let signatures = signatures(run(machines(sign_plans(&[0, 1], &shares, &aux, &path, digest)), honest));
    assert!(public::verify(&child, &digest, &signatures[0]));
}

#[test]
fn the_committed_group_agrees_on_its_parameters() {
    let commitments: Vec<[u8; 32]> = fixture_aux().iter().map(|aux| public::aux_commitment(aux).unwrap()).collect();
    assert!(commitments.iter().all(|commitment| *commitment == commitments[0]));
}

/// Every text of a message, changed by `change`.
fn change_texts(value: &mut Value, change: &mut impl FnMut(&mut String)) {
    match value {
        Value::Text(text) => change(text),
        Value::Map(entries) => entries.iter_mut().for_each(|(_, item)| change_texts(item, change)),
        Value::Array(items) => items.iter_mut().for_each(|item| change_texts(item, change)),
        _ => {}
    }
}

fn entry<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    let entries = value.as_map_mut()?;
    entries.iter_mut().find(|(key, _)| key.as_text() == Some(name)).map(|(_, item)| item)
}

/// Party 0's parameters, with our proof beside them, changed on their way to party 1.
fn tampered(packet: Packet, change: impl FnOnce(&mut Value)) -> Vec<Packet> {
    let mut value: Value = ciborium::from_reader(packet.message.as_slice()).unwrap();
    let is_parameters = entry(&mut value, "scheme").is_some_and(|scheme| entry(scheme, "Round2").is_some());
    if packet.from != 0 || !is_parameters {
        return vec![packet];
    }
    change(&mut value);
    let mut message = vec![];
    ciborium::into_writer(&value, &mut message).unwrap();
    vec![Packet { message, ..packet }]
}

#[test]
fn t15_parameters_without_a_sound_proof_end_it_before_anything_is_committed_under_them() {
    let primes = [fixture_primes(3), fixture_primes(4)];
    let mut answers = 0;
    let report = run(machines(plans(&primes)), |packet| {
        if packet.from == 1 && !packet.broadcast {
            answers += 1;
        }
        tampered(packet, |value| {
            let answers = entry(entry(value, "parameters").unwrap(), "answers").unwrap().as_array_mut().unwrap();
            answers.swap(100, 101);
        })
    });
    let failure = report.results.get(&1).and_then(|result| result.as_ref().err()).unwrap();
    let detail = "party 0 of the group: unsound Pedersen parameters".to_owned();
    assert_eq!(failure, &Failure::Protocol { culprit: Some(0), detail });
    assert_eq!(answers, 0);
}

#[test]
fn parameters_out_of_range_or_without_a_proof_are_refused() {
    let primes = [fixture_primes(3), fixture_primes(4)];
    let mut variants: Vec<Packet> = vec![];
    let report = run(machines(plans(&primes)), |packet| {
        let set = |field: &'static str, digits: &'static str| {
            move |value: &mut Value| {
                let parameters = entry(entry(value, "scheme").unwrap(), "Round2").unwrap();
                change_texts(entry(parameters, field).unwrap(), &mut |text| *text = digits.to_owned());
            }
        };
        let negate = |value: &mut Value| {
            let parameters = entry(entry(value, "scheme").unwrap(), "Round2").unwrap();
            change_texts(entry(parameters, "N").unwrap(), &mut |text| text.insert(0, '-'));
        };
        let double = |value: &mut Value| {
            let parameters = entry(entry(value, "scheme").unwrap(), "Round2").unwrap();
            change_texts(entry(parameters, "hat_N").unwrap(), &mut |text| text.push('1'));
        };
        let hostile = [
            tampered(packet.clone(), |value| *entry(value, "parameters").unwrap() = Value::Null),
            tampered(packet.clone(), |value| {
                let proof = entry(value, "parameters").unwrap();
                entry(proof, "answers").unwrap().as_array_mut().unwrap().pop();
            }),
            tampered(packet.clone(), set("N", "0")),
            tampered(packet.clone(), set("hat_N", "ff")),
            tampered(packet.clone(), set("s", "0")),
            tampered(packet.clone(), set("t", "-1")),
            tampered(packet.clone(), negate),
            tampered(packet.clone(), double),
        ];
        let hostile: Vec<Packet> = hostile.into_iter().flatten().filter(|other| *other != packet).collect();
        variants.extend(hostile.clone());
        hostile.into_iter().chain([packet]).collect()
    });
    assert_eq!(variants.len(), 8);
    assert_eq!(report.refused.len(), 8);
    assert!(report.refused.iter().all(|(_, e)| matches!(e, ReceiveError::Malformed(_))), "{:?}", report.refused);
    assert_eq!(aux_infos(report).len(), 2);
}

#[test]
fn bytes_that_are_no_primes_are_refused_before_anything_is_sent() {
    let start = |primes: Primes| {
        let plan = Plan::AuxInfo { execution: fresh_execution(), index: 0, parties: 2, primes };
        Cggmp24.start(plan, Box::new(OsRng)).map(|_| ())
    };
    let good = fixture_primes(5);
    let mut value: Value = ciborium::from_reader(good.expose()).unwrap();
    let list = entry(&mut value, "primes").unwrap().as_array_mut().unwrap();
    list[1] = list[0].clone();
    let mut repeated = vec![];
    ciborium::into_writer(&value, &mut repeated).unwrap();
    change_texts(&mut value, &mut |text| {
        text.pop();
    });
    let mut short = vec![];
    ciborium::into_writer(&value, &mut short).unwrap();
    for bad in [vec![], vec![0xFF], repeated, short, good.expose()[1..].to_vec()] {
        assert!(matches!(start(Primes::from_vec(bad)), Err(Failure::Internal { .. })));
    }
    assert_eq!(start(good), Ok(()));
    assert!(public::aux_commitment(&AuxInfoBytes::from_vec(vec![0xA0])).is_err());
}
