//! Signing, verified by libsecp256k1, which has nothing in common with the code that signs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod network;

use countersign_mpc::{Cggmp24, Failure, Plan, Scheme, public};
use countersign_wire::key::{EcdsaSignature, PublicKey};
use network::{fixture_aux, honest, keygen, machines, path, run, sign_plans, signatures};
use rand_core::OsRng;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, Secp256k1};

const DIGEST: [u8; 32] = [0x5A; 32];

/// Valid, `s` in the lower half (libsecp256k1 refuses others), and recovers to exactly this key.
fn verified_by_libsecp256k1(public_key: &PublicKey, digest: [u8; 32], signature: &EcdsaSignature) -> bool {
    let secp = Secp256k1::verification_only();
    let compact: Vec<u8> = [signature.r, signature.s].concat();
    let id = RecoveryId::try_from(i32::from(signature.v)).unwrap();
    let recoverable = RecoverableSignature::from_compact(&compact, id).unwrap();
    let message = Message::from_digest(digest);
    let recovered = secp.recover_ecdsa(&message, &recoverable).unwrap();
    secp.verify_ecdsa(&message, &recoverable.to_standard(), &recovered).is_ok() && recovered.serialize() == *public_key
}

#[test]
fn two_of_three_sign_in_every_combination_for_the_derived_key() {
    let (shares, aux) = (keygen(3, 2), fixture_aux());
    let outcome = public::outcome(&shares[0]).unwrap();
    let path = path(&[44, 60, 0, 0, 7]);
    let child = public::derive(&outcome.public_key, &outcome.chain_code, &path).unwrap();
    for signers in [[0, 1], [0, 2], [1, 2]] {
        let report = run(machines(sign_plans(&signers, &shares, &aux, &path, DIGEST)), honest);
        assert!(report.refused.is_empty());
        assert!(report.longest < 32 * 1024, "{} bytes: close to the limit of a message", report.longest);
        let signatures = signatures(report);
        assert_eq!(signatures.len(), 2);
        assert_eq!(signatures[0], signatures[1]);
        assert!(verified_by_libsecp256k1(&child, DIGEST, &signatures[0]));
        assert!(public::verify(&child, &DIGEST, &signatures[0]));
        assert!(!public::verify(&outcome.public_key, &DIGEST, &signatures[0]), "the parent key did not sign");
    }
}

#[test]
fn three_of_three_sign_for_the_derived_key() {
    let (shares, aux) = (keygen(3, 3), fixture_aux());
    let outcome = public::outcome(&shares[2]).unwrap();
    let path = path(&[44, 0, 3, 1, 2_147_483_647]);
    let child = public::derive(&outcome.public_key, &outcome.chain_code, &path).unwrap();
    let signatures = signatures(run(machines(sign_plans(&[0, 1, 2], &shares, &aux, &path, DIGEST)), honest));
    assert_eq!(signatures.len(), 3);
    assert!(signatures.iter().all(|signature| verified_by_libsecp256k1(&child, DIGEST, signature)));
}

#[test]
fn t19_reordering_and_duplicates_on_the_way_end_in_a_correct_signature() {
    let (shares, aux) = (keygen(3, 2), fixture_aux());
    let outcome = public::outcome(&shares[0]).unwrap();
    let path = path(&[0]);
    let child = public::derive(&outcome.public_key, &outcome.chain_code, &path).unwrap();
    // Every message is held until the sender's next one, which overtakes it, and is then delivered twice.
    let mut held = std::collections::BTreeMap::new();
    let report = run(machines(sign_plans(&[0, 2], &shares, &aux, &path, DIGEST)), |packet| {
        let first_round = packet.message.windows(7).any(|window| window.starts_with(b"Round1"));
        if !first_round {
            return vec![packet.clone(), packet];
        }
        match held.remove(&packet.from) {
            None => {
                held.insert(packet.from, packet);
                vec![]
            }
            Some(earlier) => vec![packet.clone(), earlier, packet],
        }
    });
    assert!(report.refused.iter().all(|(_, e)| matches!(e, countersign_mpc::ReceiveError::Duplicate { .. })));
    assert!(!report.refused.is_empty());
    assert!(signatures(report).iter().all(|signature| verified_by_libsecp256k1(&child, DIGEST, signature)));
}

#[test]
fn t17_contradictory_plans_are_refused_before_anything_is_sent() {
    let (shares, aux) = (keygen(3, 2), fixture_aux());
    let plan = |index: u16, signers: &[u16], share: usize, of: usize| Plan::Sign {
        execution: network::fresh_execution(),
        index,
        signers: signers.to_vec(),
        share: shares[share].duplicate(),
        aux: aux[of].duplicate(),
        path: path(&[0]),
        digest: DIGEST,
    };
    let start = |plan| Cggmp24.start(plan, Box::new(OsRng)).map(|_| ());
    assert_eq!(start(plan(1, &[0, 1], 1, 1)), Ok(()));
    let refused = [
        ("unsorted", plan(1, &[1, 0], 1, 1)),
        ("repeated", plan(1, &[1, 1], 1, 1)),
        ("too few", plan(1, &[1], 1, 1)),
        ("too many", plan(1, &[0, 1, 2], 1, 1)),
        ("none", plan(1, &[], 1, 1)),
        ("outside of the group", plan(1, &[1, 3], 1, 1)),
        ("not among the signers", plan(1, &[0, 2], 1, 1)),
        ("another party's share", plan(1, &[0, 1], 0, 1)),
        ("another party's auxiliary information", plan(1, &[0, 1], 1, 0)),
        ("another party's everything", plan(1, &[0, 1], 0, 0)),
    ];
    for (why, plan) in refused {
        assert!(matches!(start(plan), Err(Failure::Internal { .. })), "{why}");
    }
}

#[test]
fn a_share_of_a_group_of_another_size_does_not_go_with_the_auxiliary_information() {
    let (shares, aux) = (keygen(2, 2), fixture_aux());
    let plan = sign_plans(&[0, 1], &shares, &aux, &path(&[0]), DIGEST).remove(0);
    assert!(matches!(Cggmp24.start(plan, Box::new(OsRng)).map(|_| ()), Err(Failure::Internal { .. })));
}

#[test]
fn parties_that_sign_something_else_get_no_signature() {
    let (shares, aux) = (keygen(3, 2), fixture_aux());
    let execution = network::fresh_execution();
    let plan = |index: u16, at: &[u32], digest| Plan::Sign {
        execution,
        index,
        signers: vec![0, 1],
        share: shares[usize::from(index)].duplicate(),
        aux: aux[usize::from(index)].duplicate(),
        path: path(at),
        digest,
    };
    for (at, digest) in [(&[1], DIGEST), (&[0], [0x5B; 32])] {
        let report = run(machines([plan(0, &[0], DIGEST), plan(1, at, digest)]), honest);
        assert_eq!(report.results.len(), 2);
        assert!(report.results.values().all(|result| result.is_err()));
    }
}
