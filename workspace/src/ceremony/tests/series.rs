//! RETRY series: the co-signer drives them, the workspace waits.

use super::single::{KEY, TX, customer, ready_world, status};
use super::world::World;
use crate::ceremony::{Input, MAX_ATTEMPTS, MAX_SERIES_MS, TransactionStatus};
use countersign_wire::callback::AttemptResult;

const HOUR_MS: u64 = 3_600_000;

/// A transaction whose handler answers RETRY.
fn retried(world: &mut World, retries: u16, retry_ms: u64) {
    let id = customer(world);
    {
        let mut control = world.parties[&id].control.lock().unwrap();
        (control.retries, control.retry_ms) = (retries, retry_ms);
    }
    for party in world.parties.values_mut() {
        party.authorisation_ms = HOUR_MS;
    }
    let record = world.transaction(1, KEY, &[[0xee; 32]]);
    world.submit(record);
}

fn attempts(world: &World) -> Vec<(u16, AttemptResult)> {
    world.disk.transactions[&TX].attempts.all().iter().map(|a| (a.number, a.result)).collect()
}

fn asked(world: &World) -> u32 {
    world.parties[&customer(world)].control.lock().unwrap().asked_transactions
}

#[test]
fn a_series_outlives_the_deadline_of_an_authorisation_and_is_asked_about_gently() {
    let mut world = ready_world(3);
    retried(&mut world, 40, HOUR_MS);
    assert!(world.run(20 * HOUR_MS, |w| attempts(w).len() == 10));
    assert_eq!(status(&world), TransactionStatus::PendingAuthorization);
    let record = &world.disk.transactions[&TX];
    assert!(world.now_ms > record.authorise_until_ms + 5 * HOUR_MS);
    assert!(record.attempts.next_at_ms().is_some_and(|at| at > world.now_ms));
    let polls = asked(&world);
    assert!(
        (40..60).contains(&polls),
        "{polls} questions in nine hours: every ten minutes, and each word puts them off"
    );
    assert!(world.run(50 * HOUR_MS, |w| status(w) == TransactionStatus::Completed));
    let last = attempts(&world);
    assert_eq!((last.len(), last.last()), (MAX_ATTEMPTS, Some(&(41, AttemptResult::Approved))));
}

#[test]
fn a_restart_of_workspace_and_co_signer_in_the_middle_of_a_series_continues_it() {
    let mut world = ready_world(3);
    retried(&mut world, 6, HOUR_MS);
    assert!(world.run(20 * HOUR_MS, |w| attempts(w).len() == 2));
    world.restart_workspace();
    assert!(world.run(20 * HOUR_MS, |w| attempts(w).len() == 4));
    let id = customer(&world);
    world.restart_party(id);
    world.take_down(id);
    world.run(2 * HOUR_MS, |_| false);
    world.bring_up(id);
    assert!(world.run(20 * HOUR_MS, |w| status(w) == TransactionStatus::Completed));
    let numbers: Vec<u16> = attempts(&world).iter().map(|(number, _)| *number).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    assert_eq!(attempts(&world).last(), Some(&(7, AttemptResult::Approved)));
    assert_eq!(world.parties[&id].asked_handler.values().collect::<Vec<_>>(), [&1], "one series");
}

#[test]
fn t32_a_series_that_says_nothing_more_ends_after_48_hours() {
    let mut world = ready_world(3);
    retried(&mut world, 1_000, HOUR_MS);
    assert!(world.run(HOUR_MS, |w| !attempts(w).is_empty()));
    let id = customer(&world);
    world.take_down(id);
    assert!(!world.run(MAX_SERIES_MS - 2 * HOUR_MS, |w| status(w).is_final()));
    assert!(world.run(4 * HOUR_MS, |w| status(w).is_final()));
    assert_eq!(status(&world), TransactionStatus::Timeout);
}

#[test]
fn a_series_can_be_cancelled() {
    let mut world = ready_world(3);
    retried(&mut world, 5, HOUR_MS);
    assert!(world.run(3 * HOUR_MS, |w| attempts(w).len() == 2));
    world.input(Input::CancelTransaction { transaction: TX });
    assert_eq!(status(&world), TransactionStatus::Cancelled);
    world.run(3 * HOUR_MS, |_| false);
    assert!(world.parties[&customer(&world)].series.is_empty(), "the handler is not asked any more");
}
