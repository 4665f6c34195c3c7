//! The simulator's own statement: whatever host and network do, what is signed was approved, every transaction ends once,
//! and when the storm is over everything works again.
//!
//! `COUNTERSIGN_SEEDS` says how many seeds to run (1,000; 10,000 in the deep run), `COUNTERSIGN_SEED` runs one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this crate is tests only")]

use cosigner_workspace::ceremony::{Input as Notice, TransactionStatus};
use countersign_mpc::public;
use countersign_tests::simulator::{Base, Client, Faults, GROUP, VAULT, World, eip191, purpose};
use countersign_wire::ids::{KeyId, TransactionId};
use countersign_wire::key::{KeyStatus, Operation};
use countersign_wire::refusal::Code;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

const CALM_LIMIT_MS: u64 = 30 * 60_000;
const NEW_KEY: KeyId = KeyId([10; 16]);

#[test]
fn an_approved_message_is_signed_and_a_rejected_one_is_not() {
    let mut world = Base::connected(1, Faults::none());
    world.submit(world.request(1, "hello", "fine"), eip191("hello"), Operation::TypedMessage);
    world.submit(world.request(2, "no", "reject-me"), eip191("no"), Operation::TypedMessage);
    let done = world.run(60_000, |w| w.workspace.store.transactions.values().all(|t| t.status.is_final()));
    let status: Vec<_> = world.workspace.store.transactions.values().map(|t| (t.status, t.reason.clone())).collect();
    assert!(done, "{status:?}");
    assert_eq!(status[0].0, TransactionStatus::Completed, "{status:?}");
    assert_eq!(status[1].0, TransactionStatus::Rejected, "{status:?}");
    assert!(!world.scheme.memory.lock().unwrap().signed.contains(&eip191("no")));
}

/// What a storm's seed decides beside the faults.
struct Plan {
    transactions: Vec<(u8, String, bool)>,
}

fn storm(seed: u64) -> World {
    let mut rng = ChaCha20Rng::seed_from_u64(seed ^ 0x5eed);
    let faults = Faults::drawn(&mut rng);
    let mut world = Base::world(seed, faults);
    let count = 1 + rng.next_u32() % 4;
    let plan = Plan {
        transactions: (1..=count as u8)
            .map(|n| (n, format!("message {n} of {seed}"), rng.next_u32() % 4 == 0))
            .collect(),
    };
    let mut raw = [0u8; 32];
    rng.fill_bytes(&mut raw);
    for (n, text, reject) in &plan.transactions {
        let pause = u64::from(rng.next_u32() % 8_000);
        world.run(pause, |_| false);
        let note = if *reject { "reject-me" } else { "fine" };
        world.submit(world.request(*n, text, note), eip191(text), Operation::TypedMessage);
    }
    world.submit(world.request_with(100, Client::raw_body(&raw, VAULT), "nonce-raw"), raw, Operation::Raw);
    let user = world.base.signer_user.clone();
    world.notify(Notice::GenerateKey { key: NEW_KEY, group: GROUP, purpose: purpose(&user) });

    let settled = world.run(CALM_LIMIT_MS, |w| {
        w.now > w.started + w.faults.until_ms
            && w.workspace.store.transactions.values().all(|t| t.status.is_final())
            && w.key_is_ready(&NEW_KEY)
    });
    let describe = |w: &World| {
        let transactions: Vec<_> = w
            .workspace
            .store
            .transactions
            .values()
            .map(|t| (t.request.transaction, t.status, t.reason.clone()))
            .collect();
        let key = w.workspace.store.keys.get(&NEW_KEY).map(|k| (k.status, k.reason.clone(), k.agreement.phase.clone()));
        let links: Vec<_> = w
            .cosigners
            .iter()
            .map(|c| (c.party, c.core.is_some(), c.link_open, c.disk.pending.len(), c.wake_at))
            .collect();
        format!(
            "seed {seed} at {} ms, {:?}, {} crashes: {transactions:?}, key {key:?}, links {links:?}",
            w.now - w.started,
            w.faults,
            w.crashes
        )
    };
    assert!(settled, "not settled: {}", describe(&world));

    let signed = world.scheme.memory.lock().unwrap().signed.clone();
    let approved = &world.handler.approved;
    assert!(
        signed.iter().all(|digest| approved.contains(digest)),
        "something was signed that was not approved: {}",
        describe(&world)
    );
    assert!(
        signed.iter().all(|digest| !world.handler.rejected.contains(digest)),
        "something was signed that was rejected: {}",
        describe(&world)
    );
    let executions = world.scheme.memory.lock().unwrap().executions.clone();
    for (execution, parties) in executions {
        let mut unique = parties.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(
            unique.len(),
            parties.len(),
            "execution {} ran twice at a party: {}",
            hex::encode(execution),
            describe(&world)
        );
    }
    for (n, text, reject) in &plan.transactions {
        let transaction = &world.workspace.store.transactions[&TransactionId([*n; 16])];
        // A handler that could not be asked has not approved: that transaction failed, and says why.
        let unasked = transaction.reason.as_ref().is_some_and(|r| r.code == Code::CallbackTimeout);
        let expected = match (unasked, reject) {
            (true, _) => TransactionStatus::Failed,
            (false, true) => TransactionStatus::Rejected,
            (false, false) => TransactionStatus::Completed,
        };
        assert!(!unasked || (world.faults.exchange > 0 && !signed.contains(&eip191(text))), "{}", describe(&world));
        assert_eq!(transaction.status, expected, "{}", describe(&world));
        if expected == TransactionStatus::Completed {
            let signature = transaction.signatures[0].expect("a completed transaction has its signature");
            assert!(public::verify(&world.vault_key(), &eip191(text), &signature), "{}", describe(&world));
        }
    }
    assert_eq!(world.workspace.store.keys[&NEW_KEY].status, KeyStatus::Ready, "{}", describe(&world));
    world
}

/// The seeds of one half: two tests share them, so that two cores are used.
fn seeds(half: usize) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|v| v.parse::<u64>().expect("a number"));
    let usual = if std::env::var_os("COUNTERSIGN_DEEP").is_some() { 10_000 } else { 1_000 };
    match number("COUNTERSIGN_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("COUNTERSIGN_SEEDS").unwrap_or(usual)).skip(half).step_by(2).collect(),
    }
}

fn storms(half: usize) {
    let seeds = seeds(half);
    let crashes: u64 = seeds.iter().map(|seed| u64::from(storm(*seed).crashes)).sum();
    println!("{} seeds, {crashes} crashes", seeds.len());
}

#[test]
fn t19_in_any_storm_only_what_was_approved_is_signed_and_afterwards_everything_works() {
    storms(0);
}

#[test]
fn t19_in_any_other_storm_only_what_was_approved_is_signed_and_afterwards_everything_works() {
    storms(1);
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [3, 17] {
        assert_eq!(storm(seed).trace, storm(seed).trace, "seed {seed}");
    }
}
