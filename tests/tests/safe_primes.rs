//! Safe primes as in production: a co-signer searches for them itself, and whatever crashes around the claim and around
//! their use, each group gets primes of its own, and becomes ready.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this crate is tests only")]

use cosigner_core::{Effect, Input, JobSpec};
use cosigner_workspace::ceremony::Input as Notice;
use countersign_mpc::Plan;
use countersign_tests::simulator::{Base, PRIMES_MS, Setting, SimulatedCli, World};
use countersign_wire::admin::AdminRequest;
use countersign_wire::group::Group;
use countersign_wire::ids::GroupId;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

const GROUPS: [GroupId; 2] = [GroupId([1; 16]), GroupId([2; 16])];

/// The primes that each co-signer's machines were started with, as they came.
type Used = Arc<Mutex<Vec<(usize, Vec<u8>)>>>;

fn watched(mut world: World) -> (World, Used) {
    let used = Used::default();
    let seen = Arc::clone(&used);
    world.on_effect = Some(Box::new(move |i, effect| {
        if let Effect::StartJob { spec: JobSpec::Mpc(plan), .. } = effect
            && let Plan::AuxInfo { primes, .. } = &**plan
        {
            seen.lock().unwrap().push((i, primes.expose().to_vec()));
        }
    }));
    (world, used)
}

/// Booted co-signers that search for primes.
fn searching(seed: u64) -> (World, Used) {
    let mut world = Base::empty(seed);
    world.finds_primes = true;
    for i in 0..3 {
        world.boot(i);
    }
    world.run(100, |_| false);
    watched(world)
}

fn accepted(world: &mut World, id: GroupId) -> Group {
    let group = world.whole_group(id, 3);
    world.notify(Notice::ProposeGroup { group: group.clone() });
    world.run(2_000, |_| false);
    for i in 0..3 {
        world.accept(i, &group);
    }
    group
}

fn ready(world: &mut World, id: GroupId) {
    assert!(world.run(600_000, |w| w.workspace.group_is_ready(&id)), "{:?}", world.workspace.store.groups.get(&id));
}

fn claimed_and_paired(world: &mut World) {
    for i in 0..3 {
        world.claim(i);
        world.pair(i, Setting::default());
    }
}

/// No co-signer used the same primes in two groups. `first` of the uses were the first group's.
fn check_apart(used: &Used, first: usize) {
    let used = used.lock().unwrap();
    let (one, other) = used.split_at(first);
    assert!(!one.is_empty() && !other.is_empty());
    let one: BTreeSet<_> = one.iter().collect();
    assert!(other.iter().all(|use_| !one.contains(use_)), "two groups with the same primes: {used:?}");
}

#[test]
fn two_groups_at_once_get_different_primes() {
    let (mut world, used) = searching(1);
    claimed_and_paired(&mut world);
    for id in GROUPS {
        accepted(&mut world, id);
    }
    for id in GROUPS {
        ready(&mut world, id);
    }
    let used = used.lock().unwrap();
    assert_eq!(used.len(), 6, "an execution a group and party");
    assert_eq!(used.iter().collect::<BTreeSet<_>>().len(), 6, "each with primes of its own: {used:?}");
}

/// A claim whose answer nobody waits for, and a crash of which `survivors` batches survive.
fn crash_in_claim(world: &mut World, after_ms: u64, survivors: usize) {
    let mut cli = SimulatedCli::open(world, 0, 77);
    let (change, operator) = (world.claim_of(), Arc::clone(&world.base));
    let signed = cli.signed(world, change, &operator.operator);
    for packet in cli.sealed(&AdminRequest::Command(signed)) {
        world.input(0, 1, Input::Admin { connection: cli.connection(), packet });
    }
    world.run(after_ms, |_| false);
    world.crash_keeping(0, survivors);
    assert!(world.run(60_000, |w| w.cosigners[0].core.is_some()));
    world.run(1_000, |_| false);
}

#[test]
fn primes_found_before_a_claim_survive_a_crash_in_it_or_are_searched_again() {
    let mut outcomes = BTreeSet::new();
    for (after_ms, survivors) in [(2, 0), (7, 0), (7, 1), (7, 9), (12, 0), (12, 9), (40, 0)] {
        let (mut world, used) = searching(2);
        world.run(PRIMES_MS + 100, |_| false);
        assert_eq!(world.prime_searches, 3);
        crash_in_claim(&mut world, after_ms, survivors);
        let durable = !world.cosigners[0].disk.blobs.is_empty();
        outcomes.insert(durable);
        if !durable {
            world.claim(0);
        }
        let searches = world.prime_searches;
        assert_eq!(searches, if durable { 3 } else { 4 }, "what is sealed is not searched again");
        world.pair(0, Setting::default());
        for i in 1..3 {
            world.claim(i);
            world.pair(i, Setting::default());
        }
        accepted(&mut world, GROUPS[0]);
        ready(&mut world, GROUPS[0]);
        assert_eq!(used.lock().unwrap().len(), 3);
    }
    assert_eq!(outcomes.len(), 2, "some claims were durable and some were not");
}

#[test]
fn whatever_crashes_while_primes_are_taken_the_next_group_gets_others() {
    let mut searches = BTreeSet::new();
    for after_ms in [0, 1, 3, 10, 20, 30, 45, 60, 100, PRIMES_MS, 2 * PRIMES_MS] {
        for survivors in [0, 1, 9] {
            let (mut world, used) = searching(3 + after_ms);
            claimed_and_paired(&mut world);
            world.run(2 * PRIMES_MS, |_| false);
            let group = world.whole_group(GROUPS[0], 3);
            world.notify(Notice::ProposeGroup { group: group.clone() });
            world.run(2_000, |_| false);
            for i in (0..3).rev() {
                world.accept(i, &group);
            }
            world.run(after_ms, |_| false);
            world.crash_keeping(0, survivors);
            ready(&mut world, GROUPS[0]);
            let first = used.lock().unwrap().len();
            accepted(&mut world, GROUPS[1]);
            world.run(after_ms, |_| false);
            world.crash_keeping(0, survivors);
            ready(&mut world, GROUPS[1]);
            check_apart(&used, first);
            searches.insert(world.prime_searches);
        }
    }
    assert!(searches.first().is_some_and(|fewest| *fewest >= 6), "two searches a party at least: {searches:?}");
}
