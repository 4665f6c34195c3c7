//! Under faults: every key, transaction and group reaches one outcome that all parties share.

use super::party::{digests_of, fake_signature};
use super::world::{Faults, GROUP, World};
use crate::ceremony::{GroupStatus, Input, TransactionStatus};
use countersign_wire::agreement::{Stage, Subject};
use countersign_wire::ids::{KeyId, TransactionId};
use countersign_wire::key::KeyStatus;
use rand_core::RngCore;

const MINUTE_MS: u64 = 60_000;

fn seeds() -> u64 {
    let usual = if std::env::var_os("COUNTERSIGN_DEEP").is_some() { 600 } else { 60 };
    std::env::var("COUNTERSIGN_SEEDS").map_or(usual, |n| n.parse().expect("COUNTERSIGN_SEEDS is a number"))
}

fn ready_group(seed: u64, parties: u8, threshold: u16, faults: Faults) -> World {
    let mut world = World::new(seed, parties);
    world.faults = faults;
    let group = world.group(threshold);
    world.input(Input::ProposeGroup { group: group.clone() });
    let mut done = false;
    for _ in 0..600 {
        // The HTTP service repeats what a crash may have lost before it was stored.
        world.input(Input::ProposeGroup { group: group.clone() });
        done = world.run(MINUTE_MS, |w| w.disk.groups.get(&GROUP).is_some_and(|g| g.status == GroupStatus::Ready));
        if done {
            break;
        }
    }
    assert!(done, "seed {seed}: the group is {:?}", world.disk.groups.get(&GROUP));
    world
}

fn ready_key(world: &mut World, key: KeyId) {
    let mut done = false;
    for _ in 0..600 {
        world.input(Input::GenerateKey { key, group: GROUP, purpose: World::purpose() });
        done = world.run(MINUTE_MS, |w| w.disk.keys.get(&key).is_some_and(|k| k.status == KeyStatus::Ready));
        if done {
            break;
        }
    }
    assert!(done, "the key is {:?}", world.disk.keys.get(&key));
}

fn check_keys(world: &World) {
    for (key, record) in &world.disk.keys {
        if record.status == KeyStatus::Ready {
            for party in world.parties.values() {
                let outcome = &party.outcomes[&Subject::Key(*key)];
                assert_eq!(outcome.stage, Stage::Durable);
                assert_eq!(Some(super::party::public_key_of(outcome.session)), record.public_key);
            }
        }
    }
}

fn check_transactions(world: &World) {
    for record in world.disk.transactions.values() {
        assert!(record.status.is_final(), "{:?} {:?}", record.status, record.reason);
        let complete = record.status == TransactionStatus::Completed;
        assert_eq!(complete, record.signatures.iter().all(Option::is_some));
        for (digest, signature) in digests_of(&record.request).iter().zip(&record.signatures) {
            if let Some(signature) = signature {
                assert_eq!(*signature, fake_signature(&record.public_key, digest));
            }
        }
        let somebody_signed =
            world.parties.values().any(|p| p.signatures.keys().any(|(t, _)| *t == record.request.transaction));
        if somebody_signed && !complete {
            assert!(record.signature_may_exist(world.now_ms), "a signature exists that the record rules out");
        }
    }
}

fn scenario(seed: u64, faults: Faults) -> World {
    let threshold = if seed.is_multiple_of(2) { 3 } else { 2 };
    let mut world = ready_group(seed, 3, threshold, faults);
    let key = KeyId([7; 16]);
    ready_key(&mut world, key);
    check_keys(&world);
    for id in 1..=6u8 {
        let digests: Vec<[u8; 32]> = (0..=(id % 3)).map(|n| [id * 16 + n; 32]).collect();
        let record = world.transaction(id, key, &digests);
        world.submit(record);
        if id == 4 {
            world.input(Input::CancelTransaction { transaction: TransactionId([4; 16]) });
        }
        let pause_ms = world.rng.next_u64() % 2_000;
        world.run(pause_ms, |_| false);
    }
    let reject = world.transaction(0x55, key, &[[0xff; 32]]);
    world.submit(reject);
    let all_ended = |w: &World| w.disk.transactions.values().all(|t| t.status.is_final());
    assert!(world.run(60 * MINUTE_MS, all_ended), "seed {seed}: a transaction is stuck");
    world.faults = Faults::default();
    world.run(MINUTE_MS, |_| false);
    check_transactions(&world);
    check_keys(&world);
    world
}

#[test]
fn without_faults_everything_completes() {
    let world = scenario(2, Faults::default());
    let status = |id: u8| world.disk.transactions[&TransactionId([id; 16])].status;
    for id in [1, 2, 3, 5, 6] {
        assert_eq!(status(id), TransactionStatus::Completed, "{id}");
    }
    assert_eq!(status(4), TransactionStatus::Cancelled);
    assert_eq!(status(0x55), TransactionStatus::Rejected);
    for party in world.parties.values() {
        assert!(party.asked_handler.values().all(|asked| *asked == 1), "one question a transaction");
    }
}

#[test]
fn t19_under_loss_repetition_and_reordering_every_ceremony_has_one_outcome() {
    for seed in 0..seeds() {
        scenario(seed, Faults { drop: 100, repeat: 150, delay_ms: 400, ..Faults::default() });
    }
}

#[test]
fn t13_under_restarts_of_everybody_every_ceremony_has_one_outcome() {
    let mut restarts = 0;
    for seed in 1_000..1_000 + seeds() {
        let faults =
            Faults { drop: 30, repeat: 50, delay_ms: 100, workspace_crash: 15, party_crash: 15, link_break: 15 };
        restarts += scenario(seed, faults).restarts;
    }
    assert!(restarts > 0, "the test restarts workspaces");
}

#[test]
fn t59_restarts_in_the_middle_of_key_generation_leave_no_half_key() {
    for seed in 5_000..5_000 + seeds() {
        let quiet = Faults { delay_ms: 20, ..Faults::default() };
        let mut world = ready_group(seed, 3, 3, quiet);
        world.faults = Faults { drop: 60, workspace_crash: 60, party_crash: 40, ..quiet };
        for n in 0..4u8 {
            ready_key(&mut world, KeyId([n; 16]));
        }
        check_keys(&world);
    }
}
