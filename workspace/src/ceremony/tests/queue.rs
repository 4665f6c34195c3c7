//! More transactions at once than signing sessions.

use super::party::Spoils;
use super::single::{KEY, clouds, ready_world};
use super::world::World;
use crate::ceremony::{Settings, TransactionStatus};
use std::collections::BTreeSet;

fn submit(world: &mut World, count: u8) {
    for id in 1..=count {
        let record = world.transaction(id, KEY, &[[id; 32]]);
        world.submit(record);
    }
}

fn all_completed(world: &World) -> bool {
    world.disk.transactions.values().all(|t| t.status == TransactionStatus::Completed)
}

#[test]
fn who_waits_longest_is_served_first() {
    let mut world = ready_world(3);
    world.settings.max_sign_sessions = 1;
    world.restart_workspace();
    world.run(5_000, |_| false);
    submit(&mut world, 30);
    assert!(world.run(600_000, all_completed));
    assert_eq!(world.completed, world.authorised);
}

#[test]
fn a_burst_runs_in_few_sessions_at_a_time_and_needs_one_each() {
    // Parties of two cores, a second of work a session: what runs together is done long before its deadline.
    let defaults = Settings::default();
    let work_ms = u64::try_from(defaults.max_sign_sessions).unwrap() * 1_000 / 2;
    assert!(work_ms * 4 <= defaults.sign_session_ms, "{work_ms} ms of work in {} ms", defaults.sign_session_ms);

    let mut world = ready_world(3);
    let before = world.prepared.len();
    submit(&mut world, 64);
    assert!(world.run(600_000, all_completed));
    assert_eq!(world.prepared.len() - before, 64);
}

#[test]
fn what_failed_together_is_not_tried_again_together() {
    let mut world = ready_world(3);
    let bad = clouds(&world)[0];
    world.parties.get_mut(&bad).unwrap().spoils = Some(Spoils::Silently);
    for party in world.parties.values_mut() {
        party.authorisation_ms = 3_600_000;
    }
    let first = world.prepared.len();
    submit(&mut world, 8);
    assert!(world.run(600_000, |w| w.prepared.len() >= first + 16));
    let mut times: Vec<u64> = world.prepared.values().copied().collect();
    times.sort_unstable();
    let retries: BTreeSet<u64> = times[first + 8..].iter().copied().collect();
    assert!(retries.len() > 4, "{retries:?}");
    world.parties.get_mut(&bad).unwrap().spoils = None;
    assert!(world.run(600_000, all_completed));
}
